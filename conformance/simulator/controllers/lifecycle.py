"""Controllers that give objects their beginning and end: namespaces, owners, custom resources."""

from __future__ import annotations

import contextlib

from conformance.simulator.clock import now, parsed
from conformance.simulator.errors import ApiError
from conformance.simulator.kinds import ResourceType
from conformance.simulator.machinery import (
    FOREGROUND_FINALIZER,
    ORPHAN_FINALIZER,
    Deletion,
)
from conformance.simulator.objects import Json, dig, is_deleting, set_condition
from conformance.simulator.store import DELETED, Change
from conformance.simulator.world import Controller

# A real namespace takes its time even when it is empty.
NAMESPACE_LINGERS_SECONDS = 2.0
ACCOUNT_SECONDS = 0.1
ESTABLISH_SECONDS = 0.2
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
OPERATORS_KIND = "rayclusters.ray.io"
CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


class NamespaceController(Controller):
    """Furnishes new namespaces and empties those being deleted."""

    name = "namespace-controller"

    def notice(self, change: Change) -> None:
        if change.key == "namespaces":
            if change.kind != DELETED:
                self.enqueue(change.name, 0 if is_deleting(change.obj) else ACCOUNT_SECONDS)
        elif change.kind == DELETED and change.namespace:
            home = self.store.get("namespaces", "", change.namespace)
            if home is not None:
                self.enqueue(change.namespace, ACCOUNT_SECONDS)

    def reconcile(self, key: str) -> None:
        home = self.store.get("namespaces", "", key)
        if home is None:
            return
        if is_deleting(home):
            self._empty(home, key)
        else:
            self._furnish(key)

    def _furnish(self, name: str) -> None:
        if self.store.get("serviceaccounts", name, "default") is None:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            self.api.create(self.api.kind("serviceaccounts"), account, name)
        if self.store.get("configmaps", name, "kube-root-ca.crt") is None:
            root: Json = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "kube-root-ca.crt"},
                "data": {"ca.crt": ""},
            }
            self.api.create(self.api.kind("configmaps"), root, name)

    def _empty(self, home: Json, name: str) -> None:
        remaining = 0
        for kind in self.world.types:
            if not kind.namespaced:
                continue
            for obj in self.store.all(kind.key, name):
                remaining += 1
                if not is_deleting(obj):
                    # Others may delete the same objects; what is gone is gone.
                    with contextlib.suppress(ApiError):
                        self.api.delete(
                            kind, name, obj["metadata"]["name"], Deletion(propagation="Background")
                        )
        if any(self.store.all(kind.key, name) for kind in self.world.types if kind.namespaced):
            self._say_remaining(name, remaining)
            return
        age = (now() - parsed(home["metadata"]["deletionTimestamp"])).total_seconds()
        left = self.world.clock.scaled(NAMESPACE_LINGERS_SECONDS) - age
        if left > 0:
            self.enqueue(name, left * self.world.clock.speed)
            return
        self.api.edit("namespaces", "", name, lambda obj: obj["spec"].update(finalizers=[]))

    def _say_remaining(self, name: str, remaining: int) -> None:
        def change(obj: Json) -> None:
            conditions = obj["status"].setdefault("conditions", [])
            message = f"Some resources are remaining: {remaining} resource instances"
            set_condition(
                conditions, "NamespaceContentRemaining", "True", reason="SomeResourcesRemain", message=message
            )

        self.api.edit("namespaces", "", name, change)


class GarbageCollector(Controller):
    """Deletes what has lost its last owner and carries out foreground and orphaning deletions."""

    name = "garbage-collector"

    def notice(self, change: Change) -> None:
        if change.kind == DELETED:
            uid = change.obj["metadata"]["uid"]
            for dependent in self.store.dependents(uid):
                self.enqueue(("dependent", *dependent))
            self._wake_owners(change.obj)
            return
        finalizers = change.obj["metadata"].get("finalizers") or ()
        if is_deleting(change.obj) and {ORPHAN_FINALIZER, FOREGROUND_FINALIZER} & set(finalizers):
            namespace = change.namespace
            self.enqueue(("owner", change.key, namespace, change.name))
        if change.before is None and change.obj["metadata"].get("ownerReferences"):
            self.enqueue(("dependent", change.key, change.namespace, change.name))

    def _wake_owners(self, obj: Json) -> None:
        for reference in obj["metadata"].get("ownerReferences") or ():
            where = self.store.located(reference["uid"])
            if where is not None:
                self.enqueue(("owner", *where))

    def reconcile(self, key: tuple[str, str, str, str]) -> None:
        role, kind, namespace, name = key
        obj = self.store.get(kind, namespace, name)
        if obj is None:
            return
        if role == "owner":
            self._finish_owner(kind, obj)
        else:
            self._check_dependent(kind, obj)

    def _check_dependent(self, key: str, obj: Json) -> None:
        metadata = obj["metadata"]
        references = metadata.get("ownerReferences") or ()
        if not references or is_deleting(obj):
            return
        living = [reference for reference in references if self.store.located(reference["uid"])]
        namespace, name = str(metadata.get("namespace", "")), metadata["name"]
        if not living:
            kind = self.world.types.get(key)
            self.api.delete(kind, namespace, name, Deletion(propagation="Background", uid=metadata["uid"]))
        elif len(living) < len(references):
            self.api.edit(key, namespace, name, lambda o: o["metadata"].update(ownerReferences=living))

    def _finish_owner(self, key: str, owner: Json) -> None:
        metadata = owner["metadata"]
        finalizers = list(metadata.get("finalizers") or ())
        if not is_deleting(owner):
            return
        uid = metadata["uid"]
        if ORPHAN_FINALIZER in finalizers:
            for where in self.store.dependents(uid):
                self.api.edit(*where, lambda obj: _disown(obj, uid))
            finalizers.remove(ORPHAN_FINALIZER)
        elif FOREGROUND_FINALIZER in finalizers:
            if self._delete_dependents(uid):
                return
            finalizers.remove(FOREGROUND_FINALIZER)
        else:
            return
        namespace = str(metadata.get("namespace", ""))
        self.api.edit(
            key, namespace, metadata["name"], lambda obj: obj["metadata"].update(finalizers=finalizers)
        )

    def _delete_dependents(self, uid: str) -> bool:
        """Delete the dependents of `uid`; returns whether any still holds its owner up."""
        blocking = False
        for key, namespace, name in self.store.dependents(uid):
            obj = self.store.get(key, namespace, name)
            if obj is None:
                continue
            blocking = blocking or any(
                reference["uid"] == uid and reference.get("blockOwnerDeletion")
                for reference in obj["metadata"]["ownerReferences"]
            )
            if not is_deleting(obj):
                self.api.delete(
                    self.world.types.get(key), namespace, name, Deletion(propagation="Background")
                )
        return blocking and any(self.store.get(*where) is not None for where in self.store.dependents(uid))


def _disown(obj: Json, uid: str) -> None:
    kept = [entry for entry in obj["metadata"].get("ownerReferences") or () if entry["uid"] != uid]
    if kept:
        obj["metadata"]["ownerReferences"] = kept
    else:
        obj["metadata"].pop("ownerReferences", None)


class DefinitionController(Controller):
    """Serves the resources that CustomResourceDefinitions define."""

    name = "customresourcedefinition-controller"

    def notice(self, change: Change) -> None:
        if change.key == DEFINITIONS and change.kind != DELETED:
            self.enqueue(change.name, ESTABLISH_SECONDS if change.before is None else 0)
        elif change.kind == DELETED and change.key in self.world.types:
            definition = self.store.get(DEFINITIONS, "", change.key)
            if definition is not None and is_deleting(definition):
                self.enqueue(change.key)

    def reconcile(self, key: str) -> None:
        definition = self.store.get(DEFINITIONS, "", key)
        if definition is None:
            return
        if is_deleting(definition):
            self._retire(definition, key)
            return
        if any(version.get("served") for version in definition["spec"]["versions"]):
            self.world.types.add(custom_type(definition))
        is_taken = key == OPERATORS_KIND and "operator-definition-conflict" in self.world.faults
        self.api.edit(DEFINITIONS, "", key, _leave_unestablished if is_taken else _establish)

    def _retire(self, definition: Json, key: str) -> None:
        kind = custom_type(definition)
        objects = self.store.all(kind.key)
        for obj in objects:
            if not is_deleting(obj):
                namespace = str(obj["metadata"].get("namespace", ""))
                self.api.delete(kind, namespace, obj["metadata"]["name"], Deletion(propagation="Background"))
        if self.store.all(kind.key):
            return
        self.world.types.remove(kind.key)
        self.store.drop(kind.key)
        self.api.edit(DEFINITIONS, "", key, _release)


def _release(definition: Json) -> None:
    finalizers = definition["metadata"].get("finalizers") or []
    definition["metadata"]["finalizers"] = [entry for entry in finalizers if entry != CLEANUP_FINALIZER]


def _leave_unestablished(definition: Json) -> None:
    status = definition.setdefault("status", {})
    conditions = status["conditions"] = status.get("conditions") or []
    problem = {"reason": "ListKindConflict", "message": "the list kind is already in use"}
    set_condition(conditions, "NamesAccepted", "False", **problem)
    pending = {"reason": "NotAccepted", "message": "not all names are accepted"}
    set_condition(conditions, "Established", "False", **pending)


def _establish(definition: Json) -> None:
    metadata, spec = definition["metadata"], definition["spec"]
    finalizers = metadata.setdefault("finalizers", [])
    if CLEANUP_FINALIZER not in finalizers:
        finalizers.append(CLEANUP_FINALIZER)
    status = definition.setdefault("status", {})
    conditions = status.get("conditions") or []
    accepted = {"reason": "NoConflicts", "message": "no conflicts found"}
    set_condition(conditions, "NamesAccepted", "True", **accepted)
    established = {"reason": "InitialNamesAccepted", "message": "the initial names have been accepted"}
    set_condition(conditions, "Established", "True", **established)
    status["conditions"] = conditions
    status["acceptedNames"] = spec["names"]
    status["storedVersions"] = [version["name"] for version in spec["versions"] if version.get("storage")]


def custom_type(definition: Json) -> ResourceType:
    """Return the resource a CustomResourceDefinition stands for."""
    spec = definition["spec"]
    names = spec["names"]
    served = [version for version in spec["versions"] if version.get("served")]
    served.sort(key=lambda version: not version.get("storage"))
    has_status = any(dig(version, "subresources", "status") is not None for version in served)
    return ResourceType(
        group=spec["group"],
        plural=names["plural"],
        kind=names["kind"],
        versions=tuple(version["name"] for version in served),
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        has_status=has_status,
        generation=True,
        schemas={v["name"]: dig(v, "schema", "openAPIV3Schema", default={}) for v in served},
        columns={v["name"]: dig(v, "additionalPrinterColumns", default=[]) for v in served},
        singular_name=names.get("singular", ""),
        list_kind_name=names.get("listKind", ""),
        custom=True,
    )

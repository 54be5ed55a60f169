"""Create, read, change and delete: what the API does with an object between request and storage."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable

from conformance.simulator import defaults, ownership, patching, runtimes, schema, validation
from conformance.simulator.admission import Review, Webhooks
from conformance.simulator.clock import stamp
from conformance.simulator.errors import (
    ApiError,
    Cause,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
)
from conformance.simulator.kinds import ResourceType, Types
from conformance.simulator.objects import Json, clone, dig, generated, is_deleting, is_pod_finished
from conformance.simulator.store import ConflictError, ExistsError, MissingError, Store

UNPROCESSABLE = 422
ORPHAN_FINALIZER, FOREGROUND_FINALIZER = "orphan", "foregroundDeletion"
_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
_SERVER_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")

Change = Callable[[Json], Json]


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """How a write is meant. `strict` refuses fields the schema does not know; `manager` is who writes."""

    dry_run: bool = False
    strict: bool = False
    manager: str = ""
    warnings: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Deletion:
    """The DeleteOptions of a request; what is absent is left to the kind."""

    grace_seconds: int | None = None
    propagation: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False


NO_OPTIONS = Options()


class Machinery:
    """The API without its transport. Controllers use it too, so their objects are defaulted alike."""

    def __init__(self, store: Store, types: Types) -> None:
        self.store = store
        self.types = types
        self.webhooks = Webhooks(store)
        # What else is asked before a pod is stored; it raises what the client is to be told.
        self.admission: list[Callable[[Json], None]] = []
        # Under which name the cluster's own writes are kept in managed fields, where they are at all.
        self.own_manager = ""

    def kind(self, key: str) -> ResourceType:
        return self.types.get(key)

    def get(self, kind: ResourceType, namespace: str, name: str) -> Json:
        obj = self.store.get(kind.key, namespace, name)
        if obj is None:
            raise not_found(kind.group, kind.plural, name)
        return obj

    # Creation

    def create(
        self, kind: ResourceType, obj: Json, namespace: str = "", options: Options = NO_OPTIONS
    ) -> Json:
        """Store a new object and return it; `obj` is taken over."""
        metadata = obj.setdefault("metadata", {})
        self._check_identity(kind, obj, namespace)
        if kind.namespaced:
            metadata["namespace"] = namespace
            self._check_namespace(kind, namespace, str(metadata.get("name") or metadata["generateName"]))
        else:
            metadata.pop("namespace", None)
        is_generated = not metadata.get("name")
        if is_generated:
            metadata["name"] = generated(str(metadata["generateName"]))
        for field in ("resourceVersion", *_SERVER_FIELDS):
            metadata.pop(field, None)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
        if kind.generation:
            metadata["generation"] = 1
        if kind.has_status:
            obj.pop("status", None)
        obj = self._completed(kind, obj, options)
        review = Review("CREATE", kind, namespace, metadata["name"], obj, None, options.dry_run)
        obj = self.webhooks.mutate(review) or obj
        self._admit(kind, obj)
        self._validate(kind, obj, None)
        self.webhooks.validate(dataclasses.replace(review, obj=obj))
        self._record(kind, obj, None, options)
        if self.store.get(kind.key, str(obj["metadata"].get("namespace", "")), obj["metadata"]["name"]):
            raise already_exists(kind.group, kind.plural, obj["metadata"]["name"])
        if options.dry_run:
            return obj
        try:
            return self.store.create(kind.key, obj)
        except ExistsError:
            raise already_exists(kind.group, kind.plural, obj["metadata"]["name"]) from None

    def _check_identity(self, kind: ResourceType, obj: Json, namespace: str) -> None:
        metadata = obj["metadata"]
        if not isinstance(metadata, dict):
            raise bad_request("metadata must be an object")
        given = metadata.get("namespace")
        if kind.namespaced and given and given != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if not metadata.get("name") and not metadata.get("generateName"):
            cause = Cause(
                "FieldValueRequired", "Required value: name or generateName is required", "metadata.name"
            )
            raise invalid(kind.group, kind.kind, "", [cause])

    def _check_namespace(self, kind: ResourceType, namespace: str, name: str) -> None:
        home = self.store.get("namespaces", "", namespace)
        if home is None:
            raise not_found("", "namespaces", namespace)
        if is_deleting(home):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = Cause(
                "NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace"
            )
            raise forbidden(kind.group, kind.plural, name, why, [cause])

    def _completed(self, kind: ResourceType, obj: Json, options: Options) -> Json:
        if not kind.custom:
            if kind.key == "pods" and "podgroups.scheduling.k8s.io" not in self.types:
                # A server without the feature drops the field, as it drops any it does not know.
                obj.get("spec", {}).pop("schedulingGroup", None)
            defaults.complete(kind.key, obj)
            return obj
        version = obj["apiVersion"].rpartition("/")[2]
        structure = kind.schemas.get(version) or {}
        body = {key: value for key, value in obj.items() if key not in {"apiVersion", "kind", "metadata"}}
        body, unknown = schema.pruned(structure, body)
        if unknown and options.strict:
            problems = ", ".join(f'unknown field "{path}"' for path in unknown)
            raise bad_request(
                f"{kind.kind} in version {version!r} cannot be handled as a {kind.kind}: strict "
                f"decoding error: {problems}".replace("'", '"')
            )
        options.warnings.extend(f'unknown field "{path}"' for path in unknown)
        body = schema.defaulted(structure, body)
        return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": obj["metadata"], **body}

    def _admit(self, kind: ResourceType, obj: Json) -> None:
        """Refuse what built-in admission refuses on creation."""
        if kind.key != "pods":
            return
        namespace, account = obj["metadata"]["namespace"], obj["spec"]["serviceAccountName"]
        if self.store.get("serviceaccounts", namespace, account) is None:
            missing = f'serviceaccount "{account}" not found'
            why = f"error looking up service account {namespace}/{account}: {missing}"
            raise forbidden("", "pods", obj["metadata"]["name"], why)
        runtimes.admit(self.store, obj)
        for admit in self.admission:
            admit(obj)

    def _validate(self, kind: ResourceType, obj: Json, before: Json | None) -> None:
        if kind.custom:
            problems = list(validation.metadata_problems(kind.key, obj))
            structure = kind.schemas.get(obj["apiVersion"].rpartition("/")[2]) or {}
            body = {key: value for key, value in obj.items() if key not in {"apiVersion", "kind", "metadata"}}
            problems += schema.problems(structure, body, old=before)
        elif before is None:
            problems = validation.creation_problems(kind.key, obj)
        else:
            problems = validation.update_problems(kind.key, obj, before)
        if problems:
            raise invalid(kind.group, kind.kind, obj["metadata"]["name"], problems)

    # Change

    def update(
        self,
        kind: ResourceType,
        obj: Json,
        namespace: str,
        name: str,
        *,
        status: bool = False,
        options: Options = NO_OPTIONS,
    ) -> Json:
        """Replace an object, or its status alone, and return what is stored."""
        metadata = obj.get("metadata") or {}
        if metadata.get("name") != name:
            given = metadata.get("name", "")
            raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
        before = self.get(kind, namespace, name)
        revision = metadata.get("resourceVersion")
        if revision and revision != before["metadata"]["resourceVersion"]:
            raise conflict(kind.group, kind.plural, name, _MODIFIED)
        if metadata.get("uid") and metadata["uid"] != before["metadata"]["uid"]:
            given, found = metadata["uid"], before["metadata"]["uid"]
            why = f"Precondition failed: UID in precondition: {given}, UID in object meta: {found}"
            raise conflict(kind.group, kind.plural, name, why)
        return self._replace(kind, clone(obj), before, status=status, options=options)

    def patch(
        self,
        kind: ResourceType,
        namespace: str,
        name: str,
        change: Change,
        *,
        status: bool = False,
        options: Options = NO_OPTIONS,
    ) -> Json:
        """Change an object by a function of its stored state and return the new one."""
        before = self.get(kind, namespace, name)
        changed = change(before)
        given = changed.get("metadata", {}).get("resourceVersion")
        if given not in {None, before["metadata"]["resourceVersion"]}:
            raise conflict(kind.group, kind.plural, name, _MODIFIED)
        return self._replace(kind, clone(changed), before, status=status, options=options)

    def apply(
        self,
        kind: ResourceType,
        config: Json,
        namespace: str,
        name: str,
        *,
        manager: str,
        force: bool,
        status: bool = False,
        options: Options = NO_OPTIONS,
    ) -> tuple[Json, bool]:
        """Apply `config` on the server's side; returns the object and whether it is new."""
        config.setdefault("metadata", {})["name"] = name
        keys = ownership.list_keys(kind, str(config["apiVersion"]))
        live = self.store.get(kind.key, namespace, name)
        subresource = "status" if status else ""
        merged = patching.apply(
            live, config, manager=manager, force=force, keys_of=keys, subresource=subresource
        )
        if live is None:
            return self.create(kind, merged, namespace, options), True
        return self._replace(kind, clone(merged), live, status=status, options=options), False

    def _replace(
        self, kind: ResourceType, obj: Json, before: Json, *, status: bool, options: Options
    ) -> Json:
        obj = self._carried(kind, obj, before, status=status)
        if not status:
            if kind.custom:
                obj = self._completed(kind, obj, options)
            else:
                defaults.complete_update(kind.key, obj, before)
        metadata = obj["metadata"]
        namespace = str(metadata.get("namespace", ""))
        review = Review("UPDATE", kind, namespace, metadata["name"], obj, before, options.dry_run)
        if not status:
            obj = self.webhooks.mutate(review) or obj
            self._validate(kind, obj, before)
            self.webhooks.validate(dataclasses.replace(review, obj=obj))
            if kind.generation and _desired(obj) != _desired(before):
                obj["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
        elif kind.custom:
            self._validate(kind, obj, before)
        self._record(kind, obj, before, options, subresource="status" if status else "")
        if options.dry_run:
            return obj
        try:
            return self.store.update(kind.key, obj)
        except ConflictError:
            raise conflict(kind.group, kind.plural, metadata["name"], _MODIFIED) from None
        except MissingError:
            raise not_found(kind.group, kind.plural, metadata["name"]) from None

    def _record(
        self, kind: ResourceType, obj: Json, before: Json | None, options: Options, subresource: str = ""
    ) -> None:
        manager = options.manager or self.own_manager
        if manager:
            ownership.record(kind, obj, before, manager=manager, subresource=subresource)

    def _carried(self, kind: ResourceType, obj: Json, before: Json, *, status: bool) -> Json:
        """Return `obj` with everything the writer has no say in taken over from `before`."""
        if status:
            return self._with_status(kind, obj, before)
        metadata = obj.setdefault("metadata", {})
        for field in (*_SERVER_FIELDS, "generation", "namespace", "name", "resourceVersion"):
            if field in before["metadata"]:
                metadata[field] = before["metadata"][field]
            else:
                metadata.pop(field, None)
        obj["kind"] = before["kind"]
        obj.setdefault("apiVersion", before["apiVersion"])
        if kind.has_status:
            if "status" in before:
                obj["status"] = clone(before["status"])
            else:
                obj.pop("status", None)
        if is_deleting(before):
            added = set(metadata.get("finalizers") or ()) - set(before["metadata"].get("finalizers") or ())
            if added:
                rule = "Forbidden: no new finalizers can be added if the object is being deleted"
                rule += f", found new finalizers {sorted(added)}"
                cause = Cause("FieldValueForbidden", rule, "metadata.finalizers")
                raise invalid(kind.group, kind.kind, metadata["name"], [cause])
        return obj

    @staticmethod
    def _with_status(kind: ResourceType, obj: Json, before: Json) -> Json:
        """Return `before` with the status of `obj`, and with its managed fields where it brings any."""
        if not kind.has_status:
            raise not_found(kind.group, kind.plural, before["metadata"]["name"])
        taken: Json = clone(before)
        if "status" in obj:
            taken["status"] = obj["status"]
        else:
            taken.pop("status", None)
        if "managedFields" in (obj.get("metadata") or {}):
            taken["metadata"]["managedFields"] = obj["metadata"]["managedFields"]
        return taken

    def edit(self, key: str, namespace: str, name: str, change: Callable[[Json], None]) -> Json | None:
        """Change a stored object in place of a controller; None where it is gone.

        Nothing is validated or admitted: a controller of the cluster is trusted to write sense.
        """
        before = self.store.get(key, namespace, name)
        if before is None:
            return None
        obj = clone(before)
        change(obj)
        kind = self.types.get(key)
        if kind.generation and _desired(obj) != _desired(before):
            obj["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
        self._record(kind, obj, before, NO_OPTIONS)
        return self.store.update(key, obj)

    # Deletion

    def delete(
        self, kind: ResourceType, namespace: str, name: str, deletion: Deletion | None = None
    ) -> tuple[Json, bool]:
        """Delete an object; returns it and whether it is gone already."""
        deletion = deletion or Deletion()
        before = self.get(kind, namespace, name)
        self._check_preconditions(kind, before, deletion)
        self.webhooks.validate(Review("DELETE", kind, namespace, name, None, before, deletion.dry_run))
        obj = clone(before)
        metadata = obj["metadata"]
        finalizers = _deletion_finalizers(kind, list(metadata.get("finalizers") or ()), deletion.propagation)
        if finalizers:
            metadata["finalizers"] = finalizers
        else:
            metadata.pop("finalizers", None)
        grace = self._grace(kind, before, deletion)
        stays = bool(finalizers) or grace > 0 or (kind.key == "namespaces" and dig(obj, "spec", "finalizers"))
        if deletion.dry_run:
            return obj, not stays
        if not stays:
            return self.store.remove(kind.key, obj), True
        if not is_deleting(before):
            metadata["deletionTimestamp"] = stamp()
            if kind.generation:
                metadata["generation"] = metadata.get("generation", 0) + 1
        metadata["deletionGracePeriodSeconds"] = grace
        if kind.key == "namespaces":
            metadata.pop("deletionGracePeriodSeconds")
            obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
        return self.store.update(kind.key, obj), False

    def _check_preconditions(self, kind: ResourceType, obj: Json, deletion: Deletion) -> None:
        metadata = obj["metadata"]
        for label, wanted, found in (
            ("UID", deletion.uid, metadata["uid"]),
            ("ResourceVersion", deletion.resource_version, metadata["resourceVersion"]),
        ):
            if wanted is not None and wanted != found:
                why = (
                    f"Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {found}"
                )
                raise conflict(kind.group, kind.plural, metadata["name"], why)

    @staticmethod
    def _grace(kind: ResourceType, obj: Json, deletion: Deletion) -> int:
        """Return how long the object may linger, in seconds; only pods are granted any."""
        if kind.key != "pods" or not obj["spec"].get("nodeName") or is_pod_finished(obj):
            return 0
        own = int(obj["spec"].get("terminationGracePeriodSeconds", defaults.DEFAULT_GRACE_SECONDS))
        asked = own if deletion.grace_seconds is None else max(deletion.grace_seconds, 0)
        granted = obj["metadata"].get("deletionGracePeriodSeconds")
        return asked if granted is None else min(asked, int(granted))


def _deletion_finalizers(kind: ResourceType, finalizers: list[str], propagation: str | None) -> list[str]:
    kept = [entry for entry in finalizers if entry not in {ORPHAN_FINALIZER, FOREGROUND_FINALIZER}]
    if propagation is None:
        existing = [entry for entry in finalizers if entry not in kept]
        # Jobs keep their pods unless told otherwise, for the sake of clients older than propagation.
        return [*kept, *(existing or ([ORPHAN_FINALIZER] if kind.key == "jobs.batch" else []))]
    if propagation == "Orphan":
        return [*kept, ORPHAN_FINALIZER]
    if propagation == "Foreground":
        return [*kept, FOREGROUND_FINALIZER]
    if propagation == "Background":
        return kept
    cause = Cause("FieldValueInvalid", f'Invalid value: "{propagation}"', "propagationPolicy")
    raise ApiError(UNPROCESSABLE, "Invalid", f"DeleteOptions is invalid: {cause.message}", {"causes": []})


def _desired(obj: Json) -> Json:
    return {key: value for key, value in obj.items() if key not in {"metadata", "status"}}

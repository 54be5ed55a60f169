"""Nobody hands out a right he does not have: what RBAC's own API refuses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from conformance.simulator.authorization import Attributes, Authorizer, User
from conformance.simulator.errors import forbidden
from conformance.simulator.kinds import ResourceType
from conformance.simulator.objects import Json
from conformance.simulator.store import Store

GROUP = "rbac.authorization.k8s.io"


def check(
    user: User, obj: Json, *, kind: ResourceType, place: str, store: Store, authorizer: Authorizer
) -> None:
    """Refuse a role, or a binding of one, that grants what its writer may not do; raises ApiError."""
    if kind.group != GROUP or "system:masters" in user.groups:
        return
    for wanted in _granted(store, kind, obj, place):
        if authorizer.allows(user, wanted) is None:
            name = str((obj.get("metadata") or {}).get("name", ""))
            what = f'Resources:["{wanted.full_resource}"], APIGroups:["{wanted.group}"]'
            what += f', Verbs:["{wanted.verb}"]'
            who = f'user "{user.name}" (groups={list(user.groups)}) is attempting to grant RBAC permissions'
            why = f"{who} not currently held:\n{{{what}}}"
            raise forbidden(kind.group, kind.plural, name, why)


def _granted(store: Store, kind: ResourceType, obj: Json, place: str) -> Iterator[Attributes]:
    rules = obj.get("rules") or ()
    if kind.kind.endswith("Binding"):
        reference = obj.get("roleRef") or {}
        is_cluster_role = reference.get("kind") == "ClusterRole"
        plural = "clusterroles" if is_cluster_role else "roles"
        role = store.get(f"{plural}.{GROUP}", "" if is_cluster_role else place, str(reference.get("name")))
        rules = (role or {}).get("rules") or ()
    for rule in rules:
        for verb, group, resource, name in itertools.product(
            rule.get("verbs") or (),
            rule.get("apiGroups") or (),
            rule.get("resources") or (),
            rule.get("resourceNames") or ("",),
        ):
            plural, _, subresource = str(resource).partition("/")
            yield Attributes(
                verb, group=group, resource=plural, subresource=subresource, namespace=place, name=name
            )

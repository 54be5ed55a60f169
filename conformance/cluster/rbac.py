"""The least a verifier must be allowed to do, as a manifest for the vendor to apply."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from conformance import checks, scenarios
from conformance import rights as declared
from conformance.probe_settings import ProbeSettings
from conformance.rights import Right, Scope

HOME = "certportal-verification"
ACCOUNT = "certportal-verifier"
_RBAC = "rbac.authorization.k8s.io"
_LABELS = {"app.kubernetes.io/managed-by": "certportal"}


def rights_for(
    version: str, namespace: str | None = None, settings: ProbeSettings | None = None
) -> frozenset[Right]:
    """Return every right the checks of a checklist version and the scenarios declare.

    With a `namespace` prepared by the vendor the right to make namespaces is not among them.
    """
    union = set(declared.BASE)
    if namespace is None:
        union.update(declared.OWN_NAMESPACES)
    for info in checks.info():
        if info.belongs_to(version):
            union.update(info.rights)
    for scenario in scenarios.info():
        union.update(scenario.rights)
    if settings is not None:
        union.update(settings.rights())
    return frozenset(union)


def manifest(
    version: str, namespace: str | None = None, settings: ProbeSettings | None = None
) -> list[dict[str, Any]]:
    """Return the objects that let a verifier run the checks and the scenarios, and nothing else.

    Without a `namespace` the run makes its own namespaces, whose names are not known beforehand, so
    that the rights inside them must be granted cluster-wide; with one they end at its border. Rights
    in a namespace the probe settings name are granted there alone.
    """
    union = rights_for(version, namespace, settings)
    everywhere: list[Right] = []
    inside: defaultdict[str, list[Right]] = defaultdict(list)
    for right in union:
        if right.namespace:
            inside[right.namespace].append(right)
        elif right.scope is Scope.CLUSTER or namespace is None:
            everywhere.append(right)
        else:
            inside[namespace].append(right)
    subject = [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": HOME}]
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME, "labels": _LABELS}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": ACCOUNT, "namespace": HOME, "labels": _LABELS},
            "automountServiceAccountToken": False,
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": ACCOUNT, "labels": _LABELS},
            "rules": _rules(everywhere),
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": ACCOUNT, "labels": _LABELS},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": ACCOUNT},
            "subjects": subject,
        },
    ]
    for place, rights in sorted(inside.items()):
        metadata = {"name": ACCOUNT, "namespace": place, "labels": _LABELS}
        objects += [
            {
                "apiVersion": f"{_RBAC}/v1",
                "kind": "Role",
                "metadata": metadata,
                "rules": _rules(rights),
            },
            {
                "apiVersion": f"{_RBAC}/v1",
                "kind": "RoleBinding",
                "metadata": metadata,
                "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": ACCOUNT},
                "subjects": subject,
            },
        ]
    return objects


def _rules(union: Iterable[Right]) -> list[dict[str, list[str]]]:
    """Fold rights into rules: resources of a group that share their verbs and names share a rule."""
    names: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for right in union:
        names[right.group, right.resource, right.verb].add(right.name)
    verbs: defaultdict[tuple[str, str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (group, resource, verb), named in sorted(names.items()):
        # What holds for every object needs no names beside it.
        limit = () if "" in named else tuple(sorted(named))
        verbs[group, resource, limit].append(verb)
    resources: defaultdict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = defaultdict(list)
    for (group, resource, limit), allowed in sorted(verbs.items()):
        resources[group, tuple(allowed), limit].append(resource)
    return [
        {"apiGroups": [group], "resources": found, "verbs": list(allowed)}
        | ({"resourceNames": list(limit)} if limit else {})
        for (group, allowed, limit), found in sorted(resources.items())
    ]

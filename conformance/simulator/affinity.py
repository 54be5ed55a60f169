"""Whether a pod's wishes about its neighbours allow a node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from conformance.simulator.objects import Json, dig, labels_of
from conformance.simulator.selectors import matches_label_selector

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"

Placed = tuple[Json, str]


def neighbour_problem(
    pod: Json, node: Json, placed: Iterable[Placed], nodes: Mapping[str, Json]
) -> str | None:
    """Return why `node` contradicts the required pod affinity or anti-affinity of `pod`.

    `placed` are the pods that have a node, with its name. Preferences are not weighed.
    """
    affinity = pod["spec"].get("affinity") or {}
    for kind, wanted, reason in (
        ("podAffinity", True, "node(s) didn't match pod affinity rules"),
        ("podAntiAffinity", False, "node(s) didn't match pod anti-affinity rules"),
    ):
        for term in dig(affinity, kind, REQUIRED, default=()):
            if _has_neighbour(pod, term, node, placed, nodes) is not wanted:
                return reason
    return None


def _has_neighbour(
    pod: Json, term: Json, node: Json, placed: Iterable[Placed], nodes: Mapping[str, Json]
) -> bool:
    key = term["topologyKey"]
    here = labels_of(node).get(key)
    namespaces = term.get("namespaces") or [pod["metadata"]["namespace"]]
    return here is not None and any(
        other["metadata"]["namespace"] in namespaces
        and matches_label_selector(term.get("labelSelector"), labels_of(other))
        and name in nodes
        and labels_of(nodes[name]).get(key) == here
        for other, name in placed
    )

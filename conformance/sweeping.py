"""Finding and removing what runs left behind in a cluster."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from conformance import checks, scenarios
from conformance.cluster import errors
from conformance.cluster.connection import Connection
from conformance.cluster.patience import Patience
from conformance.context import RUN_LABEL, run_label
from conformance.removal import Created, ask_removal, wait_gone
from conformance.report import Cleanup
from conformance.resources import NAMESPACES, Resource
from conformance.rights import Scope
from conformance.run import CLEANUP_SECONDS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """What was found of dead runs and is gone now, and what of it is not."""

    removed: tuple[str, ...]
    cleanup: Cleanup


def sweep(
    connection: Connection,
    run_id: str | None,
    *,
    namespace: str | None = None,
    patience: Patience | None = None,
) -> Cleanup:
    """Remove whatever a run, or with None any run, left in the cluster.

    Looks at the namespaces runs made and, where one is given, at the objects in `namespace`. Takes as
    long as a clean-up may, and no longer than `patience` lasts. Raises ClusterError where the cluster
    cannot be asked; a missing right is no reason to stop.
    """
    return sweep_up(connection, run_id, namespace=namespace, patience=patience).cleanup


def sweep_up(
    connection: Connection,
    run_id: str | None,
    *,
    namespace: str | None = None,
    patience: Patience | None = None,
) -> Swept:
    """Do what `sweep` does, and name everything that was found."""
    patience = patience.at_most(CLEANUP_SECONDS) if patience else Patience.of(CLEANUP_SECONDS)
    found = _leftovers(connection, run_id, namespace, patience)
    for handle in found:
        ask_removal(connection, handle, patience)
    left = wait_gone(connection, found, patience)
    gone = tuple(str(handle) for handle in found if handle not in left)
    return Swept(gone, Cleanup(not left, tuple(str(handle) for handle in left)))


def _leftovers(
    connection: Connection, run_id: str | None, namespace: str | None, patience: Patience
) -> list[Created]:
    selector = RUN_LABEL if run_id is None else f"{RUN_LABEL}={run_label(run_id)}"
    found: list[Created] = []
    kinds: list[tuple[Resource, str | None]] = [(NAMESPACES, None)]
    if namespace is not None:
        kinds = [(resource, namespace) for resource in _removable_kinds(connection, patience)]
    for resource, place in kinds:
        try:
            items = connection.listing(resource.path(place), label_selector=selector, patience=patience).items
        except (errors.Forbidden, errors.NotFound) as error:
            logger.info("cannot look for leftovers among %s: %s", resource.qualified, error)
            continue
        for item in items:
            if not _is_of(item, run_id):
                # A server that selects wrongly must not have us remove what is not ours.
                logger.warning("%s of another's stand in an answer about a run", resource.qualified)
                continue
            handle = Created(resource, place, str(item["metadata"]["name"]))
            handle.remember(item)
            found.append(handle)
    return found


def _is_of(item: dict[str, Any], run_id: str | None) -> bool:
    """Tell whether an object carries the label of the run, or with None of any run."""
    labels = item["metadata"].get("labels")
    value = labels.get(RUN_LABEL) if isinstance(labels, dict) else None
    return value is not None if run_id is None else value == run_label(run_id)


def _removable_kinds(connection: Connection, patience: Patience) -> list[Resource]:
    """Return every namespaced kind a check may create, in the version this server prefers."""
    declared = [right for info in checks.info() for right in info.rights]
    declared += [right for info in scenarios.info() for right in info.rights]
    wanted = {
        (right.group, right.resource)
        for right in declared
        if right.verb == "delete" and right.scope is Scope.RUN
    }
    groups = {
        str(group.get("name")): str((group.get("preferredVersion") or {}).get("version"))
        for group in connection.get("/apis", patience=patience).get("groups") or []
        if isinstance(group, dict)
    }
    groups[""] = "v1"
    return [
        Resource(group, groups[group], plural, plural)
        for group, plural in sorted(wanted, key=lambda kind: (kind[1] != "pods", kind))
        if group in groups
    ]

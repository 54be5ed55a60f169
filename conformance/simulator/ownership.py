"""Who set which field last: ``metadata.managedFields`` after writes other than server-side apply."""

from __future__ import annotations

from typing import Any

from conformance.simulator import patching, schemas
from conformance.simulator.clock import stamp
from conformance.simulator.kinds import ResourceType
from conformance.simulator.objects import Json
from conformance.simulator.patching import ListKeys, Path
from conformance.simulator.schemas import Message

_OWNERLESS = {
    ("metadata", field)
    for field in (
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "name",
        "namespace",
        "resourceVersion",
        "selfLink",
        "uid",
    )
}
_TOP = {("apiVersion",), ("kind",)}


def list_keys(kind: ResourceType, api_version: str) -> ListKeys:
    """Return how the members of a kind's lists are told apart."""
    version = api_version.rpartition("/")[2]
    if kind.custom:
        return patching.schema_keys(kind.schemas.get(version) or {})
    message = schemas.message(kind.group, version, kind.kind)
    return patching.builtin_keys if message is None else _message_keys(message)


def _message_keys(start: Message) -> ListKeys:
    def keys(path: Path, _items: list[Any]) -> tuple[str, ...] | None:
        message: Message | None = start
        found: tuple[str, ...] | None = None
        for step in path:
            if step.startswith("k:"):
                continue
            field = message.by_name().get(step) if message is not None else None
            if field is None:
                return None
            found = field.keys or None
            message = field.type
        return found

    return keys


def record(
    kind: ResourceType, obj: Json, before: Json | None, *, manager: str, subresource: str = ""
) -> None:
    """Write down in `obj` that `manager` set what differs from `before`."""
    version = str(obj["apiVersion"])
    keys = list_keys(kind, version)
    old = before or {}
    entries = _entries(obj, old)
    now_set, then_set = _owned(obj, keys), _owned(old, keys)
    changed = {
        path
        for path in now_set
        if path not in then_set or patching.value_at(obj, path) != patching.value_at(old, path)
    }
    gone = then_set - now_set
    if changed or gone:
        entries = _taken_over(entries, changed, gone)
        if changed:
            _add(entries, changed, manager=manager, version=version, subresource=subresource)
    if entries:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)


def _entries(obj: Json, old: Json) -> list[Json]:
    given = obj["metadata"].get("managedFields")
    if given is None:
        given = (old.get("metadata") or {}).get("managedFields") or []
    # A client that sends one empty entry asks for a fresh start.
    return [dict(entry) for entry in given if entry]


def _owned(obj: Json, keys: ListKeys) -> set[Path]:
    return {
        path for path in patching.leaf_paths(obj, keys) if path[:2] not in _OWNERLESS and path not in _TOP
    }


def _taken_over(entries: list[Json], changed: set[Path], gone: set[Path]) -> list[Json]:
    kept = []
    for entry in entries:
        fields = patching.paths_of(entry.get("fieldsV1") or {})
        left = {path for path in fields if path not in gone and (path not in changed or _is_key(path))}
        if left:
            kept.append(entry if left == fields else {**entry, "fieldsV1": patching.fields_of(left)})
    return kept


def _is_key(path: Path) -> bool:
    """Whether a path is a list's member as such, which several managers may have."""
    return path[-1].startswith("k:")


def _add(entries: list[Json], changed: set[Path], *, manager: str, version: str, subresource: str) -> None:
    identity: Json = {"manager": manager, "operation": "Update", "apiVersion": version}
    if subresource:
        identity["subresource"] = subresource
    for entry in entries:
        if patching.same_manager(entry, identity):
            fields = patching.paths_of(entry.get("fieldsV1") or {}) | changed
            entry |= {"time": stamp(), "fieldsV1": patching.fields_of(fields)}
            return
    entries.append(
        {**identity, "time": stamp(), "fieldsType": "FieldsV1", "fieldsV1": patching.fields_of(changed)}
    )

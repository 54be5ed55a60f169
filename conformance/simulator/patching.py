"""The four ways of the API to change a part of an object."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from conformance.simulator.clock import stamp
from conformance.simulator.errors import ApiError, bad_request
from conformance.simulator.objects import clone

Json = dict[str, Any]
Path = tuple[str, ...]
ListKeys = Callable[[Path, list[Any]], tuple[str, ...] | None]

UNPROCESSABLE = 422
CONFLICT = 409

# Lists of the built-in kinds that merge by a key; every other list is replaced as a whole.
_MERGE_KEYS = {
    "conditions": ("type",),
    "containers": ("name",),
    "env": ("name",),
    "ephemeralContainers": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "resourceClaims": ("name",),
    "taints": ("key",),
    "topologySpreadConstraints": ("topologyKey",),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
    "webhooks": ("name",),
}
_SETS = {"finalizers"}
# What a key of a list's member is where the member does not say.
_KEY_DEFAULTS = {"protocol": "TCP"}


def builtin_keys(path: Path, items: list[Any]) -> tuple[str, ...] | None:
    """Return the merge keys of the list at `path` in a built-in kind; None where it is atomic."""
    field = path[-1] if path else ""
    if field == "ports":
        first = items[0] if items and isinstance(items[0], dict) else {}
        return ("containerPort",) if "containerPort" in first else ("port",)
    return _MERGE_KEYS.get(field)


def schema_keys(schema: Json) -> ListKeys:
    """Return the merge keys of a custom resource, as its schema declares them."""

    def keys(path: Path, _items: list[Any]) -> tuple[str, ...] | None:
        if path[:1] == ("metadata",):
            return _MERGE_KEYS.get(path[-1])
        node: Json = schema
        for step in path:
            if step.startswith("k:"):
                node = node.get("items") or {}
            else:
                node = (node.get("properties") or {}).get(step) or node.get("additionalProperties") or {}
            if not isinstance(node, dict):
                return None
        if node.get("x-kubernetes-list-type") == "map":
            return tuple(node.get("x-kubernetes-list-map-keys") or ())
        return None

    return keys


def json_patch(target: Any, operations: Any) -> Any:
    """Apply an RFC 6902 patch; a failed test or a missing path is a 422."""
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    target = clone(target)
    for operation in operations:
        try:
            target = _operate(target, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            message = f"the server rejected our request due to an error in our request: {error}"
            raise ApiError(UNPROCESSABLE, "Invalid", message) from error
    return target


def _pointer(text: str) -> list[str]:
    if text == "":
        return []
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _operate(target: Any, operation: Json) -> Any:
    kind = operation["op"]
    path = _pointer(operation["path"])
    if kind in {"move", "copy"}:
        source = _pointer(operation["from"])
        value = clone(_at(target, source))
        if kind == "move":
            _put(target, source, None, "remove")
        return _put(target, path, value, "add")
    if kind == "test":
        if _at(target, path) != operation.get("value"):
            raise ValueError(f"testing path {operation['path']} value failed")
        return target
    if kind not in {"add", "replace", "remove"}:
        raise ValueError(f"unexpected kind: {kind}")
    return _put(target, path, clone(operation.get("value")), kind)


def _at(target: Any, path: list[str]) -> Any:
    for step in path:
        target = target[int(step)] if isinstance(target, list) else target[step]
    return target


def _put(target: Any, path: list[str], value: Any, kind: str) -> Any:
    if not path:
        return value
    parent = _at(target, path[:-1])
    last = path[-1]
    if isinstance(parent, list):
        index = len(parent) if last == "-" else int(last)
        if kind == "add":
            parent.insert(index, value)
        elif kind == "replace":
            parent[index] = value
        else:
            del parent[index]
    elif kind == "remove":
        del parent[last]
    elif kind == "replace" and last not in parent:
        raise KeyError(f"replace operation does not apply: doc is missing key: {last}")
    else:
        parent[last] = value
    return target


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply an RFC 7386 patch: null removes, lists are replaced."""
    if not isinstance(patch, dict):
        return clone(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def strategic_merge(target: Any, patch: Json, path: Path = ()) -> Any:
    """Apply a strategic merge patch: lists of named things merge by their names."""
    if patch.get("$patch") == "replace":
        return {key: clone(value) for key, value in patch.items() if key != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith("$"):
            _directive(result, key, value)
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = strategic_merge(result.get(key), value, (*path, key))
        elif isinstance(value, list):
            result[key] = _merged_list(result.get(key) or [], value, (*path, key))
        else:
            result[key] = value
    return result


def _directive(result: Json, key: str, value: Any) -> None:
    kind, _, field = key.partition("/")
    if kind == "$deleteFromPrimitiveList":
        result[field] = [item for item in result.get(field) or [] if item not in value]
    elif kind == "$retainKeys":
        for name in [name for name in result if name not in value]:
            del result[name]


def _merged_list(current: list[Any], patch: list[Any], path: Path) -> list[Any]:
    if path[-1] in _SETS:
        return [*current, *(item for item in patch if item not in current)]
    keys = builtin_keys(path, patch or current)
    if keys is None or not all(isinstance(item, dict) for item in patch):
        return [clone(item) for item in patch]
    result = list(current)
    if any(item.get("$patch") == "replace" for item in patch):
        result, patch = [], [item for item in patch if "$patch" not in item]
    for item in patch:
        place = _place(result, keys, item)
        if item.get("$patch") == "delete":
            if place is not None:
                del result[place]
        elif place is None:
            result.append(strategic_merge({}, item, path))
        else:
            result[place] = strategic_merge(result[place], item, path)
    return result


def _place(items: list[Any], keys: Iterable[str], wanted: Json) -> int | None:
    names = tuple(keys)
    identity = _identity(names, wanted)
    for index, item in enumerate(items):
        if isinstance(item, dict) and _identity(names, item) == identity:
            return index
    return None


# Server-side apply. Ownership is kept per applying manager as the set of leaf paths it sent.


def _identity(keys: Iterable[str], item: Json) -> Json:
    """Return the members of a list's item that tell it apart, short of those it does not have."""
    values = {key: item.get(key, _KEY_DEFAULTS.get(key)) for key in keys}
    return {key: value for key, value in values.items() if value is not None}


def _key_step(keys: Iterable[str], item: Json) -> str:
    return "k:" + json.dumps(_identity(keys, item), separators=(",", ":"), sort_keys=True)


def leaf_paths(value: Any, keys_of: ListKeys, path: Path = ()) -> set[Path]:
    """Return the paths of all fields `value` sets, list members addressed by their keys."""
    if isinstance(value, dict) and value:
        return set().union(*(leaf_paths(member, keys_of, (*path, key)) for key, member in value.items()))
    if isinstance(value, list) and path:
        if path[-1] in _SETS:
            return {(*path, f"v:{json.dumps(item)}") for item in value}
        keys = keys_of(path, value)
        if keys is not None:
            paths: set[Path] = set()
            for item in value:
                inner = (*path, _key_step(keys, item))
                paths |= {inner} | leaf_paths(item, keys_of, inner)
            return paths
    return {path}


def _merged(live: Any, config: Any, keys_of: ListKeys, path: Path = ()) -> Any:
    if isinstance(config, dict) and isinstance(live, dict):
        result = dict(live)
        for key, value in config.items():
            result[key] = _merged(live.get(key), value, keys_of, (*path, key))
        return result
    if isinstance(config, list) and isinstance(live, list):
        if path[-1] in _SETS:
            return [*live, *(item for item in config if item not in live)]
        keys = keys_of(path, config or live)
        if keys is not None:
            items = list(live)
            for item in config:
                place = _place(items, keys, item)
                inner = (*path, _key_step(keys, item))
                if place is None:
                    items.append(clone(item))
                else:
                    items[place] = _merged(items[place], item, keys_of, inner)
            return items
    return clone(config)


def value_at(value: Any, path: Path) -> Any:
    """Return what a path of fields and keys leads to, or None."""
    for step in path:
        if step.startswith("k:"):
            keys = json.loads(step[2:])
            value = next((item for item in value or () if _identity(keys, item) == keys), None)
        elif step.startswith("v:"):
            wanted = json.loads(step[2:])
            value = wanted if isinstance(value, list) and wanted in value else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
        if value is None:
            return None
    return value


def _without(value: Any, path: Path) -> Any:
    """Return `value` without the field at `path`; emptied parents go with it."""
    step, rest = path[0], path[1:]
    if step.startswith(("k:", "v:")):
        wanted = json.loads(step[2:])
        items = []
        for item in value if isinstance(value, list) else ():
            is_hit = item == wanted if step[0] == "v" else _identity(wanted, item) == wanted
            if not is_hit:
                items.append(item)
            elif rest:
                items.append(_without(item, rest))
        return items
    if not isinstance(value, dict) or step not in value:
        return value
    result = dict(value)
    inner = _without(value[step], rest) if rest else None
    if inner in (None, {}, []):
        del result[step]
    else:
        result[step] = inner
    return result


def fields_of(paths: Iterable[Path]) -> Json:
    """Return paths in the form of ``fieldsV1``."""
    tree: Json = {}
    for path in sorted(paths):
        node = tree
        for step in path:
            node = node.setdefault(step if step.startswith(("k:", "v:")) else f"f:{step}", {})
    return tree


def paths_of(fields: Json, path: Path = ()) -> set[Path]:
    """Return the paths a ``fieldsV1`` holds."""
    if not fields:
        return {path}
    found: set[Path] = set()
    for step, inner in fields.items():
        if step == ".":
            found.add(path)
            continue
        name = step.removeprefix("f:")
        if step.startswith("k:"):
            found.add((*path, name))
        found |= paths_of(inner, (*path, name))
    return found


_UNOWNED = {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}


_IDENTIFYING = ("manager", "operation", "apiVersion", "subresource")


def same_manager(entry: Json, other: Json) -> bool:
    """Whether two entries of managed fields are of one manager and one way of writing."""
    return all(entry.get(field) == other.get(field) for field in _IDENTIFYING)


def apply(
    live: Json | None, config: Json, *, manager: str, force: bool, keys_of: ListKeys, subresource: str = ""
) -> Json:
    """Return `live` with `config` applied by `manager`; raises 409 where another manager differs."""
    config = clone(config)
    config["metadata"].pop("managedFields", None)
    current = live or {}
    entries = [dict(entry) for entry in (current.get("metadata") or {}).get("managedFields") or ()]
    applied = leaf_paths(config, keys_of) - _UNOWNED
    own: Json = {"manager": manager, "operation": "Apply", "apiVersion": config["apiVersion"]}
    if subresource:
        own["subresource"] = subresource
    before = next((entry for entry in entries if _is_own(entry, own)), None)
    mine = paths_of(before.get("fieldsV1") or {}) if before is not None else set()
    others = [(entry, paths_of(entry.get("fieldsV1") or {})) for entry in entries if not _is_own(entry, own)]
    conflicts = [
        (_called(entry), path)
        for entry, owned in sorted(others, key=lambda other: str(other[0].get("manager")))
        for path in sorted(applied & owned)
        if not path[-1].startswith("k:") and value_at(current, path) != value_at(config, path)
    ]
    if conflicts and not force:
        raise _conflict(conflicts)
    merged = _merged(current, config, keys_of)
    # A list member goes before its fields, which could not be found without their key.
    for path in sorted(mine - applied - set().union(*(owned for _, owned in others)), key=len):
        merged = _without(merged, path)
    lost = {path for _, path in conflicts}
    kept = [{**entry, "fieldsV1": fields_of(owned - lost)} for entry, owned in others if owned - lost]
    is_same = before is not None and mine == applied
    own |= {
        "time": before["time"] if before is not None and is_same else stamp(),
        "fieldsType": "FieldsV1",
        "fieldsV1": fields_of(applied),
    }
    merged["metadata"] = {**merged["metadata"], "managedFields": [own, *kept]}
    return dict(merged)


def _is_own(entry: Json, own: Json) -> bool:
    """Whether an entry is an applier's own, under whichever version it applied before."""
    return same_manager({**entry, "apiVersion": own["apiVersion"]}, own)


def _called(entry: Json) -> str:
    name = json.dumps(entry.get("manager", ""))
    if entry.get("subresource"):
        name += f" with subresource {json.dumps(entry['subresource'])}"
    return name if entry.get("operation") == "Apply" else f"{name} using {entry.get('apiVersion')}"


def _conflict(conflicts: list[tuple[str, Path]]) -> ApiError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {name}",
            "field": "." + ".".join(step[2:] if step[:2] in {"k:", "v:"} else step for step in path),
        }
        for name, path in conflicts
    ]
    noun = "conflict" if len(causes) == 1 else "conflicts"
    listed = ", ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    message = f"Apply failed with {len(causes)} {noun}: {listed}"
    return ApiError(CONFLICT, "Conflict", message, {"causes": causes})

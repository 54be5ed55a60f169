"""Structural schemas of custom resources: defaults, pruning and validation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from conformance.simulator import cel
from conformance.simulator.errors import Cause, duplicate, invalid_value, required, unsupported_value
from conformance.simulator.objects import clone

Json = dict[str, Any]

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
_NAMES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def defaulted(schema: Json, value: Any) -> Any:
    """Return `value` with the schema's defaults filled in."""
    if isinstance(value, dict):
        result = dict(value)
        for name, inner in (schema.get("properties") or {}).items():
            if name not in result and "default" in inner:
                result[name] = clone(inner["default"])
            if name in result:
                result[name] = defaulted(inner, result[name])
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            known = schema.get("properties") or {}
            result = {
                key: member if key in known else defaulted(extra, member) for key, member in result.items()
            }
        return result
    if isinstance(value, list) and "items" in schema:
        return [defaulted(schema["items"], member) for member in value]
    return value


def pruned(schema: Json, value: Any, path: str = "") -> tuple[Any, list[str]]:
    """Return `value` without the fields the schema does not know, and the paths of those."""
    unknown: list[str] = []
    if isinstance(value, list) and "items" in schema:
        items = []
        for index, member in enumerate(value):
            kept, lost = pruned(schema["items"], member, f"{path}[{index}]")
            items.append(kept)
            unknown += lost
        return items, unknown
    if not isinstance(value, dict):
        return value, unknown
    properties = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    preserved = schema.get("x-kubernetes-preserve-unknown-fields", False) or extra is True
    embedded = {"apiVersion", "kind", "metadata"} if schema.get("x-kubernetes-embedded-resource") else set()
    result: Json = {}
    for key, member in value.items():
        where = f"{path}.{key}" if path else key
        if key in properties:
            result[key], lost = pruned(properties[key], member, where)
            unknown += lost
        elif isinstance(extra, dict):
            result[key], lost = pruned(extra, member, where)
            unknown += lost
        elif preserved or key in embedded:
            result[key] = member
        else:
            unknown.append(where)
    return result, unknown


def problems(schema: Json, value: Any, path: str = "", old: Any = None) -> list[Cause]:
    """Return every way in which `value` breaks the schema, its rules included."""
    found = list(_problems(schema, value, path))
    # Rules are written for values of the right shape; the server leaves them out otherwise.
    if not found:
        found = list(_rule_problems(schema, value, path, old))
    return found


def _is_of_type(schema: Json, value: Any) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        return isinstance(value, (int, str)) and not isinstance(value, bool)
    wanted = schema.get("type")
    if not wanted:
        return True
    if isinstance(value, bool) and wanted != "boolean":
        return False
    return isinstance(value, _PYTHON_TYPES[wanted])


def _problems(schema: Json, value: Any, path: str) -> Iterator[Cause]:
    if value is None:
        if not schema.get("nullable"):
            wanted = schema.get("type", "object")
            detail = f'{path or "<root>"} in body must be of type {wanted}: "null"'
            yield Cause("FieldValueTypeInvalid", f'Invalid value: "null": {detail}', path or "<nil>")
        return
    if not _is_of_type(schema, value):
        got, wanted = _NAMES[type(value)], schema.get("type", "integer or string")
        detail = f'{path} in body must be of type {wanted}: "{got}"'
        yield Cause("FieldValueTypeInvalid", f'Invalid value: "{got}": {detail}', path)
        return
    if "enum" in schema and value not in schema["enum"]:
        yield unsupported_value(path, value, [str(choice) for choice in schema["enum"]])
    if isinstance(value, str):
        yield from _string_problems(schema, value, path)
    elif isinstance(value, list):
        yield from _array_problems(schema, value, path)
    elif isinstance(value, dict):
        yield from _object_problems(schema, value, path)
    elif not isinstance(value, bool):
        yield from _number_problems(schema, value, path)
    yield from _combination_problems(schema, value, path)


def _string_problems(schema: Json, value: str, path: str) -> Iterator[Cause]:
    if "pattern" in schema and re.search(schema["pattern"], value) is None:
        yield invalid_value(path, value, f"{path} in body should match '{schema['pattern']}'")
    if len(value) > schema.get("maxLength", len(value)):
        limit = schema["maxLength"]
        yield Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", path)
    if len(value) < schema.get("minLength", 0):
        at_least = f"{path} in body should be at least {schema['minLength']} chars long"
        yield invalid_value(path, value, at_least)


def _number_problems(schema: Json, value: float, path: str) -> Iterator[Cause]:
    if value < schema.get("minimum", value):
        bound = f"{path} in body should be greater than or equal to {schema['minimum']}"
        yield invalid_value(path, value, bound)
    if value > schema.get("maximum", value):
        bound = f"{path} in body should be less than or equal to {schema['maximum']}"
        yield invalid_value(path, value, bound)


def _array_problems(schema: Json, value: list[Any], path: str) -> Iterator[Cause]:
    if len(value) < schema.get("minItems", 0):
        yield invalid_value(
            path, len(value), f"{path} in body should have at least {schema['minItems']} items"
        )
    if len(value) > schema.get("maxItems", len(value)):
        yield Cause(
            "FieldValueTooMany", f"Too many: {len(value)}: must have at most {schema['maxItems']} items", path
        )
    inner = schema.get("items")
    if isinstance(inner, dict):
        for index, member in enumerate(value):
            yield from _problems(inner, member, f"{path}[{index}]")
    kind = schema.get("x-kubernetes-list-type")
    if kind == "map":
        keys = schema.get("x-kubernetes-list-map-keys") or []
        identities = [{key: item.get(key) for key in keys} for item in value if isinstance(item, dict)]
        yield from _duplicates(identities, path)
    elif kind == "set":
        yield from _duplicates(value, path)


def _duplicates(members: list[Any], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, member in enumerate(members):
        identity = json.dumps(member, sort_keys=True)
        if identity in seen:
            yield duplicate(f"{path}[{index}]", member)
        seen.add(identity)


def _object_problems(schema: Json, value: Json, path: str) -> Iterator[Cause]:
    def below(name: str) -> str:
        return f"{path}.{name}" if path else name

    for name in schema.get("required") or ():
        if name not in value:
            yield required(below(name))
    properties = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    for name, member in value.items():
        if name in properties:
            yield from _problems(properties[name], member, below(name))
        elif isinstance(extra, dict):
            yield from _problems(extra, member, below(name))


def _combination_problems(schema: Json, value: Any, path: str) -> Iterator[Cause]:
    def holds(option: Json) -> bool:
        return next(_problems(option, value, path), None) is None

    for option in schema.get("allOf") or ():
        yield from _problems(option, value, path)
    if schema.get("anyOf") and not any(map(holds, schema["anyOf"])):
        yield invalid_value(path, "", f"{path} in body must validate at least one schema (anyOf)")
    if schema.get("oneOf") and sum(map(holds, schema["oneOf"])) != 1:
        yield invalid_value(path, "", f"{path} in body must validate one and only one schema (oneOf)")
    if schema.get("not") and holds(schema["not"]):
        yield invalid_value(path, "", f"{path} in body must not validate the schema (not)")


def _rule_problems(schema: Json, value: Any, path: str, old: Any) -> Iterator[Cause]:
    for rule in schema.get("x-kubernetes-validations") or ():
        is_transition = "oldSelf" in rule["rule"]
        if is_transition and old is None:
            continue
        try:
            holds = cel.compiled(rule["rule"])({"self": value, "oldSelf": old})
        except cel.CelError as error:
            yield invalid_value(
                path or "<nil>", _NAMES.get(type(value), ""), f"rule evaluation error: {error}"
            )
            continue
        if not holds:
            message = rule.get("message") or f"failed rule: {rule['rule']}"
            yield invalid_value(path or "<nil>", _NAMES.get(type(value), ""), message)
    if isinstance(value, dict):
        properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, member in value.items():
            inner = properties.get(name, extra)
            if isinstance(inner, dict):
                before = old.get(name) if isinstance(old, dict) else None
                yield from _rule_problems(inner, member, f"{path}.{name}" if path else name, before)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, member in enumerate(value):
            yield from _rule_problems(schema["items"], member, f"{path}[{index}]", None)

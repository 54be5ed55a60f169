"""Reading objects as the server's own types do: unknown fields go, wrong types do not pass."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from collections.abc import Callable
from typing import Any

from conformance.simulator import schemas
from conformance.simulator.clock import parsed, stamp
from conformance.simulator.errors import ApiError, bad_request
from conformance.simulator.objects import Json
from conformance.simulator.quantities import quantity
from conformance.simulator.schemas import Field, Message, Shape

_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")
_GO_TYPES = {"double": "float64", "microtime": "string", "time": "string", "quantity": "string"}


class _WrongTypeError(ValueError):
    """A value is not of its field's type; the text says which one it met and where."""


def decoded(api_version: str, obj: Json) -> tuple[Json, list[str]]:
    """Return `obj` as its kind holds it, and the paths of the fields the kind does not have.

    Objects of kinds the table of fields does not know, custom ones, keep everything but stray metadata.
    Raises ApiError (400) where a value is of the wrong type.
    """
    kind = str(obj.get("kind", ""))
    message = schemas.of_object(api_version, kind)
    unknown: list[str] = []
    try:
        if message is None:
            metadata = schemas.lookup(schemas.META, "ObjectMeta")
            if metadata is not None and isinstance(obj.get("metadata"), dict):
                obj = {**obj, "metadata": _message(metadata, obj["metadata"], "metadata", unknown)}
            return obj, unknown
        identity = {key: obj[key] for key in ("apiVersion", "kind") if key in obj}
        rest = {key: value for key, value in obj.items() if key not in identity}
        return identity | _message(message, rest, "", unknown), unknown
    except _WrongTypeError as error:
        version = api_version.rpartition("/")[2]
        raise bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {error}') from None


def strict_error(api_version: str, kind: str, unknown: list[str]) -> ApiError:
    """Return the refusal of fields nobody knows, for a client that asked to be told."""
    version = api_version.rpartition("/")[2]
    problems = ", ".join(f'unknown field "{path}"' for path in unknown)
    return bad_request(
        f'{kind} in version "{version}" cannot be handled as a {kind}: strict decoding error: {problems}'
    )


def _message(message: Message, value: Any, path: str, unknown: list[str]) -> Json:
    if not isinstance(value, dict):
        raise _mismatch(value, message.name, path, message.name)
    fields = message.by_name()
    found: Json = {}
    for name, member in value.items():
        where = f"{path}.{name}" if path else name
        field = fields.get(name)
        if field is None:
            unknown.append(where)
        elif member is not None or field.scalar in {"any", "time", "microtime"}:
            found[name] = _shaped(field, member, where, message.name, unknown)
    return found


def _shaped(field: Field, value: Any, path: str, owner: str, unknown: list[str]) -> Any:
    if value is None:
        return None
    match field.shape:
        case Shape.ONE:
            return _single(field, value, path, owner, unknown)
        case Shape.LIST:
            members = _list(value, path, owner, field)
            return [
                _single(field, member, f"{path}[{index}]", owner, unknown)
                for index, member in enumerate(members)
            ]
        case Shape.LIST_OF_LISTS:
            return [
                [_single(field, inner, path, owner, unknown) for inner in _list(member, path, owner, field)]
                for member in _list(value, path, owner, field)
            ]
    if not isinstance(value, dict):
        raise _mismatch(value, f"map[string]{field.scalar or field.name}", path, owner)
    if field.shape is Shape.MAP_OF_LISTS:
        return {
            key: [_single(field, inner, path, owner, unknown) for inner in _list(member, path, owner, field)]
            for key, member in value.items()
        }
    # A map's null is its type's zero value; strings are the only ones met with it.
    return {
        key: "" if member is None else _single(field, member, f"{path}.{key}", owner, unknown)
        for key, member in value.items()
    }


def _list(value: Any, path: str, owner: str, field: Field) -> list[Any]:
    if not isinstance(value, list):
        raise _mismatch(value, f"[]{field.scalar or (field.message or ('', ''))[1]}", path, owner)
    return value


def _single(field: Field, value: Any, path: str, owner: str, unknown: list[str]) -> Any:
    message = field.type
    if message is not None:
        return _message(message, value, path, unknown)
    if field.scalar == "any":
        return value
    if not _FITS.get(field.scalar, _is_text)(value):
        raise _mismatch(value, _GO_TYPES.get(field.scalar, field.scalar), path, owner)
    if field.scalar == "quantity":
        return _quantity(value)
    if field.scalar in {"time", "microtime"}:
        return _moment(value, is_micro=field.scalar == "microtime")
    if isinstance(value, float) and field.scalar in {"int32", "int64"}:
        return int(value)
    if field.scalar == "bytes":
        _check_base64(value)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(bits: int) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        return _is_number(value) and value == value // 1 and -(2**bits) <= value < 2**bits

    return check


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.match(value) is not None


_FITS: dict[str, Callable[[Any], bool]] = {
    "bool": lambda value: isinstance(value, bool),
    "double": _is_number,
    "int32": _is_whole(31),
    "int64": _is_whole(63),
    "intstr": lambda value: _is_text(value) or _is_number(value),
    "microtime": _is_time,
    "quantity": lambda value: _is_text(value) or _is_number(value),
    "time": _is_time,
}


def _quantity(value: Any) -> str:
    text = str(value)
    try:
        quantity(text)
    except ValueError:
        raise _WrongTypeError(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        ) from None
    return text


def _moment(value: str, *, is_micro: bool) -> str:
    """Return a time the way the server writes it, whatever zone the client wrote it in."""
    try:
        moment = parsed(value).astimezone(dt.UTC)
    except ValueError:
        raise _WrongTypeError(f'parsing time "{value}": day out of range') from None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if is_micro else stamp(moment)


def _check_base64(value: str) -> None:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise _WrongTypeError("illegal base64 data at input byte 0") from None


def _mismatch(value: Any, wanted: str, path: str, owner: str) -> _WrongTypeError:
    kinds: dict[type, str] = {bool: "bool", int: "number", float: "number", str: "string", list: "array"}
    place = re.sub(r"\[\d+\]", "", path)
    return _WrongTypeError(
        f"json: cannot unmarshal {kinds.get(type(value), 'object')} into Go struct field "
        f"{owner}.{place} of type {wanted}"
    )

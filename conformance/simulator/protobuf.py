"""The binary encoding of Kubernetes objects, as far as a server must read it.

kubectl sends it on creation, and does not fall back to JSON where it is refused.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

from conformance.simulator import schemas
from conformance.simulator.objects import Json
from conformance.simulator.schemas import Field, Message, Shape

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BITS = 70
_MAX_DEPTH = 64
# An empty value of these was set on purpose; the encoding writes out every other empty one as well.
_KEPT_WHEN_EMPTY = {
    "allowPrivilegeEscalation",
    "automountServiceAccountToken",
    "backoffLimit",
    "blockOwnerDeletion",
    "completions",
    "enableServiceLinks",
    "expirationSeconds",
    "gracePeriodSeconds",
    "hostUsers",
    "maxReplicas",
    "minReplicas",
    "orphanDependents",
    "parallelism",
    "privileged",
    "readOnlyRootFilesystem",
    "replicas",
    "revisionHistoryLimit",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "terminationGracePeriodSeconds",
    "tolerationSeconds",
    "ttlSecondsAfterFinished",
}


class ProtobufError(ValueError):
    """The bytes are no object in this encoding, or one of a kind the table of fields does not know."""


def decode(data: bytes) -> Json:
    """Return the object in an envelope of the encoding as JSON; raises ProtobufError."""
    if not data.startswith(_MAGIC):
        raise ProtobufError("the envelope's prefix is missing")
    identity, raw = {"apiVersion": "", "kind": ""}, b""
    for number, value in _fields(data[len(_MAGIC) :]):
        if number == 1:
            names = {1: "apiVersion", 2: "kind"}
            for inner, text in _fields(_expect_bytes(value)):
                if inner in names:
                    identity[names[inner]] = _text(_expect_bytes(text))
        elif number == 2:  # noqa: PLR2004 - the number of the field
            raw = _expect_bytes(value)
    message = schemas.of_object(identity["apiVersion"], identity["kind"])
    if message is None and identity["kind"] == "DeleteOptions":
        # Every group has these options under its own name.
        message = schemas.lookup(schemas.META, "DeleteOptions")
    if message is None:
        raise ProtobufError(f"no binary encoding of {identity['apiVersion']} {identity['kind']} is known")
    return {**identity, **_message(message, raw, 0)}


def _varint(data: bytes, place: int) -> tuple[int, int]:
    result = shift = 0
    while shift < _MAX_VARINT_BITS and place < len(data):
        byte = data[place]
        place += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that says more follows
            return result, place
        shift += 7
    raise ProtobufError("a number has no end")


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a message as their numbers and raw values."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        wire = tag & 7
        value: int | bytes
        if wire == _VARINT:
            value, place = _varint(data, place)
        elif wire in {_BYTES, _FIXED32, _FIXED64}:
            length = {_FIXED32: 4, _FIXED64: 8}.get(wire, 0)
            if wire == _BYTES:
                length, place = _varint(data, place)
            value = data[place : place + length]
            place += length
            if len(value) != length:
                raise ProtobufError("a field is cut off")
        else:
            raise ProtobufError(f"wire type {wire} is not used")
        yield tag >> 3, value


def _expect_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ProtobufError("a number stands where bytes should")
    return value


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ProtobufError("a text is not UTF-8") from None


def _message(message: Message, data: bytes, depth: int) -> Json:
    if depth > _MAX_DEPTH:
        raise ProtobufError("messages are nested too deeply")
    known = message.by_number()
    found: Json = {}
    for number, value in _fields(data):
        field = known.get(number)
        if field is None:
            continue
        inner = field.type
        if field.inline and inner is not None:
            found |= _message(inner, _expect_bytes(value), depth + 1)
        elif field.shape is Shape.LIST:
            found.setdefault(field.name, []).extend(_members(field, value, depth))
        elif field.shape in {Shape.MAP, Shape.MAP_OF_LISTS}:
            key, member = _entry(field, _expect_bytes(value), depth)
            found.setdefault(field.name, {})[key] = member
        else:
            single = _single(field, value, depth)
            if not _is_left_out(field, single):
                found[field.name] = single
    return found


def _is_left_out(field: Field, value: Any) -> bool:
    """Whether JSON would not show the value: the encoding cannot tell an empty one from none."""
    if value is None:
        return True
    return value in ("", 0, False) and not (field.required or field.name in _KEPT_WHEN_EMPTY)


def _members(field: Field, value: int | bytes, depth: int) -> list[Any]:
    """Return what one occurrence of a repeated field holds; numbers may come packed."""
    if field.scalar in {"int32", "int64", "bool"} and isinstance(value, bytes):
        members, place = [], 0
        while place < len(value):
            number, place = _varint(value, place)
            members.append(_single(field, number, depth))
        return members
    return [_single(field, value, depth)]


def _entry(field: Field, data: bytes, depth: int) -> tuple[str, Any]:
    parts = dict(_fields(data))
    key = _text(_expect_bytes(parts.get(1, b"")))
    if field.shape is Shape.MAP_OF_LISTS:
        items = _fields(_expect_bytes(parts.get(2, b"")))
        return key, [_single(field, item, depth) for _, item in items]
    default: int | bytes = 0 if field.scalar in {"int32", "int64", "bool"} else b""
    return key, _single(field, parts.get(2, default), depth)


def _single(field: Field, value: int | bytes, depth: int) -> Any:
    message = field.type
    if message is not None:
        return _message(message, _expect_bytes(value), depth + 1)
    if field.scalar in {"int32", "int64", "bool"}:
        return _number(field.scalar, value)
    reader = _READERS.get(field.scalar, _text)
    return reader(_expect_bytes(value))


def _number(scalar: str, value: int | bytes) -> int | bool:
    if isinstance(value, bytes):
        raise ProtobufError("bytes stand where a number should")
    if scalar == "bool":
        return bool(value)
    return value - 2**64 if value >= 2**63 else value


def _int_or_string(data: bytes) -> int | str:
    parts = dict(_fields(data))
    if parts.get(1, 0) == 0:
        return int(_number("int32", parts.get(2, 0)))
    return _text(_expect_bytes(parts.get(3, b"")))


def _quantity(data: bytes) -> str:
    return _text(_expect_bytes(dict(_fields(data)).get(1, b"0")))


def _double(data: bytes) -> float:
    if len(data) != struct.calcsize("<d"):
        raise ProtobufError("a number is cut off")
    return float(struct.unpack("<d", data)[0])


def _moment(form: str) -> Callable[[bytes], str | None]:
    def read(data: bytes) -> str | None:
        if not data:
            return None
        parts = dict(_fields(data))
        seconds, nanos = _number("int64", parts.get(1, 0)), _number("int32", parts.get(2, 0))
        try:
            moment = dt.datetime.fromtimestamp(seconds, dt.UTC) + dt.timedelta(microseconds=nanos // 1000)
        except (OverflowError, ValueError, OSError):
            raise ProtobufError("a time is out of range") from None
        return moment.strftime(form)

    return read


def _embedded(data: bytes) -> Any:
    raw = _expect_bytes(dict(_fields(data)).get(1, b""))
    try:
        return json.loads(raw) if raw else {}
    except ValueError:
        raise ProtobufError("an embedded document is no JSON") from None


_READERS: dict[str, Callable[[bytes], Any]] = {
    "any": _embedded,
    "bytes": lambda data: base64.b64encode(data).decode(),
    "double": _double,
    "intstr": _int_or_string,
    "microtime": _moment("%Y-%m-%dT%H:%M:%S.%fZ"),
    "quantity": _quantity,
    "time": _moment("%Y-%m-%dT%H:%M:%SZ"),
}

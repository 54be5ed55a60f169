"""The fields of the built-in kinds: one table behind decoding, merging and the OpenAPI documents."""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
from collections.abc import Iterator
from pathlib import Path

META = "meta/v1"
_TABLE = Path(__file__).with_name("fields.txt")
_SECTION = re.compile(r"^\[([^\]]+)\](?: = \[([^\]]+)\])?$")
_FIELD = re.compile(
    r"^(?P<name>[^=:]+)(?:=(?P<number>\d+))?:(?P<shape>(?:\[\]|\{\})*)(?P<type>[^!^~+(]+)"
    r"(?P<marks>[!^~+]*)(?:\((?P<keys>[^)]*)\))?(?P<required>!?)$"
)
SCALARS = {
    "any",
    "bool",
    "bytes",
    "double",
    "int32",
    "int64",
    "intstr",
    "microtime",
    "quantity",
    "string",
    "time",
}


class Shape(enum.Enum):
    """How often a field's type occurs: once, as a list, or as a map from strings."""

    ONE = ""
    LIST = "[]"
    MAP = "{}"
    MAP_OF_LISTS = "{}[]"
    LIST_OF_LISTS = "[][]"


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """A field of a message. `message` names its type where that is no scalar, as (section, name).

    `keys` tell the members of a list apart; a field that is `inline` has its own fields stand beside it.
    """

    name: str
    number: int
    shape: Shape
    scalar: str
    message: tuple[str, str] | None
    required: bool
    inline: bool
    wrapped: bool
    is_set: bool
    keys: tuple[str, ...]

    @property
    def type(self) -> Message | None:
        return lookup(*self.message) if self.message is not None else None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A message of a section, which is a group and version such as ``apps/v1``."""

    section: str
    name: str
    fields: tuple[Field, ...]

    def by_number(self) -> dict[int, Field]:
        return _by_number(self)

    def by_name(self) -> dict[str, Field]:
        """Return the fields as JSON has them, those of inlined messages among them."""
        return _by_name(self)


@functools.cache
def _tokens() -> dict[tuple[str, str], list[str]]:
    """Return the fields of every message as the table has them, by section and name."""
    found: dict[tuple[str, str], list[str]] = {}
    section, fields = "", list[str]()
    for line in _TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            fields += line.split()
        elif match := _SECTION.match(line):
            section = match[1]
            if match[2]:
                found |= {(section, name): own for (place, name), own in found.items() if place == match[2]}
        elif line and not line.startswith("#"):
            fields = found[section, line] = []
    return found


@functools.cache
def lookup(section: str, name: str) -> Message | None:
    """Return a message by section and name; each is read from the table when first needed."""
    tokens = _tokens().get((section, name))
    if tokens is None:
        return None
    return Message(section, name, tuple(_field(section, token) for token in tokens))


def everything() -> Iterator[Message]:
    """Yield every message of the table."""
    for section, name in _tokens():
        found = lookup(section, name)
        if found is not None:
            yield found


def _field(section: str, token: str) -> Field:
    match = _FIELD.match(token)
    if match is None:
        raise ValueError(f"{section}: {token!r} is no field")
    place, _, bare = match["type"].rpartition(":")
    is_scalar = not place and bare in SCALARS
    return Field(
        name=match["name"],
        number=int(match["number"] or 0),
        shape=Shape(match["shape"]),
        scalar=bare if is_scalar else "",
        message=None if is_scalar else (place or section, bare),
        required="!" in match["marks"] or bool(match["required"]),
        inline="^" in match["marks"],
        wrapped="~" in match["marks"],
        is_set="+" in match["marks"],
        keys=tuple(match["keys"].split(",")) if match["keys"] else (),
    )


@functools.cache
def _by_number(message: Message) -> dict[int, Field]:
    return {field.number: field for field in message.fields if field.number}


@functools.cache
def _by_name(message: Message) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for field in message.fields:
        inner = field.type if field.inline else None
        found |= inner.by_name() if inner is not None else {field.name: field}
    return found


def message(group: str, version: str, kind: str) -> Message | None:
    """Return the message of a built-in kind, or None where the table does not know it."""
    return lookup(f"{group or 'core'}/{version}", kind)


def of_object(api_version: str, kind: str) -> Message | None:
    """Return the message of an object by what it says it is."""
    group, _, version = api_version.rpartition("/")
    return message(group, version, kind)


def reachable(start: Message) -> Iterator[Message]:
    """Yield a message and everything its fields are made of, once each."""
    seen = {(start.section, start.name)}
    waiting = [start]
    while waiting:
        current = waiting.pop()
        yield current
        for field in current.by_name().values():
            inner = field.type
            if inner is not None and (inner.section, inner.name) not in seen:
                seen.add((inner.section, inner.name))
                waiting.append(inner)

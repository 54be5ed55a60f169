"""YAML of strangers, read into a tree that knows where everything stands.

PyYAML's parser delivers events (the C one where libyaml is there); the tree is built here, without
recursion and within bounds, so that no document can exhaust memory or the stack, construct an
object, or hide one value behind another. Every scalar keeps its source text: ``1.10`` stays
``1.10`` even where YAML sees a number.
"""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from yaml.error import MarkedYAMLError, YAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

try:
    from yaml._yaml import CParser as _Parser
except ImportError:  # PyYAML built without libyaml
    from yaml.parser import Parser as _EventParser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class _Parser(Reader, Scanner, _EventParser):  # type: ignore[no-redef]
        """PyYAML's own parser, offering what the C one does."""

        def __init__(self, text: str) -> None:
            Reader.__init__(self, text)
            Scanner.__init__(self)
            _EventParser.__init__(self)


MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 40
MAX_NODES: Final = 20_000
"""Nodes of the document with every alias counted as the whole tree it stands for."""
MAX_ALIASES: Final = 100
MAX_QUOTED: Final = 160
"""Characters of a vendor's text repeated in a message."""
MAX_CHARACTER_PROBLEMS: Final = 20


class Severity(enum.StrEnum):
    """An error makes a submission invalid; a warning is for the vendor and the reviewers to weigh."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a place. `path` addresses the field, `line` and `column` count from 1."""

    code: str
    severity: Severity
    message: str
    path: str = ""
    line: int | None = None
    column: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "severity": self.severity.value,
            "message": self.message,
            "path": self.path,
            "line": self.line,
            "column": self.column,
        }


class ScalarKind(enum.StrEnum):
    """What a YAML 1.1 loader would make of a scalar."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    NULL = "null"


@dataclass(slots=True)
class Scalar:
    text: str
    kind: ScalarKind
    line: int
    column: int

    @property
    def is_blank(self) -> bool:
        return self.kind is ScalarKind.NULL or not self.text.strip()


@dataclass(slots=True)
class Sequence:
    line: int
    column: int
    items: list[Node] = field(default_factory=list)
    closed: bool = False


@dataclass(slots=True)
class Mapping:
    """Keys in the order of the file; of duplicate keys the first counts.

    `closed` is False where the document broke off inside.
    """

    line: int
    column: int
    entries: dict[str, tuple[Scalar, Node]] = field(default_factory=dict)
    closed: bool = False

    def get(self, key: str) -> Node | None:
        entry = self.entries.get(key)
        return entry[1] if entry else None

    def items(self) -> Iterator[tuple[Scalar, Node]]:
        return iter(self.entries.values())


Node = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document as far as it could be read. `complete` is False where it broke off."""

    root: Node | None
    problems: tuple[Problem, ...]
    complete: bool


_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
"""Marks that turn or hide text on a terminal."""


def quoted(text: str, limit: int = MAX_QUOTED) -> str:
    """`text` on one line, in quotes, cut to `limit` characters."""
    flat = _INVISIBLE.sub("", " ".join(text.split()))
    if len(flat) > limit:
        flat = flat[: limit - 1] + "…"
    return f'"{flat}"'


def parse(data: bytes) -> Parsed:
    """Read `data` as one YAML document. Never raises: what is wrong becomes problems."""
    if len(data) > MAX_BYTES:
        message = (
            f"The file has {len(data)} bytes; at most {MAX_BYTES} (1 MiB) are read. "
            "Keep logs and test results in files of their own and name them in evidence."
        )
        return Parsed(None, (_error("document_too_large", message, 1, 1),), complete=False)
    problems: list[Problem] = []
    text = _without_unprintables(_decode(data, problems), problems)
    builder = _Builder(problems)
    complete = _feed(builder, text) or getattr(builder.root, "closed", False)
    if complete and (builder.root is None or _is_null(builder.root)):
        problems.append(_error("empty_document", "The file holds no YAML document.", 1, 1))
        builder.root = None
    return Parsed(builder.root, tuple(problems), complete)


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.kind is ScalarKind.NULL


def _error(code: str, message: str, line: int, column: int) -> Problem:
    return Problem(code, Severity.ERROR, message, "", line, column)


# Text ---------------------------------------------------------------------------------------------

_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")
_REPLACEMENT = "�"


def _decode(data: bytes, problems: list[Problem]) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            message = f"The file is saved as {encoding.upper()}; save it as UTF-8."
            problems.append(_error("not_utf8", message, 1, 1))
            return data.decode(encoding, "replace").removeprefix("\ufeff")
    if data.startswith(b"\xef\xbb\xbf"):
        message = "The file starts with a byte order mark; save it as UTF-8 without one."
        problems.append(Problem("byte_order_mark", Severity.WARNING, message, "", 1, 1))
        data = data[3:]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        message = f"Byte 0x{data[error.start]:02x} is not UTF-8 text; save the file as UTF-8."
        problems.append(_error("not_utf8", message, line, column))
        return data.decode("utf-8", "replace")


def _without_unprintables(text: str, problems: list[Problem]) -> str:
    """Replace what YAML does not allow, so that reading can go on behind it."""
    if not _UNPRINTABLE.search(text):
        return text
    for match in itertools.islice(_UNPRINTABLE.finditer(text), MAX_CHARACTER_PROBLEMS):
        start = match.start()
        message = f"The control character U+{ord(match[0]):04X} is not allowed here; delete it."
        line = text.count("\n", 0, start) + 1
        problems.append(_error("control_character", message, line, start - text.rfind("\n", 0, start)))
    return _UNPRINTABLE.sub(_REPLACEMENT, text)


# Events to nodes ----------------------------------------------------------------------------------


class _Refused(Exception):  # noqa: N818 - a bound was passed; building stops
    pass


def _feed(builder: _Builder, text: str) -> bool:
    """Pass the events of `text` to the builder; False where the document could not be read to its end."""
    try:
        parser = _Parser(text)
        while parser.check_event():
            builder.take(parser.get_event())
    except _Refused:
        return False
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = _within(text, mark.line + 1, mark.column + 1) if mark else (1, 1)
        character = text[mark.index : mark.index + 1] if mark else ""
        builder.problems.append(_error("yaml_syntax", _plain_words(error, character), line, column))
        return False
    except (YAMLError, ValueError, OverflowError) as error:
        # ValueError and OverflowError: the pure parser turns escapes such as "\UFFFFFFFF" to characters.
        message = f"The file is not valid YAML: {quoted(str(error))}."
        builder.problems.append(_error("yaml_syntax", message, 1, 1))
        return False
    return True


def _within(text: str, line: int, column: int) -> tuple[int, int]:
    """The position, or the end of the text where the parser points behind it."""
    lines = text.splitlines() or [""]
    return (line, column) if line <= len(lines) else (len(lines), len(lines[-1]) + 1)


_HINTS = (
    ("could not find expected ':'", "a key without its colon; long text over several lines needs quotes"),
    ("mapping values are not allowed", "a second colon on the line; put the text in quotes"),
    (
        "did not find expected key",
        "the indentation does not fit, or a quote inside quoted text is not doubled",
    ),
    ("did not find expected '-'", "an entry of the list is indented differently from the others"),
    ("expected <block end>", "the indentation does not fit, or quoted text holds a bare quote"),
    ("found unexpected end of stream", "quoted text is not closed"),
    ("did not find expected node content", "a value is missing, or a bracket is not closed"),
    ("undefined alias", "an alias (*name) without its anchor; text that starts with * needs quotes"),
    ("found undefined tag handle", "text that starts with ! needs quotes"),
    ("cannot start any token", "text that starts with this character needs quotes"),
    ("did not find expected ',' or", "a list or mapping in brackets is not closed, or text needs quotes"),
)


def _plain_words(error: MarkedYAMLError, character: str) -> str:
    problem = error.problem or "it cannot be read here"
    if character == "\t":
        return (
            "The file is not valid YAML here: a tab stands where YAML wants spaces; indent with spaces only."
        )
    for sign, hint in _HINTS:
        if sign in problem or sign in (error.context or ""):
            return f"The file is not valid YAML here: {hint} (the parser says: {problem})."
    return f"The file is not valid YAML here: {problem}."


_TAGS = {
    "tag:yaml.org,2002:str": ScalarKind.TEXT,
    "tag:yaml.org,2002:int": ScalarKind.NUMBER,
    "tag:yaml.org,2002:float": ScalarKind.NUMBER,
    "tag:yaml.org,2002:bool": ScalarKind.BOOLEAN,
    "tag:yaml.org,2002:timestamp": ScalarKind.DATE,
    "tag:yaml.org,2002:null": ScalarKind.NULL,
    "!": ScalarKind.TEXT,
}
_COLLECTION_TAGS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "!"}


@dataclass(slots=True)
class _Frame:
    """A collection being filled. `key` waits for its value; `weight` counts nodes with aliases expanded."""

    node: Sequence | Mapping
    anchor: str | None
    weight: int = 1
    key: Scalar | None = None
    skip_value: bool = False


class _Builder:
    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        self.root: Node | None = None
        self._documents = 0
        self._aliases = 0
        self._stack: list[_Frame] = []
        self._weight = 0
        self._anchors: dict[str, tuple[Node, int] | None] = {}  # None while the anchored node is open

    def take(self, event: Any) -> None:
        if isinstance(event, ScalarEvent):
            self._count(event)
            node = self._scalar(event)
            if event.anchor:
                self._anchors[event.anchor] = (node, 1)
            self._place(node, 1, event)
        elif isinstance(event, MappingStartEvent | SequenceStartEvent):
            self._open(event)
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            self._close()
        elif isinstance(event, AliasEvent):
            self._alias(event)
        elif isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse(
                    "several_documents",
                    "A second document starts here (---); a submission is one document. Delete this line, "
                    "or keep the products in files of their own.",
                    event,
                )

    def _refuse(self, code: str, message: str, event: Any) -> NoReturn:
        self._report(code, message, event)
        raise _Refused

    def _report(self, code: str, message: str, event: Any) -> None:
        mark = event.start_mark
        self.problems.append(_error(code, message, mark.line + 1, mark.column + 1))

    def _count(self, event: Any, weight: int = 1) -> None:
        self._weight += weight
        if self._weight > MAX_NODES:
            self._refuse(
                "too_many_nodes",
                f"The document has more than {MAX_NODES} values (aliases count as what they stand for); "
                "reading stops here.",
                event,
            )

    def _scalar(self, event: Any) -> Scalar:
        mark = event.start_mark
        line, column = mark.line + 1, mark.column + 1
        text = event.value
        if _UNPRINTABLE.search(text):
            self._report(
                "control_character", "The text holds an escaped control character; delete it.", event
            )
            text = _UNPRINTABLE.sub(_REPLACEMENT, text)
        if event.tag:
            kind = _TAGS.get(event.tag)
            if kind is None:
                self._custom_tag(event)
                kind = ScalarKind.TEXT
        elif event.implicit[0]:
            kind = _kind_of_plain(text)
        else:
            kind = ScalarKind.TEXT
        return Scalar(text, kind, line, column)

    def _custom_tag(self, event: Any) -> None:
        message = (
            f"The tag {quoted(event.tag, 60)} is not allowed; delete it, "
            "or put text that starts with ! in quotes."
        )
        self._report("custom_tag", message, event)

    def _open(self, event: Any) -> None:
        self._count(event)
        if len(self._stack) >= MAX_DEPTH:
            self._refuse("too_deep", f"The document is nested deeper than {MAX_DEPTH} levels.", event)
        if event.tag and event.tag not in _COLLECTION_TAGS:
            self._custom_tag(event)
        mark = event.start_mark
        kind = Mapping if isinstance(event, MappingStartEvent) else Sequence
        node = kind(mark.line + 1, mark.column + 1)
        if event.anchor:
            self._anchors[event.anchor] = None
        self._place(node, 0, event)
        self._stack.append(_Frame(node, event.anchor))

    def _close(self) -> None:
        frame = self._stack.pop()
        frame.node.closed = True
        if frame.anchor:
            self._anchors[frame.anchor] = (frame.node, frame.weight)
        if self._stack:
            self._stack[-1].weight += frame.weight

    def _alias(self, event: Any) -> None:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            self._refuse("too_many_aliases", f"More than {MAX_ALIASES} aliases; write the values out.", event)
        name = event.anchor or ""
        if name not in self._anchors:
            message = f"The alias *{name} has no anchor; text that starts with * needs quotes."
            self._refuse("yaml_syntax", message, event)
        target = self._anchors[name]
        if target is None:
            self._refuse("recursive_alias", f"The alias *{name} stands for what it is part of.", event)
        if not target:
            message = f"The alias *{event.anchor} has no anchor; text that starts with * needs quotes."
            self._refuse("yaml_syntax", message, event)
        else:
            node, weight = target
            self._count(event, weight)
            self._place(node, weight, event)

    def _place(self, node: Node, weight: int, event: Any) -> None:
        """Put a node where the open collection wants it; a collection's weight follows when it closes."""
        if not self._stack:
            if self._documents == 1:
                self.root = node
            return
        frame = self._stack[-1]
        frame.weight += weight
        collection = frame.node
        if isinstance(collection, Sequence):
            collection.items.append(node)
        elif frame.key is None and not frame.skip_value:
            self._take_key(frame, collection, node, event)
        else:
            if frame.key is not None:
                collection.entries[frame.key.text] = (frame.key, node)
            frame.key, frame.skip_value = None, False

    def _take_key(self, frame: _Frame, collection: Mapping, node: Node, event: Any) -> None:
        frame.skip_value = True
        if not isinstance(node, Scalar):
            message = (
                "A list or mapping stands where the name of a field belongs; "
                "text that starts with [ or { needs quotes."
            )
            self._report("unsupported_key", message, event)
        elif node.text == "<<" and node.kind is ScalarKind.TEXT:
            self._report("merge_key", "Merge keys (<<) are not supported; write the fields out.", event)
        elif node.text in collection.entries:
            first = collection.entries[node.text][0]
            message = (
                f"The field {quoted(node.text, 60)} stands here a second time (first at line {first.line}, "
                f"column {first.column}); keep one of them."
            )
            self._report("duplicate_key", message, event)
        else:
            # The position is the key's own where it came by an alias.
            mark = event.start_mark
            frame.key = Scalar(node.text, node.kind, mark.line + 1, mark.column + 1)
            frame.skip_value = False


# What a YAML 1.1 loader would take for something else than text -----------------------------------

_SPECIAL_START = frozenset("-+.0123456789~nNyYtToOfF")
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOLEAN = re.compile(
    r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF",
)
_NUMBER = re.compile(
    r"""[-+]?0b[01_]+ | [-+]?0x[0-9a-fA-F_]+ | [-+]?0o[0-7_]+
      | [-+]?[0-9][0-9_]*(?::[0-5]?[0-9])*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?
      | [-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
      | [-+]?\.(?:inf|Inf|INF) | \.(?:nan|NaN|NAN)""",
    re.VERBOSE,
)
_DATE = re.compile(
    r"""[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}
        (?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?
        (?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::?[0-9]{2})?))?)?""",
    re.VERBOSE,
)
_LONGEST_SPECIAL: Final = 64


_KINDS: Final = (
    (_NULL, ScalarKind.NULL),
    (_BOOLEAN, ScalarKind.BOOLEAN),
    (_DATE, ScalarKind.DATE),
    (_NUMBER, ScalarKind.NUMBER),
)


def _kind_of_plain(text: str) -> ScalarKind:
    if not text:
        return ScalarKind.NULL
    if text[0] in _SPECIAL_START and len(text) <= _LONGEST_SPECIAL:
        for pattern, kind in _KINDS:
            if pattern.fullmatch(text):
                return kind
    return ScalarKind.TEXT

"""Test output as evidence: JUnit XML, ``go test -json`` and the log of a verbose run.

A file is recognised by its content, never by its name. Nothing in here believes a summary: verdicts
are counted, compared with what the summary says, and a run in which nothing was executed stays a run
in which nothing was executed.
"""

from __future__ import annotations

import re
from typing import Final

from conformance.artefacts import go_json, junit, logs
from conformance.artefacts.results import (
    MAX_BYTES,
    MAX_TESTS,
    Flaw,
    FlawCode,
    Format,
    Results,
    TestResult,
    Verdict,
)

__all__ = [
    "MAX_BYTES",
    "MAX_TESTS",
    "Flaw",
    "FlawCode",
    "Format",
    "Results",
    "TestResult",
    "Verdict",
    "read",
    "recognise",
]

_HEAD: Final = 64 * 1024
_HEAD_LINES: Final = 50
_ENCODINGS: Final = (
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)


def read(data: bytes) -> Results | None:
    """Read test output of any of the formats; None where `data` is none. Never raises."""
    if len(data) > MAX_BYTES:
        flaw = Flaw(FlawCode.TOO_LARGE, f"it has {len(data)} bytes; at most {MAX_BYTES} are read")
        return Results(Format.LOG, (), (flaw,), 0, 0)
    text = _text(data)
    kind = _format(text)
    if kind is Format.JUNIT:
        return junit.read(data)
    if kind is Format.GO_JSON:
        return go_json.read(text)
    return logs.read(text) if kind is Format.LOG else None


def recognise(data: bytes) -> Format | None:
    """The format of `data` by its content."""
    return _format(_text(data))


def _format(text: str) -> Format | None:
    head = text[:_HEAD].lstrip()
    if head.startswith("<"):
        return Format.JUNIT if junit.START.match(head) and re.search(r"<testsuites?[\s>/]", text) else None
    if any(go_json.event(line) for line in head.splitlines()[:_HEAD_LINES]):
        return Format.GO_JSON
    return Format.LOG if logs.looks_like_one(text) else None


def _text(data: bytes) -> str:
    for mark, encoding in _ENCODINGS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    return data.decode("utf-8", "replace")

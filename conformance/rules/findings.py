"""Collecting problems: the severity comes from the table of codes, the position from a node."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from conformance.catalogue import Checklist
from conformance.rules.codes import RULES
from conformance.rules.files import EvidenceReader
from conformance.yaml_reader import Node, Parsed, Problem, Scalar, ScalarKind, Sequence, quoted

MAX_PROBLEMS: Final = 1_000


@dataclass(slots=True)
class Findings:
    problems: list[Problem] = field(default_factory=list)

    def add(self, code: str, message: str, path: str, at: Node | None) -> None:
        line, column = (at.line, at.column) if at is not None else (1, 1)
        self.problems.append(Problem(code, RULES[code].severity, message, path, line, column))

    def in_order(self) -> tuple[Problem, ...]:
        """By position; what stands at one place in the order it was found."""
        ordered = sorted(self.problems, key=lambda problem: (problem.line or 0, problem.column or 0))
        if len(ordered) > MAX_PROBLEMS:
            hidden = len(ordered) - MAX_PROBLEMS
            last = ordered[MAX_PROBLEMS - 1]
            message = f"{hidden} more problems are not listed; mend these first."
            severity = RULES["too_many_problems"].severity
            more = Problem("too_many_problems", severity, message, "", last.line, last.column)
            ordered = [*ordered[:MAX_PROBLEMS], more]
        return tuple(ordered)


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged, and by what. Without a checklist only what holds for every version is judged."""

    parsed: Parsed
    checklists: Mapping[str, Checklist]
    checklist: Checklist | None
    findings: Findings
    evidence: EvidenceReader


_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]+")


def squeezed(text: str) -> str:
    """`text` without case and punctuation, so that spellings of one name compare equal."""
    return _NOT_ALPHANUMERIC.sub("", text.lower())


def meant(text: str, known: Iterable[str]) -> str:
    """The known name `text` probably stands for, or ""."""
    names = list(known)
    wanted = squeezed(text)
    for name in names:
        if squeezed(name) == wanted:
            return name
    close = difflib.get_close_matches(wanted[:100], [squeezed(name) for name in names], n=1, cutoff=0.8)
    return next((name for name in names if close and squeezed(name) == close[0]), "")


def suggestion(text: str, known: Iterable[str]) -> str:
    """A sentence such as ``Did you mean websiteUrl?`` with a space before it, or ""."""
    name = meant(text, known)
    return f" Did you mean {name}?" if name else ""


_KINDS = {
    ScalarKind.NUMBER: "a number",
    ScalarKind.BOOLEAN: "true or false to YAML",
    ScalarKind.DATE: "a date to YAML",
}


def kind_words(node: Node) -> str:
    """What `node` is where text belongs, for a message."""
    if isinstance(node, Scalar):
        return f"{_KINDS.get(node.kind, 'text')} ({node.text[:40]})"
    return "a list" if isinstance(node, Sequence) else "a mapping"


def not_text(node: Node, name: str) -> str | None:
    """Why `node` is not the text field `name` wants; None where it is text or blank."""
    if isinstance(node, Scalar):
        if node.kind in {ScalarKind.TEXT, ScalarKind.NULL}:
            return None
        return (
            f'{name} is {kind_words(node)}, and text is wanted; put it in quotes: {name}: "{node.text[:60]}".'
        )
    return f"{name} is {kind_words(node)}, and text is wanted; write it on one line in quotes."


__all__ = [
    "MAX_PROBLEMS",
    "Case",
    "Findings",
    "kind_words",
    "meant",
    "not_text",
    "quoted",
    "squeezed",
    "suggestion",
]

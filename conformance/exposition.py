"""Reading metrics in the text format of Prometheus and OpenMetrics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LINE = re.compile(
    r"""(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
    \s*(?:\{(?P<labels>(?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?
    \s+(?P<value>[-+]?(?:[0-9][0-9.]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+|Inf|NaN|inf|nan))
    (?:\s.*)?""",
    re.VERBOSE,
)
_LABEL = re.compile(r'\s*,?\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"')
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
_ESCAPE = re.compile(r"\\[\\\"n]")
_MAX_LINE = 16 * 1024
_MAX_SAMPLES = 200_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series."""

    name: str
    labels: Mapping[str, str]
    value: float


def parse(text: str) -> list[Sample]:
    """Return the samples in a text; comments, and lines that are none, are passed over."""
    found: list[Sample] = []
    for line in text.splitlines():
        if not line or line.startswith("#") or len(line) > _MAX_LINE:
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            continue
        try:
            value = float(match["value"])
        except ValueError:
            continue
        labels = {name: _plain(raw) for name, raw in _LABEL.findall(match["labels"] or "")}
        found.append(Sample(match["name"], labels, value))
        if len(found) >= _MAX_SAMPLES:
            break
    return found


def _plain(raw: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPES[match[0]], raw)

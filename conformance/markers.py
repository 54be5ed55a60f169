"""Reading what a probe printed: marker lines only, never free text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

PREFIX = "::probe "
END = f"{PREFIX}end"
_MAX_MARKERS = 10_000
_MAX_LINE = 4096


@dataclass(frozen=True, slots=True)
class Marker:
    """One line: ``::probe <word> key=value …``."""

    word: str
    values: dict[str, str]

    def get(self, key: str) -> str:
        """Return a value, or nothing where the marker lacks it."""
        return self.values.get(key, "")


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a probe said, in order."""

    markers: tuple[Marker, ...]

    @property
    def has_begun(self) -> bool:
        """The program ran."""
        return bool(self.markers) and self.markers[0].word == "begin"

    @property
    def is_complete(self) -> bool:
        """The program said all it had to say."""
        return self.has_begun and self.markers[-1].word == "end"

    def all(self, word: str) -> list[Marker]:
        """Return the markers of one kind."""
        return [marker for marker in self.markers if marker.word == word]


def parse(lines: Iterable[str]) -> Report:
    """Read the markers out of log lines; everything else, and whatever is malformed, is ignored."""
    markers: list[Marker] = []
    for line in lines:
        if not line.startswith(PREFIX) or len(line) > _MAX_LINE or len(markers) >= _MAX_MARKERS:
            continue
        word, *pairs = line[len(PREFIX) :].split() or [""]
        values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        markers.append(Marker(word, {key: unquote(value) for key, value in values.items()}))
    return Report(tuple(markers))

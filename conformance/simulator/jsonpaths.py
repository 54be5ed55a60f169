"""The simple form of JSONPath that definitions use for their columns, such as ``.items[0].name``."""

from __future__ import annotations

import re
from typing import Any

_STEP = re.compile(
    r"""\.(?P<name>(?:[^.\[\\]|\\.)+)
      | \[(?P<index>-?\d+)\]
      | \[['"](?P<quoted>[^'"]+)['"]\]
      | \[\?\(@\.(?P<field>[\w.\-]+)\s*==\s*["'](?P<wanted>[^"']*)["']\)\]
      | \[(?P<all>\*)\]""",
    re.VERBOSE,
)


def found(path: str, value: Any) -> list[Any]:
    """Return everything `path` leads to in `value`; what does not parse leads nowhere."""
    path = path if path.startswith((".", "[")) else f".{path}"
    values, place = [value], 0
    while place < len(path):
        match = _STEP.match(path, place)
        if match is None:
            return []
        values = [inner for outer in values for inner in _step(match, outer)]
        place = match.end()
    return values


def _step(match: re.Match[str], value: Any) -> list[Any]:
    name = match["quoted"] or (match["name"] or "").replace("\\", "")
    if name:
        return [value[name]] if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return []
    if match["all"]:
        return value
    if match["index"] is not None:
        index = int(match["index"])
        return [value[index]] if -len(value) <= index < len(value) else []
    wanted = match["wanted"]
    return [member for member in value if any(str(hit) == wanted for hit in found(match["field"], member))]

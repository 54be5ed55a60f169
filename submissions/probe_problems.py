"""Where the problems of a settings document stand."""

from __future__ import annotations

import re

from conformance import yaml_reader
from conformance.yaml_reader import Mapping, Node, Sequence

_STEP = re.compile(r"[^.\[\]]+")


def place_of(text: str, path: str) -> str:
    """The beginning of a sentence about `path` in `text`: ``Line 3, gang.backend: ``; "" without a path.

    A field that is missing is placed at the nearest mapping that is there.
    """
    if not path or path.startswith("line "):
        return f"{path.capitalize()}: " if path else ""
    node: Node | None = yaml_reader.parse(text.encode()).root
    line = None
    for step in _STEP.findall(path):
        if isinstance(node, Mapping) and step in node.entries:
            key, node = node.entries[step]
            line = key.line
        elif isinstance(node, Sequence) and step.isdigit() and int(step) < len(node.items):
            node = node.items[int(step)]
            line = node.line
        else:
            break
    return f"Line {line}, {path}: " if line else f"{path}: "

"""Plain values (dict, list, str, int, float, bool, None) out of the tree of a stranger's YAML."""

from __future__ import annotations

from typing import Any

from conformance.yaml_reader import Mapping, Node, Scalar, ScalarKind, Sequence

_TRUE = frozenset({"yes", "true", "on"})
_LONGEST_NUMBER = 40


def plain(node: Node | None) -> Any:
    """Return the value a tree stands for. Its depth is bounded by the reader, so recursion is too."""
    if node is None:
        return None
    if isinstance(node, Mapping):
        return {key: plain(value) for key, (_, value) in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return _scalar(node)


def _scalar(scalar: Scalar) -> Any:
    if scalar.kind is ScalarKind.NULL:
        return None
    if scalar.kind is ScalarKind.BOOLEAN:
        return scalar.text.lower() in _TRUE
    if scalar.kind is ScalarKind.NUMBER and len(scalar.text) <= _LONGEST_NUMBER:
        for convert in (int, float):
            try:
                return convert(scalar.text)
            except ValueError:
                continue
    return scalar.text


def has_shared_nodes(root: Node | None) -> bool:
    """Tell whether a collection or value stands in the tree twice, which only an alias can do."""
    seen: set[int] = set()
    waiting: list[Node] = [root] if root is not None else []
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            return True
        seen.add(id(node))
        if isinstance(node, Mapping):
            waiting.extend(value for _, value in node.entries.values())
        elif isinstance(node, Sequence):
            waiting.extend(node.items)
    return False

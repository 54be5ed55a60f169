"""Label and field selectors, and node selectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from conformance.simulator.errors import bad_request
from conformance.simulator.objects import Json, dig

Matcher = Callable[[Json], bool]

_REQUIREMENT = re.compile(
    r"""\s*(?:
        (?P<absent>!)\s*(?P<absent_key>[^\s,=!()]+)
      | (?P<key>[^\s,=!()<>]+)\s*
        (?: (?P<operator>==|=|!=|>|<)\s*(?P<value>[^\s,]*)
          | \s(?P<set>in|notin)\s*\((?P<values>[^)]*)\)
          | (?P<exists>) )
    )\s*(?:,|$)""",
    re.VERBOSE,
)


def _requirement_matches(labels: Mapping[str, str], key: str, operator: str, values: list[str]) -> bool:
    present = key in labels
    value = labels.get(key, "")
    if operator in {"Exists", "DoesNotExist"}:
        return present is (operator == "Exists")
    if operator in {"In", "NotIn"}:
        return (present and value in values) is (operator == "In")
    try:
        left, right = int(value), int(values[0])
    except (ValueError, IndexError):
        return False
    return left > right if operator == "Gt" else operator == "Lt" and left < right


def label_matcher(selector: str) -> Callable[[Mapping[str, str]], bool]:
    """Return a matcher for the string form, such as ``app=web,tier in (a,b),!old``."""
    requirements: list[tuple[str, str, list[str]]] = []
    position = 0
    while position < len(selector):
        match = _REQUIREMENT.match(selector, position)
        if match is None or match.end() == position:
            raise bad_request(f"unable to parse requirement: found '{selector[position:]}'")
        position = match.end()
        if match["absent"]:
            requirements.append((match["absent_key"], "DoesNotExist", []))
        elif match["operator"]:
            names = {"=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt"}
            requirements.append((match["key"], names[match["operator"]], [match["value"]]))
        elif match["set"]:
            values = [value.strip() for value in match["values"].split(",")]
            requirements.append((match["key"], "In" if match["set"] == "in" else "NotIn", values))
        else:
            requirements.append((match["key"], "Exists", []))
    return lambda labels: all(_requirement_matches(labels, *requirement) for requirement in requirements)


def matches_label_selector(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """Match the object form (``matchLabels``, ``matchExpressions``); an empty one matches all."""
    if selector is None:
        return False
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    return all(
        _requirement_matches(labels, entry["key"], entry["operator"], entry.get("values") or [])
        for entry in selector.get("matchExpressions") or ()
    )


def field_matcher(selector: str) -> Matcher:
    """Return a matcher for a field selector; fields are looked up by their path."""
    terms: list[tuple[list[str], str, bool]] = []
    for term in filter(None, (part.strip() for part in selector.split(","))):
        match = re.match(r"^([A-Za-z0-9.]+)\s*(==|=|!=)\s*(.*)$", term)
        if match is None:
            raise bad_request(f"invalid selector: '{selector}'; can't understand '{term}'")
        terms.append((match[1].split("."), match[3], match[2] != "!="))

    def text(value: Any) -> str:
        if value is None:
            return ""
        return str(value).lower() if isinstance(value, bool) else str(value)

    return lambda obj: all((text(dig(obj, *path)) == value) is equal for path, value, equal in terms)


def matches_node_selector(selector: Json | None, node: Json) -> bool:
    """Match a NodeSelector: terms are alternatives, an absent selector matches."""
    if selector is None:
        return True
    return any(_node_term_matches(term, node) for term in selector.get("nodeSelectorTerms") or ())


def _node_term_matches(term: Json, node: Json) -> bool:
    expressions: Iterable[Json] = term.get("matchExpressions") or ()
    fields: Iterable[Json] = term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    labels = node["metadata"].get("labels") or {}
    named = {"metadata.name": node["metadata"]["name"]}
    return all(
        _requirement_matches(labels, entry["key"], entry["operator"], entry.get("values") or [])
        for entry in expressions
    ) and all(
        _requirement_matches(named, entry["key"], entry["operator"], entry.get("values") or [])
        for entry in fields
    )

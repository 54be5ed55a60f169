"""Metrics in Prometheus' text format, and the few queries the simulated Prometheus answers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+\d+)?$")
_LABEL = re.compile(r'([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*,?\s*')
_TYPE = re.compile(r"^# TYPE (\S+) (\w+)$")
_VECTOR = re.compile(r"^vector\(\s*([-+.\deE]+)\s*\)$")
_AGGREGATE = re.compile(r"^(sum|count|max|min|avg)\s*\((.*)\)$", re.DOTALL)
_SELECTOR = re.compile(r"^([a-zA-Z_:][\w:]*)?\s*(?:\{(.*)\})?$", re.DOTALL)
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


class QueryError(ValueError):
    """The query cannot be read."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One value of a series; its name stands among the labels as ``__name__``."""

    labels: Mapping[str, str]
    value: float


def parsed(text: str) -> Iterator[tuple[Sample, str]]:
    """Yield the samples of an exposition, each with the type of its family."""
    types: dict[str, str] = {}
    for line in text.splitlines():
        if known := _TYPE.match(line):
            types[known[1]] = known[2]
        elif found := _SAMPLE.match(line):
            name = found[1]
            family = next((base for base in (name, *_bases(name)) if base in types), name)
            labels = {label: _unescaped(value) for label, _, value in _LABEL.findall(found[2] or "")}
            yield Sample({"__name__": name, **labels}, float(found[3])), types.get(family, "untyped")


def _bases(name: str) -> Iterator[str]:
    for ending in ("_bucket", "_sum", "_count", "_total"):
        if name.endswith(ending):
            yield name.removesuffix(ending)


def _unescaped(text: str) -> str:
    return re.sub(r"\\.", lambda found: _ESCAPES.get(found[0], found[0]), text)


def evaluated(query: str, samples: Iterable[Sample]) -> list[Sample]:
    """Return the instant vector a query stands for; raises QueryError."""
    query = query.strip()
    if constant := _VECTOR.match(query):
        return [Sample({}, float(constant[1]))]
    if aggregate := _AGGREGATE.match(query):
        values = [sample.value for sample in evaluated(aggregate[2], samples)]
        if not values:
            return []
        results = {
            "sum": sum(values),
            "count": float(len(values)),
            "max": max(values),
            "min": min(values),
            "avg": sum(values) / len(values),
        }
        return [Sample({}, results[aggregate[1]])]
    selector = _SELECTOR.match(query)
    if selector is None or not query:
        raise QueryError(f'invalid parameter "query": parse error: unexpected {query!r}')
    wanted = list(_matchers(selector[2] or ""))
    if selector[1]:
        wanted.append(("__name__", "=", selector[1]))
    return [
        sample
        for sample in samples
        if all(_holds(sample.labels.get(name, ""), way, value) for name, way, value in wanted)
    ]


def _matchers(text: str) -> Iterator[tuple[str, str, str]]:
    position = 0
    text = text.strip()
    while position < len(text):
        found = _LABEL.match(text, position)
        if found is None:
            raise QueryError(f'invalid parameter "query": parse error: unexpected {text[position:]!r}')
        yield found[1], found[2], _unescaped(found[3])
        position = found.end()


def _holds(value: str, way: str, wanted: str) -> bool:
    if way in {"=", "!="}:
        return (value == wanted) is (way == "=")
    return (re.fullmatch(wanted, value) is not None) is (way == "=~")

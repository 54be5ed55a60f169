"""Lists as tables: the server picks the columns, so that clients can show kinds they do not know."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from conformance.simulator import jsonpaths
from conformance.simulator.kinds import ResourceType
from conformance.simulator.objects import Json, dig
from conformance.simulator.printers import AGE, COLUMNS, NAME, Column, age_of

_WANTED = re.compile(r"application/json;[^,]*as=Table[^,]*")
_API_VERSION = "meta.k8s.io/v1"


def is_wanted(accept: str) -> bool:
    """Whether a client asks for a table before anything else."""
    return _WANTED.match(accept.replace(" ", "")) is not None


def columns_of(kind: ResourceType, version: str) -> list[Column]:
    """Return the columns of a kind in one of its versions."""
    if not kind.custom:
        return COLUMNS.get(kind.key, [NAME, AGE])
    declared = kind.columns.get(version)
    return [NAME, *map(_declared, declared)] if declared else [NAME, AGE]


def _declared(column: Json) -> Column:
    """Return a column of a definition."""
    path, kind = str(column["jsonPath"]), str(column.get("type", "string"))

    def cell(obj: Json) -> Any:
        values = jsonpaths.found(path, obj)
        if not values:
            return None
        if kind == "date":
            return age_of(values[0])
        if kind == "string" and len(values) > 1:
            return ",".join(map(str, values))
        return values[0] if isinstance(values[0], str | int | float | bool) else str(values[0])

    return Column(
        str(column["name"]), cell, kind, int(column.get("priority", 0)), str(column.get("format", ""))
    )


class Tabulator:
    """Shows objects of one kind as tables. `include` says what of an object goes with its row."""

    def __init__(self, kind: ResourceType, version: str, include: str) -> None:
        self._columns = columns_of(kind, version)
        self._include = include
        self._is_begun = False

    def single(self, obj: Json) -> Json:
        version = dig(obj, "metadata", "resourceVersion", default="")
        return self._table([obj], {"resourceVersion": version})

    def listing(self, document: Json) -> Json:
        return self._table(document["items"], document["metadata"])

    def event(self, obj: Json) -> Json:
        """Return an object as an event of a watch has it: the head comes with the first one only."""
        table = self.single(obj)
        if self._is_begun:
            table["columnDefinitions"] = None
        self._is_begun = True
        return table

    def _table(self, objects: Iterable[Json], metadata: Json) -> Json:
        return {
            "kind": "Table",
            "apiVersion": _API_VERSION,
            "metadata": metadata,
            "columnDefinitions": [_definition(column) for column in self._columns],
            "rows": [
                {"cells": [column.cell(obj) for column in self._columns], "object": self._part(obj)}
                for obj in objects
            ],
        }

    def _part(self, obj: Json) -> Json | None:
        if self._include == "Object":
            return obj
        if self._include == "None":
            return None
        return {"kind": "PartialObjectMetadata", "apiVersion": _API_VERSION, "metadata": obj["metadata"]}


def _definition(column: Column) -> Json:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.name,
        "priority": column.priority,
    }

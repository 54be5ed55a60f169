"""The storage behind the simulated API server: objects, revisions and the log that watches read.

Objects handed out are the stored ones. They are never changed in place: a writer works on a copy
and hands that back, so readers need no copies of their own.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from conformance.simulator.clock import stamp
from conformance.simulator.objects import clone

Json = dict[str, Any]
Name = tuple[str, str]

LOG_LENGTH = 1024
ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One write. `before` is absent for an addition; for a deletion `obj` is the final state."""

    kind: str
    key: str
    revision: int
    obj: Json
    before: Json | None

    @property
    def namespace(self) -> str:
        return str(self.obj["metadata"].get("namespace", ""))

    @property
    def name(self) -> str:
        return str(self.obj["metadata"]["name"])


class ConflictError(Exception):
    """The object changed since the writer read it."""


class MissingError(LookupError):
    """The object is not there (any more)."""


class ExistsError(Exception):
    """An object of that name is there already."""


class Table:
    """The objects of one resource with the log of their latest changes."""

    def __init__(self, log_length: int) -> None:
        self.objects: dict[Name, Json] = {}
        self.log: collections.deque[Change] = collections.deque(maxlen=log_length)
        self.compacted = 0
        self.watchers: set[Callable[[Change], None]] = set()

    def record(self, change: Change) -> None:
        if len(self.log) == self.log.maxlen:
            self.compacted = self.log[0].revision
        self.log.append(change)


class Store:
    """All objects of a simulated cluster; memory is bounded by the objects alone."""

    def __init__(self, log_length: int = LOG_LENGTH) -> None:
        self._tables: dict[str, Table] = {}
        self._log_length = log_length
        self._revisions = itertools.count(1)
        self._listeners: list[Callable[[Change], None]] = []
        self._dependents: dict[str, set[tuple[str, str, str]]] = {}
        self._uids: dict[str, tuple[str, str, str]] = {}
        self.revision = next(self._revisions)
        self.uid = str(uuid.uuid4())

    def _table(self, key: str) -> Table:
        table = self._tables.get(key)
        if table is None:
            table = self._tables[key] = Table(self._log_length)
        return table

    def get(self, key: str, namespace: str, name: str) -> Json | None:
        return self._table(key).objects.get((namespace, name))

    def all(self, key: str, namespace: str = "") -> list[Json]:
        """Return the objects of a resource, of one namespace or of all, in order of their names."""
        objects = self._table(key).objects
        names = sorted(name for name in objects if not namespace or name[0] == namespace)
        return [objects[name] for name in names]

    def each(self, key: str) -> Iterable[Json]:
        """Return the objects of a resource in order of creation, without sorting."""
        return list(self._table(key).objects.values())

    def keys(self) -> list[str]:
        return list(self._tables)

    def by_uid(self, uid: str) -> Json | None:
        where = self._uids.get(uid)
        return self.get(*where) if where is not None else None

    def located(self, uid: str) -> tuple[str, str, str] | None:
        """Return key, namespace and name of the object with `uid`."""
        return self._uids.get(uid)

    def dependents(self, uid: str) -> list[tuple[str, str, str]]:
        """Return key, namespace and name of every object that names `uid` as an owner."""
        return sorted(self._dependents.get(uid, ()))

    def create(self, key: str, obj: Json) -> Json:
        """Store a new object; uid, resourceVersion and creationTimestamp are set here."""
        table = self._table(key)
        metadata = obj["metadata"]
        name = (str(metadata.get("namespace", "")), str(metadata["name"]))
        if name in table.objects:
            raise ExistsError(name[1])
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", stamp())
        self._write(ADDED, key, obj, None)
        return obj

    def update(self, key: str, obj: Json) -> Json:
        """Replace an object; its resourceVersion must be the stored one.

        A write that changes nothing leaves the revision alone, as etcd storage does.
        """
        metadata = obj["metadata"]
        name = (str(metadata.get("namespace", "")), str(metadata["name"]))
        before = self._table(key).objects.get(name)
        if before is None or before["metadata"]["uid"] != metadata.get("uid"):
            raise MissingError(name[1])
        if metadata.get("resourceVersion") != before["metadata"]["resourceVersion"]:
            raise ConflictError(name[1])
        if obj == before:
            return before
        if "deletionTimestamp" in metadata and not metadata.get("finalizers") and not _is_graceful(key, obj):
            return self.remove(key, obj)
        self._write(MODIFIED, key, obj, before)
        return obj

    def remove(self, key: str, obj: Json) -> Json:
        """Take an object out of the storage at once, whatever its finalizers say."""
        metadata = obj["metadata"]
        name = (str(metadata.get("namespace", "")), str(metadata["name"]))
        before = self._table(key).objects.get(name)
        if before is None or before["metadata"]["uid"] != metadata.get("uid"):
            raise MissingError(name[1])
        obj = clone(obj)
        self._write(DELETED, key, obj, before)
        return obj

    def _write(self, kind: str, key: str, obj: Json, before: Json | None) -> None:
        table = self._table(key)
        self.revision = next(self._revisions)
        metadata = obj["metadata"]
        metadata["resourceVersion"] = str(self.revision)
        name = (str(metadata.get("namespace", "")), str(metadata["name"]))
        where = (key, *name)
        self._index(where, before, None if kind == DELETED else obj)
        if kind == DELETED:
            del table.objects[name]
        else:
            table.objects[name] = obj
        change = Change(kind, key, self.revision, obj, before)
        table.record(change)
        for listener in (*table.watchers, *self._listeners):
            listener(change)

    def _index(self, where: tuple[str, str, str], before: Json | None, after: Json | None) -> None:
        for reference in (before or {}).get("metadata", {}).get("ownerReferences") or ():
            owned = self._dependents.get(reference["uid"])
            if owned is not None:
                owned.discard(where)
                if not owned:
                    del self._dependents[reference["uid"]]
        if after is None:
            if before is not None:
                self._uids.pop(before["metadata"]["uid"], None)
            return
        self._uids[after["metadata"]["uid"]] = where
        for reference in after["metadata"].get("ownerReferences") or ():
            self._dependents.setdefault(reference["uid"], set()).add(where)

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call `listener` at every write, from inside the write; it must not write itself."""
        self._listeners.append(listener)

    def watch(self, key: str, watcher: Callable[[Change], None]) -> Callable[[], None]:
        """Call `watcher` at every write to one resource, until the returned function is called."""
        watchers = self._table(key).watchers
        watchers.add(watcher)
        return lambda: watchers.discard(watcher)

    def since(self, key: str, revision: int) -> list[Change] | None:
        """Return the changes after `revision`, or None where the log no longer reaches back."""
        table = self._table(key)
        if revision < table.compacted:
            return None
        return [change for change in table.log if change.revision > revision]

    def compact(self) -> None:
        """Forget the log, so that every older resourceVersion is answered with 410."""
        for table in self._tables.values():
            table.log.clear()
            table.compacted = self.revision

    def drop(self, key: str) -> None:
        """Forget a resource altogether; its objects must be gone."""
        self._tables.pop(key, None)


def _is_graceful(key: str, obj: Json) -> bool:
    """A pod, or a namespace, outlives its finalizers until kubelet or controller is done with it."""
    if key == "pods":
        return bool(obj["metadata"].get("deletionGracePeriodSeconds"))
    return key == "namespaces" and bool(obj.get("spec", {}).get("finalizers"))

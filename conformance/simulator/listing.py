"""List and watch."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
from collections.abc import AsyncGenerator, Callable, Mapping

from conformance.simulator.errors import ApiError, bad_request, gone
from conformance.simulator.kinds import ResourceType
from conformance.simulator.objects import Json, labels_of
from conformance.simulator.requests import Target, is_true
from conformance.simulator.selectors import field_matcher, label_matcher
from conformance.simulator.store import ADDED, DELETED, MODIFIED, Change, Store

BOOKMARK_SECONDS = 60.0
HURRIED_BOOKMARKS = 10
MIN_WATCH_SECONDS = 1800
MAX_QUEUED_EVENTS = 10_000
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
GATEWAY_TIMEOUT = 504

Shape = Callable[[Json], Json]
Selected = Callable[[Json], bool]

_random = random.SystemRandom()


def selection(kind: ResourceType, where: Target, query: Mapping[str, str]) -> Selected:
    """Return whether an object is of the namespace and matches the selectors of a request."""
    labels = query.get("labelSelector")
    fields = query.get("fieldSelector")
    by_label = label_matcher(labels) if labels else None
    by_field = field_matcher(fields) if fields else None
    if fields:
        known = {"metadata.name", "metadata.namespace", *kind.field_labels}
        for term in filter(None, fields.split(",")):
            label = term.partition("=")[0].rstrip("!").strip()
            if label not in known:
                raise bad_request(f'field label not supported: "{label}"')

    def matches(obj: Json) -> bool:
        if where.namespace and obj["metadata"].get("namespace") != where.namespace:
            return False
        if where.name and obj["metadata"]["name"] != where.name:
            return False
        if by_label is not None and not by_label(labels_of(obj)):
            return False
        return by_field is None or by_field(obj)

    return matches


def _revision(store: Store, text: str) -> int:
    try:
        revision = int(text)
    except ValueError:
        why = f"strconv.ParseUint: parsing {json.dumps(text)}: invalid syntax"
        raise bad_request(f"resourceVersion: Invalid value: {json.dumps(text)}: {why}") from None
    if revision > store.revision:
        cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        message = f"Too large resource version: {revision}, current: {store.revision}"
        details = {"causes": [cause], "retryAfterSeconds": 1}
        raise ApiError(GATEWAY_TIMEOUT, "Timeout", f"Timeout: {message}", details)
    return revision


def listed(store: Store, kind: ResourceType, where: Target, query: Mapping[str, str], shape: Shape) -> Json:
    """Return a list document, in pages where the request sets a limit."""
    matches = selection(kind, where, query)
    limit = _limit(query.get("limit"))
    token = query.get("continue")
    revision, start = store.revision, ("", "")
    if token:
        revision, start = _position(store, kind, token)
    elif query.get("resourceVersion") not in {None, "", "0"}:
        wanted = _revision(store, query["resourceVersion"])
        if (
            query.get("resourceVersionMatch") == "Exact"
            and wanted != store.revision
            and (store.since(kind.key, wanted) != [])
        ):
            raise gone("The resourceVersion for the provided list is too old.")
    metadata: Json = {"resourceVersion": str(revision)}
    items: list[Json] = []
    remaining = 0
    for obj in store.all(kind.key, where.namespace if kind.namespaced else ""):
        place = (str(obj["metadata"].get("namespace", "")), str(obj["metadata"]["name"]))
        if place <= start and token:
            continue
        if not matches(obj):
            continue
        if limit and len(items) == limit:
            remaining += 1
            continue
        items.append(shape(obj))
    if remaining:
        last = items[-1]["metadata"]
        metadata["continue"] = _token(revision, str(last.get("namespace", "")), str(last["name"]))
        if not query.get("labelSelector") and not query.get("fieldSelector"):
            metadata["remainingItemCount"] = remaining
    return {
        "kind": kind.list_kind,
        "apiVersion": kind.api_version(where.version),
        "metadata": metadata,
        "items": items,
    }


def _limit(text: str | None) -> int:
    try:
        return max(int(text or 0), 0)
    except ValueError:
        raise bad_request(f"invalid limit {text!r}") from None


def _token(revision: int, namespace: str, name: str) -> str:
    body = json.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": [namespace, name]})
    return base64.urlsafe_b64encode(body.encode()).decode()


def _position(store: Store, kind: ResourceType, token: str) -> tuple[int, tuple[str, str]]:
    try:
        body = json.loads(base64.urlsafe_b64decode(token))
        revision, (namespace, name) = int(body["rv"]), body["start"]
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error
    if store.since(kind.key, revision) is None:
        raise gone("The provided continue parameter is too old to display a consistent list result.")
    return revision, (str(namespace), str(name))


def _event(kind: str, obj: Json) -> bytes:
    return json.dumps({"type": kind, "object": obj}, separators=(",", ":")).encode() + b"\n"


def _seen(change: Change, matches: Selected) -> tuple[str, Json] | None:
    """Return the event a watcher with a selection gets for a change."""
    now = change.kind != DELETED and matches(change.obj)
    before = change.before is not None and matches(change.before)
    if now:
        return (MODIFIED if before else ADDED), change.obj
    # An object that leaves the selection looks deleted, in its latest state.
    return (DELETED, change.obj) if before else None


def watched(
    store: Store,
    kind: ResourceType,
    where: Target,
    query: Mapping[str, str],
    shape: Shape,
    *,
    longest: float | None = None,
) -> AsyncGenerator[bytes, None]:
    """Return the lines of a watch; a request that makes no sense is refused at once.

    A server in a hurry ends it after `longest` seconds, and sends bookmarks often.
    """
    return _Watch(store, kind, where, query, shape=shape, longest=longest).lines()


class _Watch:
    """One watch: what it shows, from which revision, for how long."""

    def __init__(
        self,
        store: Store,
        kind: ResourceType,
        where: Target,
        query: Mapping[str, str],
        *,
        shape: Shape,
        longest: float | None = None,
    ) -> None:
        self._store = store
        self._kind = kind
        self._where = where
        self._shape = shape
        self._matches = selection(kind, where, query)
        self._seconds = _limit(query.get("timeoutSeconds"))
        self._longest = longest
        self._bookmark_seconds = BOOKMARK_SECONDS if longest is None else longest / HURRIED_BOOKMARKS
        self._bookmarks = is_true(query.get("allowWatchBookmarks"))
        self._announces_end = is_true(query.get("sendInitialEvents"))
        text = query.get("resourceVersion") or ""
        fresh = self._announces_end or text in {"", "0"}
        self._revision = None if fresh else _revision(store, text)
        self._queue: asyncio.Queue[Change] = asyncio.Queue()

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Yield one line an event until the time is up, the client leaves or falls behind."""
        unwatch = self._store.watch(self._kind.key, self._queue.put_nowait)
        try:
            if self._revision is None:
                for line in self._initial():
                    yield line
            else:
                missed = self._store.since(self._kind.key, self._revision)
                if missed is None:
                    message = f"too old resource version: {self._revision} ({self._store.revision})"
                    yield _event("ERROR", gone(message).status())
                    return
                for change in missed:
                    if (line_of := self._line(change)) is not None:
                        yield line_of
            followed = self._followed()
            async with contextlib.aclosing(followed):
                async for line in followed:
                    yield line
        finally:
            unwatch()

    def _initial(self) -> list[bytes]:
        self._revision = self._store.revision
        namespace = self._where.namespace if self._kind.namespaced else ""
        objects = [obj for obj in self._store.all(self._kind.key, namespace) if self._matches(obj)]
        lines = [_event(ADDED, self._shape(obj)) for obj in objects]
        if self._announces_end and self._bookmarks:
            lines.append(self._bookmark({INITIAL_EVENTS_END: "true"}))
        return lines

    def _line(self, change: Change) -> bytes | None:
        """Return what the client sees of a change, if anything."""
        if self._revision is not None and change.revision <= self._revision:
            return None
        self._revision = change.revision
        seen = _seen(change, self._matches)
        return _event(seen[0], self._shape(seen[1])) if seen is not None else None

    async def _followed(self) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        seconds: float = self._seconds or MIN_WATCH_SECONDS + _random.randrange(MIN_WATCH_SECONDS)
        if self._longest is not None:
            seconds = min(seconds, self._longest)
        ends = loop.time() + seconds
        while (left := ends - loop.time()) > 0 and self._queue.qsize() <= MAX_QUEUED_EVENTS:
            try:
                change = await asyncio.wait_for(self._queue.get(), min(left, self._bookmark_seconds))
            except TimeoutError:
                if self._bookmarks:
                    self._revision = self._store.revision
                    yield self._bookmark({})
                continue
            if (line := self._line(change)) is not None:
                yield line

    def _bookmark(self, annotations: Mapping[str, str]) -> bytes:
        metadata: Json = {"resourceVersion": str(self._revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = dict(annotations)
        version = self._kind.api_version(self._where.version)
        return _event("BOOKMARK", {"kind": self._kind.kind, "apiVersion": version, "metadata": metadata})

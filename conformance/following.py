"""Following a collection as it changes: list, watch, resume, list anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from conformance.cluster import errors
from conformance.cluster.patience import Patience

if TYPE_CHECKING:
    from conformance.cluster.connection import Connection, WatchEvent

Json = dict[str, Any]
State = Mapping[str, Json]
T = TypeVar("T")

_TRANSIENT_FAILURES = 3


class Follower:
    """Follows the collection at a path. `patience` gives the caller's budget and raises when it is over."""

    def __init__(
        self, connection: Connection, path: str, selector: str, patience: Callable[[], Patience]
    ) -> None:
        self._connection = connection
        self._path = path
        self._selector = selector or None
        self._patience = patience

    def until(self, judge: Callable[[State], T | None], ends: float) -> T | None:
        """Return what `judge` finds in the objects by name, or None once the monotonic clock is at `ends`."""
        while True:
            # The list is not bound by the wait: a server that stalls must not look like a platform that
            # does not do its work. A last list also closes every wait that ran out.
            over = time.monotonic() >= ends
            listing = self._connection.listing(
                self._path, label_selector=self._selector, patience=self._patience()
            )
            state = {item["metadata"]["name"]: item for item in listing.items}
            if (found := judge(state)) is not None or over:
                return found
            if (found := self._stream(state, listing.resource_version, judge, ends)) is not None:
                return found

    def _stream(
        self, state: dict[str, Json], version: str, judge: Callable[[State], T | None], ends: float
    ) -> T | None:
        """Watch on from `version`, resuming broken streams, until it is too old or the time is over."""
        failures = 0
        while time.monotonic() < ends:
            budget = self._patience()
            patience = Patience(min(ends, budget.deadline), budget.interrupted)
            started = time.monotonic()
            try:
                for event in self._connection.watch(
                    self._path, version, label_selector=self._selector, patience=patience
                ):
                    version = _apply(state, event) or version
                    if (found := judge(state)) is not None:
                        return found
            except errors.Gone:
                self._patience().sleep(0.1)
                return None
            except (errors.ConnectionFailed, errors.RequestTimeout, errors.ServerError, errors.Throttled):
                failures += 1
                if failures > _TRANSIENT_FAILURES:
                    raise
            if time.monotonic() - started < 1 and time.monotonic() < ends:
                # A stream that ends at once must not become a storm of requests.
                self._patience().sleep(min(0.2, max(0.0, ends - time.monotonic())))
        return None


def _apply(state: dict[str, Json], event: WatchEvent) -> str | None:
    """Bring `state` up to date and return the version the watch can be resumed from."""
    metadata = event.object.get("metadata")
    if not isinstance(metadata, dict):
        raise errors.BadAnswer("a watch told of something without a name")
    name = str(metadata.get("name"))
    if event.type == "DELETED":
        state.pop(name, None)
    elif event.type in ("ADDED", "MODIFIED"):
        state[name] = event.object
    version = metadata.get("resourceVersion")
    return str(version) if version else None

"""What all parts of one simulated cluster share, and the frame its controllers stand in."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import logging
import secrets
from collections.abc import Coroutine, Hashable
from typing import TYPE_CHECKING, Any

from conformance.simulator.clock import Clock, micro_stamp, stamp
from conformance.simulator.errors import ApiError
from conformance.simulator.kinds import Types
from conformance.simulator.machinery import Machinery
from conformance.simulator.network import Network
from conformance.simulator.objects import Json, clone
from conformance.simulator.store import Change, ConflictError, MissingError, Store
from conformance.simulator.volumes import Volumes

if TYPE_CHECKING:
    from conformance.simulator.hardware import Hardware

if TYPE_CHECKING:
    from conformance.simulator.fabric import Fabric

logger = logging.getLogger(__name__)

MAX_EVENTS = 1000
RETRY_SECONDS = 0.5
_CACHED_EVENTS = 512


class Recorder:
    """Writes Events; a repeated one only counts up. The oldest go once there are too many."""

    def __init__(self, store: Store, limit: int = MAX_EVENTS) -> None:
        self._store = store
        self._limit = limit
        # Components that report by the newer API, which tells times and repetitions in other fields.
        self.timed_components: frozenset[str] = frozenset()
        self._names: collections.OrderedDict[tuple[str, ...], tuple[str, str]] = collections.OrderedDict()
        self._order: collections.deque[tuple[str, str]] = collections.deque()

    def record(
        self, obj: Json, kind: str, reason: str, message: str, *, component: str, host: str = ""
    ) -> None:
        metadata = obj["metadata"]
        namespace = str(metadata.get("namespace") or "default")
        home = self._store.get("namespaces", "", namespace)
        if home is None or "deletionTimestamp" in home["metadata"]:
            return
        identity = (metadata.get("uid", ""), kind, reason, message, component)
        known = self._names.get(identity)
        if known is not None and self._count_up(*known):
            return
        name = f"{metadata['name']}.{secrets.token_hex(8)}"
        moment = stamp()
        source = {"component": component, "host": host} if host else {"component": component}
        involved = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "name": metadata["name"]}
        if "namespace" in metadata:
            involved["namespace"] = namespace
        involved |= {"uid": metadata.get("uid", ""), "resourceVersion": metadata.get("resourceVersion", "")}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "type": kind,
            "source": source,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
            "eventTime": None,
            "reportingComponent": component,
            "reportingInstance": host,
        }
        if component in self.timed_components:
            event |= {"eventTime": micro_stamp(), "source": {}, "action": "Binding"}
            event |= {"firstTimestamp": None, "lastTimestamp": None}
            del event["count"]
        self._store.create("events", event)
        self._names[identity] = (namespace, name)
        while len(self._names) > _CACHED_EVENTS:
            self._names.popitem(last=False)
        self._order.append((namespace, name))
        while len(self._order) > self._limit:
            oldest = self._store.get("events", *self._order.popleft())
            if oldest is not None:
                self._store.remove("events", oldest)

    def _count_up(self, namespace: str, name: str) -> bool:
        event = self._store.get("events", namespace, name)
        if event is None:
            return False
        event = clone(event)
        if "count" in event:
            event["count"] += 1
            event["lastTimestamp"] = stamp()
        else:
            count = event.get("series", {}).get("count", 1)
            event["series"] = {"count": count + 1, "lastObservedTime": micro_stamp()}
        self._store.update("events", event)
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class Faults:
    """The defects of a profile that change how the cluster's own parts act."""

    names: frozenset[str] = frozenset()

    def __contains__(self, name: str) -> bool:
        return name in self.names


class World:
    """A cluster's storage, API, clock and faults; made inside the loop that runs it."""

    def __init__(self, types: Types, clock: Clock, faults: Faults) -> None:
        self.store = Store()
        self.types = types
        self.clock = clock
        self.faults = faults
        self.api = Machinery(self.store, types)
        self.recorder = Recorder(self.store)
        self.network = Network()
        self.volumes = Volumes()
        self.fabric: Fabric | None = None
        # What clients asked, by verb and resource.
        self.requests: collections.Counter[str] = collections.Counter()
        self.refused: collections.Counter[str] = collections.Counter()
        self.hardware: Hardware | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` beside everything else; a failure is logged, it stops nothing."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("%s of the simulated cluster failed", task.get_name(), exc_info=task.exception())

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


class Controller:
    """Brings the world nearer to what one kind of object asks for, woken by changes.

    A key waits at most once in the queue, so a burst of changes costs one reconciliation.
    """

    name = "controller"

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = world.store
        self.api = world.api
        self._waiting: dict[Hashable, tuple[float, asyncio.TimerHandle]] = {}
        self._stopped = False
        world.store.listen(self._notice)

    def _notice(self, change: Change) -> None:
        if not self._stopped:
            self.notice(change)

    def notice(self, change: Change) -> None:
        """Queue what `change` concerns. Called from inside the write: it must not write."""
        raise NotImplementedError

    def reconcile(self, key: Any) -> None:
        raise NotImplementedError

    def enqueue(self, key: Hashable, seconds: float = 0.0) -> None:
        """Reconcile `key` after a delay; an earlier appointment stands."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self.world.clock.scaled(seconds)
        known = self._waiting.get(key)
        if known is not None:
            if known[0] <= due:
                return
            known[1].cancel()
        self._waiting[key] = (due, loop.call_at(due, self._run, key))

    def _run(self, key: Hashable) -> None:
        self._waiting.pop(key, None)
        try:
            self.reconcile(key)
        except (ApiError, ConflictError, MissingError) as error:
            logger.debug("%s will try %s again: %s", self.name, key, error)
            self.enqueue(key, RETRY_SECONDS)
        except Exception:
            logger.exception("%s failed at %s", self.name, key)

    def stop(self) -> None:
        self._stopped = True
        for _, handle in self._waiting.values():
            handle.cancel()
        self._waiting.clear()

    def event(self, obj: Json, kind: str, reason: str, message: str) -> None:
        self.world.recorder.record(obj, kind, reason, message, component=self.name)

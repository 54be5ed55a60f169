"""A gang starts whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance import devices, gang, pods
from conformance.checks import check
from conformance.conclusions import failed, unknown
from conformance.devices import Allocation
from conformance.gang import GANG_LABEL, Backend
from conformance.pods import Placement
from conformance.resources import PODS
from conformance.rights import BASE, DEVICES
from conformance.run import Run
from conformance.verdicts import Status, Verdict

Json = dict[str, Any]

BIND_SECONDS = 180.0
FILL_SECONDS = 120.0
# Longer than the five minutes after which the scheduler looks anew at pods no event has woken.
RELEASE_SECONDS = 360.0
WINDOW_SECONDS = 60.0
# A gang that binds whole may be seen between two of its pods.
SETTLE_SECONDS = 10.0
FITTING = 2
_MOST_FILLERS = 16
_MOST_NODES = 8
_FILLER = "filler"


@check("gang_scheduling", deadline=1200, rights=(*BASE, *DEVICES, *gang.RIGHTS), exclusive=True)
def gang_scheduling(run: Run) -> Verdict:
    """Every pod of a group starts, or none does.

    A gang of two that fits binds and completes. A gang with one place too few is watched for a
    minute, in which none of its pods may bind; when a place becomes free all of them do.

    KAR-0053. Places are accelerators. How many are free is found out by occupying them.
    """
    allocation = devices.detect(run)
    backend = gang.choose(run, allocation)
    devices.prepare(run, allocation)
    stage = _Stage(run, allocation, backend)
    stage.occupy_all()
    stage.free(FITTING)
    stage.fitting_gang_completes()
    size = stage.leave_one_too_few()
    stage.nothing_binds("short", size)
    stage.free(1)
    stage.all_bind("short", size)
    return Verdict(
        Status.PASS,
        "all_or_nothing",
        f"{backend.title}: a gang of {FITTING} ran; of a gang of {size} no pod was bound while one place was "
        "missing, and all were once there was a place for each.",
    )


class _Stage:
    """A corner of the cluster whose free places are known, because everything else is occupied."""

    def __init__(self, run: Run, allocation: Allocation, backend: Backend) -> None:
        self._run = run
        self._backend = backend
        nodes = _corner(allocation) if backend.pinned() else list(allocation.per_node)
        whole = allocation.placement(*nodes)
        self._placement = whole if backend.pinned() else Placement((), whole.tolerations)
        self._advertised = sum(allocation.per_node[node] for node in nodes)
        self._fillers: list[str] = []
        self._filled = 0
        self._free = 0

    def occupy_all(self) -> None:
        """Occupy every place; conclude where there are too few to tell a gang from single pods."""
        wanted = self._backend.places(self._advertised)
        if wanted < FITTING:
            raise self._too_few(wanted)
        names = [self._fill() for _ in range(wanted)]
        bound = self._await_fillers(names)
        if spare := [name for name in names if name not in bound]:
            self._backend.remove(*spare)
        self._fillers = sorted(bound)
        self._run.evidence.observe("places", {"advertised": self._advertised, "occupied": len(bound)})
        if len(bound) < FITTING:
            raise self._too_few(len(bound))

    def _too_few(self, found: int) -> Exception:
        return unknown(
            "too_few_devices",
            f"Free accelerators where pods can go: {found}; a gang needs {FITTING}.",
        )

    def free(self, count: int) -> None:
        """Free some of the occupied places."""
        going, self._fillers = self._fillers[:count], self._fillers[count:]
        self._backend.remove(*going)
        self._free += count

    def fitting_gang_completes(self) -> None:
        """A gang for which there is a place for each pod binds and runs to its end."""
        name = "fitting"
        self._backend.submit(name, FITTING, self._placement)

        def judge(found: Mapping[str, Json]) -> bool | None:
            self._look_for_trouble(found)
            done = [pod for pod in found.values() if pods.phase(pod) == "Succeeded"]
            return True if len(done) >= FITTING else None

        if not self._run.wait(PODS, judge, seconds=BIND_SECONDS, selector=_selector(name)):
            bound = self._bound(name)
            if bound:
                raise failed(
                    "gang_never_completed",
                    f"{self._backend.title}: {bound} of {FITTING} pods were bound but did not complete.",
                )
            raise failed(
                "gang_never_bound",
                f"{self._backend.title}: a gang of {FITTING} was not bound although both had a place.",
            )
        if doubt := self._backend.attribution(name):
            raise unknown("backend_not_attributable", f"The gang ran, but {doubt}.")
        self._backend.withdraw(name, FITTING)

    def leave_one_too_few(self) -> int:
        """Arrange the places so that a gang lacks exactly one, and return its size."""
        if not self._fillers:
            # With two places in all, one must be occupied again, to be freed later.
            name = self._fill()
            self._fillers = sorted(self._await_fillers([name]))
            if not self._fillers:
                raise unknown("capacity_changed", "A place that was free before is taken; others use it.")
            self._free -= 1
        return self._free + 1

    def nothing_binds(self, name: str, size: int) -> None:
        """Watch a gang that lacks a place: a single bound pod breaks the promise."""
        self._backend.submit(name, size, self._placement, lasting=True)

        def judge(found: Mapping[str, Json]) -> bool | None:
            return True if any(pods.node_of(pod) for pod in found.values()) else None

        if self._run.watch_window(PODS, judge, seconds=WINDOW_SECONDS, selector=_selector(name)):
            self._run.pause(SETTLE_SECONDS)
            bound = self._bound(name)
            if bound >= size:
                raise unknown(
                    "capacity_changed", "The whole gang was bound: a place became free that was not ours."
                )
            raise failed(
                "gang_partially_bound",
                f"{self._backend.title}: {bound} of {size} pods were bound while one place was missing.",
            )
        for pod in self._run.items(PODS, selector=_selector(name)):
            self._run.evidence.add_object(f"waiting/{(pod.get('metadata') or {}).get('name')}", pod)
        self._run.evidence.observe(
            "window", {"gang": size, "free": size - 1, "bound": 0, "seconds": WINDOW_SECONDS}
        )

    def all_bind(self, name: str, size: int) -> None:
        """With a place for each pod the waiting gang is bound whole."""

        def judge(found: Mapping[str, Json]) -> bool | None:
            bound = [pod for pod in found.values() if pods.node_of(pod)]
            return True if len(bound) >= size else None

        if not self._run.wait(PODS, judge, seconds=RELEASE_SECONDS, selector=_selector(name)):
            bound = self._bound(name)
            raise failed(
                "gang_never_released",
                f"{self._backend.title}: once each had a place, only {bound} of {size} pods were bound.",
            )
        self._run.evidence.observe("released", {"gang": size, "bound": size})

    def _fill(self) -> str:
        self._filled += 1
        name = f"{_FILLER}-{self._filled:02d}"
        self._backend.fill(name, self._placement)
        return name

    def _await_fillers(self, names: list[str]) -> set[str]:
        """Wait until each filler is bound or found to have no place; return the bound ones."""
        wanted = set(names)

        def settled(found: Mapping[str, Json]) -> set[str] | None:
            bound = {_gang_of(pod) for pod in found.values() if pods.node_of(pod)} & wanted
            without = {_gang_of(pod) for pod in found.values() if pods.is_unschedulable(pod)} & wanted
            return bound if bound | without == wanted else None

        selector = f"{GANG_LABEL} in ({','.join(sorted(names))})"
        found = self._run.wait(PODS, settled, seconds=FILL_SECONDS, selector=selector)
        if found is not None:
            return found
        remaining = self._run.items(PODS, selector=selector)
        return {_gang_of(pod) for pod in remaining if pods.node_of(pod)}

    def _bound(self, name: str) -> int:
        found = self._run.items(PODS, selector=_selector(name))
        return sum(1 for pod in found if pods.node_of(pod))

    def _look_for_trouble(self, found: Mapping[str, Json]) -> None:
        """Conclude as unknown where the pods' own trouble says nothing about the scheduler."""
        for name, pod in found.items():
            if pods.lacks_image(pod):
                raise unknown("image_unpullable", f"The cluster cannot pull the image {self._run.image()}.")
            if pods.phase(pod) == "Failed":
                raise unknown("probe_failed", f"Pod {name} was started but its probe failed.")


def _corner(allocation: Allocation) -> list[str]:
    """Return a few nodes with room for a gang even if others use some of it, and little more."""
    chosen: list[str] = []
    total = 0
    for node in allocation.by_devices():
        if total + allocation.per_node[node] <= _MOST_FILLERS and len(chosen) < _MOST_NODES:
            chosen.append(node)
            total += allocation.per_node[node]
    return chosen if total >= FITTING else allocation.by_devices()[:1]


def _selector(name: str) -> str:
    return f"{GANG_LABEL}={name}"


def _gang_of(pod: Json) -> str:
    return str(((pod.get("metadata") or {}).get("labels") or {}).get(GANG_LABEL))

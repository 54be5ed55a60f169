"""A container reaches the accelerators it was granted and no others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conformance import devices, pods
from conformance.checks import check
from conformance.conclusions import failed, unknown
from conformance.devices import Allocation
from conformance.markers import Report
from conformance.pods import Container
from conformance.resources import PODS
from conformance.rights import BASE, DEVICES
from conformance.run import Run
from conformance.starting import START_SECONDS, await_start
from conformance.verdicts import Status, Verdict

Json = dict[str, Any]

_OPTIONAL_SECONDS = 60.0
# Longer than the whole check may take: the granted pods stay until they are removed.
_HOLD_SECONDS = 900
_DEVICE_ID = re.compile(r"c:[0-9]{1,6}:[0-9]{1,8}")
_SHARED_NODES = re.compile(r"/dev/dri/")
_MOST_IDS = 16
_MOST_NODES = 50


@dataclass(frozen=True, slots=True)
class Seen:
    """What a probe saw: device ids by path, and which foreign ones it could open."""

    ids: Mapping[str, str]
    usable: frozenset[str]
    opened: frozenset[str]

    @classmethod
    def of(cls, report: Report) -> Seen:
        """Read a probe's markers; ids that are none are left out."""
        found = {
            marker.get("path"): (marker.get("id"), marker.get("open"))
            for marker in report.all("device")
            if _DEVICE_ID.fullmatch(marker.get("id"))
        }
        return cls(
            ids={path: device for path, (device, _) in found.items()},
            usable=frozenset(device for device, open_ in found.values() if open_ == "yes"),
            opened=frozenset(
                marker.get("id") for marker in report.all("try") if marker.get("result") == "opened"
            ),
        )

    @property
    def accelerators(self) -> frozenset[str]:
        """The ids that count as accelerators: a graphics node beside a vendor's own is the same device."""
        own = {device for path, device in self.ids.items() if not _SHARED_NODES.match(path)}
        return frozenset(own or self.ids.values())


@check("secure_accelerator_access", deadline=900, rights=(*BASE, *DEVICES), exclusive=True)
def secure_accelerator_access(run: Run) -> Verdict:
    """A container reaches the accelerator it was granted and no other.

    A pod with one device sees that one; a pod and a container that asked for none see none; two
    granted pods see different devices and cannot open each other's.

    KAR-0049. Everything happens on one node, side by side, so that there is something to leak.
    """
    allocation = devices.detect(run)
    devices.prepare(run, allocation)
    probing = _Probing(run, allocation)
    alone = probing.granted("alone")
    node = probing.node
    _expect_one(alone, "alone")
    probing.without_request("uninvited", alone.accelerators)
    # Each of the two tries the other's device while the other holds it.
    second = probing.neighbour("second", tries=alone.accelerators)
    probing.release("alone")
    tries = alone.accelerators
    if second is not None:
        _expect_apart(alone, second, "second", allocation)
        third = probing.granted("third", tries=second.accelerators)
        _expect_apart(second, third, "third", allocation)
        probing.release("third")
        tries = second.accelerators
    probing.two_containers("pair", tries)
    message = (
        f"On node {node} each pod saw the one device it was granted; a pod and a container without a "
        "request saw none"
    )
    if second is None:
        return Verdict(
            Status.PASS,
            "isolated_in_part",
            f"{message}. Whether two granted pods are kept apart is unknown: the node had one free device.",
        )
    return Verdict(
        Status.PASS, "isolated", f"{message}, and two granted pods could not open each other's device."
    )


def _expect_one(seen: Seen, pod: str) -> None:
    """Conclude unless exactly one device is seen and can be used."""
    if not seen.accelerators:
        raise unknown(
            "device_not_recognised",
            f"Pod {pod} was granted a device, but none of the device nodes known here appeared in it.",
        )
    if len(seen.accelerators) > 1:
        raise failed(
            "excess_device",
            f"Pod {pod} was granted one device and sees more: {_listed(seen.accelerators)}.",
        )
    if not seen.accelerators & seen.usable:
        raise unknown("device_not_usable", f"Pod {pod} sees the device it was granted but cannot open it.")


def _expect_apart(first: Seen, second: Seen, pod: str, allocation: Allocation) -> None:
    """Conclude unless the second pod has a device of its own and cannot open the first one's."""
    _expect_one(second, pod)
    if shared := first.accelerators & second.accelerators:
        if allocation.is_partitioned:
            raise unknown(
                "partitioned_devices",
                f"{allocation.name} hands out parts of a device; parts of one cannot be told apart here.",
            )
        raise failed("shared_device", f"Two pods were granted the same device: {_listed(shared)}.")
    if second.opened:
        raise failed(
            "foreign_device_opened",
            f"Pod {pod} opened a device granted to another pod: {_listed(second.opened)}.",
        )


def _listed(ids: Iterable[str]) -> str:
    return ", ".join(sorted(ids)[:_MOST_IDS])


class _Probing:
    """The pods of this check. All but the first go to the node the first went to."""

    def __init__(self, run: Run, allocation: Allocation) -> None:
        self._run = run
        self._allocation = allocation
        offering = allocation.by_devices()
        several = [node for node in offering if allocation.per_node[node] > 1]
        self._candidates = (several or offering)[:_MOST_NODES]
        self.node = ""

    def granted(self, name: str, tries: Iterable[str] = ()) -> Seen:
        """Start a pod with one device and return what it sees; it stays until released."""
        container = self._container("probe", tries, granted=True, hold=True)
        return self._look(name, [container], kept=True)["probe"]

    def neighbour(self, name: str, tries: Iterable[str]) -> Seen | None:
        """Start a second pod with a device beside the first; None where the node has no free one."""
        if self._allocation.per_node.get(self.node, 0) < 2:  # noqa: PLR2004 - one for each of the two
            return None
        container = self._container("probe", tries, granted=True, hold=True)
        found = self._look(name, [container], kept=True, optional=True)
        return found["probe"] if found else None

    def without_request(self, name: str, tries: Iterable[str]) -> None:
        """Run a pod without a request beside the granted one; conclude where it sees any device."""
        seen = self._look(name, [self._container("probe", tries)])["probe"]
        self._expect_none(seen, f"Pod {name} asked for no device")

    def two_containers(self, name: str, tries: Iterable[str]) -> None:
        """Run a pod of which one container is granted a device; conclude where the other sees it."""
        containers = [
            self._container("granted", granted=True),
            self._container("ungranted", tries),
        ]
        seen = self._look(name, containers)
        _expect_one(seen["granted"], f"{name}, container granted,")
        self._expect_none(seen["ungranted"], f"Container ungranted of pod {name} asked for no device")

    def release(self, name: str) -> None:
        """Remove a granted pod and wait until its device is free again."""
        self._run.remove((PODS, name))

    def _expect_none(self, seen: Seen, who: str) -> None:
        if seen.ids:
            raise failed("unrequested_device", f"{who} and sees {_listed(seen.ids.values())}.")
        if seen.opened:
            raise failed("foreign_device_opened", f"{who} and opened {_listed(seen.opened)}.")

    def _container(
        self, name: str, tries: Iterable[str] = (), *, granted: bool = False, hold: bool = False
    ) -> Container:
        environment = {"PROBE_TRY": " ".join(sorted(tries)[:_MOST_IDS])}
        if hold:
            environment["PROBE_HOLD"] = str(_HOLD_SECONDS)
        return Container(name, "accelerators", self._allocation.request if granted else None, environment)

    def _look(
        self, name: str, containers: Sequence[Container], *, kept: bool = False, optional: bool = False
    ) -> dict[str, Seen]:
        """Run a pod and return what each container sees; nothing where an optional one finds no place."""
        nodes = [self.node] if self.node else self._candidates
        body = pods.pod(containers, self._run.image(), self._allocation.placement(*nodes))
        self._run.create(PODS, name, body)
        started = self._await_start(name, optional=optional)
        if started is None:
            self.release(name)
            return {}
        self.node = pods.node_of(started) or self.node
        seen = {container.name: Seen.of(self._run.markers(name, container.name)) for container in containers}
        self._run.evidence.observe(
            f"pod {name}",
            {
                container: {"devices": dict(view.ids), "opened": sorted(view.opened)}
                for container, view in seen.items()
            },
        )
        if not kept:
            self.release(name)
        return seen

    def _await_start(self, name: str, *, optional: bool) -> Json | None:
        """Wait until the pod runs or has run; conclude where it never does, unless it is optional."""
        seconds = _OPTIONAL_SECONDS if optional else START_SECONDS
        pod = await_start(self._run, name, seconds=seconds)
        if pod is not None or optional:
            return pod
        raise unknown(
            "no_free_device",
            f"The scheduler found no free {self._allocation.name} for pod {name}; others may hold them.",
        )

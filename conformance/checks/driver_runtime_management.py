"""The driver of an accelerator is the one the platform advertises, and containers get what belongs to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conformance import advertised, devices, pods
from conformance.advertised import Vendor, Versions
from conformance.checks import check
from conformance.conclusions import failed, unknown
from conformance.identity import Identity
from conformance.markers import Report
from conformance.pods import Container
from conformance.resources import PODS
from conformance.rights import BASE, DEVICES
from conformance.run import Run
from conformance.starting import await_start
from conformance.verdicts import Status, Verdict

Json = dict[str, Any]

_POD, _CONTAINER = "probe", "probe"
_HOLD_SECONDS = 300
_MOST_NODES = 50
# As the kubelet reports it: the name of the runtime, then its version.
_CONTAINER_RUNTIME = re.compile(r"[a-z][a-z0-9.-]*://[0-9A-Za-z][\w.+~-]*")


@dataclass(frozen=True, slots=True)
class Stated:
    """The versions that the driver's parts in a container state, by who says so."""

    drivers: Mapping[str, str]
    runtimes: Mapping[str, str]
    tools: tuple[str, ...]

    @classmethod
    def of(cls, report: Report, vendor: Vendor) -> Stated:
        """Read a probe's markers."""
        own = [marker for marker in report.all("version") if marker.get("vendor") == vendor.name]
        return cls(
            drivers={marker.get("source"): marker.get("driver") for marker in own if marker.get("driver")},
            runtimes={marker.get("source"): marker.get("runtime") for marker in own if marker.get("runtime")},
            tools=tuple(marker.get("path") for marker in report.all("tool")),
        )


@check("driver_runtime_management", since="1.35", deadline=600, rights=(*BASE, *DEVICES), exclusive=True)
def driver_runtime_management(run: Run) -> Verdict:
    """The driver on a node is the one that is advertised, and a container with a device gets its tools.

    A pod with one device sees one; the versions that the injected tool, the library and the kernel
    state agree with those of the device's attributes or the node's labels. The node names its
    container runtime.

    KAR-0001. Versions are compared as far as both go, because attributes and tools write them
    differently.
    """
    allocation = devices.detect(run)
    request = devices.prepare(run, allocation)
    nodes = devices.usable_nodes(run)
    container = Container(_CONTAINER, "driver", request, {"PROBE_HOLD": str(_HOLD_SECONDS)})
    candidates = allocation.by_devices()[:_MOST_NODES]
    run.create(PODS, _POD, pods.pod([container], run.image(), allocation.placement(*candidates)))
    pod = await_start(run, _POD)
    if pod is None:
        raise unknown(
            "no_free_device", f"The scheduler found no free {allocation.name}; others may hold them all."
        )
    node = nodes[pods.node_of(pod) or ""]
    found = advertised.granted(run, pod, nodes)
    vendor = advertised.vendor_of(found[0].driver if found else "", allocation.request.resource or "")
    if vendor is None:
        raise unknown(
            "vendor_not_recognised",
            f"How the driver behind {allocation.name} states its version is not known here.",
        )
    said = advertised.versions(vendor, found, node)
    report = run.markers(_POD, _CONTAINER)
    stated = Stated.of(report, vendor)
    runtime = _container_runtime(node)
    run.evidence.observe(
        "versions",
        {
            "advertised": {"driver": said.driver, "runtime": said.runtime, "by": said.source},
            "stated": {"driver": dict(stated.drivers), "runtime": dict(stated.runtimes)},
            "tools": list(stated.tools),
            "container runtime": runtime,
        },
    )
    _expect_one_device(Identity.all_of(report))
    _expect_tools(stated, vendor)
    if not said.driver:
        raise unknown(
            "driver_not_advertised",
            "Neither the device's attributes nor the node's labels tell the version of the driver.",
        )
    if not _CONTAINER_RUNTIME.fullmatch(runtime):
        raise unknown("runtime_not_named", "The node does not name its container runtime with a version.")
    return _compare(said, stated, runtime)


def _container_runtime(node: Json) -> str:
    info = (node.get("status") or {}).get("nodeInfo") or {}
    return str(info.get("containerRuntimeVersion") or "")


def _expect_one_device(seen: list[Identity]) -> None:
    if not seen:
        raise failed("device_missing", "The pod was granted a device and finds no device node of one.")
    if len(seen) > 1:
        listed = ", ".join(identity.path for identity in seen)
        raise failed("excess_device", f"The pod was granted one device and sees {len(seen)}: {listed}.")


def _expect_tools(stated: Stated, vendor: Vendor) -> None:
    if vendor.injects_tools and not stated.tools:
        raise failed(
            "tools_not_injected",
            "The container runtime handed the device to the pod without the tools of its driver.",
        )


def _compare(said: Versions, stated: Stated, runtime: str) -> Verdict:
    if not stated.drivers:
        raise unknown("driver_unreadable", "Nothing in the container states the version of the driver.")
    for source, driver in stated.drivers.items():
        if not advertised.agree(said.driver, driver):
            raise failed(
                "driver_mismatch",
                f"{said.source.capitalize()} advertise driver {said.driver}; in the container the {source} "
                f"states {driver}.",
            )
    for source, version in stated.runtimes.items():
        if said.runtime and not advertised.agree(said.runtime, version):
            raise failed(
                "runtime_mismatch",
                f"{said.source.capitalize()} advertise runtime {said.runtime}; in the container the {source} "
                f"states {version}.",
            )
    sources = ", ".join(sorted(stated.drivers))
    message = f"Driver {said.driver} as advertised by {said.source} is what the container finds ({sources})"
    if not (said.runtime and stated.runtimes):
        return Verdict(
            Status.PASS,
            "driver_agrees",
            f"{message}, on {runtime}. The driver's runtime could not be compared: "
            f"{'no tool stated it' if said.runtime else 'none is advertised'}.",
        )
    return Verdict(Status.PASS, "versions_agree", f"{message}, with runtime {said.runtime}, on {runtime}.")

"""Utilisation and memory of every accelerator are reported, and the report follows what happens."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from conformance import advertised, devices, exporters, pods, probes
from conformance.checks import check
from conformance.cluster import errors
from conformance.conclusions import Concluded, failed, unknown
from conformance.devices import Allocation, Device
from conformance.endpoints import ServiceEndpoint
from conformance.exporters import Key, Names, Readings
from conformance.exposition import parse
from conformance.pods import Container, Request
from conformance.probe_settings import LoadSettings
from conformance.resources import PODS
from conformance.rights import BASE, DEVICES
from conformance.run import SHORTEST_WAIT, Run
from conformance.starting import await_start
from conformance.verdicts import Status, Verdict

Json = dict[str, Any]

KNOWN = "known exporters"
REACTION_SECONDS = 180.0
_PATH = "metrics"
_LIMIT = 8 * 1024 * 1024
_PAUSE_SECONDS = 2.0
# A Service leads to one exporter of many at a time: this many requests find all but surely each one.
_REQUESTS_PER_NODE = 12
_FEWEST_REQUESTS, _MOST_REQUESTS = 12, 600
# A device is taken for busy once this much more of it is used than before.
_RISE = 0.05
_POD = "load"
_MOST_SHOWN = 50
# A computation that runs for as long as it is left alone, by the maker of the devices.
_LOADS: Mapping[str, LoadSettings] = {
    "nvidia": LoadSettings(
        "nvcr.io/nvidia/k8s/cuda-sample:nbody-cuda11.7.1",
        ("nbody", "-gpu", "-benchmark", "-numbodies=2560000", "-i=1000000"),
    )
}


@dataclass(frozen=True, slots=True)
class Inventory:
    """The accelerators that must be reported: as devices where claims hand them out, else by number."""

    devices: tuple[Device, ...]
    per_node: Mapping[str, int]

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.devices) or sum(self.per_node.values())

    def missing(self, keys: Iterable[Key]) -> list[str]:
        """Return what of it none of these keys speaks of."""
        keys = list(keys)
        unnamed = [device for device in self.devices if not any(key.is_of(device) for key in keys)]
        if self.devices and len(unnamed) < len(self.devices):
            return [f"{device.name} of {device.pool}" for device in unnamed]
        # Where the names of devices have nothing in common with those of the series, numbers must do.
        hosts = Counter(key.host for key in set(keys))
        if hosts.keys() & self.per_node.keys():
            return [
                f"{count - hosts[node]} of {count} on {node}"
                for node, count in sorted(self.per_node.items())
                if hosts[node] < count
            ]
        seen = sum(hosts.values())
        return [f"{self.total - seen} of {self.total}"] if seen < self.total else []

    def own(self, keys: Iterable[Key]) -> set[Key]:
        """Return those of the keys that speak of it."""
        if not any(key.is_of(device) for key in keys for device in self.devices):
            return set(keys)
        return {key for key in keys if any(key.is_of(device) for device in self.devices)}


@check(
    "accelerator_metrics",
    deadline=900,
    rights=(*BASE, *DEVICES, *exporters.known_rights(KNOWN)),
    exclusive=True,
)
def accelerator_metrics(run: Run) -> Verdict:
    """Utilisation and memory of every accelerator can be read by machines, and utilisation follows load.

    The endpoint reports both as finite numbers for every advertised device. While a pod computes on
    one of them, the utilisation reported for that device rises.

    KAR-0059. The endpoint is the vendor's choice, or that of an exporter known here; its series are
    told by their names.
    """
    allocation = devices.detect(run)
    nodes = devices.usable_nodes(run)
    inventory = _inventory(run, allocation, nodes)
    scraping = _Scraping(run, inventory)
    scraping.find()
    scraping.read_all()
    scraping.expect_series()
    load = _start_load(run, allocation, nodes)
    keys = load.keys(scraping.readings.utilization)
    before = {key: scraping.readings.share(key) for key in keys}
    risen = scraping.await_rise(before)
    run.evidence.observe(
        "utilisation",
        {
            "before": {str(key.id or key.index): share for key, share in before.items()},
            "under load": {str(key.id or key.index): scraping.highest.get(key) for key in before},
        },
    )
    if risen is None:
        load.expect_running()
        raise unknown(
            "utilization_unchanged",
            f"Both figures are there for all {inventory.total} accelerators, but while a pod computed on "
            f"{load.title} the utilisation reported did not rise.",
        )
    return Verdict(
        Status.PASS,
        "reported",
        f"{scraping.title.capitalize()}, reports utilisation and memory of all {inventory.total} "
        f"accelerators; under load the utilisation of one rose from {before[risen]:.0%} to "
        f"{scraping.readings.share(risen):.0%}.",
    )


def _inventory(run: Run, allocation: Allocation, nodes: Mapping[str, Json]) -> Inventory:
    found: list[Device] = []
    if allocation.request.is_claim:
        item = devices.device_classes(run).get(allocation.name) or {}
        offered = devices.advertised(run, nodes)
        found = [device for device in offered if devices.matches(item, device)]
    return Inventory(tuple(found), dict(allocation.per_node))


# Reading ------------------------------------------------------------------------------------------


class _Scraping:
    """The endpoint and what was read there."""

    def __init__(self, run: Run, inventory: Inventory) -> None:
        self._run = run
        self._inventory = inventory
        settings = run.settings.metrics
        self._names = Names(
            utilization={settings.utilization: settings.full}
            if settings.utilization
            else exporters.UTILIZATION,
            memory=frozenset({settings.memory}) if settings.memory else exporters.MEMORY,
        )
        self._endpoint: ServiceEndpoint | None = None
        self.readings = Readings()
        self.highest: dict[Key, float] = {}

    @property
    def title(self) -> str:
        """The endpoint as a person would name it."""
        return str(self._endpoint)

    def find(self) -> None:
        """Read the first metrics of the vendor's endpoint, or of a known one that is there."""
        named = self._run.settings.metrics.endpoint
        if named is not None:
            self._run.require_rights(named.rights("get"))
        else:
            self._run.require(KNOWN)
        for endpoint in [named] if named is not None else exporters.KNOWN:
            try:
                self._read(endpoint)
            except errors.NotFound:
                continue
            self._endpoint = endpoint
            self._run.evidence.observe("endpoint", str(endpoint))
            return
        if named is not None:
            raise unknown("endpoint_missing", f"There is no {named} that answers at {named.path}/{_PATH}.")
        raise unknown(
            "exporter_not_found",
            "None of the known exporters of accelerator metrics is there. Name the service under "
            "`metrics.endpoint` in the probe settings if there is another.",
        )

    def _read(self, endpoint: ServiceEndpoint) -> None:
        text = self._run.connection.text(endpoint.address(_PATH), limit=_LIMIT, patience=self._run.patience())
        samples = parse(text)
        if not self.readings.samples:
            self._run.evidence.add_text("metrics.txt", text)
        self.readings.add(samples, self._names)

    def _read_again(self) -> None:
        if self._endpoint is not None:
            self._read(self._endpoint)

    def read_all(self) -> None:
        """Read until every accelerator was spoken of, or every exporter has surely answered."""
        count = len(self._inventory.per_node) * _REQUESTS_PER_NODE
        for _ in range(min(max(count, _FEWEST_REQUESTS), _MOST_REQUESTS)):
            if self._is_complete():
                return
            self._read_again()

    def _is_complete(self) -> bool:
        return bool(self.readings.utilization and self.readings.memory) and not (
            self._inventory.missing(self.readings.utilization)
            or self._inventory.missing(self.readings.memory)
        )

    def expect_series(self) -> None:
        """Conclude unless both figures are there, as numbers, for every accelerator."""
        readings = self.readings
        self._run.evidence.observe("series", {"names": sorted(readings.names), "samples": readings.samples})
        if not readings.samples:
            raise failed(
                "no_metrics", f"{self.title.capitalize()} answers without a metric machines can read."
            )
        settings = self._run.settings.metrics
        are_named = settings.utilization is not None and settings.memory is not None
        for what, values in (("utilisation", readings.utilization), ("memory", readings.memory)):
            if values:
                continue
            if not readings.names and not are_named:
                raise unknown(
                    "names_not_recognised",
                    f"None of the series at {self.title} is known here as utilisation or memory of an "
                    "accelerator. Name them under `metrics` in the probe settings.",
                )
            raise failed(
                "series_missing", f"{self.title.capitalize()} has no series of the {what} of accelerators."
            )
        for what, values in (("utilisation", readings.utilization), ("memory", readings.memory)):
            if missing := self._inventory.missing(values):
                listed = ", ".join(missing[:_MOST_SHOWN])
                raise failed("device_missing", f"No {what} is reported for these accelerators: {listed}.")
            if not exporters.finite(values, self._inventory.own(values)):
                raise failed("not_finite", f"The {what} reported for an accelerator is not a finite number.")

    def await_rise(self, before: Mapping[Key, float]) -> Key | None:
        """Read until the utilisation of one of these devices has risen; None where it never does."""
        limit = max(self._run.scaled(REACTION_SECONDS), min(SHORTEST_WAIT, REACTION_SECONDS))
        ends = time.monotonic() + limit
        while time.monotonic() < ends:
            self._read_again()
            for key, share in before.items():
                now = self.readings.share(key)
                self.highest[key] = max(self.highest.get(key, now), now)
                if now >= share + _RISE:
                    return key
            self._run.pause(_PAUSE_SECONDS)
        return None


# Load ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Load:
    """A pod that keeps a device busy: the device where a claim tells it, else the node."""

    run: Run
    node: str
    device: Device | None

    @property
    def title(self) -> str:
        """Where it computes."""
        return f"{self.device.name} of {self.node}" if self.device is not None else f"node {self.node}"

    def keys(self, keys: Iterable[Key]) -> list[Key]:
        """Return the keys that may speak of its device; all where none can be told apart."""
        keys = list(keys)
        if self.device is not None and (own := [key for key in keys if key.is_of(self.device)]):
            return own
        return [key for key in keys if key.host == self.node] or keys

    def expect_running(self) -> None:
        """Conclude unless the computation is still going on."""
        pod = self.run.find(PODS, _POD)
        if pod is None or pods.phase(pod) != "Running":
            raise unknown("load_ended", "The computation that was to keep a device busy ended by itself.")


def _start_load(run: Run, allocation: Allocation, nodes: Mapping[str, Json]) -> _Load:
    """Start a computation on one device; conclude as unknown where there is none to start."""
    load = run.settings.metrics.load or _known_load(run, allocation, nodes)
    request: Request = devices.prepare(run, allocation)
    candidates = allocation.by_devices()[:_MOST_SHOWN]
    body = pods.pod([Container(_POD, "hold", request)], run.image(), allocation.placement(*candidates))
    container = body["spec"]["containers"][0]
    container["image"] = probes.mirrored(load.image, run.image())
    # Programs of vendors are made to run as root and to write where they please, but need no more.
    container["securityContext"] = {"allowPrivilegeEscalation": False}
    container["resources"]["limits"] |= {"cpu": "1", "memory": "4Gi"}
    container["args"] = list(load.args)
    del container["command"], container["env"]
    run.create(PODS, _POD, body)
    pod = _started(run, allocation)
    found = advertised.granted(run, pod, nodes)
    return _Load(run, pods.node_of(pod) or "", found[0] if found else None)


def _started(run: Run, allocation: Allocation) -> Json:
    try:
        pod = await_start(run, _POD)
    except Concluded as conclusion:
        if conclusion.verdict.reason == "image_unpullable":
            raise unknown("load_unpullable", conclusion.verdict.message) from conclusion
        raise
    if pod is None:
        raise unknown(
            "no_free_device", f"The scheduler found no free {allocation.name}; others may hold them all."
        )
    return pod


def _known_load(run: Run, allocation: Allocation, nodes: Mapping[str, Json]) -> LoadSettings:
    """Return a computation for the devices of this vendor."""
    driver = ""
    if allocation.request.is_claim:
        item = devices.device_classes(run).get(allocation.name) or {}
        offered = devices.advertised(run, nodes)
        driver = next((device.driver for device in offered if devices.matches(item, device)), "")
    vendor = advertised.vendor_of(driver, allocation.request.resource or "")
    if vendor is None or vendor.name not in _LOADS:
        raise unknown(
            "no_load",
            "Both figures are reported, but no program is known here that puts load on such a device. Name "
            "an image under `metrics.load` in the probe settings.",
        )
    return _LOADS[vendor.name]

"""Fast network interfaces can be found, are minded when pods are placed, and carry data."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from conformance import devices, pods
from conformance.checks import check
from conformance.conclusions import failed, unknown
from conformance.devices import Device
from conformance.markers import Marker, Report
from conformance.pods import Container, Placement, Request
from conformance.resources import (
    CLAIM_TEMPLATES,
    DEVICE_CLASSES,
    NODES,
    PODS,
    RESOURCE_CLAIMS,
)
from conformance.rights import BASE, CLUSTER, DEVICES, on
from conformance.run import Run
from conformance.starting import await_start
from conformance.verdicts import Status, Verdict

Json = dict[str, Any]

REPORT_SECONDS = 60.0
PAYLOAD_BYTES = 1024 * 1024
_HOLD_SECONDS = "1800"
_TEMPLATE = "one-interface"
_PORT = "8080"
# What every container can write to, however its root file system is mounted.
_STATE = "/dev/shm"  # noqa: S108 - inside the probe's own container
_MOST_SHOWN = 20

# The last part of an attribute's name tells what it says, whoever the driver is.
_INTERFACE = frozenset({"ifname", "interface", "interfacename", "netdev", "netdevname", "rdmadevice"})
_RDMA = frozenset({"rdma", "rdmadevice", "rdmadevname", "rdmacapable"})
_LOCALITY = frozenset({"numanode", "numa", "pcieroot"})
# Extended resources by which interfaces reach pods without claims.
_OTHER_RESOURCES = ("rdma/", "networking.gke.io", "vpc.amazonaws.com/efa")
_OTHER_WORDS = ("sriov", "rdma", "efa", "hca", "infiniband")


@check(
    "high_performance_networking",
    since="1.36",
    deadline=900,
    rights=(
        *BASE,
        *DEVICES,
        # Whether interfaces are free, or held by somebody else, stands in the claims of everybody.
        *on("resourceclaims", "list", group="resource.k8s.io", scope=CLUSTER),
    ),
)
def high_performance_networking(run: Run) -> Verdict:
    """An interface to a fast network is advertised, claimed, attached, and moves data.

    Slices tell interfaces with their RDMA ability or locality. Two pods, each with a claim for one, run
    on different nodes from which the allocated device can be reached; each has the interface, and data
    sent to the secondary address of one arrives unchanged at the other, through the interface.

    KAR-0010. Only interfaces handed out by claims can be followed through all of this.
    """
    nodes = {_name(node): node for node in run.items(NODES) if devices.is_open(node)}
    found = _interfaces(run, nodes)
    if not found:
        return _without_interfaces(run, nodes)
    _expect_characteristics(run, found)
    device_class = _class(run, found)
    suiting = [device for device in found if devices.matches(device_class, device)]
    eligible = sorted({node for device in suiting for node in device.nodes})
    if len(eligible) < 2:  # noqa: PLR2004 - data moves between two
        raise unknown(
            "one_node", f"Interfaces to claim are on one node only ({eligible[0]}); this takes two."
        )
    exchange = _Exchange(run, nodes, suiting, _name(device_class))
    exchange.prepare()
    server = exchange.start("server", {"PROBE_SERVE": str(PAYLOAD_BYTES)})
    client = exchange.start("client", {"PROBE_FETCH": " ".join(server.addresses)}, apart_from="server")
    exchange.expect_transfer(server, client)
    return Verdict(
        Status.PASS,
        "data_moved",
        f"Pods on {server.node} and {client.node} each got an interface of class {_name(device_class)} "
        f"({server.interface}, {client.interface}) and moved {PAYLOAD_BYTES} bytes through them.",
    )


def _interfaces(run: Run, nodes: Mapping[str, Json]) -> list[Device]:
    """Return the advertised devices that are network interfaces."""
    found = [device for device in devices.advertised(run, nodes) if _says(device, _INTERFACE)]
    run.evidence.observe(
        "interfaces",
        [
            {
                "driver": device.driver,
                "device": device.name,
                "nodes": sorted(device.nodes),
                **device.attributes,
            }
            for device in found[:_MOST_SHOWN]
        ],
    )
    return found


def _says(device: Device, names: frozenset[str]) -> bool:
    return any(_bare(name) in names and value not in (None, "") for name, value in device.attributes.items())


def _bare(name: str) -> str:
    return name.rpartition("/")[2].lower().replace("_", "")


def _without_interfaces(run: Run, nodes: Mapping[str, Json]) -> Verdict:
    """Conclude where no slice tells of interfaces: there are none, or another mechanism hands them out."""
    others = sorted(
        {
            resource
            for node in nodes.values()
            for resource, amount in ((node.get("status") or {}).get("allocatable") or {}).items()
            if str(amount) != "0" and _is_interface_resource(resource)
        }
    )
    run.evidence.observe("interfaces by other means", {"resources": others, "groups": sorted(run.groups())})
    if others:
        raise unknown(
            "other_mechanism",
            f"Interfaces are handed out as extended resources ({', '.join(others[:5])}), which do not tell "
            "where a pod's interface comes from.",
        )
    return Verdict(
        Status.NOT_APPLICABLE,
        "not_offered",
        "No ResourceSlice tells of a network interface, and no node offers one as an extended resource.",
    )


def _is_interface_resource(resource: str) -> bool:
    domain, _, name = resource.partition("/")
    if not name:
        return False
    return resource.startswith(_OTHER_RESOURCES) or any(
        word in name.lower() or word in domain.lower() for word in _OTHER_WORDS
    )


def _expect_characteristics(run: Run, found: Iterable[Device]) -> None:
    """Conclude as failed where interfaces are named and nothing is told of them."""
    bare = [device.name for device in found if not _says(device, _RDMA | _LOCALITY)]
    run.evidence.observe("interfaces without characteristics", bare[:_MOST_SHOWN])
    if bare:
        raise failed(
            "characteristics_missing",
            f"The slices name interface {bare[0]} but tell neither whether it can do RDMA nor where it is.",
        )


def _class(run: Run, found: list[Device]) -> Json:
    """Return the device class that selects interfaces; conclude as unknown where that is not clear."""
    wanted = run.settings.network.device_class
    classes = {_name(item): item for item in run.items(DEVICE_CLASSES) if wanted in (None, _name(item))}
    matching = {
        name: count
        for name, item in classes.items()
        if (count := sum(devices.matches(item, device) for device in found))
    }
    run.evidence.observe("device classes", matching)
    if not matching:
        raise unknown(
            "device_class_missing",
            f"No DeviceClass{f' {wanted}' if wanted else ''} selects the advertised interfaces; name one "
            "that does under `network.deviceClass` in the probe settings.",
        )
    # The widest class: a narrow one may be for a special purpose.
    return classes[max(matching, key=lambda name: (matching[name], name))]


@dataclass(frozen=True, slots=True)
class _End:
    """One pod of the exchange, with what it saw. `addresses` are those of the claimed interface."""

    node: str
    interface: str
    addresses: tuple[str, ...]
    report: Report


class _Exchange:
    """Two pods with an interface each."""

    def __init__(
        self, run: Run, nodes: Mapping[str, Json], found: Iterable[Device], device_class: str
    ) -> None:
        self._run = run
        self._nodes = nodes
        self._reachable = {(device.driver, device.pool, device.name): device for device in found}
        self._class = device_class
        self._used_nodes: set[str] = set()

    def prepare(self) -> None:
        """Create the template both claims are made from."""
        exactly = {"deviceClassName": self._class}
        inner = {"devices": {"requests": [{"name": "interface", "exactly": exactly}]}}
        metadata = {"labels": self._run.labels()}
        self._run.create(CLAIM_TEMPLATES, _TEMPLATE, {"spec": {"metadata": metadata, "spec": inner}})

    def start(self, name: str, environment: Mapping[str, str], *, apart_from: str = "") -> _End:
        """Start a pod with a claim, away from another, and return what it has and sees."""
        run = self._run
        values = {**environment, "PROBE_PORT": _PORT, "PROBE_STATE": _STATE, "PROBE_HOLD": _HOLD_SECONDS}
        container = Container("links", "links", Request(template=_TEMPLATE), values)
        body = pods.pod([container], run.image(), Placement((), self._tolerations()))
        role = "certportal.dev/role"
        if apart_from:
            term = {
                "labelSelector": {"matchLabels": {**run.labels(), role: apart_from}},
                "topologyKey": "kubernetes.io/hostname",
            }
            body["spec"]["affinity"] = {
                "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
            }
        run.create(PODS, name, {**body, "metadata": {"labels": {role: name}}})
        pod = await_start(run, name)
        if pod is None:
            raise self._without_place(name, self._used_nodes if apart_from else set())
        node = str(pods.node_of(pod))
        self._used_nodes.add(node)
        claim = self._claim(pod)
        device = self._allocated(claim)
        if node not in device.nodes:
            raise failed(
                "misplaced",
                f"Pod {name} runs on {node}, but the interface it was allocated belongs to "
                f"{', '.join(sorted(device.nodes))}.",
            )
        report = run.markers(name, "links", seconds=REPORT_SECONDS)
        return self._seen(name, node, pod, device, report)

    def _tolerations(self) -> tuple[Mapping[str, str], ...]:
        """Tolerate what keeps ordinary pods away from the nodes with interfaces."""
        taints = {
            (str(taint.get("key")), str(taint.get("effect")))
            for device in self._reachable.values()
            for node in device.nodes
            for taint in (self._nodes[node].get("spec") or {}).get("taints") or []
            if taint.get("effect") in {"NoSchedule", "NoExecute"}
        }
        return tuple({"key": key, "operator": "Exists", "effect": effect} for key, effect in sorted(taints))

    def _without_place(self, name: str, away_from: set[str]) -> Exception:
        """Return the conclusion where the scheduler found no place: all taken, or claims are not served."""
        held = self._held()
        free = [
            device.name
            for key, device in self._reachable.items()
            if key not in held and device.nodes - away_from
        ]
        self._run.evidence.observe("free interfaces", free[:_MOST_SHOWN])
        if not free:
            return unknown("no_free_interface", f"The scheduler found no free interface for pod {name}.")
        return failed(
            "never_allocated",
            f"Pod {name} was never placed although interfaces of class {self._class} are free.",
        )

    def _held(self) -> set[tuple[str, str, str]]:
        claims = self._run.items(RESOURCE_CLAIMS, everywhere=True)
        return {key for claim in claims for key in _keys(claim)}

    def _claim(self, pod: Json) -> Json:
        """Return the claim that was made for a pod; its name is generated."""
        for entry in (pod.get("status") or {}).get("resourceClaimStatuses") or []:
            if entry.get("resourceClaimName"):
                claim = self._run.get(RESOURCE_CLAIMS, str(entry["resourceClaimName"]))
                self._run.evidence.add_object(f"claim/{_name(pod)}", claim)
                return claim
        raise unknown("claim_unknown", f"Pod {_name(pod)} runs, but does not say which claim is its own.")

    def _allocated(self, claim: Json) -> Device:
        for key in _keys(claim):
            if key in self._reachable:
                return self._reachable[key]
        raise unknown(
            "device_unknown", "The claim was allocated a device that no slice tells of as an interface."
        )

    def _seen(self, name: str, node: str, pod: Json, device: Device, report: Report) -> _End:
        """Find the claimed interface among those the pod sees."""
        links = {
            marker.get("name"): marker for marker in report.all("link") if marker.get("when") == "before"
        }
        self._run.evidence.observe(
            f"links of {name}", {link: marker.get("addresses") for link, marker in links.items()}
        )
        own = {str(entry.get("ip")) for entry in (pod.get("status") or {}).get("podIPs") or []}
        others = {link: marker for link, marker in links.items() if not own & set(_addresses(marker))}
        claim = self._claim(pod)
        named = {str((entry.get("networkData") or {}).get("interfaceName")) for entry in _devices(claim)}
        named |= {str(value) for key, value in device.attributes.items() if _bare(key) in _INTERFACE}
        chosen = next((link for link in others if link in named), next(iter(others), None))
        if chosen is None:
            raise failed(
                "interface_missing",
                f"Pod {name} was allocated {device.name} but has no interface beside its ordinary one.",
            )
        addresses = _addresses(others[chosen])
        if not addresses:
            raise unknown(
                "no_address",
                f"Interface {chosen} of pod {name} has no IP address; data cannot be sent to it.",
            )
        return _End(node, chosen, addresses, report)

    def expect_transfer(self, server: _End, client: _End) -> None:
        """Conclude unless what the server sent arrived unchanged through the claimed interface."""
        served = next(iter(server.report.all("serve")), None)
        if served is None or served.get("listening") != "yes":
            raise unknown("probe_failed", "The probe could not serve anything over the interface.")
        arrived = [marker for marker in client.report.all("fetch") if marker.get("result") == "ok"]
        where = f"from {server.node} to {client.node} over {', '.join(server.addresses)}"
        if not arrived:
            raise failed("no_transfer", f"No data got {where}.")
        if all(marker.get("digest") != served.get("digest") for marker in arrived):
            raise failed("data_changed", f"Data changed on its way {where}.")
        received = _received(client, "after") - _received(client, "before")
        self._run.evidence.observe("transfer", {"bytes": PAYLOAD_BYTES, "through_interface": received})
        if _received(client, "before") >= 0 and received < PAYLOAD_BYTES:
            raise failed(
                "interface_bypassed",
                f"Data got {where}, but not through {client.interface}: it received {received} bytes.",
            )


def _received(end: _End, when: str) -> int:
    """Return the bytes the interface had received; -1 where nobody counts."""
    for marker in end.report.all("link"):
        if marker.get("when") == when and marker.get("name") == end.interface:
            text = marker.get("rx")
            return int(text) if text.isdigit() else -1
    return -1


def _addresses(marker: Marker) -> tuple[str, ...]:
    """Return the addresses of an interface, those that are none left out."""
    found = []
    for text in marker.get("addresses").split(","):
        try:
            found.append(str(ipaddress.ip_address(text)))
        except ValueError:
            continue
    return tuple(found)


def _name(item: Json) -> str:
    return str((item.get("metadata") or {}).get("name"))


def _devices(claim: Json) -> list[Json]:
    return list((claim.get("status") or {}).get("devices") or [])


def _keys(claim: Json) -> list[tuple[str, str, str]]:
    allocation = (claim.get("status") or {}).get("allocation") or {}
    return [
        (str(result.get("driver")), str(result.get("pool")), str(result.get("device")))
        for result in (allocation.get("devices") or {}).get("results") or []
    ]

"""One accelerator serves several pods, where that is offered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance import devices, pods, sharing
from conformance.checks import check
from conformance.conclusions import Concluded, failed, unknown
from conformance.identity import Identity
from conformance.pods import Container, Request
from conformance.resources import PODS
from conformance.rights import BASE, CLUSTER, DEVICES, on
from conformance.run import Run
from conformance.sharing import Offer
from conformance.starting import START_SECONDS, await_start
from conformance.verdicts import Status, Verdict

Json = dict[str, Any]

# Who holds the other shares matters only where a pod finds none.
OCCUPANCY = "occupancy"
_CONTAINER = "probe"
_HOLD_SECONDS = 900
_WAITING_SECONDS = 60.0
# Shares are spread over all devices before any device gets a second one.
_MOST_DEVICES = 8
_MOST_SHOWN = 50


@check(
    "gpu_sharing",
    since="1.35",
    deadline=900,
    rights=(
        *BASE,
        *DEVICES,
        *on("pods", "list", scope=CLUSTER, option=OCCUPANCY),
        *on("resourceclaims", "list", group="resource.k8s.io", scope=CLUSTER, option=OCCUPANCY),
    ),
    exclusive=True,
)
def gpu_sharing(run: Run) -> Verdict:
    """Where shares of an accelerator are offered, two pods on a node run on one physical device.

    Shares are partitions or devices that several claims may have, or resources handed out several
    times over. Pods with a share each are started on one node until two have the same device.

    KAR-0003. Where no shares are offered the requirement's condition does not hold.
    """
    nodes = devices.usable_nodes(run)
    found = sharing.offers(run, nodes)
    run.evidence.observe(
        "offers",
        [
            {
                "node": offer.node,
                "way": offer.way,
                "shares": offer.shares,
                "allocatable": offer.allocatable,
                "devices": offer.physical,
            }
            for offer in found[:_MOST_SHOWN]
        ],
    )
    if not found:
        return Verdict(
            Status.NOT_APPLICABLE,
            "not_offered",
            "No device, resource or node is advertised as one that several pods can share.",
        )
    return _Sharing(run, found[0], nodes).verdict()


class _Sharing:
    """Pods with a share each, all on the node of one offer."""

    def __init__(self, run: Run, offer: Offer, nodes: Mapping[str, Json]) -> None:
        self._run = run
        self._offer = offer
        self._placement = devices.placement_on(nodes, offer.node)
        self._request = Request()

    def verdict(self) -> Verdict:
        """Start pods until two share a device, or until they should have."""
        self._request = self._offer.prepare(self._run)
        most = min((self._offer.physical or _MOST_DEVICES) + 1, self._offer.shares)
        seen: dict[str, str] = {}
        for number in range(1, max(most, 2) + 1):
            name = f"share-{number}"
            device = self._device(name, first=number == 1)
            run_with = next((other for other, held in seen.items() if held == device), None)
            seen[name] = device
            self._run.evidence.observe("devices", dict(seen))
            if run_with is not None:
                return Verdict(
                    Status.PASS,
                    "shared",
                    f"Two pods on node {self._offer.node} ran at a time on the device {device} "
                    f"({self._offer.way}).",
                )
        message = f"{len(seen)} pods with a share each ({self._offer.way}) ran on as many devices"
        if self._offer.physical is None:
            raise unknown(
                "devices_not_counted", f"{message}; how many node {self._offer.node} has is not advertised."
            )
        raise failed("not_shared", f"{message}, although node {self._offer.node} advertises fewer.")

    def _device(self, name: str, *, first: bool) -> str:
        """Start a pod with a share, leave it running, and return the physical device it sees."""
        container = Container(_CONTAINER, "driver", self._request, {"PROBE_HOLD": str(_HOLD_SECONDS)})
        self._run.create(PODS, name, pods.pod([container], self._run.image(), self._placement))
        seconds = START_SECONDS if first else _WAITING_SECONDS
        if await_start(self._run, name, seconds=seconds) is None:
            raise self._without_place(name, first=first)
        seen = Identity.all_of(self._run.markers(name, _CONTAINER))
        if not seen:
            raise unknown(
                "device_not_recognised",
                f"Pod {name} was granted a share, but none of the device nodes known here appeared in it.",
            )
        if len(seen) > 1:
            raise unknown(
                "several_devices", f"Pod {name} was granted one share and sees {len(seen)} devices."
            )
        return seen[0].physical

    def _without_place(self, name: str, *, first: bool) -> Concluded:
        """Tell what it means that a pod found no share: whether none is free, or none is given."""
        offer = self._offer
        self._run.require(OCCUPANCY)
        taken = sharing.taken(self._run, offer)
        self._run.evidence.observe("shares taken", taken)
        if first or taken >= offer.shares:
            return unknown(
                "no_free_share",
                f"Of {offer.shares} shares on node {offer.node} ({offer.way}) {taken} are taken, and the "
                f"scheduler found none for pod {name}.",
            )
        return failed(
            "share_withheld",
            f"Node {offer.node} offers {offer.shares} shares ({offer.way}) of which {taken} are taken; a "
            "second pod stays pending all the same.",
        )

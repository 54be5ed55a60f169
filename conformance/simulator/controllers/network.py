"""The network's driver on each node: says in a claim's status which interface the pod got."""

from __future__ import annotations

from conformance.simulator.allocation import CLAIMS
from conformance.simulator.clock import stamp
from conformance.simulator.fabric import DRIVER, PREFIX_LENGTH, Fabric
from conformance.simulator.objects import Json, dig
from conformance.simulator.store import DELETED, Change
from conformance.simulator.world import Controller, World

ATTACH_SECONDS = 0.2


class NetworkDriver(Controller):
    name = DRIVER

    def __init__(self, world: World, fabric: Fabric) -> None:
        super().__init__(world)
        self._fabric = fabric

    def notice(self, change: Change) -> None:
        if change.key == CLAIMS and change.kind != DELETED and self._fabric.granted(change.obj):
            self.enqueue((change.namespace, change.name), ATTACH_SECONDS)

    def reconcile(self, key: tuple[str, str]) -> None:
        claim = self.store.get(CLAIMS, *key)
        if claim is None or "nic-not-attached" in self.world.faults:
            return
        if not dig(claim, "status", "reservedFor") or dig(claim, "status", "devices"):
            return
        devices: list[Json] = [
            {
                "driver": DRIVER,
                "pool": port.node,
                "device": port.device,
                "conditions": [
                    {
                        "type": "Ready",
                        "status": "True",
                        "reason": "NetworkDeviceReady",
                        "message": "the interface is in the pod",
                        "lastTransitionTime": stamp(),
                    }
                ],
                "networkData": {
                    "interfaceName": port.name,
                    "hardwareAddress": port.hardware_address,
                    "ips": [f"{port.address}/{PREFIX_LENGTH}"],
                },
            }
            for port in self._fabric.granted(claim)
        ]
        self.api.edit(CLAIMS, *key, lambda obj: obj["status"].update(devices=devices))

"""Model of the program that looks at network interfaces and moves data through them."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Callable

from conformance.simulator.network import Request, Response
from conformance.simulator.programs import Process, Run, models_program, seconds_of
from conformance.simulator.world import World

_OK = 200
_SERVER_SECONDS, _RETRY_SECONDS = 1.0, 1.0
_KIB = 1024
_OVERHEAD = 1.04
_HTTP = "/payload"


@dataclasses.dataclass(slots=True)
class _Link:
    """An interface as the pod sees it."""

    name: str
    address: str
    received: int
    sent: int

    def line(self, when: str) -> str:
        return (
            f"::probe link when={when} name={self.name} addresses={self.address} "
            f"rx={self.received} tx={self.sent}"
        )


@models_program("links")
def _links(process: Process) -> Run:
    return Run(first=("::probe begin program=links",), work=_Looking(process).work)


class _Looking:
    def __init__(self, process: Process) -> None:
        self._process = process
        self._variables = process.variables
        self._port = int(process.variables.get("PROBE_PORT") or "8080")
        self._links = [_Link("eth0", process.address, 1294, 1116)] if process.address else []
        fabric = process.world.fabric if process.world is not None else None
        if fabric is not None:
            self._links += [_Link(port.name, port.address, 0, 0) for port in fabric.attached(process.pod)]

    async def work(self, say: Callable[[str], None]) -> None:
        world = self._process.world
        for link in self._links:
            say(link.line("before"))
        payload = b""
        if wanted := self._variables.get("PROBE_SERVE"):
            payload = random.randbytes(int(wanted) // _KIB * _KIB)  # noqa: S311 - only to be moved
        listening = self._listen(world, payload) if payload and world is not None else []
        try:
            if payload and world is not None:
                await world.clock.sleep(_SERVER_SECONDS)
                digest = hashlib.sha256(payload).hexdigest()
                size = len(payload)
                say(f"::probe serve listening=yes port={self._port} size={size} digest={digest}")
            addresses = self._variables.get("PROBE_FETCH", "").split()
            for address in addresses:
                say(await self._fetch(world, address))
            for link in self._links if addresses else ():
                say(link.line("after"))
            say(f"::probe end links={len(self._links)}")
            if world is not None:
                await world.clock.sleep(seconds_of(self._variables.get("PROBE_HOLD") or "0"))
        finally:
            for address in listening:
                if world is not None:
                    world.network.close(address, self._port)

    def _listen(self, world: World, payload: bytes) -> list[str]:
        def answer(request: Request) -> Response:
            return Response(_OK, payload) if request.path == _HTTP else Response(404)

        for link in self._links:
            world.network.listen(link.address, self._port, answer)
        return [link.address for link in self._links]

    async def _fetch(self, world: World | None, address: str) -> str:
        left = seconds_of(self._variables.get("PROBE_PATIENCE") or "20")
        while world is not None:
            through = self._route(world, address)
            answer = (
                world.network.request(address, self._port, Request(path=_HTTP))
                if through is not None
                else None
            )
            if through is not None and answer is not None and answer.status == _OK:
                through.received += int(len(answer.body) * _OVERHEAD)
                body = answer.body if "nic-corrupts" not in world.faults else answer.body[:-1] + b"?"
                digest = hashlib.sha256(body).hexdigest()
                return f"::probe fetch from={address} result=ok size={len(body)} digest={digest}"
            if left <= 0:
                break
            await world.clock.sleep(_RETRY_SECONDS)
            left -= _RETRY_SECONDS
        return f"::probe fetch from={address} result=failed size=0 digest="

    def _route(self, world: World, address: str) -> _Link | None:
        """Return the interface packets to `address` leave by; None where none leads there."""
        if not self._links:
            return None
        if not address.startswith("10.64."):
            return self._links[0]
        if "nic-no-transfer" in world.faults:
            return None
        if "nic-bypassed" in world.faults:
            return self._links[0]
        return next((link for link in self._links if link.address.startswith("10.64.")), None)

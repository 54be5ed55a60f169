"""Models of the programs by which pods are scaled: a gauge, and the load that drives it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from conformance.simulator.fetching import fetch
from conformance.simulator.network import Request, Response
from conformance.simulator.programs import FOREVER, Process, Run, models_program, seconds_of

_OK, _NOT_FOUND = 200, 404
_PERIOD_SECONDS = 1.0


class _Gauge:
    """What `gauge` knows while it runs: when it last had work."""

    def __init__(self, process: Process) -> None:
        variables = process.variables
        self._world = process.world
        self.metric = variables.get("PROBE_METRIC") or "certportal_probe_load"
        self.port = int(variables.get("PROBE_PORT") or "8080")
        self._high = variables.get("PROBE_HIGH") or "100"
        self._idle = float(variables.get("PROBE_IDLE") or "10")
        self._worked: float | None = None

    def answer(self, request: Request) -> Response:
        path = request.path.partition("?")[0]
        if path == "/metrics":
            lines = (
                f"# HELP {self.metric} High while there is work.",
                f"# TYPE {self.metric} gauge",
                f"{self.metric} {self._high if self._is_working() else 0}",
            )
            media_type = "text/plain; version=0.0.4; charset=utf-8"
            return Response(
                _OK, "".join(f"{line}\n" for line in lines).encode(), {"Content-Type": media_type}
            )
        plain = {"Content-Type": "text/plain; charset=utf-8"}
        if request.path == "/work":
            self._worked = asyncio.get_running_loop().time()
            return Response(_OK, b"ok", plain)
        return Response(_NOT_FOUND, b"not found", plain)

    def _is_working(self) -> bool:
        if self._worked is None or self._world is None:
            return False
        past = asyncio.get_running_loop().time() - self._worked
        return past < self._world.clock.scaled(self._idle)


@models_program("gauge")
def _gauge(process: Process) -> Run:
    gauge = _Gauge(process)
    return Run(
        first=("::probe begin program=gauge", f"::probe serving metric={gauge.metric} port={gauge.port}"),
        seconds=FOREVER,
        listens={gauge.port: gauge.answer},
    )


@models_program("load")
def _load(process: Process) -> Run:
    return Run(first=("::probe begin program=load",), work=_Load(process).work)


class _Load:
    """What `load` does: a request a second."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def work(self, say: Callable[[str], None]) -> None:
        world, variables = self._process.world, self._process.variables
        left = seconds_of(variables.get("PROBE_PATIENCE") or "60")
        while not self._ask():
            if left <= 0 or world is None:
                say("::probe end reached=no")
                return
            await world.clock.sleep(_PERIOD_SECONDS)
            left -= _PERIOD_SECONDS
        say("::probe end reached=yes")
        left = seconds_of(variables.get("PROBE_HOLD") or "0")
        while left > 0 and world is not None:
            await world.clock.sleep(_PERIOD_SECONDS)
            self._ask()
            left -= _PERIOD_SECONDS

    def _ask(self) -> bool:
        process = self._process
        if process.world is None:
            return False
        answer = fetch(
            process.world,
            process.variables.get("PROBE_URL", ""),
            namespace=process.pod["metadata"]["namespace"],
            address=process.address,
        )
        return answer is not None and answer.status == _OK

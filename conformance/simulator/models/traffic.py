"""Models of the programs that serve and ask over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Mapping

from conformance.simulator.fetching import fetch
from conformance.simulator.network import Request, Response
from conformance.simulator.programs import FOREVER, Process, Run, encoded, models_program, seconds_of
from conformance.simulator.world import World

REQUEST_SECONDS = 0.02
RETRY_SECONDS = 1.0
_MOST_ROUNDS = 20
_OK = 200
_HUNDREDTHS = 5


class _Server:
    """What `serve` knows while it runs: how many requests it has had, and when the last ones came."""

    def __init__(self, variables: Mapping[str, str], world: World | None = None) -> None:
        self._world = world
        self._name = variables.get("PROBE_NAME") or "backend"
        self._label = variables.get("PROBE_LABEL") or "none"
        self._level = variables.get("PROBE_LEVEL") or "1"
        self._queue = variables.get("PROBE_QUEUE") or ""
        self._metric = variables.get("PROBE_METRIC") or ""
        self._window = int(variables.get("PROBE_WINDOW") or "10")
        self._total = 0
        self._times: deque[float] = deque(maxlen=2000)

    def _now(self) -> float:
        """Return the time in seconds of the cluster."""
        if self._world is None:
            return time.time()
        return asyncio.get_running_loop().time() / self._world.clock.scaled(1)

    def answer(self, request: Request) -> Response:
        path = request.path.partition("?")[0]
        if path == "/metrics":
            text = "".join(f"{line}\n" for line in self._metrics())
            return _answered(text, "text/plain; version=0.0.4; charset=utf-8")
        if request.path == "/health":
            return _answered("ok", "text/plain; charset=utf-8")
        self._total += 1
        self._times.append(self._now())
        message = {"role": "assistant", "content": "ok"}
        completion = {
            "object": "chat.completion",
            "model": "certportal-probe",
            "served_by": self._name,
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        return _answered(json.dumps(completion, separators=(",", ":")), "application/json")

    def _metrics(self) -> list[str]:
        total, run = self._total, f'run="{self._label}"'
        seconds = f"{total * _HUNDREDTHS // 100}.{total * _HUNDREDTHS % 100:02}"
        lines = [
            "# HELP certportal_probe_requests_total Requests to the model.",
            "# TYPE certportal_probe_requests_total counter",
            f"certportal_probe_requests_total{{{run}}} {total}",
            "# HELP certportal_probe_request_seconds How long requests took.",
            "# TYPE certportal_probe_request_seconds histogram",
            f'certportal_probe_request_seconds_bucket{{{run},le="0.01"}} 0',
            f'certportal_probe_request_seconds_bucket{{{run},le="0.1"}} {total}',
            f'certportal_probe_request_seconds_bucket{{{run},le="+Inf"}} {total}',
            f"certportal_probe_request_seconds_sum{{{run}}} {seconds}",
            f"certportal_probe_request_seconds_count{{{run}}} {total}",
            "# HELP certportal_probe_level A level set from outside.",
            "# TYPE certportal_probe_level gauge",
            f"certportal_probe_level{{{run}}} {self._level}",
        ]
        if self._metric:
            since = self._now() - self._window
            lately = sum(moment > since for moment in self._times)
            lines += [
                f"# HELP {self._metric} Requests to the model in the last {self._window} seconds.",
                f"# TYPE {self._metric} gauge",
                f"{self._metric}{{{run}}} {lately}",
            ]
        if self._queue:
            model = 'model_name="certportal-probe"'
            adapters = 'max_lora="0",running_lora_adapters="",waiting_lora_adapters=""'
            for name, labels, value in (
                ("num_requests_running", model, "0"),
                ("num_requests_waiting", model, self._queue),
                ("kv_cache_usage_perc", model, "0"),
                ("lora_requests_info", adapters, "1"),
                ("cache_config_info", 'block_size="16",num_gpu_blocks="1024"', "1"),
            ):
                lines += [f"# TYPE vllm:{name} gauge", f"vllm:{name}{{{labels}}} {value}"]
        return lines


def _answered(text: str, media_type: str) -> Response:
    return Response(_OK, text.encode(), {"Content-Type": media_type})


@models_program("serve")
def _serve(process: Process) -> Run:
    name = process.variables.get("PROBE_NAME") or "backend"
    port = int(process.variables.get("PROBE_PORT") or "8080")
    return Run(
        first=("::probe begin program=serve", f"::probe serving name={name} port={port}"),
        seconds=FOREVER,
        listens={port: _Server(process.variables, process.world).answer},
        drains=seconds_of(process.variables.get("PROBE_DRAIN") or "0"),
    )


@models_program("ask")
def _ask(process: Process) -> Run:
    return Run(first=("::probe begin program=ask",), work=_Client(process).work)


class _Client:
    """What `ask` does: wait until it is heard, then send its requests one after another."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._variables = process.variables

    def _number(self, name: str, usual: int) -> int:
        return int(self._variables.get(name) or usual)

    async def work(self, say: Callable[[str], None]) -> None:
        world = self._process.world
        if ready := self._variables.get("PROBE_READY"):
            left = float(self._number("PROBE_PATIENCE", 60))
            settled = 0
            while settled < self._number("PROBE_SETTLE", 3):
                status, _ = self._send(ready, b"")
                if status == _OK:
                    settled += 1
                    continue
                settled = 0
                if left <= 0 or world is None:
                    say(f"::probe end reached=no status={status} sent=0 answered=0")
                    return
                await world.clock.sleep(RETRY_SECONDS)
                left -= RETRY_SECONDS
        count, answered = self._number("PROBE_COUNT", 1), 0
        for number in range(1, count + 1):
            status, name = self._send(
                self._variables.get("PROBE_URL", ""), self._variables.get("PROBE_BODY", "").encode()
            )
            answered += status == _OK
            say(f"::probe answer n={number} status={status} by={encoded(name)}")
            if world is not None:
                await world.clock.sleep(REQUEST_SECONDS)
        say(f"::probe end reached=yes status=200 sent={count} answered={answered}")

    def _send(self, url: str, body: bytes) -> tuple[int, str]:
        """Return the status, 0 without an answer, and who says it answered."""
        answer = _sent(self._process, url, body)
        if answer is None:
            return 0, ""
        _, found, rest = answer.body.decode("utf-8", "replace").partition('"served_by":"')
        return int(answer.status), rest.partition('"')[0] if found and answer.status == _OK else ""


def _sent(process: Process, url: str, body: bytes) -> Response | None:
    """Send a request with the header the program is told to send."""
    if process.world is None:
        return None
    name, _, value = (process.variables.get("PROBE_HEADER") or "X-Probe: certportal").partition(":")
    headers = {name.strip(): value.strip()} | ({"Content-Type": "application/json"} if body else {})
    return fetch(
        process.world,
        url,
        namespace=process.pod["metadata"]["namespace"],
        address=process.address,
        method="POST" if body else "GET",
        headers=headers,
        body=body,
    )


@models_program("stream")
def _stream(process: Process) -> Run:
    return Run(first=("::probe begin program=stream",), work=_Stream(process).work)


class _Stream:
    """What `stream` does: so many requests, then a pause of a second, for as long as it is told."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._variables = process.variables

    def _ask(self) -> int:
        variables = self._variables
        answer = _sent(
            self._process, variables.get("PROBE_URL", ""), variables.get("PROBE_BODY", "").encode()
        )
        return int(answer.status) if answer is not None else 0

    async def work(self, say: Callable[[str], None]) -> None:
        world, variables = self._process.world, self._variables
        left = seconds_of(variables.get("PROBE_PATIENCE") or "60")
        while (status := self._ask()) != _OK:
            if left <= 0 or world is None:
                say(f"::probe end reached=no status={status}")
                return
            await world.clock.sleep(RETRY_SECONDS)
            left -= RETRY_SECONDS
        say("::probe reached")
        rate, sent, failed, last = int(variables.get("PROBE_RATE") or "1"), 0, 0, _OK
        hold = seconds_of(variables.get("PROBE_HOLD") or "0")
        began, rounds = asyncio.get_running_loop().time(), 0
        while rounds < hold and world is not None:
            # A machine under load wakes late; the pace is that of the cluster's clock all the same.
            due = int((asyncio.get_running_loop().time() - began) / world.clock.scaled(RETRY_SECONDS)) + 1
            for _ in range(min(due - rounds, _MOST_ROUNDS)):
                for status in (self._ask() for _ in range(rate)):
                    sent += 1
                    if status != _OK:
                        failed, last = failed + 1, status
                say(f"::probe tally sent={sent} failed={failed} status={last}")
            rounds = max(due, rounds)
            await world.clock.sleep(RETRY_SECONDS)
        say(f"::probe end reached=yes sent={sent} failed={failed}")

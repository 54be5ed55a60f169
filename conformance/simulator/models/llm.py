"""Models of a disaggregated serving stack: a router, and workers for prefill and decode."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus

from conformance.simulator.disaggregation import DECODE, HOME, PORT, PREFILL, ROLE_LABEL, WORKER_PORT
from conformance.simulator.network import Request, Response
from conformance.simulator.objects import Json, is_pod_ready, labels_of
from conformance.simulator.programs import FOREVER, Process, Run, models_image
from conformance.simulator.world import World

_COMPLETIONS = frozenset({"/v1/completions", "/v1/chat/completions"})


class _Logging:
    """A program that prints what it is asked for as long as it runs."""

    def __init__(self) -> None:
        self.say: Callable[[str], None] = lambda _line: None

    async def work(self, say: Callable[[str], None]) -> None:
        self.say = say
        await asyncio.Event().wait()


class _Worker(_Logging):
    def __init__(self, role: str, world: World) -> None:
        super().__init__()
        self._role = role
        self._world = world

    def answer(self, request: Request) -> Response:
        shown = request.headers.get("x-request-id", "")
        if "disaggregation-hides-ids" in self._world.faults:
            shown = "(hidden)"
        if not ("disaggregation-decodes-in-prefill" in self._world.faults and self._role == DECODE):
            self.say(f"INFO {self._role}: Received request {shown}: params: SamplingParams(max_tokens=1)")
        return Response(HTTPStatus.OK)


class _Router:
    def __init__(self, world: World) -> None:
        self._world = world

    def answer(self, request: Request) -> Response:
        if request.method != "POST" or request.path not in _COMPLETIONS:
            return _json({"error": {"message": "not found"}}, HTTPStatus.NOT_FOUND)
        if "disaggregation-wants-credentials" in self._world.faults:
            return _json({"error": {"message": "missing API key"}}, HTTPStatus.UNAUTHORIZED)
        if "disaggregation-answers-nothing" in self._world.faults:
            return _json({"object": "text_completion", "choices": []})
        if "disaggregation-request-fails" in self._world.faults:
            return _json({"error": {"message": "KV transfer failed"}}, HTTPStatus.INTERNAL_SERVER_ERROR)
        for role in (PREFILL, DECODE):
            if not self._pass_on(role, request):
                return _json({"error": {"message": f"no {role} worker"}}, HTTPStatus.SERVICE_UNAVAILABLE)
        choice = {"index": 0, "finish_reason": "length", "text": " ok"}
        return _json({"object": "text_completion", "choices": [choice]})

    def _pass_on(self, role: str, request: Request) -> bool:
        for pod in self._world.store.all("pods", HOME):
            if is_pod_ready(pod) and labels_of(pod).get(ROLE_LABEL) == role:
                answer = self._world.network.request(pod["status"]["podIP"], WORKER_PORT, request)
                return answer is not None and answer.status == HTTPStatus.OK
        return False


def _json(value: Json, status: int = HTTPStatus.OK) -> Response:
    return Response(int(status), json.dumps(value).encode(), {"Content-Type": "application/json"})


@models_image("llm-worker")
def _worker(process: Process) -> Run:
    arguments = list(process.container.get("args") or ())
    role = arguments[arguments.index("--role") + 1] if "--role" in arguments[:-1] else ""
    if process.world is None:
        return Run(seconds=FOREVER, on_term=0)
    worker = _Worker(role, process.world)
    is_ready = not (role == PREFILL and "disaggregation-never-ready" in process.world.faults)
    return Run(
        first=(f"INFO {role}: model loaded",),
        on_term=0,
        gets_ready=is_ready,
        listens={WORKER_PORT: worker.answer},
        work=worker.work,
    )


@models_image("llm-router")
def _router(process: Process) -> Run:
    if process.world is None:
        return Run(seconds=FOREVER, on_term=0)
    listens = {PORT: _Router(process.world).answer}
    if "disaggregation-router-down" in process.world.faults:
        listens = {}
    return Run(seconds=FOREVER, on_term=0, listens=listens)

"""A model of the endpoint picker of the inference extension: the emptiest server gets the request."""

from __future__ import annotations

import re
from http import HTTPStatus

from conformance.simulator.authorization import Attributes, Authorizer, service_account
from conformance.simulator.forwarding import DESTINATION, PICKER_PATH
from conformance.simulator.gatewayapi import POOL_GROUP, POOLS
from conformance.simulator.network import Request, Response
from conformance.simulator.objects import Json, dig, is_pod_ready, labels_of
from conformance.simulator.programs import FOREVER, Process, Run, models_image
from conformance.simulator.selectors import matches_label_selector
from conformance.simulator.world import World

_QUEUE = re.compile(r"^vllm:num_requests_waiting\{[^}]*\} (\S+)$", re.MULTILINE)
_USAGE = 2


@models_image("epp")
def _picker(process: Process) -> Run:
    options = _options(list(process.container.get("args") or ()))
    namespace = options.get("pool-namespace") or process.pod["metadata"]["namespace"]
    pool = options.get("pool-name", "")
    if process.world is None or not pool:
        return Run(first=("required 'pool-name' flag not set",), code=_USAGE, gets_ready=False)
    if refused := _refusal(process.world, process.pod, namespace):
        return Run(first=(refused,), seconds=FOREVER, on_term=0, gets_ready=False)
    if "picker-never-ready" in process.world.faults:
        return Run(first=("waiting for the pool",), seconds=FOREVER, on_term=0, gets_ready=False)
    world = process.world

    def answer(request: Request) -> Response:
        if request.path != PICKER_PATH:
            return Response(HTTPStatus.NOT_FOUND)
        choice = _choose(world, namespace, pool)
        headers = {DESTINATION: choice} if choice else {}
        return Response(HTTPStatus.OK if choice else HTTPStatus.SERVICE_UNAVAILABLE, b"", headers)

    port = int(options.get("grpc-port", "9002"))
    started = f"ext-proc server listening on port {port} for pool {namespace}/{pool}"
    return Run(first=(started,), seconds=FOREVER, on_term=0, listens={port: answer})


def _options(arguments: list[str]) -> dict[str, str]:
    """Return flags by name, given as ``--name value`` or ``--name=value``."""
    found: dict[str, str] = {}
    for index, argument in enumerate(arguments):
        if not argument.startswith("-"):
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        found[name] = value if equals else next(iter(arguments[index + 1 : index + 2]), "")
    return found


def _refusal(world: World, pod: Json, namespace: str) -> str:
    """Return what the picker logs where its service account may not see servers and pools."""
    account = str(pod["spec"]["serviceAccountName"])
    user = service_account(pod["metadata"]["namespace"], account)
    authorizer = Authorizer(world.store)
    objectives = "inference.networking.x-k8s.io"
    for group, resource in (
        ("", "pods"),
        (POOL_GROUP, "inferencepools"),
        (objectives, "inferenceobjectives"),
    ):
        for verb in ("get", "list", "watch"):
            wanted = Attributes(verb, group=group, resource=resource, namespace=namespace)
            if authorizer.allows(user, wanted) is None:
                return f'failed to {verb} {resource}: User "{user.name}" is forbidden'
    return ""


def _choose(world: World, namespace: str, name: str) -> str:
    pool = world.store.get(POOLS, namespace, name)
    if pool is None:
        return ""
    port = int(pool["spec"]["targetPorts"][0]["number"])
    found: list[tuple[float, str]] = []
    for pod in world.store.all("pods", namespace):
        address = dig(pod, "status", "podIP")
        if not is_pod_ready(pod) or not matches_label_selector(pool["spec"]["selector"], labels_of(pod)):
            continue
        answer = world.network.request(address, port, Request("GET", "/metrics"))
        queue = _QUEUE.search(answer.body.decode()) if answer is not None else None
        if queue is not None:
            found.append((float(queue[1]), f"{address}:{port}"))
    if not found:
        return ""
    # A picker with this defect reads the figures the wrong way round.
    return (max(found) if "picker-prefers-the-fullest" in world.faults else min(found))[1]

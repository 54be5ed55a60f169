"""Subresources that are more than a part of their object, and the reviews."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Any, Protocol

from aiohttp import web

from conformance.simulator import network, proxy, requests
from conformance.simulator.authorization import (
    Attributes,
    Authorizer,
    Tokens,
    User,
    review_attributes,
    service_account,
)
from conformance.simulator.clock import now, stamp
from conformance.simulator.errors import (
    ApiError,
    Json,
    bad_request,
    conflict,
    invalid,
    method_not_allowed,
    no_such_path,
    not_found,
    required,
)
from conformance.simulator.kinds import ResourceType
from conformance.simulator.machinery import Deletion
from conformance.simulator.objects import dig, set_condition
from conformance.simulator.requests import Target, is_true
from conformance.simulator.world import World

REVIEWS = {
    "localsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectreviews.authentication.k8s.io",
    "selfsubjectrulesreviews.authorization.k8s.io",
    "subjectaccessreviews.authorization.k8s.io",
}
DEFAULT_TOKEN_SECONDS = 3600


class LogSource(Protocol):
    """Where the output of containers comes from: the kubelet."""

    def read(self, pod: Json, container: str, *, previous: bool) -> list[tuple[str, str]]:
        """Return the lines so far, each with its time; raises ApiError where there are none to have."""

    def follow(self, pod: Json, container: str, after: int) -> AsyncGenerator[tuple[str, str], None]:
        """Yield the lines after the first `after` as they come, until the container ends."""


class Subresources:
    def __init__(self, world: World, authorizer: Authorizer, tokens: Tokens, logs: LogSource) -> None:
        self._world = world
        self._authorizer = authorizer
        self._tokens = tokens
        self._logs = logs

    async def answer(self, request: web.Request, kind: ResourceType, where: Target) -> web.StreamResponse:
        if where.subresource not in kind.subresources:
            raise no_such_path()
        if where.subresource == "proxy":
            return await self._proxy(request, where)
        return await self._of_object(request, kind, where)

    async def _of_object(self, request: web.Request, kind: ResourceType, where: Target) -> web.StreamResponse:
        namespace = where.namespace if kind.namespaced else ""
        obj = self._world.api.get(kind, namespace, where.name)
        if where.subresource == "log":
            if request.method != "GET":
                raise method_not_allowed()
            return await self._log(request, obj)
        if where.subresource == "scale":
            return await self._scale(request, kind, obj)
        value = await requests.body(request)
        if not isinstance(value, dict):
            raise bad_request("the request body must be an object")
        if where.subresource == "finalize":
            return self._finalize(obj, value)
        if request.method != "POST":
            raise method_not_allowed()
        if where.subresource == "binding":
            return self._bind(obj, value)
        if where.subresource == "eviction":
            return self._evict(kind, obj, value)
        return self._token(obj, value)

    # Pods

    async def _log(self, request: web.Request, pod: Json) -> web.StreamResponse:
        query = request.query
        container = _chosen_container(pod, query.get("container"))
        lines = self._logs.read(pod, container, previous=is_true(query.get("previous")))
        seen = len(lines)
        if "sinceSeconds" in query:
            since = now() - dt.timedelta(seconds=_count(query["sinceSeconds"]))
            lines = [line for line in lines if line[0] >= since.strftime("%Y-%m-%dT%H:%M:%S.%fZ")]
        if "tailLines" in query:
            tail = _count(query["tailLines"])
            lines = lines[-tail:] if tail else []
        stamped = is_true(query.get("timestamps"))
        text = "".join(_line(entry, stamped=stamped) for entry in lines)
        if "limitBytes" in query:
            text = text.encode()[: _count(query["limitBytes"])].decode(errors="ignore")
        headers = {"Content-Type": "text/plain"}
        if not is_true(query.get("follow")):
            return web.Response(text=text, headers=headers)
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        followed = self._logs.follow(pod, container, seen)
        async with contextlib.aclosing(followed):
            with contextlib.suppress(ConnectionResetError):
                await response.write(text.encode())
                async for entry in followed:
                    await response.write(_line(entry, stamped=stamped).encode())
                await response.write_eof()
        return response

    def _bind(self, pod: Json, value: Json) -> web.Response:
        metadata = pod["metadata"]
        node = dig(value, "target", "name", default="")
        if pod["spec"].get("nodeName"):
            why = f'pod {metadata["name"]} is already assigned to node "{pod["spec"]["nodeName"]}"'
            raise conflict("", "pods/binding", metadata["name"], why)
        if self._world.store.get("nodes", "", node) is None:
            raise not_found("", "nodes", node)

        def change(obj: Json) -> None:
            obj["spec"]["nodeName"] = node
            set_condition(obj["status"].setdefault("conditions", []), "PodScheduled", "True")

        self._world.api.edit("pods", metadata["namespace"], metadata["name"], change)
        return _success(HTTPStatus.CREATED)

    def _evict(self, kind: ResourceType, pod: Json, value: Json) -> web.Response:
        options = value.get("deleteOptions") or {}
        deletion = Deletion(grace_seconds=options.get("gracePeriodSeconds"))
        self._world.api.delete(kind, pod["metadata"]["namespace"], pod["metadata"]["name"], deletion)
        return _success(HTTPStatus.CREATED)

    # Services

    async def _proxy(self, request: web.Request, where: Target) -> web.Response:
        """Hand a request on to a program behind a Service."""
        headers = {key.lower(): value for key, value in request.headers.items() if key != "Authorization"}
        query = f"?{request.query_string}" if request.query_string else ""
        asked = network.Request(request.method, f"/{where.rest}{query}", headers, await request.read())
        answer = proxy.ask(self._world.store, self._world.network, where.namespace, where.name, asked)
        return web.Response(body=answer.body, status=answer.status, headers=dict(answer.headers))

    # Others

    def _finalize(self, namespace: Json, value: Json) -> web.Response:
        finalizers = dig(value, "spec", "finalizers", default=[])
        name = namespace["metadata"]["name"]
        edited = self._world.api.edit(
            "namespaces", "", name, lambda obj: obj["spec"].update(finalizers=finalizers)
        )
        return _json(edited or namespace)

    async def _scale(self, request: web.Request, kind: ResourceType, obj: Json) -> web.Response:
        metadata = obj["metadata"]
        if request.method != "GET":
            value = await requests.body(request)
            replicas = dig(value, "spec", "replicas")
            if request.method == "POST" or not isinstance(replicas, int) or replicas < 0:
                raise invalid("autoscaling", "Scale", metadata["name"], [required("spec.replicas")])
            edited = self._world.api.edit(
                kind.key,
                metadata["namespace"],
                metadata["name"],
                lambda stored: stored["spec"].update(replicas=replicas),
            )
            obj = edited or obj
        names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        selector = dig(obj, "spec", "selector", "matchLabels", default={})
        return _json(
            {
                "kind": "Scale",
                "apiVersion": "autoscaling/v1",
                "metadata": {name: obj["metadata"][name] for name in names},
                "spec": {"replicas": obj["spec"].get("replicas", 0)},
                "status": {
                    "replicas": dig(obj, "status", "replicas", default=0),
                    "selector": ",".join(f"{key}={value}" for key, value in sorted(selector.items())),
                },
            }
        )

    def _token(self, account: Json, value: Json) -> web.Response:
        metadata = account["metadata"]
        seconds = dig(value, "spec", "expirationSeconds", default=DEFAULT_TOKEN_SECONDS)
        expires = now() + dt.timedelta(seconds=seconds)
        user = service_account(metadata["namespace"], metadata["name"], metadata["uid"])
        token = self._tokens.issue(user, expires=expires)
        return _json(
            {
                "kind": "TokenRequest",
                "apiVersion": "authentication.k8s.io/v1",
                "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
                "spec": {"expirationSeconds": seconds, "audiences": ["https://kubernetes.default.svc"]},
                "status": {"token": token, "expirationTimestamp": stamp(expires)},
            },
            HTTPStatus.CREATED,
        )

    async def review(
        self, request: web.Request, kind: ResourceType, where: Target, user: User
    ) -> web.Response:
        if request.method != "POST":
            raise method_not_allowed()
        value = requests.checked_object(kind, where.version, await requests.body(request))
        spec = value.get("spec") or {}
        status: Json
        if kind.plural == "selfsubjectreviews":
            status = {"userInfo": user.info()}
        elif kind.plural == "selfsubjectrulesreviews":
            status = self._rules(user, str(spec.get("namespace") or "default"))
        else:
            subject = user
            if kind.plural != "selfsubjectaccessreviews":
                subject = User(str(spec.get("user", "")), tuple(spec.get("groups") or ()))
            status = self._access(subject, review_attributes(spec))
        return _json({**value, "metadata": {"creationTimestamp": None}, "status": status}, HTTPStatus.CREATED)

    def _access(self, user: User, wanted: Attributes) -> Json:
        reason = self._authorizer.allows(user, wanted)
        return {"allowed": True, "reason": reason} if reason is not None else {"allowed": False}

    def _rules(self, user: User, namespace: str) -> Json:
        rules = self._authorizer.rules(user, namespace)
        return {
            "resourceRules": [rule for rule in rules if "resources" in rule],
            "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
            "incomplete": False,
        }


def _chosen_container(pod: Json, wanted: str | None) -> str:
    spec, name = pod["spec"], pod["metadata"]["name"]
    names = [str(container["name"]) for container in spec["containers"]]
    inits = [str(container["name"]) for container in spec.get("initContainers") or ()]
    if wanted is None:
        if len(names) > 1:
            shown = f"[{' '.join(names)}]"
            message = f"a container name must be specified for pod {name}, choose one of: {shown}"
            if inits:
                message += f" or one of the init containers: [{' '.join(inits)}]"
            raise bad_request(message)
        return names[0]
    if wanted not in {*names, *inits}:
        raise bad_request(f"container {wanted} is not valid for pod {name}")
    return wanted


def _line(entry: tuple[str, str], *, stamped: bool) -> str:
    moment, text = entry
    return f"{moment} {text}\n" if stamped else f"{text}\n"


def _count(text: str) -> int:
    try:
        return max(int(text), 0)
    except ValueError:
        raise ApiError(HTTPStatus.BAD_REQUEST, "BadRequest", f"invalid number {text!r}") from None


def _json(value: Any, status: int = HTTPStatus.OK) -> web.Response:
    text = json.dumps(value, separators=(",", ":"))
    return web.Response(text=text, status=int(status), content_type="application/json")


def _success(status: int) -> web.Response:
    return _json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}, status)

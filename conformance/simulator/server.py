"""The HTTP face of the simulated API server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from conformance.simulator import (
    decoding,
    discovery,
    escalation,
    openapi,
    patching,
    requests,
    subresources,
    tables,
)
from conformance.simulator.authorization import Attributes, Authorizer, Tokens, User, refusal
from conformance.simulator.errors import (
    ApiError,
    Json,
    bad_request,
    internal,
    method_not_allowed,
    no_such_path,
    unsupported_media_type,
)
from conformance.simulator.kinds import ResourceType
from conformance.simulator.listing import listed, watched
from conformance.simulator.machinery import Deletion, Options
from conformance.simulator.objects import without_empty
from conformance.simulator.profiles import Profile
from conformance.simulator.requests import Target, is_true
from conformance.simulator.roughness import Roughness
from conformance.simulator.world import World

logger = logging.getLogger(__name__)

_SAFE_RESOURCES = {"namespaces", "selfsubjectaccessreviews", "selfsubjectrulesreviews"}


def _respond(body: Json, status: int = HTTPStatus.OK, media_type: str = "application/json") -> web.Response:
    text = json.dumps(body, separators=(",", ":"))
    return web.Response(text=text, status=int(status), headers={"Content-Type": media_type})


class ApiServer:
    """Answers requests against one world. `version` is the answer to ``/version``."""

    def __init__(self, world: World, profile: Profile, version: Json, logs: subresources.LogSource) -> None:
        self.world = world
        self.profile = profile
        self.version = version
        self.tokens = Tokens()
        self.authorizer = Authorizer(world.store)
        self.logs = logs
        self.roughness = Roughness(world, profile.manners)
        self._subresources = subresources.Subresources(world, self.authorizer, self.tokens, logs)

    def application(self) -> web.Application:
        application = web.Application(client_max_size=requests.MAX_BODY)
        application.router.add_route("*", "/{path:.*}", self.handle)
        return application

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except ApiError as error:
            response = _respond(error.status(), error.code)
            if error.code == HTTPStatus.UNAUTHORIZED:
                response.headers["WWW-Authenticate"] = 'Basic realm="kubernetes-master"'
            if error.code == HTTPStatus.TOO_MANY_REQUESTS:
                response.headers["Retry-After"] = str((error.details or {}).get("retryAfterSeconds", 1))
            return response
        except (ConnectionResetError, asyncio.CancelledError):
            raise
        except Exception as error:
            logger.exception("a request failed: %s %s", request.method, request.path)
            return _respond(internal(str(error)).status(), HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        user = requests.user(request, self.tokens, self.authorizer)
        path = request.path
        where = requests.target(path)
        wanted = requests.attributes(request.method, path, where, request.query)
        self.world.requests[f"{wanted.verb} {wanted.full_resource or wanted.path}"] += 1
        if self.authorizer.allows(user, wanted) is None:
            self.world.refused[f"{wanted.verb} {wanted.full_resource or wanted.path}"] += 1
            raise refusal(user, wanted)
        await self._interfere(wanted)
        await self.roughness.meet(user, wanted)
        response = await self._dispatched(request, where, user, wanted)
        if not response.prepared:
            for warning in self.roughness.warnings(wanted):
                response.headers.add("Warning", f"299 - {json.dumps(warning)}")
        return response

    async def _dispatched(
        self, request: web.Request, where: Target | None, user: User, wanted: Attributes
    ) -> web.StreamResponse:
        path = request.path
        if where is None:
            return self._document(request, path)
        if (extension := self.world.types.extensions.get(where.group)) is not None:
            return _respond(extension.answer(request.method, where, request.query))
        return await self._resource(request, where, user, wanted)

    async def _resource(
        self, request: web.Request, where: Target, user: User, wanted: Attributes
    ) -> web.StreamResponse:
        """Answer a request about what is stored here, or about a part of it."""
        kind = requests.resource(self.world.types, where)
        if where.subresource not in {"", "status"}:
            return await self._subresources.answer(request, kind, where)
        if kind.key in subresources.REVIEWS:
            return await self._subresources.review(request, kind, where, user)
        if wanted.verb not in kind.verbs and not where.subresource:
            raise method_not_allowed()
        if request.method == "GET":
            return await self._read(request, kind, where)
        if request.method == "DELETE":
            return await self._delete(request, kind, where)
        return await self._write(request, kind, where, user)

    async def _interfere(self, wanted: Attributes) -> None:
        """Fail or stall a request where the profile says so; clean-up stays possible."""
        if wanted.path:
            return
        for interception in self.profile.interceptions:
            names = {wanted.resource, wanted.full_resource}
            if not any(interception.concerns(wanted.verb, name) for name in names):
                continue
            if interception.resource == "*" and wanted.resource in _SAFE_RESOURCES:
                continue
            if interception.code is None:
                await asyncio.Event().wait()
            reason = "InternalError" if interception.code == HTTPStatus.INTERNAL_SERVER_ERROR else ""
            raise ApiError(interception.code or 0, reason, "etcdserver: request timed out", {})

    # Documents outside the resources

    def _document(self, request: web.Request, path: str) -> web.Response:
        if request.method not in {"GET", "HEAD"}:
            raise method_not_allowed()
        bare = path.rstrip("/")
        if bare == "/version":
            return _respond(self.version)
        if bare in {"/healthz", "/livez", "/readyz"}:
            return web.Response(text="ok")
        if bare.startswith("/openapi"):
            return self._openapi(bare)
        return self._discovery(request, bare)

    def _discovery(self, request: web.Request, path: str) -> web.Response:
        types, accept = self.world.types, request.headers.get("Accept", "")
        if path in {"/api", "/apis"} and discovery.AGGREGATED.search(accept):
            body, media_type = discovery.aggregated(types, core=path == "/api", accept=accept)
            return _respond(body, media_type=media_type)
        parts = path.strip("/").split("/")
        found: Json | None = None
        match parts:
            case ["api"]:
                found = discovery.core_versions()
            case ["apis"]:
                found = discovery.group_list(types)
            case ["api", version]:
                found = discovery.resource_list(types, "", version)
            case ["apis", group]:
                found = discovery.group(types, group)
            case ["apis", group, version]:
                found = discovery.resource_list(types, group, version)
            case _:
                found = None
        if found is None:
            raise no_such_path()
        return _respond(found)

    def _openapi(self, path: str) -> web.Response:
        if path == "/openapi/v3":
            return _respond(openapi.index(self.world.types, discovery.groups(self.world.types)))
        parts = path.removeprefix("/openapi/v3/").split("/")
        version = str(self.version["gitVersion"])
        document: Json | None = None
        match parts:
            case ["api", name]:
                document = openapi.document(self.world.types, "", name, version)
            case ["apis", group, name]:
                document = openapi.document(self.world.types, group, name, version)
            case _:
                document = None
        if document is None:
            raise no_such_path()
        return _respond(document)

    # Reading

    async def _read(self, request: web.Request, kind: ResourceType, where: Target) -> web.StreamResponse:
        shape = _shape(request, kind, where)
        as_table = _tabulated(request, kind, where) if tables.is_wanted(_accepted(request)) else None
        if is_true(request.query.get("watch")):
            each = as_table.event if as_table is not None else shape(in_list=False)
            longest = self.roughness.watch_seconds
            lines = watched(self.world.store, kind, where, request.query, each, longest=longest)
            return await _streamed(request, lines)
        if where.name:
            namespace = where.namespace if kind.namespaced else ""
            obj = self.world.api.get(kind, namespace, where.name)
            return _respond(as_table.single(obj) if as_table is not None else shape(in_list=False)(obj))
        if as_table is not None:
            return _respond(
                as_table.listing(listed(self.world.store, kind, where, request.query, _unchanged))
            )
        document = listed(self.world.store, kind, where, request.query, shape(in_list=True))
        if _wants_metadata_only(request):
            document |= {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
        return _respond(document)

    # Writing

    async def _write(
        self, request: web.Request, kind: ResourceType, where: Target, user: User
    ) -> web.Response:
        options = _options(request)
        value = await requests.body(request)
        namespace = where.namespace if kind.namespaced else ""
        status = where.subresource == "status"
        code = HTTPStatus.OK
        if request.method == "POST":
            if where.name:
                raise method_not_allowed()
            obj = _decoded(kind, where, value, options)
            self._check_grant(user, kind, obj, namespace)
            obj = self.world.api.create(kind, obj, namespace, options)
            code = HTTPStatus.CREATED
        elif not where.name:
            raise method_not_allowed()
        elif request.method == "PUT":
            obj = _decoded(kind, where, value, options)
            self._check_grant(user, kind, obj, namespace)
            obj = self.world.api.update(kind, obj, namespace, where.name, status=status, options=options)
        else:
            obj, is_new = self._patch(request, kind, where, value, options)
            code = HTTPStatus.CREATED if is_new else HTTPStatus.OK
        response = _respond(_shape(request, kind, where)(in_list=False)(obj), code)
        is_ignoring = request.query.get("fieldValidation") == "Ignore"
        for warning in options.warnings:
            if is_ignoring and warning.startswith("unknown field"):
                continue
            response.headers.add("Warning", f"299 - {json.dumps(warning)}")
        return response

    def _check_grant(self, user: User, kind: ResourceType, obj: Json, namespace: str) -> None:
        escalation.check(
            user, obj, kind=kind, place=namespace, store=self.world.store, authorizer=self.authorizer
        )

    def _patch(
        self, request: web.Request, kind: ResourceType, where: Target, value: Any, options: Options
    ) -> tuple[Json, bool]:
        api, media_type = self.world.api, request.content_type
        namespace = where.namespace if kind.namespaced else ""
        status = where.subresource == "status"
        if media_type == requests.APPLY_PATCH:
            manager = request.query.get("fieldManager")
            if not manager:
                raise bad_request(
                    "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: "
                    "is required for apply patch"
                )
            config = _decoded(kind, where, value, options, applied=True)
            force = is_true(request.query.get("force"))
            return api.apply(
                kind,
                config,
                namespace,
                where.name,
                manager=manager,
                force=force,
                status=status,
                options=options,
            )
        changes: dict[str, Callable[[Json], Json]] = {
            requests.JSON_PATCH: lambda obj: dict(patching.json_patch(obj, value)),
            requests.MERGE_PATCH: lambda obj: dict(patching.merge_patch(obj, value)),
        }
        if not kind.custom:
            changes[requests.STRATEGIC_PATCH] = lambda obj: dict(patching.strategic_merge(obj, value))
        if media_type not in changes:
            raise unsupported_media_type(sorted([*changes, requests.APPLY_PATCH]))
        patch = changes[media_type]

        def change(obj: Json) -> Json:
            shown = {**obj, "apiVersion": kind.api_version(where.version)}
            return _decoded(kind, where, patch(shown), options)

        return api.patch(kind, namespace, where.name, change, status=status, options=options), False

    async def _delete(self, request: web.Request, kind: ResourceType, where: Target) -> web.Response:
        deletion = _deletion(request.query, await requests.body(request))
        api, namespace = self.world.api, where.namespace if kind.namespaced else ""
        if not where.name:
            document = listed(
                self.world.store, kind, where, request.query, _shape(request, kind, where)(in_list=True)
            )
            for item in document["items"]:
                home = str(item["metadata"].get("namespace", ""))
                with contextlib.suppress(ApiError):
                    api.delete(kind, home, item["metadata"]["name"], deletion)
            return _respond(document)
        obj, is_gone = api.delete(kind, namespace, where.name, deletion)
        if not is_gone or kind.returns_deleted:
            return _respond(_shape(request, kind, where)(in_list=False)(obj))
        details = {
            "name": where.name,
            "group": kind.group,
            "kind": kind.plural,
            "uid": obj["metadata"]["uid"],
        }
        success: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return _respond({**success, "details": without_empty(details)})


def _decoded(
    kind: ResourceType, where: Target, value: Any, options: Options, *, applied: bool = False
) -> Json:
    """Return a request's object as its kind holds it; what the kind has no field for is told or refused."""
    obj = requests.checked_object(kind, where.version, value)
    version = kind.api_version(where.version)
    obj, unknown = decoding.decoded(version, obj)
    if unknown and applied:
        fields = ", ".join(f".{path}: field not declared in schema" for path in unknown)
        raise bad_request(f"failed to create typed patch object ({version}, Kind={kind.kind}): {fields}")
    if unknown and options.strict:
        raise decoding.strict_error(version, kind.kind, unknown)
    options.warnings.extend(f'unknown field "{path}"' for path in unknown)
    return obj if kind.custom else {**obj, "apiVersion": kind.api_version()}


def _options(request: web.Request) -> Options:
    query = request.query
    dry_run = query.get("dryRun")
    if dry_run not in {None, "", "All"}:
        raise bad_request(f'dryRun: Unsupported value: "{dry_run}": supported values: "All"')
    validation = query.get("fieldValidation") or "Warn"
    if validation not in {"Ignore", "Warn", "Strict"}:
        supported = '"Ignore", "Strict", "Warn"'
        raise bad_request(
            f'fieldValidation: Unsupported value: "{validation}": supported values: {supported}'
        )
    agent = request.headers.get("User-Agent", "").partition("/")[0]
    # A server-side apply writes its managed fields itself.
    is_applying = request.content_type == requests.APPLY_PATCH
    manager = "" if is_applying else query.get("fieldManager") or agent or "unknown"
    return Options(dry_run=dry_run == "All", strict=validation == "Strict", manager=manager)


def _deletion(query: Mapping[str, str], value: Any) -> Deletion:
    given = value if isinstance(value, dict) else {}
    preconditions = given.get("preconditions") or {}
    grace = given.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    propagation = given.get("propagationPolicy", query.get("propagationPolicy"))
    orphan = given.get("orphanDependents", query.get("orphanDependents"))
    if propagation is None and orphan is not None:
        propagation = "Orphan" if orphan in {True, "true"} else "Background"
    dry_run = given.get("dryRun") or ([query["dryRun"]] if "dryRun" in query else [])
    try:
        seconds = None if grace is None else int(grace)
    except ValueError:
        raise bad_request(f"invalid gracePeriodSeconds {grace!r}") from None
    return Deletion(
        grace_seconds=seconds,
        propagation=propagation,
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        dry_run="All" in dry_run,
    )


def _accepted(request: web.Request) -> str:
    return request.headers.get("Accept", "")


def _wants_metadata_only(request: web.Request) -> bool:
    return "as=PartialObjectMetadata" in _accepted(request)


def _unchanged(obj: Json) -> Json:
    return obj


def _tabulated(request: web.Request, kind: ResourceType, where: Target) -> tables.Tabulator:
    return tables.Tabulator(kind, where.version, request.query.get("includeObject") or "Metadata")


def _shape(request: web.Request, kind: ResourceType, where: Target) -> Callable[..., Callable[[Json], Json]]:
    """Return how an object is shown to this client, in the version it asked for."""
    version = kind.api_version(where.version)
    if _wants_metadata_only(request):
        head = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
        return lambda **_: lambda obj: {**head, "metadata": obj["metadata"]}

    def choose(*, in_list: bool) -> Callable[[Json], Json]:
        if in_list and not kind.custom:
            # Typed lists name the kind once, in the list itself.
            return lambda obj: {key: value for key, value in obj.items() if key not in {"apiVersion", "kind"}}
        return lambda obj: obj if obj["apiVersion"] == version else {**obj, "apiVersion": version}

    return choose


async def _streamed(request: web.Request, lines: AsyncGenerator[bytes, None]) -> web.StreamResponse:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    async with contextlib.aclosing(lines):
        try:
            async for line in lines:
                await response.write(line)
            await response.write_eof()
        except ConnectionResetError:
            logger.debug("a watcher left")
    return response

"""Reading a request: what it is about, who sends it, what its body says."""

from __future__ import annotations

import dataclasses
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

import yaml
from aiohttp import web

from conformance.simulator import protobuf
from conformance.simulator.authorization import (
    ANONYMOUS,
    Attributes,
    Authorizer,
    Tokens,
    User,
    refusal,
    service_account,
)
from conformance.simulator.errors import (
    ApiError,
    Json,
    bad_request,
    no_such_path,
    unauthorized,
    unsupported_media_type,
)
from conformance.simulator.kinds import ResourceType, Types

MAX_BODY = 3 * 1024 * 1024
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
_TRUE = {"true", "1", ""}
_METHOD_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_GROUP_DEPTH, _CORE_DEPTH = 3, 2
_SERVICE_ACCOUNT_PARTS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """The part of a path below ``/api/v1`` or ``/apis/GROUP/VERSION``."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""


def target(path: str) -> Target | None:
    """Return what an API path addresses, or None for a path outside the resources."""
    parts = [urllib.parse.unquote(part) for part in path.strip("/").split("/")]
    if parts[0] == "api" and len(parts) > _CORE_DEPTH:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > _GROUP_DEPTH:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    # /namespaces/x/pods is inside x; /namespaces/x, with or without a subresource, is x itself.
    own, (first, *_) = rest[2:3], rest
    if first == "namespaces" and own and (group or own[0] not in {"status", "finalize"}):
        namespace, rest = rest[1], rest[2:]
    elif first == "namespaces" and not group and len(rest) > 1:
        namespace = rest[1]
    fields = [*rest, "", "", ""]
    return Target(group, version, fields[0], namespace, fields[1], fields[2], "/".join(rest[3:]))


def is_true(value: str | None) -> bool:
    return value is not None and value.lower() in _TRUE


def verb(method: str, where: Target, query: Mapping[str, str]) -> str:
    """Return the RBAC verb of a request."""
    if method in _METHOD_VERBS:
        return _METHOD_VERBS[method]
    if method == "DELETE":
        return "delete" if where.name else "deletecollection"
    if is_true(query.get("watch")):
        return "watch"
    return "get" if where.name else "list"


def attributes(method: str, path: str, where: Target | None, query: Mapping[str, str]) -> Attributes:
    if where is None:
        return Attributes(verb=method.lower(), path=path)
    name = where.name
    selector = query.get("fieldSelector", "")
    if not name and selector.startswith("metadata.name="):
        # RBAC lets a list or watch of a single named object pass as that object.
        name = selector.removeprefix("metadata.name=").partition(",")[0]
    return Attributes(
        verb=verb(method, where, query),
        group=where.group,
        version=where.version,
        resource=where.plural,
        subresource=where.subresource,
        namespace=where.namespace,
        name=name,
    )


def user(request: web.Request, tokens: Tokens, authorizer: Authorizer) -> User:
    """Return who sends a request, or whom the sender asks, and is allowed, to be taken for."""
    header = request.headers.get("Authorization", "")
    if not header:
        return ANONYMOUS
    scheme, _, token = header.partition(" ")
    found = tokens.user(token.strip()) if scheme.lower() == "bearer" else None
    if found is None:
        raise unauthorized()
    return _impersonated(request, found, authorizer) if "Impersonate-User" in request.headers else found


def _impersonated(request: web.Request, sender: User, authorizer: Authorizer) -> User:
    name = request.headers["Impersonate-User"]
    groups = request.headers.getall("Impersonate-Group", [])
    parts = name.split(":")
    if parts[:2] == ["system", "serviceaccount"] and len(parts) == _SERVICE_ACCOUNT_PARTS:
        wanted = User(name, (*groups,)) if groups else service_account(parts[2], parts[3])
        asked = [Attributes("impersonate", resource="serviceaccounts", namespace=parts[2], name=parts[3])]
    else:
        wanted = User(name, (*groups, "system:authenticated"))
        asked = [Attributes("impersonate", resource="users", name=name)]
    asked += [Attributes("impersonate", resource="groups", name=group) for group in groups]
    for attributes in asked:
        if authorizer.allows(sender, attributes) is None:
            raise refusal(sender, attributes)
    return wanted


async def body(request: web.Request) -> Any:
    """Return the parsed body, whichever way it is written down."""
    kind = request.content_type
    try:
        data = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise ApiError(413, "RequestEntityTooLarge", f"limit is {MAX_BODY}") from error
    if not data:
        return None
    if kind in {"application/yaml", APPLY_PATCH}:
        try:
            return yaml.safe_load(data)
        except yaml.YAMLError as error:
            raise bad_request(f"error decoding YAML: {error}") from error
    if kind == protobuf.MEDIA_TYPE:
        try:
            return protobuf.decode(data)
        except protobuf.ProtobufError as error:
            raise bad_request(f"error decoding protobuf: {error}") from error
    if kind not in {"application/json", JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, "application/octet-stream"}:
        raise unsupported_media_type(["application/json", "application/yaml", protobuf.MEDIA_TYPE])
    try:
        return json.loads(data)
    except ValueError as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error


def checked_object(kind: ResourceType, version: str, value: Any) -> Json:
    """Return a request's object after comparing apiVersion and kind with the address."""
    if not isinstance(value, dict):
        raise bad_request("the request body must be an object")
    wanted = kind.api_version(version)
    given = value.get("apiVersion", wanted)
    if given != wanted:
        message = f"the API version in the data ({given}) does not match the expected API version ({wanted})"
        raise bad_request(message)
    if value.get("kind", kind.kind) != kind.kind:
        text = f'{kind.kind} in version "{version}" cannot be handled as a {value["kind"]}'
        raise bad_request(f"the object provided is unrecognized: {text}")
    metadata = value.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise bad_request("json: cannot unmarshal metadata into Go struct field")
    return {"apiVersion": wanted, "kind": kind.kind, **value}


def resource(types: Types, where: Target) -> ResourceType:
    kind = types.find(where.group, where.version, where.plural)
    if kind is None:
        raise no_such_path()
    return kind

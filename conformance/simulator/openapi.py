"""The OpenAPI documents: one for each group and version, with the schemas of its kinds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from conformance.simulator import schemas
from conformance.simulator.kinds import ResourceType, Types
from conformance.simulator.objects import Json
from conformance.simulator.schemas import Field, Message, Shape, descriptions

_META_NAME = "io.k8s.apimachinery.pkg.apis.meta.v1"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_PLACES = {
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}
_SCALARS: dict[str, Json] = {
    "any": {"type": "object"},
    "bool": {"type": "boolean"},
    "bytes": {"type": "string", "format": "byte"},
    "double": {"type": "number", "format": "double"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "microtime": {"type": "string", "format": "date-time"},
    "string": {"type": "string"},
    "time": {"type": "string", "format": "date-time"},
}
_REFERENCED: dict[str, tuple[str, Json]] = {
    "intstr": (
        _INT_OR_STRING,
        {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
    ),
    "quantity": (_QUANTITY, {"oneOf": [{"type": "string"}, {"type": "number"}]}),
}
_IDENTITY = {
    "apiVersion": "The group and version of this object.",
    "kind": "The kind of this object.",
}


def group_path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def index(types: Types, groups: dict[str, list[str]]) -> Json:
    """Return where the documents are; the hash in an address changes with what the document says."""
    paths = {}
    for group, versions in groups.items():
        for version in versions:
            path = group_path(group, version)
            shown = [_summary(kind, version) for kind in _kinds(types, group, version)]
            digest = hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest().upper()
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def _summary(kind: ResourceType, version: str) -> list[object]:
    return [kind.plural, kind.kind, list(kind.verbs), list(kind.subresources), kind.schemas.get(version)]


def _kinds(types: Iterable[ResourceType], group: str, version: str) -> list[ResourceType]:
    return [kind for kind in types if kind.group == group and version in kind.versions]


def document(types: Types, group: str, version: str, server_version: str) -> Json | None:
    """Return the document of one group and version, or None where nothing is served under it."""
    kinds = _kinds(types, group, version)
    if not kinds:
        return None
    components: Json = {}
    paths: Json = {}
    for kind in kinds:
        identity = {"group": group, "version": version, "kind": kind.kind}
        name = _add_kind(components, kind, version, identity)
        _add_list(components, kind, name, {**identity, "kind": kind.list_kind})
        paths |= _paths(kind, version, identity, name)
    options = schemas.lookup(schemas.META, "DeleteOptions")
    if options is not None:
        _add(components, options)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": server_version},
        "paths": paths,
        "components": {"schemas": components},
    }


def schema_name(section: str, name: str) -> str:
    """Return the name of a schema as documents have it: ``io.k8s.api.apps.v1.Deployment``."""
    if section == schemas.META:
        return f"{_META_NAME}.{name}"
    group, _, version = section.partition("/")
    place = _PLACES.get(group) or f"io.k8s.api.{group.partition('.')[0]}"
    return f"{place}.{version}.{name}"


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _add_kind(components: Json, kind: ResourceType, version: str, identity: Json) -> str:
    message = None if kind.custom else schemas.message(kind.group, version, kind.kind)
    if message is not None:
        for part in schemas.reachable(message):
            _add(components, part)
        name = schema_name(message.section, message.name)
        structure = {**components[name]}
        structure["properties"] = {**_identity(), **structure.get("properties", {})}
    else:
        name = ".".join([*reversed(kind.group.split(".")), version, kind.kind])
        metadata = schemas.lookup(schemas.META, "ObjectMeta")
        if metadata is not None:
            for part in schemas.reachable(metadata):
                _add(components, part)
        structure = {"type": "object", **(kind.schemas.get(version) or _open())}
        about = {"metadata": {"allOf": [_reference(f"{_META_NAME}.ObjectMeta")]}}
        structure["properties"] = {**_identity(), **(structure.get("properties") or {}), **about}
    components[name] = {**structure, "x-kubernetes-group-version-kind": [identity]}
    return name


def _open() -> Json:
    return {"x-kubernetes-preserve-unknown-fields": True}


def _identity() -> Json:
    return {name: {"type": "string", "description": text} for name, text in _IDENTITY.items()}


def _add_list(components: Json, kind: ResourceType, name: str, identity: Json) -> None:
    if "list" not in kind.verbs:
        return
    listing = schemas.lookup(schemas.META, "ListMeta")
    if listing is not None:
        _add(components, listing)
    components[f"{name.rpartition('.')[0]}.{kind.list_kind}"] = {
        "type": "object",
        "required": ["items"],
        "properties": {
            **_identity(),
            "items": {"type": "array", "items": _reference(name)},
            "metadata": {"allOf": [_reference(f"{_META_NAME}.ListMeta")]},
        },
        "x-kubernetes-group-version-kind": [identity],
    }


def _add(components: Json, message: Message) -> None:
    name = schema_name(message.section, message.name)
    if name in components:
        return
    structure: Json = {"type": "object"}
    if text := descriptions.of_message(message.name):
        structure["description"] = text
    fields = message.by_name()
    if needed := [field.name for field in fields.values() if field.required]:
        structure["required"] = needed
    structure["properties"] = {field.name: _property(components, message, field) for field in fields.values()}
    components[name] = structure


def _property(components: Json, message: Message, field: Field) -> Json:
    single = _type(components, field)
    match field.shape:
        case Shape.LIST:
            shown: Json = {"type": "array", "items": single, **_list_type(field)}
        case Shape.MAP:
            shown = {"type": "object", "additionalProperties": single}
        case Shape.MAP_OF_LISTS:
            shown = {"type": "object", "additionalProperties": {"type": "array", "items": single}}
        case Shape.LIST_OF_LISTS:
            shown = {"type": "array", "items": {"type": "array", "items": single}}
        case _:
            shown = {"allOf": [single]} if "$ref" in single else dict(single)
    if text := descriptions.of_field(message.name, field.name):
        shown["description"] = text
    return shown


def _list_type(field: Field) -> Json:
    if field.is_set:
        return {"x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"}
    if not field.keys:
        return {"x-kubernetes-list-type": "atomic"}
    return {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": list(field.keys),
        "x-kubernetes-patch-strategy": "merge",
        "x-kubernetes-patch-merge-key": field.keys[0],
    }


def _type(components: Json, field: Field) -> Json:
    message = field.type
    if message is not None:
        return _reference(schema_name(message.section, message.name))
    if field.scalar in _REFERENCED:
        name, structure = _REFERENCED[field.scalar]
        components.setdefault(name, structure)
        return _reference(name)
    return dict(_SCALARS[field.scalar])


# Paths


def _paths(kind: ResourceType, version: str, identity: Json, name: str) -> Json:
    prefix = "/" + group_path(kind.group, version)
    if kind.namespaced:
        prefix += "/namespaces/{namespace}"
    collection = f"{prefix}/{kind.plural}"
    actions = {"list": ("get", ""), "create": ("post", "post"), "deletecollection": ("delete", "")}
    found = {collection: _item(kind, identity, name, actions)}
    actions = {
        "get": ("get", ""),
        "update": ("put", "put"),
        "patch": ("patch", "patch"),
        "delete": ("delete", ""),
    }
    found[f"{collection}/{{name}}"] = _item(kind, identity, name, actions)
    return {path: item for path, item in found.items() if item}


def _item(kind: ResourceType, identity: Json, name: str, actions: dict[str, tuple[str, str]]) -> Json:
    answer = {"description": "OK", "content": {"application/json": {"schema": _reference(name)}}}
    item: Json = {}
    for verb, (method, writes) in actions.items():
        if verb not in kind.verbs:
            continue
        operation: Json = {
            "operationId": f"{verb}{identity['version'].capitalize()}{kind.kind}",
            "responses": {"200": answer},
            "x-kubernetes-action": writes or verb,
            "x-kubernetes-group-version-kind": identity,
        }
        if writes or method == "delete":
            operation["parameters"] = _parameters(writes)
        if writes:
            schema = {} if writes == "patch" else _reference(name)
            media_type = "application/apply-patch+yaml" if writes == "patch" else "*/*"
            operation["requestBody"] = {"content": {media_type: {"schema": schema}}}
        item[method] = operation
    return item


def _parameters(writes: str) -> list[Json]:
    names = ["dryRun", "pretty"]
    if writes:
        names += ["fieldManager", "fieldValidation"]
    if writes == "patch":
        names.append("force")
    return [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]

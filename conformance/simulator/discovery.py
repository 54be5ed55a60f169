"""What the server says about itself: discovery, old and aggregated."""

from __future__ import annotations

import base64
import hashlib
import re

from conformance.simulator.kinds import ResourceType, Types
from conformance.simulator.objects import Json, without_empty

AGGREGATED = re.compile(r"as=APIGroupDiscoveryList")
_AGGREGATED_VERSION = re.compile(r"v=(v2(?:beta1)?)")
_VERSION = re.compile(r"^v(\d+)(?:(alpha|beta)(\d+))?$")
_STABILITY = {None: 2, "beta": 1, "alpha": 0}


def version_order(version: str) -> tuple[int, int, int]:
    """Return a sort key that puts stable before beta before alpha, newer before older."""
    match = _VERSION.match(version)
    if match is None:
        return (0, 0, 0)
    major, stability, minor = match.groups()
    return (-_STABILITY[stability], -int(major), -int(minor or 0))


def _subresources(kind: ResourceType) -> list[tuple[str, str, list[str]]]:
    found = [(name, *_SUBRESOURCES[name]) for name in kind.subresources]
    if kind.has_status:
        found.append(("status", kind.kind, ["get", "patch", "update"]))
    return sorted(found)


_SUBRESOURCES: dict[str, tuple[str, list[str]]] = {
    "binding": ("Binding", ["create"]),
    "eviction": ("Eviction", ["create"]),
    "finalize": ("Namespace", ["update"]),
    "log": ("Pod", ["get"]),
    "proxy": ("ServiceProxyOptions", ["create", "delete", "get", "patch", "update"]),
    "scale": ("Scale", ["get", "patch", "update"]),
    "token": ("TokenRequest", ["create"]),
}


def core_versions() -> Json:
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}],
    }


def _group(name: str, versions: list[str]) -> Json:
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def groups(types: Types) -> dict[str, list[str]]:
    """Return the served versions of every group, the preferred first."""
    return {
        group: sorted(versions, key=version_order)
        for group, versions in sorted(types.group_versions().items())
    }


def group_list(types: Types) -> Json:
    entries = [_group(name, versions) for name, versions in groups(types).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": entries}


def group(types: Types, name: str) -> Json | None:
    versions = groups(types).get(name)
    if not versions or not name:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}


def resource_list(types: Types, group_name: str, version: str) -> Json | None:
    """Return the old form of discovery for one group and version."""
    resources: list[Json] = []
    for kind in sorted(types, key=lambda entry: entry.plural):
        if kind.group != group_name or version not in kind.versions:
            continue
        resources.append(
            without_empty(
                {
                    "name": kind.plural,
                    "singularName": kind.singular,
                    "namespaced": kind.namespaced,
                    "kind": kind.kind,
                    "verbs": list(kind.verbs),
                    "shortNames": list(kind.short_names),
                    "categories": list(kind.categories),
                    "storageVersionHash": _storage_hash(kind),
                }
            )
        )
        resources.extend(
            {
                "name": f"{kind.plural}/{name}",
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": kind_name,
                "verbs": verbs,
            }
            for name, kind_name, verbs in _subresources(kind)
        )
    extension = types.extensions.get(group_name)
    if extension is not None and version in extension.versions:
        resources = extension.resources()
    elif not resources:
        return None
    group_version = f"{group_name}/{version}" if group_name else version
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    }


def _storage_hash(kind: ResourceType) -> str:
    digest = hashlib.sha256(f"{kind.api_version()}/{kind.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def aggregated(types: Types, *, core: bool, accept: str) -> tuple[Json, str]:
    """Return all groups with their resources in one document, and its media type."""
    match = _AGGREGATED_VERSION.search(accept)
    version = match[1] if match else "v2"
    items = [
        {
            "metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None},
            "versions": [_aggregated_version(types, name, entry) for entry in versions],
        }
        for name, versions in groups(types).items()
        if bool(name) is not core
    ]
    body: Json = {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }
    return body, f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"


def _aggregated_version(types: Types, group_name: str, version: str) -> Json:
    resources = []
    for kind in sorted(types, key=lambda entry: entry.plural):
        if kind.group != group_name or version not in kind.versions:
            continue
        subresources = [
            {"subresource": name, "responseKind": _kind_of("", "v1", kind_name), "verbs": verbs}
            for name, kind_name, verbs in _subresources(kind)
        ]
        resources.append(
            without_empty(
                {
                    "resource": kind.plural,
                    "responseKind": _kind_of(kind.group, version, kind.kind),
                    "scope": "Namespaced" if kind.namespaced else "Cluster",
                    "singularResource": kind.singular,
                    "verbs": list(kind.verbs),
                    "shortNames": list(kind.short_names),
                    "categories": list(kind.categories),
                    "subresources": subresources,
                }
            )
        )
    extension = types.extensions.get(group_name)
    is_stale = extension is not None and extension.is_down
    return {"version": version, "resources": resources, "freshness": "Stale" if is_stale else "Current"}


def _kind_of(group_name: str, version: str, kind: str) -> Json:
    return {"group": group_name, "version": version, "kind": kind}

"""What an installation of the Gateway API, and of its inference extension, brings to a cluster."""

from __future__ import annotations

from conformance.simulator.definitions import (
    CONDITIONS,
    INT32,
    OPEN,
    STRING,
    array,
    definition,
    deployment,
    namespace,
    structure,
)
from conformance.simulator.objects import Json
from conformance.simulator.profiles import Profile

GROUP, POOL_GROUP = "gateway.networking.k8s.io", "inference.networking.k8s.io"
CLASSES, GATEWAYS, ROUTES = (f"{plural}.{GROUP}" for plural in ("gatewayclasses", "gateways", "httproutes"))
POOLS = f"inferencepools.{POOL_GROUP}"
HOME, CONTROLLER_NAME = "inference-gateway-system", "inference-gateway.example/controller"
CLASS_NAME = "inference-gateway"
CONTROLLER_IMAGE = "registry.example/inference-gateway/controller:v1.4.0"
_BUNDLE = "v1.4.0"

_PORT: Json = {**INT32, "minimum": 1, "maximum": 65535}
_PARENTS: Json = structure(
    {
        "parents": array(
            structure({"parentRef": OPEN, "controllerName": STRING, "conditions": CONDITIONS}, ["parentRef"])
        )
    }
)


def has_pools(profile: Profile) -> bool:
    """Whether the inference extension is installed."""
    return profile.version in {"1.36", "1.37"} and "inference-extension-missing" not in profile.faults


def objects(profile: Profile) -> list[Json]:
    """Return what the profile's installation brings along."""
    if "gateway-api-missing" in profile.faults:
        return []
    found = [
        namespace(HOME),
        _class_definition(),
        _gateway_definition(),
        _route_definition(),
        deployment(HOME, "inference-gateway-controller", CONTROLLER_IMAGE),
    ]
    for entry in found[1:4]:
        entry["metadata"]["annotations"] = {
            f"{GROUP}/bundle-version": _BUNDLE,
            f"{GROUP}/channel": "standard",
        }
    if has_pools(profile):
        found += [_pool_definition(), _objective_definition()]
    if "gateway-class-missing" not in profile.faults:
        found.append(
            {
                "apiVersion": f"{GROUP}/v1",
                "kind": "GatewayClass",
                "metadata": {"name": CLASS_NAME},
                "spec": {"controllerName": CONTROLLER_NAME},
            }
        )
    return found


def _class_definition() -> Json:
    spec = structure(
        {"controllerName": STRING, "parametersRef": OPEN, "description": STRING}, ["controllerName"]
    )
    status = structure({"conditions": CONDITIONS, "supportedFeatures": array(OPEN)})
    return definition(
        CLASSES,
        "GatewayClass",
        {"v1": structure({"spec": spec, "status": status}, ["spec"])},
        namespaced=False,
        short_names=["gc"],
        categories=["gateway-api"],
    )


def _gateway_definition() -> Json:
    same = {"namespaces": {"from": "Same"}}
    listener = structure(
        {
            "name": STRING,
            "hostname": STRING,
            "port": _PORT,
            "protocol": STRING,
            "tls": OPEN,
            "allowedRoutes": {**OPEN, "default": same},
        },
        ["name", "port", "protocol"],
    )
    spec = structure(
        {
            "gatewayClassName": STRING,
            "listeners": array(listener, minItems=1, maxItems=64),
            "addresses": array(OPEN),
            "infrastructure": OPEN,
        },
        ["gatewayClassName", "listeners"],
    )
    waiting = [
        {
            "type": kind,
            "status": "Unknown",
            "reason": "Pending",
            "message": "Waiting for controller",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }
        for kind in ("Accepted", "Programmed")
    ]
    status = structure(
        {
            "addresses": array(OPEN),
            "conditions": {**CONDITIONS, "default": waiting},
            "listeners": array(OPEN),
        }
    )
    whole = structure({"spec": spec, "status": {**status, "default": {"conditions": waiting}}}, ["spec"])
    return definition(GATEWAYS, "Gateway", {"v1": whole}, short_names=["gtw"], categories=["gateway-api"])


def _route_definition() -> Json:
    everything = {"path": {"type": "PathPrefix", "value": "/"}}
    header = structure(
        {"type": {**STRING, "default": "Exact"}, "name": STRING, "value": STRING}, ["name", "value"]
    )
    path = structure(
        {"type": {**STRING, "default": "PathPrefix"}, "value": {**STRING, "default": "/"}},
    )
    match = structure(
        {
            "path": {**path, "default": everything["path"]},
            "headers": array(header, maxItems=16),
            "queryParams": array(OPEN),
            "method": STRING,
        }
    )
    backend = structure(
        {
            "group": {**STRING, "default": ""},
            "kind": {**STRING, "default": "Service"},
            "name": STRING,
            "namespace": STRING,
            "port": _PORT,
            "weight": {**INT32, "default": 1, "minimum": 0, "maximum": 1_000_000},
            "filters": array(OPEN),
        },
        ["name"],
    )
    rule = structure(
        {
            "name": STRING,
            "matches": {**array(match, maxItems=64), "default": [everything]},
            "filters": array(OPEN),
            "backendRefs": array(backend, maxItems=16),
            "timeouts": OPEN,
        }
    )
    parent = structure(
        {
            "group": {**STRING, "default": GROUP},
            "kind": {**STRING, "default": "Gateway"},
            "name": STRING,
            "namespace": STRING,
            "sectionName": STRING,
            "port": _PORT,
        },
        ["name"],
    )
    spec = structure(
        {
            "parentRefs": array(parent, maxItems=32),
            "hostnames": array(STRING, maxItems=16),
            "rules": {**array(rule, minItems=1, maxItems=16), "default": [{"matches": [everything]}]},
        }
    )
    whole = structure({"spec": spec, "status": _PARENTS}, ["spec"])
    return definition(ROUTES, "HTTPRoute", {"v1": whole}, categories=["gateway-api"])


def _pool_definition() -> Json:
    number = structure({"number": _PORT}, ["number"])
    picker = structure(
        {
            "group": {**STRING, "default": ""},
            "kind": {**STRING, "default": "Service"},
            "name": STRING,
            "port": number,
            "failureMode": {**STRING, "default": "FailClose", "enum": ["FailOpen", "FailClose"]},
        },
        ["name"],
    )
    spec = structure(
        {
            "selector": structure(
                {"matchLabels": {"type": "object", "additionalProperties": STRING}}, ["matchLabels"]
            ),
            "targetPorts": array(number, minItems=1, maxItems=8),
            "endpointPickerRef": picker,
        },
        ["selector", "targetPorts", "endpointPickerRef"],
    )
    whole = structure({"spec": spec, "status": _PARENTS}, ["spec"])
    return definition(POOLS, "InferencePool", {"v1": whole}, short_names=["infpool"])


def _objective_definition() -> Json:
    spec = structure({"priority": INT32, "poolRef": OPEN}, ["poolRef"])
    whole = structure({"spec": spec, "status": structure({"conditions": CONDITIONS})}, ["spec"])
    return definition(
        "inferenceobjectives.inference.networking.x-k8s.io", "InferenceObjective", {"v1alpha2": whole}
    )

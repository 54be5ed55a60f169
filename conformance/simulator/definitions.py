"""Shapes of custom resource definitions and of the operators that bring them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conformance.simulator.objects import Json

OPEN: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
STRING: Json = {"type": "string"}
INT32: Json = {"type": "integer", "format": "int32"}
INT64: Json = {"type": "integer", "format": "int64"}
BOOLEAN: Json = {"type": "boolean"}
TIME: Json = {"type": "string", "format": "date-time"}
QUANTITY: Json = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
}
CONDITIONS: Json = {
    "type": "array",
    "items": OPEN,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
}


def structure(properties: Mapping[str, Json], required: Sequence[str] = (), **more: Any) -> Json:
    schema: Json = {"type": "object", "properties": dict(properties), **more}
    if required:
        schema["required"] = list(required)
    return schema


def array(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items, **more}


def definition(
    name: str,
    kind: str,
    versions: Mapping[str, Json],
    *,
    namespaced: bool = True,
    short_names: Sequence[str] = (),
    categories: Sequence[str] = (),
) -> Json:
    """Return a definition called PLURAL.GROUP; the first version is the stored one.

    Each version comes with the schema of spec and status.
    """
    plural, _, group = name.partition(".")
    names: Json = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    if short_names:
        names["shortNames"] = list(short_names)
    if categories:
        names["categories"] = list(categories)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "names": names,
            "scope": "Namespaced" if namespaced else "Cluster",
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": index == 0,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                }
                for index, (version, schema) in enumerate(versions.items())
            ],
        },
    }


def deployment(namespace: str, name: str, image: str, *, port: int = 9443) -> Json:
    labels = {"app.kubernetes.io/name": name}
    container = {
        "name": "manager",
        "image": image,
        "ports": [{"name": "webhook-server", "containerPort": port}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container]},
            },
        },
    }


def service(namespace: str, name: str, app: str, *, port: int = 443, target: int = 9443) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"app.kubernetes.io/name": app},
            "ports": [{"port": port, "protocol": "TCP", "targetPort": target}],
        },
    }


def namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def webhook(
    configuration: str,
    name: str,
    target: tuple[str, str, str],
    rule: Json,
    *,
    mutating: bool = False,
    failure_policy: str = "Fail",
) -> Json:
    """Return a configuration with one webhook; `target` is namespace, service and path."""
    home, service_name, path = target
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration" if mutating else "ValidatingWebhookConfiguration",
        "metadata": {"name": configuration},
        "webhooks": [
            {
                "name": name,
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": failure_policy,
                "clientConfig": {"service": {"namespace": home, "name": service_name, "path": path}},
                "rules": [rule],
            }
        ],
    }

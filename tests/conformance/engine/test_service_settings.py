"""Settings that name gateways, query endpoints and serving stacks, and the rights these need."""

from __future__ import annotations

import pytest

from conformance import probe_settings
from conformance.cluster import rbac
from conformance.endpoints import ServiceEndpoint
from conformance.probe_settings import InferenceSettings, MonitoringSettings, SettingsError

WHOLE = b"""
inference:
  gatewayClass: istio
  poolGatewayClass: kgateway
  picker: {image: "mirror.example:5000/gaie/epp:v1.2.1@sha256:0a", tls: false}
monitoring:
  endpoint: {namespace: observe, service: thanos, port: http, scheme: https, path: /prometheus}
  wiring: PodMonitor
  labels: {release: stack}
disaggregated:
  endpoint: {namespace: serving, service: router, port: 8000}
  prefill: {role: prefill}
  decode: {role: decode, tier: "1"}
  model: meta/llama-3.1
"""


def test_parse_reads_everything() -> None:
    found = probe_settings.parse(WHOLE)

    assert found.inference == InferenceSettings(
        "istio", "kgateway", "mirror.example:5000/gaie/epp:v1.2.1@sha256:0a", picker_tls=False
    )
    assert found.monitoring.endpoint == ServiceEndpoint("observe", "thanos", "http", "https", "/prometheus")
    assert (found.monitoring.wiring, found.monitoring.labels) == ("PodMonitor", {"release": "stack"})
    assert found.disaggregated is not None
    assert found.disaggregated.endpoint == ServiceEndpoint("serving", "router", "8000")
    assert found.disaggregated.decode == {"role": "decode", "tier": "1"}
    assert found.disaggregated.model == "meta/llama-3.1"


def test_parse_needs_nothing() -> None:
    found = probe_settings.parse(b"{}")

    assert found.inference == InferenceSettings()
    assert found.monitoring == MonitoringSettings()
    assert found.disaggregated is None


@pytest.mark.parametrize(
    ("data", "paths"),
    [
        (b"inference: {gateway: x}", ["inference.gateway"]),
        (b"inference: {gatewayClass: 'A b'}", ["inference.gatewayClass"]),
        (b"inference: {picker: {image: 'a b'}}", ["inference.picker.image"]),
        (b"inference: {picker: {image: '" + b"_" * 200 + b"!'}}", ["inference.picker.image"]),
        (b"inference: {picker: {tls: 'no'}}", ["inference.picker.tls"]),
        (b"monitoring: {wiring: magic}", ["monitoring.wiring"]),
        (b"monitoring: {labels: [a]}", ["monitoring.labels"]),
        (
            b"monitoring: {endpoint: {}}",
            ["monitoring.endpoint.namespace", "monitoring.endpoint.port", "monitoring.endpoint.service"],
        ),
        (
            b"monitoring: {endpoint: {namespace: a, service: b, port: 0}}",
            ["monitoring.endpoint.port"],
        ),
        (
            b"monitoring: {endpoint: {namespace: a, service: b, port: true}}",
            ["monitoring.endpoint.port"],
        ),
        (
            b"monitoring: {endpoint: {namespace: a, service: ../b, port: 1, scheme: ftp, path: /../x}}",
            ["monitoring.endpoint.path", "monitoring.endpoint.scheme", "monitoring.endpoint.service"],
        ),
        (
            b"disaggregated: {endpoint: {namespace: a, service: b, port: 1}}",
            ["disaggregated.decode", "disaggregated.prefill"],
        ),
        (
            b"disaggregated: {prefill: {a: b}, decode: {a: c}}",
            [
                "disaggregated.endpoint.namespace",
                "disaggregated.endpoint.port",
                "disaggregated.endpoint.service",
            ],
        ),
    ],
)
def test_parse_says_where(data: bytes, paths: list[str]) -> None:
    with pytest.raises(SettingsError) as refused:
        probe_settings.parse(data)

    assert sorted(where for where, _ in refused.value.problems) == paths


def test_rights_end_at_the_services_that_are_named() -> None:
    objects = rbac.manifest("1.36", settings=probe_settings.parse(WHOLE))

    roles = {entry["metadata"]["namespace"]: entry["rules"] for entry in objects if entry["kind"] == "Role"}
    proxy = {"apiGroups": [""], "resources": ["services/proxy"]}
    assert {**proxy, "verbs": ["get"], "resourceNames": ["https:thanos:http"]} in roles["observe"]
    assert {**proxy, "verbs": ["create"], "resourceNames": ["router:8000"]} in roles["serving"]
    assert {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]} in roles["serving"]
    cluster_wide = next(entry for entry in objects if entry["kind"] == "ClusterRole")["rules"]
    assert all("resourceNames" in rule for rule in cluster_wide if "services/proxy" in rule["resources"])


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        (
            ServiceEndpoint("a", "b", "80"),
            "/api/v1/namespaces/a/services/b:80/proxy/api/v1/query",
        ),
        (
            ServiceEndpoint("a", "b", "web", "https", "/select/0/prometheus/"),
            "/api/v1/namespaces/a/services/https:b:web/proxy/select/0/prometheus/api/v1/query",
        ),
    ],
)
def test_endpoint_is_addressed_through_the_proxy(endpoint: ServiceEndpoint, address: str) -> None:
    assert endpoint.address("/api/v1/query") == address

"""The probe settings: schema-checked, every problem at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import probe_settings
from conformance.probe_settings import ProbeSettings, SettingsError

WHOLE = b"""
accelerators:
  deviceClass: gpu.nvidia.com
  resource: nvidia.com/gpu
  nodeLabels: {pool: "gpu"}
gang:
  backend: kueue
  queue: team-a
operator:
  crd: models.example.com
  valid: {spec: {replicas: 1}}
  invalid: {spec: {replicas: 1, mode: ""}}
  children: [pods, jobs.batch]
"""


def test_parse_reads_everything() -> None:
    found = probe_settings.parse(WHOLE)

    assert found.accelerators.device_class == "gpu.nvidia.com"
    assert found.accelerators.resource == "nvidia.com/gpu"
    assert found.accelerators.node_labels == {"pool": "gpu"}
    assert (found.gang.backend, found.gang.queue) == ("kueue", "team-a")
    assert found.operator is not None
    assert (found.operator.group, found.operator.resource) == ("example.com", "models")
    assert found.operator.children == ("pods", "jobs.batch")
    assert found.operator.valid == {"spec": {"replicas": 1}}


@pytest.mark.parametrize("data", [b"", b"{}", b"# nothing\n", b"gang: {}\n"])
def test_parse_needs_nothing(data: bytes) -> None:
    assert probe_settings.parse(data) == ProbeSettings()


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b"a: 1", "a"),
        (b"gang: [kueue]", "gang"),
        (b"gang: {backend: slurm}", "gang.backend"),
        (b"gang: {queue: 'a/../b'}", "gang.queue"),
        (b"gang: {queue: 7}", "gang.queue"),
        (b"accelerators: {resource: gpu}", "accelerators.resource"),
        (b"accelerators: {deviceClass: 'A B'}", "accelerators.deviceClass"),
        (b"accelerators: {nodeLabels: {a: 1}}", "accelerators.nodeLabels"),
        (b"operator: {valid: {spec: {}}, invalid: {spec: {}}}", "operator.crd"),
        (b"operator: {crd: models, valid: {spec: {}}, invalid: {spec: {}}}", "operator.crd"),
        (b"operator: {crd: a.b.c, valid: {spec: {}}}", "operator.invalid"),
        (
            b"operator: {crd: a.b.c, valid: {spec: {}}, invalid: {spec: {}}, children: pods}",
            "operator.children",
        ),
        (b"autoscaling: {pool: [a]}", "autoscaling.pool"),
        (b"autoscaling: {pool: {a: 1}}", "autoscaling.pool"),
        (b"autoscaling: {scaleUpSeconds: 0}", "autoscaling.scaleUpSeconds"),
        (b"autoscaling: {scaleDownSeconds: 7201}", "autoscaling.scaleDownSeconds"),
        (b"autoscaling: {scaleDownSeconds: true}", "autoscaling.scaleDownSeconds"),
        (b"autoscaling: {metric: a-b}", "autoscaling.metric"),
        (b"network: {deviceClass: A}", "network.deviceClass"),
        (b"metrics: {endpoint: {namespace: a, service: b}}", "metrics.endpoint.port"),
        (b"metrics: {endpoint: {service: b, port: 1}}", "metrics.endpoint.namespace"),
        (b"metrics: {utilization: a-b}", "metrics.utilization"),
        (b"metrics: {memory: 7}", "metrics.memory"),
        (b"metrics: {full: 50}", "metrics.full"),
        (b"metrics: {full: true}", "metrics.full"),
        (b"metrics: {load: {args: [a]}}", "metrics.load.image"),
        (b"metrics: {load: {image: 'A B'}}", "metrics.load.image"),
        (b"metrics: {load: {image: a/b, args: [1]}}", "metrics.load.args"),
        (b"metrics: {loads: {}}", "metrics.loads"),
        (b"sandbox: {runtimeClass: A}", "sandbox.runtimeClass"),
        (b"sandbox: gvisor", "sandbox"),
        (b"network: {class: a}", "network.class"),
        (b"a: [", "line 1"),
        (b"a: &x {}\nb: *x", ""),
        (b"#" * 70_000, ""),
    ],
)
def test_parse_says_where(data: bytes, path: str) -> None:
    with pytest.raises(SettingsError) as refused:
        probe_settings.parse(data)

    assert [where for where, _ in refused.value.problems] == [path]


def test_pool_metric_and_network_are_read() -> None:
    found = probe_settings.parse(
        b"autoscaling: {pool: {example.com/pool: gpu}, scaleUpSeconds: 600, metric: queue_depth}\n"
        b"network: {deviceClass: dranet}\n"
    )

    assert found.autoscaling.pool == {"example.com/pool": "gpu"}
    assert (found.autoscaling.scale_up_seconds, found.autoscaling.scale_down_seconds) == (600, 1800)
    assert found.network.device_class == "dranet"
    [right] = found.rights()
    assert str(right) == "get pods.custom.metrics.k8s.io/queue_depth"


def test_parse_tells_all_problems_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        probe_settings.parse(b"gang: {backend: x, queue: 1}\nother: 1\n")

    assert {where for where, _ in refused.value.problems} == {"gang.backend", "gang.queue", "other"}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["gang", "operator", "crd", "valid", "spec", "backend", "x"]), inner
        )
    ),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(_VALUES)
def test_from_plain_raises_nothing_else(value: Any) -> None:
    try:
        found = probe_settings.from_plain(value)
    except SettingsError:
        return
    assert isinstance(found, ProbeSettings)


def test_metrics_and_sandbox_are_read() -> None:
    found = probe_settings.parse(
        b"metrics:\n"
        b"  endpoint: {namespace: monitoring, service: gpus, port: metrics, scheme: https, path: /gpu}\n"
        b"  utilization: my_utilization\n"
        b"  memory: my:memory\n"
        b"  full: 1\n"
        b"  load: {image: registry.example/burn:1, args: ['60']}\n"
        b"sandbox: {runtimeClass: kata}\n"
    )

    endpoint = found.metrics.endpoint
    assert endpoint is not None
    assert endpoint.name == "https:gpus:metrics"
    assert (found.metrics.utilization, found.metrics.memory, found.metrics.full) == (
        "my_utilization",
        "my:memory",
        1,
    )
    assert found.metrics.load == probe_settings.LoadSettings("registry.example/burn:1", ("60",))
    assert found.sandbox.runtime_class == "kata"
    assert [(right.verb, right.resource, right.namespace, right.name) for right in found.rights()] == [
        ("get", "services/proxy", "monitoring", "https:gpus:metrics")
    ]

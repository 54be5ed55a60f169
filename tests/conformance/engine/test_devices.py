"""Which advertised devices count, and which class stands for accelerators."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.devices import Device, matches, usable_devices
from conformance.gang import _GROUPS, BACKENDS
from conformance.probe_settings import BACKENDS as NAMED

Json = dict[str, Any]

NODES = {
    "a": {"metadata": {"name": "a", "labels": {"zone": "1", "size": "8"}}},
    "b": {"metadata": {"name": "b", "labels": {"zone": "2"}}},
}


def pool_slice(generation: int = 1, count: int = 1, **spec: Any) -> Json:
    spec.setdefault("devices", [{"name": "gpu-0"}])
    return {
        "spec": {
            "driver": "gpu.nvidia.com",
            "pool": {"name": "p", "generation": generation, "resourceSliceCount": count},
            **spec,
        }
    }


def found(*slices: Json) -> list[tuple[str, list[str]]]:
    return [(device.name, sorted(device.nodes)) for device in usable_devices(slices, NODES)]


def terms(*requirements: Json) -> Json:
    return {"nodeSelectorTerms": [{"matchExpressions": list(requirements)}]}


@pytest.mark.parametrize(
    ("spec", "nodes"),
    [
        ({"nodeName": "a"}, ["a"]),
        ({"nodeName": "gone"}, None),
        ({"allNodes": True}, ["a", "b"]),
        ({"nodeSelector": terms({"key": "zone", "operator": "In", "values": ["2"]})}, ["b"]),
        ({"nodeSelector": terms({"key": "zone", "operator": "NotIn", "values": ["2"]})}, ["a"]),
        ({"nodeSelector": terms({"key": "size", "operator": "Exists"})}, ["a"]),
        ({"nodeSelector": terms({"key": "size", "operator": "DoesNotExist"})}, ["b"]),
        ({"nodeSelector": terms({"key": "size", "operator": "Gt", "values": ["4"]})}, ["a"]),
        ({"nodeSelector": terms({"key": "size", "operator": "Lt", "values": ["4"]})}, None),
        ({"nodeSelector": terms({"key": "size", "operator": "Odd", "values": ["4"]})}, None),
        ({"nodeSelector": {"nodeSelectorTerms": [{}]}}, None),
        (
            {
                "nodeSelector": {
                    "nodeSelectorTerms": [
                        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}
                    ]
                }
            },
            ["b"],
        ),
        ({}, None),
    ],
)
def test_devices_are_reached_from_the_nodes_their_slice_names(spec: Json, nodes: list[str] | None) -> None:
    assert found(pool_slice(**spec)) == ([("gpu-0", nodes)] if nodes else [])


def test_devices_may_name_their_nodes_themselves() -> None:
    devices = [{"name": "x", "nodeName": "a"}, {"name": "y", "allNodes": True}, {"name": "z"}]

    assert found(pool_slice(perDeviceNodeSelection=True, devices=devices)) == [
        ("x", ["a"]),
        ("y", ["a", "b"]),
    ]


def test_only_the_newest_generation_counts() -> None:
    old = pool_slice(1, nodeName="a", devices=[{"name": "old"}])
    new = pool_slice(2, nodeName="a", devices=[{"name": "new"}])

    assert found(old, new) == [("new", ["a"])]


def test_incomplete_pool_does_not_count() -> None:
    assert found(pool_slice(count=2, nodeName="a")) == []


@pytest.mark.parametrize(("effect", "count"), [("NoSchedule", 0), ("NoExecute", 0), ("None", 1)])
def test_tainted_device_does_not_count(effect: str, count: int) -> None:
    devices = [{"name": "x", "taints": [{"key": "k", "effect": effect}]}]

    assert len(found(pool_slice(nodeName="a", devices=devices))) == count


def device_class(expression: str) -> Json:
    return {"spec": {"selectors": [{"cel": {"expression": expression}}]}}


DEVICE = Device(
    "gpu.nvidia.com",
    "p",
    "gpu-0",
    {"gpu.nvidia.com/type": "gpu", "gpu.nvidia.com/mig": False, "gpu.nvidia.com/index": 3},
    frozenset({"a"}),
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('device.driver == "gpu.nvidia.com"', True),
        ("device.driver == 'gpu.amd.com'", False),
        ("device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'", True),
        ("device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'mig'", False),
        ("device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com']['type'] == 'mig'", False),
        ("device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].mig == false", True),
        ("device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].index == 4", False),
        ("device.driver == 'gpu.nvidia.com' && something(unheard)", True),
        ("true", False),
    ],
)
def test_class_matches_by_driver_and_simple_attributes(expression: str, expected: bool) -> None:
    assert matches(device_class(expression), DEVICE) is expected


def test_backends_of_settings_and_code_agree() -> None:
    assert {backend.name for backend in BACKENDS} == set(NAMED) == set(_GROUPS)

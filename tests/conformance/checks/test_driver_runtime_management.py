"""Drivers as advertised and as found: the good platforms, and how versions are compared."""

from __future__ import annotations

import pytest

from conformance import advertised
from conformance.devices import Device
from conformance.verdicts import Status
from tests.conformance.checks import trial

pytestmark = pytest.mark.cluster

CHECK = "driver_runtime_management"
NVIDIA = advertised.VENDORS[0]


@pytest.mark.parametrize("version", ["1.35", "1.36", "1.37"])
def test_conformant_platform_passes(version: str) -> None:
    result = trial.on(f"conformant-{version}", CHECK)

    assert (result.status, result.reason) == (Status.PASS, "versions_agree")
    seen = trial.observations(result)["versions"]
    assert seen["advertised"] == {"driver": "580.95.5", "runtime": "13.0.0", "by": "the device's attributes"}
    assert seen["stated"]["driver"] == dict.fromkeys(("kernel", "library", "tool"), "580.95.05")
    assert seen["container runtime"] == "containerd://2.1.4"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("580.95.5", "580.95.05", True),
        ("580", "580.95.05", True),
        ("13.0.0", "13.0", True),
        ("v6.12.12", "6.12.12", True),
        ("580.95.5", "580.95.50", False),
        ("575.57.08", "580.95.05", False),
        ("", "580.95.05", False),
        ("580.95.05", "", False),
        ("6.12.12-rc1", "6.12.12", False),
    ],
)
def test_versions_agree_as_far_as_both_go(first: str, second: str, expected: bool) -> None:
    assert advertised.agree(first, second) is expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "NVIDIA-H100-80GB-HBM3-SHARED", True),
        ("GRID A40-8Q", "NVIDIA A40-8Q", True),
        ("NVIDIA A40-8Q", "NVIDIA A40-4Q", False),
        ("", "", False),
    ],
)
def test_products_are_compared_however_they_are_written(first: str, second: str, expected: bool) -> None:
    assert advertised.is_same_product(first, second) is expected


def test_labels_of_the_node_are_read_where_devices_say_nothing() -> None:
    labels = {
        "nvidia.com/cuda.driver-version.full": "580.95.05",
        "nvidia.com/cuda.runtime-version.full": "13.0",
    }

    found = advertised.versions(NVIDIA, [], {"metadata": {"labels": labels}})

    assert (found.driver, found.runtime, found.source) == ("580.95.05", "13.0", "the node's labels")


def test_older_labels_spread_the_version_over_several() -> None:
    labels = {
        "nvidia.com/cuda.driver.major": "470",
        "nvidia.com/cuda.driver.minor": "82",
        "nvidia.com/cuda.driver.rev": "01",
        "nvidia.com/cuda.runtime.major": "11",
    }

    found = advertised.versions(NVIDIA, [], {"metadata": {"labels": labels}})

    assert (found.driver, found.runtime) == ("470.82.01", "11")


def test_attributes_come_before_labels() -> None:
    attributes = {"gpu.nvidia.com/driverVersion": "580.95.5"}
    device = Device("gpu.nvidia.com", "n", "gpu-0", attributes, frozenset({"n"}))
    labels = {"nvidia.com/cuda.driver-version.full": "1.2.3"}

    found = advertised.versions(NVIDIA, [device], {"metadata": {"labels": labels}})

    assert (found.driver, found.source) == ("580.95.5", "the device's attributes")


def test_vendor_is_told_by_driver_or_resource() -> None:
    assert advertised.vendor_of("gpu.nvidia.com", "") is NVIDIA
    assert advertised.vendor_of("", "nvidia.com/gpu") is NVIDIA
    assert advertised.vendor_of("", "amd.com/gpu") is advertised.VENDORS[1]
    assert advertised.vendor_of("gpu.example.com", "") is None
    assert advertised.vendor_of("", "") is None

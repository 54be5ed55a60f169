"""Virtual accelerators: both ways they are offered, and how they are told."""

from __future__ import annotations

import pytest

from conformance.checks import virtualized_accelerator
from conformance.devices import Device
from conformance.verdicts import Status
from tests.conformance.checks import trial

pytestmark = pytest.mark.cluster

CHECK = "virtualized_accelerator"


@pytest.mark.parametrize(
    ("version", "found_by"), [("1.36", "attributes of the device"), ("1.37", "labels of the node")]
)
def test_conformant_platform_passes(version: str, found_by: str) -> None:
    result = trial.on(f"conformant-{version}", CHECK)

    assert (result.status, result.reason) == (Status.PASS, "usable")
    assert found_by in result.message
    assert "NVIDIA A40-8Q" in result.message


def test_platform_without_virtual_accelerators_is_not_applicable() -> None:
    result = trial.on("conformant-1.35", CHECK)

    assert (result.status, result.reason) == (Status.NOT_APPLICABLE, "not_advertised")
    assert result.evidence


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"type": "vgpu"}, True),
        ({"type": "gpu"}, False),
        ({"type": "gpu", "productName": "NVIDIA A40-8Q"}, True),
        ({"type": "gpu", "productName": "GRID T4-2B"}, True),
        ({"type": "gpu", "productName": "NVIDIA H100 80GB HBM3"}, False),
        ({"type": "gpu", "productName": "NVIDIA RTX PRO 6000-96Q"}, True),
        ({"vgpu": True}, True),
        ({}, False),
    ],
)
def test_virtual_devices_are_told_by_their_attributes(attributes: dict[str, object], expected: bool) -> None:
    named = {f"gpu.nvidia.com/{name}": value for name, value in attributes.items()}
    device = Device("gpu.nvidia.com", "n", "gpu-0", named, frozenset({"n"}))

    assert virtualized_accelerator._is_virtual(device) is expected

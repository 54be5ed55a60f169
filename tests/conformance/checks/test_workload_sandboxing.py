"""Sandboxes: the good platforms, the vendor's settings, and how kernels are told apart."""

from __future__ import annotations

import pytest

from conformance import checks
from conformance.checks.workload_sandboxing import Kernel
from conformance.simulator import runtimes
from conformance.simulator.world import Faults
from conformance.verdicts import Status
from tests.conformance.checks import trial
from tests.conformance.engine import world

pytestmark = pytest.mark.cluster

CHECK = "workload_sandboxing"


def test_conformant_platform_passes() -> None:
    result = trial.on("conformant-1.37", CHECK)

    assert (result.status, result.reason) == (Status.PASS, "isolated")
    seen = trial.observations(result)
    assert seen["kernels"]["sandboxed"] != seen["kernels"]["plain"]
    assert seen["visible of the node"] == {"processes": [], "memory": [], "mounts": [], "interfaces": []}
    assert {"logs/sandboxed-probe.txt", "logs/plain-probe.txt"} <= {piece.name for piece in result.evidence}


def test_sandbox_of_an_api_of_its_own_passes() -> None:
    result = trial.on("agent-sandboxes", CHECK)

    assert (result.status, result.reason) == (Status.PASS, "isolated")
    assert "a Sandbox of agents.x-k8s.io" in result.message


def test_api_of_sandboxes_that_makes_ordinary_pods_fails() -> None:
    with world.occupied("agent-sandboxes") as cluster:
        faults = Faults(frozenset({"agent-sandboxes", "sandbox-shared-kernel"}))
        cluster.call(lambda simulated: setattr(simulated, "faults", faults))
        result = trial.observe(cluster, CHECK)

    assert (result.status, result.reason) == (Status.FAIL, "kernel_shared")


def test_rights_to_sandboxes_are_asked_for_where_they_are_needed() -> None:
    rights = [right for right in checks.load()[CHECK].info.rights if right.option]
    assert len(rights) == 3

    with world.occupied("agent-sandboxes") as cluster:
        for right in rights:
            with world.withheld(cluster, right):
                result = trial.observe(cluster, CHECK)
            assert (result.status, result.reason) == (Status.ERROR, "forbidden")


def test_vendors_class_is_taken_whatever_its_handler() -> None:
    result = trial.on("sandbox-unrecognised", CHECK, b"sandbox: {runtimeClass: acme}")

    assert (result.status, result.reason) == (Status.PASS, "isolated")
    assert "RuntimeClass acme" in result.message


def test_vendors_class_that_is_missing_is_unknown() -> None:
    result = trial.on("conformant-1.37", CHECK, b"sandbox: {runtimeClass: nowhere}")

    assert (result.status, result.reason) == (Status.UNKNOWN, "class_missing")


def test_vendors_class_that_is_no_sandbox_fails() -> None:
    result = trial.on("conformant-1.37", CHECK, b"sandbox: {runtimeClass: nvidia}")

    assert (result.status, result.reason) == (Status.FAIL, "kernel_shared")


def test_virtual_machine_is_a_sandbox() -> None:
    with world.occupied("conformant-1.37") as cluster:
        cluster.store.edit(
            "runtimeclasses.node.k8s.io", "", "gvisor", lambda item: item.update(handler=runtimes.KATA)
        )
        result = trial.observe(cluster, CHECK)

    assert (result.status, result.reason) == (Status.PASS, "isolated")
    assert "6.12.42" in result.message


def test_sandbox_goes_where_its_class_sends_it() -> None:
    scheduling = {"nodeSelector": {"kubernetes.io/hostname": "gpu-worker-1"}}
    with world.occupied("conformant-1.37") as cluster:
        cluster.store.edit(
            "runtimeclasses.node.k8s.io", "", "gvisor", lambda item: item.update(scheduling=scheduling)
        )
        result = trial.observe(cluster, CHECK)

    assert result.status is Status.PASS
    assert "gpu-worker-1" in result.message


@pytest.mark.parametrize(
    ("within", "below", "expected"),
    [
        (("6.8.0", "a", "v"), ("6.8.0", "a", "v"), True),
        (("4.4.0", "a", "w"), ("6.8.0", "a", "v"), True),
        (("6.8.0", "b", "v"), ("6.8.0", "a", "v"), False),
        (("4.4.0", "", "w"), ("6.8.0", "a", "v"), False),
        (("6.8.0", "", "v"), ("6.8.0", "a", "v"), True),
        (("6.8.0", "", "w"), ("6.8.0", "a", "v"), False),
        (("", "", "v"), ("6.8.0", "a", "v"), True),
        (("", "", ""), ("6.8.0", "a", "v"), None),
    ],
)
def test_boot_identifies_a_kernel_and_names_only_where_it_is_not_told(
    within: tuple[str, str, str], below: tuple[str, str, str], expected: bool | None
) -> None:
    assert Kernel(*within).is_same(Kernel(*below)) is expected

"""The models of the probes print what the real scripts print."""

from __future__ import annotations

import os
import subprocess

import pytest

from conformance import probes
from conformance.simulator import programs
from conformance.simulator.hardware import Accelerator, View

BARE = View()


def modelled(program: str, view: View = BARE, **variables: str) -> list[str]:
    container = {
        "name": "c",
        "image": probes.IMAGE,
        "command": probes.command(program),
        "env": [{"name": name, "value": value} for name, value in variables.items()],
    }
    run = programs.run({"spec": {}}, container, view)
    assert run.code == 0
    return [*run.first, *run.last]


def real(program: str, **variables: str) -> list[str]:
    result = subprocess.run(
        probes.command(program),
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return result.stdout.splitlines()


def test_hold_prints_what_the_script_prints():
    assert modelled("hold", PROBE_HOLD="0") == real("hold", PROBE_HOLD="0")


def test_accelerators_without_devices_print_what_the_script_prints(tmp_path):
    # An empty folder stands for a container without devices, whatever this machine has.
    (tmp_path / "dev").mkdir()
    assert modelled("accelerators", PROBE_ROOT=str(tmp_path)) == real(
        "accelerators", PROBE_ROOT=str(tmp_path)
    )


def test_attempt_without_the_right_to_make_nodes_prints_what_the_script_prints(tmp_path):
    (tmp_path / "dev").mkdir()
    wanted = "nonsense c:x:y"
    printed = real("accelerators", PROBE_ROOT=str(tmp_path), PROBE_TRY=wanted)
    assert modelled("accelerators", PROBE_ROOT=str(tmp_path), PROBE_TRY=wanted) == printed


GPU = Accelerator("n", 0)
OTHER = Accelerator("n", 1)


@pytest.mark.parametrize(
    ("openable", "wanted", "result"),
    [
        ({GPU.id}, GPU.id, "opened"),
        ({GPU.id}, OTHER.id, "denied"),
        ({GPU.id}, "c:195:9", "denied"),
        ({GPU.id, OTHER.id}, "c:195:9", "absent"),
    ],
)
def test_device_rules_decide_what_can_be_opened(openable, wanted, result):
    view = View((GPU,), frozenset(openable), frozenset({GPU.id, OTHER.id}))
    lines = modelled("accelerators", view, PROBE_TRY=wanted)
    assert f"::probe try id={wanted} result={result} step=open" in lines


@pytest.mark.parametrize(
    "context", [{"runAsUser": 1000}, {"runAsNonRoot": True}, {"capabilities": {"drop": ["ALL"]}}]
)
def test_unprivileged_container_makes_no_nodes(context):
    container = {
        "name": "c",
        "image": probes.IMAGE,
        "command": probes.command("accelerators"),
        "env": [{"name": "PROBE_TRY", "value": GPU.id}],
        "securityContext": context,
    }
    run = programs.run({"spec": {}}, container, View((), frozenset({GPU.id}), frozenset({GPU.id})))
    assert f"::probe try id={GPU.id} result=denied step=mknod" in run.first


def test_paths_are_encoded():
    assert programs.encoded("/dev/a b=c%d") == "/dev/a%20b%3Dc%25d"

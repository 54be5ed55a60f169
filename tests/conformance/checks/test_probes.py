"""The probes, run by a real shell against device nodes made for the purpose."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from conformance import markers, probes

SHELLS = [shell for shell in ("/bin/sh", "/bin/bash", "/bin/busybox") if Path(shell).exists()]


def run(program: str, shell: str = "/bin/sh", **environment: str) -> markers.Report:
    words = [shell, "sh"] if shell.endswith("busybox") else [shell]
    finished = subprocess.run(
        [*words, "-c", probes.script(program), program],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert finished.stderr == ""
    assert all(line.startswith(markers.PREFIX) for line in finished.stdout.splitlines())
    return markers.parse(finished.stdout.splitlines())


def node(root: Path, path: str, major: int, minor: int) -> None:
    place = root / "dev" / path
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(major, minor))
    except PermissionError:
        pytest.skip("device nodes can be made by root only")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "dev").mkdir()
    return tmp_path


@pytest.mark.parametrize("shell", SHELLS)
def test_accelerators_lists_devices_and_no_control_nodes(root: Path, shell: str) -> None:
    # 1:3 is the null device, which opens; 195:1 has no driver here, so it does not.
    node(root, "nvidia0", 1, 3)
    node(root, "nvidia1", 195, 1)
    node(root, "nvidiactl", 195, 255)
    node(root, "nvidia-uvm", 510, 0)
    node(root, "kfd", 511, 0)
    node(root, "dri/renderD128", 226, 4000)
    node(root, "dri/card0", 226, 0)
    node(root, "vfio/vfio", 10, 196)
    node(root, "vfio/12", 1, 3)

    report = run("accelerators", shell, PROBE_ROOT=str(root))

    assert report.is_complete
    assert report.markers[0].values == {"program": "accelerators"}
    assert [
        (marker.get("path"), marker.get("id"), marker.get("open")) for marker in report.all("device")
    ] == [
        ("/dev/nvidia0", "c:1:3", "yes"),
        ("/dev/nvidia1", "c:195:1", "no"),
        ("/dev/dri/renderD128", "c:226:4000", "no"),
        ("/dev/vfio/12", "c:1:3", "yes"),
    ]
    assert report.markers[-1].get("devices") == "4"


@pytest.mark.parametrize("shell", SHELLS)
def test_accelerators_reports_none_where_there_are_none(root: Path, shell: str) -> None:
    report = run("accelerators", shell, PROBE_ROOT=str(root))

    assert [marker.word for marker in report.markers] == ["begin", "end"]
    assert report.markers[-1].get("devices") == "0"


def test_accelerators_ignores_what_is_no_device(root: Path) -> None:
    (root / "dev" / "nvidia0").write_text("a file")
    (root / "dev" / "nvidia1").mkdir()

    assert run("accelerators", PROBE_ROOT=str(root)).all("device") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_accelerators_tries_foreign_devices(root: Path, shell: str) -> None:
    node(root, "probe-of-the-test", 1, 3)

    report = run("accelerators", shell, PROBE_ROOT=str(root), PROBE_TRY="c:1:3 c:195:9")

    assert [(marker.get("id"), marker.get("result")) for marker in report.all("try")] == [
        ("c:1:3", "opened"),
        ("c:195:9", "absent"),
    ]
    assert sorted(entry.name for entry in (root / "dev").iterdir()) == ["probe-of-the-test"]


def test_accelerators_is_denied_where_no_node_can_be_made(root: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("giving up rights needs root and setpriv")
    finished = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", "/bin/sh", "-c", probes.script("accelerators"), "x"],
        env={"PATH": os.environ["PATH"], "PROBE_ROOT": str(root), "PROBE_TRY": "c:1:3"},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )

    report = markers.parse(finished.stdout.splitlines())
    assert [(marker.get("result"), marker.get("step")) for marker in report.all("try")] == [
        ("denied", "mknod")
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_hold_stays_as_long_as_asked(shell: str) -> None:
    started = time.monotonic()
    report = run("hold", shell, PROBE_HOLD="1")

    assert 0.9 < time.monotonic() - started < 5
    assert report.is_complete
    assert report.markers[-1].values == {"held": "1"}


@pytest.mark.parametrize("program", ["accelerators", "hold"])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_holding_probe_ends_when_told_to(program: str, shell: str) -> None:
    words = [shell, "sh"] if shell.endswith("busybox") else [shell]
    process = subprocess.Popen(
        [*words, "-c", probes.script(program), program],
        env={"PATH": os.environ["PATH"], "PROBE_HOLD": "60", "PROBE_ROOT": "/nonexistent"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as out:
        assert out.readline() == f"::probe begin program={program}\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 143


def test_image_moves_below_a_mirror() -> None:
    assert probes.image() == "docker.io/library/busybox:1.37"
    assert probes.image("registry.example/mirror/") == "registry.example/mirror/library/busybox:1.37"


def test_unknown_program_is_refused() -> None:
    with pytest.raises(KeyError):
        probes.script("../verdicts")


# Each program is handed over whole, so that it can be read and run alone; what two of them have in common
# stands in both.
@pytest.mark.parametrize(
    ("first", "second", "part"),
    [
        ("accelerators", "driver", r"identity\(\) \{\n.*?^\}"),
        ("accelerators", "driver", r"opens\(\) \{\n.*?^\}"),
        ("accelerators", "driver", r"for path in .*?^done"),
        ("accelerators", "driver", r'hold="\$\{PROBE_HOLD:-0\}".*'),
        ("accelerators", "sandbox", r'hold="\$\{PROBE_HOLD:-0\}".*'),
        ("driver", "sandbox", r"encode\(\) \{\n.*?^\}"),
        ("driver", "sandbox", r"first_line\(\) \{\n.*?^\}"),
        ("gauge", "serve", r"answer\(\) \{\n.*?^\}"),
        ("load", "stream", r"pause\(\) \{\n.*?^\}"),
    ],
)
def test_what_two_programs_share_is_the_same_in_both(first: str, second: str, part: str) -> None:
    found = [
        re.findall(f"^{part}", probes.script(name), re.MULTILINE | re.DOTALL) for name in (first, second)
    ]

    assert len(found[0]) == 1
    assert found[0] == found[1]


def test_parse_reads_markers_only() -> None:
    report = markers.parse(
        [
            "::probe begin program=x",
            "free text ::probe device id=c:1:1",
            "::probe device path=/dev/a%20b%3D%25 id=c:1:2 broken",
            "::probe ",
            "::probeend",
            "::probe " + "x" * 5000,
            "::probe end",
        ]
    )

    assert [marker.word for marker in report.markers] == ["begin", "device", "", "end"]
    assert report.all("device")[0].values == {"path": "/dev/a b=%", "id": "c:1:2"}
    assert report.is_complete


def test_parse_is_not_complete_without_begin_and_end() -> None:
    assert not markers.parse(["::probe end"]).is_complete
    assert not markers.parse(["::probe begin program=x"]).is_complete
    assert not markers.parse([]).has_begun

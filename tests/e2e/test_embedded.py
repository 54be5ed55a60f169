"""The supervised tree: one log, one way to stop, nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, RunningPortal, eventually, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("embedded")]


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[RunningPortal]:
    """A tree on SQLite of its own, so that it can be stopped and started."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "DATA_DIR": str(tmp_path / "data"),
        "PORT": str(port),
    }
    running = RunningPortal(data_dir=tmp_path / "data", port=port, environment=environment)
    yield running
    if running.process is not None:
        running.stop()


def processes_of(data_dir: Path) -> list[str]:
    """The command lines of every process that was started for this data folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it ended while we looked, or belongs to somebody else
        if f"DATA_DIR={data_dir}".encode() in environment.split(b"\0") and command:
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked up in /proc")
def test_ctrl_c_leaves_no_process_and_the_next_start_finds_everything(tree: RunningPortal) -> None:
    tree.start()
    eventually(lambda: any("changes requested" in line for line in tree.lines), 120, "the demo")
    certified = tree.get_json("/api/v1/certifications/")
    assert certified["count"] == 1
    assert len(processes_of(tree.data_dir)) >= 6
    assert tree.stop() == 0
    assert tree.lines[-1].endswith("stopped")
    assert processes_of(tree.data_dir) == []

    tree.start()
    assert tree.get_json("/api/v1/certifications/")["results"] == certified["results"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_killed_supervisor_takes_its_services_along(tree: RunningPortal) -> None:
    tree.start()
    assert tree.process is not None
    os.kill(tree.process.pid, signal.SIGKILL)
    eventually(lambda: processes_of(tree.data_dir) == [], 40, "the end of every service")


def refused(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "certportal.embedded"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr


def test_taken_port_is_said_in_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert refused(PORT=str(port), DATA_DIR=str(tmp_path)) == (
            f"certportal cannot start: port {port} on 127.0.0.1 is taken; set PORT to another one.\n"
        )


def test_malformed_port_is_said_in_a_sentence(tmp_path: Path) -> None:
    assert refused(PORT="http", DATA_DIR=str(tmp_path)) == (
        "certportal cannot start: PORT is 'http'; it should be a port number.\n"
    )


def test_second_portal_on_the_same_folder_is_refused(tree: RunningPortal) -> None:
    tree.start()
    message = refused(PORT=str(free_port()), DATA_DIR=str(tree.data_dir))
    assert message.startswith(f"certportal cannot start: another portal is running on {tree.data_dir}")

"""The probes that expose, drive and move things over a network, run by a real shell.

Where the machine lacks a small server busybox has, one of a few lines stands in for it: what is tested
is the script. Interfaces are made in network namespaces of the test's own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance import markers, probes
from conformance.simulator import programs
from conformance.simulator.hardware import View

SHELLS = [shell for shell in ("/bin/sh", "/bin/busybox") if Path(shell).exists()]

TCPSVD = """#!{python}
import os, socket, subprocess, sys
arguments = sys.argv[1:]
while arguments[0].startswith("-"):
    del arguments[: 1 if arguments[0] == "-E" else 2]
address, port, *command = arguments
family = socket.AF_INET6 if ":" in address else socket.AF_INET
both = family == socket.AF_INET6
with socket.create_server((address, int(port)), family=family, dualstack_ipv6=both) as server:
    while True:
        connection, _ = server.accept()
        with connection:
            subprocess.run(command, stdin=connection, stdout=connection)
"""
HTTPD = """#!{python}
import functools, http.server, socket, sys
port, folder = int(sys.argv[sys.argv.index("-p") + 1]), sys.argv[sys.argv.index("-h") + 1]
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
with http.server.ThreadingHTTPServer(("", port), handler) as server:
    server.serve_forever()
"""


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a PATH on which every program the probes call is found."""
    folder = tmp_path_factory.mktemp("bin")
    busybox = shutil.which("busybox")
    listed = [busybox, "--list"] if busybox else ["true"]
    applets = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()
    for name, text in (("tcpsvd", TCPSVD), ("httpd", HTTPD), ("wget", "")):
        if name in applets:
            (folder / name).symlink_to(busybox)
        elif not shutil.which(name):
            if not text:
                pytest.skip(f"this machine has no {name}")
            (folder / name).write_text(text.format(python=sys.executable))
            (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@contextlib.contextmanager
def running(
    program: str, shell: str, path: str, *, inside: tuple[str, ...] = (), **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a probe until the block ends; it has to end when told to."""
    words = [shell, "sh"] if shell.endswith("busybox") else [shell]
    process = subprocess.Popen(
        [*inside, *words, "-c", probes.script(program), program],
        env={"PATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            _, problems = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
    assert problems == ""
    assert process.returncode in {0, 1, 143}


def line(process: subprocess.Popen[str]) -> markers.Marker:
    assert process.stdout is not None
    return markers.parse([process.stdout.readline().rstrip("\n")]).markers[0]


def until_end(process: subprocess.Popen[str]) -> markers.Report:
    assert process.stdout is not None
    lines = []
    for text in process.stdout:
        lines.append(text.rstrip("\n"))
        if text.startswith(markers.END):
            break
    return markers.parse(lines)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def read(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


def modelled(program: str, **variables: str) -> programs.Run:
    container = {
        "name": "c",
        "image": probes.IMAGE,
        "command": probes.command(program),
        "env": [{"name": name, "value": value} for name, value in variables.items()],
    }
    return programs.run({"spec": {}}, container, View())


@pytest.mark.parametrize("shell", SHELLS)
def test_gauge_is_high_while_load_works_and_low_afterwards(shell: str, tools: str, tmp_path: Path) -> None:
    port = free_port()
    settings = {"PROBE_PORT": str(port), "PROBE_STATE": str(tmp_path), "PROBE_IDLE": "2"}
    with running("gauge", shell, tools, PROBE_METRIC="queue_depth", **settings) as gauge:
        assert line(gauge).word == "begin"
        serving = line(gauge)
        assert serving.values == {"metric": "queue_depth", "port": str(port)}
        assert read(port, "/metrics")[1].splitlines()[-1] == "queue_depth 0"
        assert read(port, "/elsewhere")[0] == 404

        with running(
            "load", shell, tools, PROBE_URL=f"http://127.0.0.1:{port}/work", PROBE_HOLD="60"
        ) as load:
            report = until_end(load)
            assert [marker.word for marker in report.markers] == ["begin", "end"]
            assert report.markers[-1].values == {"reached": "yes"}
            time.sleep(2.5)
            assert read(port, "/metrics")[1].splitlines()[-1] == "queue_depth 100"
        time.sleep(2.5)
        assert read(port, "/metrics")[1].splitlines()[-1] == "queue_depth 0"


def test_gauge_exposes_what_its_model_exposes(tools: str, tmp_path: Path) -> None:
    port = free_port()
    with running("gauge", "/bin/sh", tools, PROBE_PORT=str(port), PROBE_STATE=str(tmp_path)) as gauge:
        real = [line(gauge), line(gauge)]
        text = read(port, "/metrics")[1]

    run = modelled("gauge", PROBE_PORT=str(port))
    assert real == list(markers.parse(run.first).markers)
    from conformance.simulator.network import Request

    assert run.listens[port](Request(path="/metrics")).body.decode() == text


@pytest.mark.parametrize("shell", SHELLS)
def test_load_gives_up_where_nobody_answers(shell: str, tools: str) -> None:
    with running(
        "load", shell, tools, PROBE_URL=f"http://127.0.0.1:{free_port()}/work", PROBE_PATIENCE="1"
    ) as load:
        report = until_end(load)

    assert report.markers[-1].values == {"reached": "no"}


@pytest.mark.parametrize("shell", SHELLS)
def test_gauge_says_where_it_cannot_write(shell: str, tools: str) -> None:
    with running("gauge", shell, tools, PROBE_STATE="/nonexistent") as gauge:
        report = until_end(gauge)
        assert gauge.wait(5) == 1

    assert report.markers[-1].values == {"served": "no", "reason": "state"}


# Interfaces ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def namespaces() -> Iterator[tuple[str, str]]:
    """Two network namespaces with an ordinary and a fast link between them."""
    one, two = f"certportal-a-{os.getpid()}", f"certportal-b-{os.getpid()}"
    commands = [
        f"ip netns add {one}",
        f"ip netns add {two}",
        f"ip link add eth0 netns {one} type veth peer name eth0 netns {two}",
        f"ip link add gpu0rdma0 netns {one} type veth peer name gpu0rdma0 netns {two}",
    ]
    for name, last in ((one, 1), (two, 2)):
        commands += [
            f"ip -n {name} link set lo up",
            f"ip -n {name} link set eth0 up",
            f"ip -n {name} link set gpu0rdma0 up",
            f"ip -n {name} addr add 10.244.0.{last}/24 dev eth0",
            f"ip -n {name} addr add 10.64.0.{last}/16 dev gpu0rdma0",
        ]
    try:
        for command in commands:
            done = subprocess.run(command.split(), check=False, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"this machine allows no network namespaces: {done.stderr.strip()}")
        yield one, two
    finally:
        for name in (one, two):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_links_moves_data_through_the_fast_interface(
    namespaces: tuple[str, str], shell: str, tools: str, tmp_path: Path
) -> None:
    here, there = (("ip", "netns", "exec", name) for name in namespaces)
    folders = [tmp_path / "server", tmp_path / "client"]
    for folder in folders:
        folder.mkdir()
    settings = {"PROBE_PORT": "8080", "PROBE_HOLD": "60"}
    with running(
        "links", shell, tools, inside=here, PROBE_SERVE="65536", PROBE_STATE=str(folders[0]), **settings
    ) as server:
        served = until_end(server)
        links = {marker.get("name"): marker.get("addresses") for marker in served.all("link")}
        assert links == {"eth0": "10.244.0.1", "gpu0rdma0": "10.64.0.1"}
        [serve] = served.all("serve")
        assert (serve.get("listening"), serve.get("size"), len(serve.get("digest"))) == ("yes", "65536", 64)

        with running(
            "links",
            shell,
            tools,
            inside=there,
            PROBE_FETCH="10.64.0.1",
            PROBE_STATE=str(folders[1]),
            **settings,
        ) as client:
            report = until_end(client)
    [fetch] = report.all("fetch")
    assert fetch.values == {
        "from": "10.64.0.1",
        "result": "ok",
        "size": "65536",
        "digest": serve.get("digest"),
    }
    received = {
        (marker.get("name"), marker.get("when")): int(marker.get("rx")) for marker in report.all("link")
    }
    assert received["gpu0rdma0", "after"] - received["gpu0rdma0", "before"] >= 65536
    assert received["eth0", "after"] - received["eth0", "before"] < 65536
    assert report.markers[-1].values == {"links": "2"}


def test_links_says_that_a_neighbour_cannot_be_reached(
    namespaces: tuple[str, str], tools: str, tmp_path: Path
) -> None:
    inside = ("ip", "netns", "exec", namespaces[1])
    with running(
        "links",
        "/bin/sh",
        tools,
        inside=inside,
        PROBE_FETCH="10.64.0.1",
        PROBE_PATIENCE="1",
        PROBE_PORT="9",
        PROBE_STATE=str(tmp_path),
    ) as client:
        report = until_end(client)

    [fetch] = report.all("fetch")
    assert fetch.values == {"from": "10.64.0.1", "result": "failed", "size": "0", "digest": ""}

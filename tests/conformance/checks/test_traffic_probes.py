"""The programs that serve and ask, run by a real shell on the loopback address."""

from __future__ import annotations

import contextlib
import http.server
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance import markers, probes
from conformance.simulator.models.traffic import _Server
from conformance.simulator.network import Request

SHELLS = [shell for shell in ("/bin/sh", "/bin/bash", "/bin/busybox") if Path(shell).exists()]

# Stands in for busybox' own, of which ordinary machines have none: a process for each connection,
# with the client on its standard input and output.
TCPSVD = f"""#!{sys.executable}
import socket, subprocess, sys
assert sys.argv[1:4] == ["-E", "-c", "200"], sys.argv
port, program = int(sys.argv[5]), sys.argv[6:]
with socket.socket() as listening:
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen(64)
    while True:
        connection, _ = listening.accept()
        with connection:
            subprocess.Popen(program, stdin=connection, stdout=connection)
"""


def words(shell: str, program: str) -> list[str]:
    return [*([shell, "sh"] if shell.endswith("busybox") else [shell]), "-c", probes.script(program), program]


@pytest.fixture
def tools(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which the programs find what they call."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "tcpsvd").write_text(TCPSVD)
    (folder / "tcpsvd").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "PROBE_STATE": str(tmp_path)}


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(shell: str, environment: dict[str, str], port: int, **more: str) -> Iterator[str]:
    """Run the server until the end of the block and return its address."""
    process = subprocess.Popen(
        words(shell, "serve"),
        env={**environment, "PROBE_PORT": str(port), **more},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        with process.stdout as out:
            assert out.readline() == "::probe begin program=serve\n"
            assert out.readline() == f"::probe serving name={more.get('PROBE_NAME', 'backend')} port={port}\n"
            yield f"http://127.0.0.1:{port}"
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 143
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)


def fetched(url: str, body: bytes | None = None) -> tuple[str, str]:
    with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=5) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def ask(shell: str, **environment: str) -> markers.Report:
    if shutil.which("wget") is None:
        pytest.skip("this machine has no wget")
    finished = subprocess.run(
        words(shell, "ask"),
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert finished.stderr == ""
    assert all(line.startswith(markers.PREFIX) for line in finished.stdout.splitlines())
    report = markers.parse(finished.stdout.splitlines())
    assert report.is_complete
    return report


@pytest.mark.parametrize("shell", SHELLS)
def test_serve_counts_requests_to_the_model_alone(shell: str, tools: dict[str, str], port: int) -> None:
    told = {"PROBE_NAME": "a", "PROBE_LABEL": "r1", "PROBE_LEVEL": "1234", "PROBE_QUEUE": "7"}
    model = _Server(told)
    with serving(shell, tools, port, **told) as address:
        assert fetched(f"{address}/health") == ("text/plain; charset=utf-8", "ok")
        for number in range(23):
            body = b'{"model":"m"}' if number % 2 else None
            kind, text = fetched(f"{address}/v1/chat/completions", body)
            assert kind == "application/json"
            assert text == model.answer(Request("POST", "/v1/chat/completions")).body.decode()
        kind, text = fetched(f"{address}/metrics")
        _, again = fetched(f"{address}/metrics?x=1")

    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert text == again == model.answer(Request("GET", "/metrics")).body.decode()
    assert 'certportal_probe_requests_total{run="r1"} 23\n' in text
    assert 'certportal_probe_request_seconds_sum{run="r1"} 1.15\n' in text
    assert 'vllm:num_requests_waiting{model_name="certportal-probe"} 7\n' in text


def test_serve_says_nothing_of_queues_unless_told(tools: dict[str, str], port: int) -> None:
    with serving("/bin/sh", tools, port) as address:
        text = fetched(f"{address}/metrics")[1]

    assert text == _Server({}).answer(Request("GET", "/metrics")).body.decode()
    assert "vllm" not in text


@pytest.mark.parametrize(
    "sent",
    [
        b'POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{"a":1}\r\n0\r\n\r\n',
        b'POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 7\r\n\r\n{"a":1}',
        b"GET /v1/x HTTP/1.0\r\n\r\n",
        b"GET /v1/x?a=b%20c HTTP/1.1\r\nX-Long: " + b"y" * 9000 + b"\r\n\r\n",
    ],
)
def test_serve_understands_requests_as_proxies_write_them(
    tools: dict[str, str], port: int, sent: bytes
) -> None:
    with (
        serving("/bin/sh", tools, port, PROBE_NAME="b"),
        socket.create_connection(("127.0.0.1", port), timeout=5) as connection,
    ):
        connection.sendall(sent)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b'"served_by":"b"' in body


def test_serve_asks_for_the_body_it_was_promised(tools: dict[str, str], port: int) -> None:
    with (
        serving("/bin/sh", tools, port),
        socket.create_connection(("127.0.0.1", port), timeout=5) as connection,
    ):
        connection.sendall(b"POST /v1/x HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_serve_reports_where_it_cannot_listen(tools: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        told = {**tools, "PROBE_PORT": str(taken.getsockname()[1])}
        ended = subprocess.run(
            words("/bin/sh", "serve"), env=told, capture_output=True, text=True, timeout=20, check=False
        )

    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-1] == "::probe end served=no reason=listen"


def test_serve_reports_where_it_cannot_write(tools: dict[str, str]) -> None:
    told = {**tools, "PROBE_STATE": "/nonexistent"}
    ended = subprocess.run(
        words("/bin/sh", "serve"), env=told, capture_output=True, text=True, timeout=20, check=False
    )

    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-1] == "::probe end served=no reason=state"


@pytest.mark.parametrize("shell", SHELLS)
def test_ask_tells_who_answered(shell: str, tools: dict[str, str], port: int) -> None:
    with serving(shell, tools, port, PROBE_NAME="b=1") as address:
        report = ask(shell, PROBE_READY=f"{address}/health", PROBE_URL=f"{address}/v1/x", PROBE_COUNT="4")
        posted = ask(shell, PROBE_URL=f"{address}/v1/x", PROBE_BODY='{"model": "m"}')
        total = fetched(f"{address}/metrics")[1]

    assert [marker.values for marker in report.all("answer")] == [
        {"n": str(number), "status": "200", "by": "b=1"} for number in range(1, 5)
    ]
    assert report.markers[-1].values == {"reached": "yes", "status": "200", "sent": "4", "answered": "4"}
    assert [marker.get("by") for marker in posted.all("answer")] == ["b=1"]
    assert 'certportal_probe_requests_total{run="none"} 5\n' in total


class Recorder(http.server.BaseHTTPRequestHandler):
    """Answers with the status its path names, after having written down what it was asked."""

    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append((self.command, self.path, dict(self.headers), body))
        answers = [int(part) for part in self.path.strip("/").split("/")]
        asked = sum(path == self.path for _, path, _, _ in self.seen)
        self.send_response(answers[min(asked, len(answers)) - 1])
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET  # noqa: N815 - the base class looks for this name

    def log_message(self, *_: object) -> None:
        """Keep the output of the tests clean."""


@pytest.fixture
def recorder() -> Iterator[str]:
    Recorder.seen = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("shell", SHELLS)
def test_ask_tells_the_status_of_failures(shell: str, recorder: str) -> None:
    report = ask(shell, PROBE_URL=f"{recorder}/503", PROBE_COUNT="2", PROBE_BODY="{}")

    assert [marker.values for marker in report.all("answer")] == [
        {"n": "1", "status": "503", "by": ""},
        {"n": "2", "status": "503", "by": ""},
    ]
    assert report.markers[-1].get("answered") == "0"


def test_ask_sends_header_and_body(recorder: str) -> None:
    ask("/bin/sh", PROBE_URL=f"{recorder}/200", PROBE_HEADER="OpenAI-Organization: certportal chosen")
    ask("/bin/sh", PROBE_URL=f"{recorder}/200", PROBE_BODY='{"model": "a b"}')

    (method, _, headers, body), (posted, _, sent, data) = Recorder.seen
    assert (method, headers["OpenAI-Organization"], body) == ("GET", "certportal chosen", b"")
    assert (posted, sent["Content-Type"], data) == ("POST", "application/json", b'{"model": "a b"}')


def test_ask_waits_until_the_way_is_open(recorder: str) -> None:
    report = ask("/bin/sh", PROBE_READY=f"{recorder}/404/200/503/200", PROBE_URL=f"{recorder}/200")

    assert report.markers[-1].get("reached") == "yes"
    # Three good answers in a row are wanted, and every bad one starts the count anew.
    assert len([path for _, path, _, _ in Recorder.seen if path != "/200"]) == 6


@pytest.mark.parametrize(("path", "status"), [("/503", "503"), ("", "0")])
def test_ask_gives_up_after_its_patience(recorder: str, port: int, path: str, status: str) -> None:
    ready = f"{recorder}{path}" if path else f"http://127.0.0.1:{port}/"

    report = ask("/bin/sh", PROBE_READY=ready, PROBE_PATIENCE="1", PROBE_URL=f"{recorder}/200")

    assert report.markers[-1].values == {"reached": "no", "status": status, "sent": "0", "answered": "0"}
    assert report.all("answer") == []


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("window", "lately"), [("600", 7), ("0", 0)])
def test_serve_tells_how_many_requests_came_lately(
    shell: str, tools: dict[str, str], port: int, window: str, lately: int
) -> None:
    told = {"PROBE_LABEL": "r1", "PROBE_METRIC": "load_of_late", "PROBE_WINDOW": window}
    model = _Server(told)
    with serving(shell, tools, port, **told) as address:
        for _ in range(7):
            fetched(f"{address}/v1/chat/completions", b"{}")
            model.answer(Request("POST", "/v1/chat/completions"))
        fetched(f"{address}/health")
        text = fetched(f"{address}/metrics")[1]

    assert f'# TYPE load_of_late gauge\nload_of_late{{run="r1"}} {lately}\n' in text
    assert text == model.answer(Request("GET", "/metrics")).body.decode()


def test_serve_goes_on_for_a_while_when_it_is_told_to_end(tools: dict[str, str], port: int) -> None:
    process = subprocess.Popen(
        words("/bin/sh", "serve"),
        env={**tools, "PROBE_PORT": str(port), "PROBE_DRAIN": "2"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        with process.stdout as out:
            assert [out.readline() for _ in range(2)][1].startswith("::probe serving")
            process.send_signal(signal.SIGTERM)
            assert fetched(f"http://127.0.0.1:{port}/health")[1] == "ok"
            assert process.wait(20) == 143
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)


# A stream of requests -----------------------------------------------------------------------------


def stream(shell: str, **environment: str) -> markers.Report:
    if shutil.which("wget") is None:
        pytest.skip("this machine has no wget")
    finished = subprocess.run(
        words(shell, "stream"),
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert finished.stderr == ""
    assert all(line.startswith(markers.PREFIX) for line in finished.stdout.splitlines())
    report = markers.parse(finished.stdout.splitlines())
    assert report.is_complete
    return report


@pytest.mark.parametrize("shell", SHELLS)
def test_stream_counts_what_it_sends_and_what_fails(shell: str, recorder: str) -> None:
    report = stream(shell, PROBE_URL=f"{recorder}/503/200/200/500/200", PROBE_RATE="2", PROBE_HOLD="2")

    assert [marker.word for marker in report.markers[:2]] == ["begin", "reached"]
    tallies = [marker.values for marker in report.all("tally")]
    assert tallies[0] == {"sent": "2", "failed": "1", "status": "500"}
    assert [tally["sent"] for tally in tallies] == [str(2 * (at + 1)) for at in range(len(tallies))]
    assert {tally["failed"] for tally in tallies} == {"1"}
    assert report.markers[-1].values == {"reached": "yes", "sent": tallies[-1]["sent"], "failed": "1"}
    # The two that were needed to find the way count for nothing.
    assert len(Recorder.seen) == int(tallies[-1]["sent"]) + 2


def test_stream_sends_header_and_body(recorder: str) -> None:
    stream("/bin/sh", PROBE_URL=f"{recorder}/200", PROBE_HEADER="X-Model: a b", PROBE_BODY='{"model": "m"}')

    [(method, _, headers, body)] = Recorder.seen
    assert (method, headers["X-Model"], headers["Content-Type"], body) == (
        "POST",
        "a b",
        "application/json",
        b'{"model": "m"}',
    )


@pytest.mark.parametrize(("path", "status"), [("/503", "503"), ("", "0")])
def test_stream_gives_up_after_its_patience(recorder: str, port: int, path: str, status: str) -> None:
    url = f"{recorder}{path}" if path else f"http://127.0.0.1:{port}/"

    report = stream("/bin/sh", PROBE_URL=url, PROBE_PATIENCE="1", PROBE_HOLD="60")

    assert report.markers[-1].values == {"reached": "no", "status": status}
    assert report.all("tally") == []


def test_stream_ends_when_it_is_told_to(recorder: str) -> None:
    if shutil.which("wget") is None:
        pytest.skip("this machine has no wget")
    with subprocess.Popen(
        words("/bin/sh", "stream"),
        env={"PATH": os.environ["PATH"], "PROBE_URL": f"{recorder}/200", "PROBE_HOLD": "600"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(3)][
            2
        ] == "::probe tally sent=1 failed=0 status=200\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143

"""The programs of the scenarios, run by a real shell."""

from __future__ import annotations

import hashlib
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conformance import markers, probes
from conformance.scenarios.mlops import checksums
from conformance.scenarios.training import EVERY, HANG, STEPS, numbers
from conformance.simulator import programs
from conformance.simulator.hardware import View
from conformance.simulator.network import Request
from conformance.simulator.objectstore import ACCESS_KEY, BUCKET, SECRET_KEY, ObjectStore, sign
from tests.conformance.scenarios.shells import Shell, said


def test_workers_in_a_real_shell_train_and_recover(shell: Shell, tmp_path: Path, decade: int) -> None:
    store_port = f"{decade}9"
    kept = tmp_path / "kept"
    said(shell.start("store", "store", PROBE_FOLDER=str(kept), PROBE_PORT=store_port), until="serving")

    def worker(index: int) -> subprocess.Popen[str]:
        return shell.start(
            "train",
            f"worker-{index}",
            JOB_COMPLETION_INDEX=str(index),
            PROBE_WORKERS="2",
            PROBE_PEERS=f"127.0.0.1:{decade}@",
            PROBE_PORT=f"{decade}{index}",
            PROBE_STORE=f"http://127.0.0.1:{store_port}",
            PROBE_STEPS=str(STEPS),
            PROBE_EVERY=str(EVERY),
            PROBE_HANG=f"1:{HANG}",
            PROBE_PATIENCE="60",
        )

    expected = numbers(2, STEPS)
    first, victim = worker(0), worker(1)
    before = markers.parse(said(victim, until="hanging"))
    victim.terminate()
    assert victim.wait(10) == 143
    second = worker(1)
    after = markers.parse(said(second, until="end"))
    other = markers.parse(said(first, until="end"))

    assert [marker.word for marker in before.markers[:3]] == ["begin", "fresh", "met"]
    assert [marker.get("value") for marker in before.all("step")] == [
        str(number) for number in expected[1][1 : HANG + 1]
    ]
    assert before.all("checkpoint")[0].values == {
        "n": str(EVERY),
        "value": str(expected[1][EVERY]),
        "stored": "yes",
    }
    assert after.all("resumed")[0].values == {"n": str(EVERY), "value": str(expected[1][EVERY])}
    for report, row in ((other, expected[0]), (after, expected[1])):
        assert report.markers[-1].values == {"done": "yes", "n": str(STEPS), "value": str(row[STEPS])}
    assert (kept / "worker-0").read_text().split() == [str(STEPS), *(str(number) for number in expected[0])]


def test_worker_in_a_real_shell_misses_the_others(shell: Shell, decade: int) -> None:
    process = shell.start(
        "train",
        "alone",
        JOB_COMPLETION_INDEX="0",
        PROBE_WORKERS="2",
        PROBE_PEERS=f"127.0.0.1:{decade}@",
        PROBE_PORT=f"{decade}0",
        # Its own server has no checkpoints: it begins anew at once.
        PROBE_STORE=f"http://127.0.0.1:{decade}0",
        PROBE_PATIENCE="1",
    )

    report = markers.parse(said(process, until="end"))

    assert report.markers[-1].values == {"done": "no", "failed": "rendezvous", "missing": "1"}
    assert process.wait(10) == 1


def test_store_in_a_real_shell_says_what_it_cannot_keep(shell: Shell, tmp_path: Path, decade: int) -> None:
    place = tmp_path / "a-file"
    place.write_text("not a folder")
    process = shell.start(
        "train",
        "worker",
        PROBE_PEERS=f"127.0.0.1:{decade}@",
        PROBE_PORT=f"{decade}0",
        PROBE_STEPS="1",
        PROBE_EVERY="1",
        PROBE_STORE=f"http://127.0.0.1:{decade}9",
        PROBE_PATIENCE="30",
    )
    said(
        shell.start("store", "store", PROBE_FOLDER=str(place), PROBE_PORT=f"{decade}9"),
        until="serving",
    )

    report = markers.parse(said(process, until="checkpoint"))

    assert report.all("checkpoint")[0].get("stored") == "no"


@pytest.fixture
def object_store() -> Iterator[tuple[str, ObjectStore]]:
    """The simulated object store behind a real server, and its address."""
    store = ObjectStore(ACCESS_KEY, SECRET_KEY)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = store.answer(Request(self.command, self.path, headers, body))
            self.send_response(int(answer.status))
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = _answer  # noqa: N815 - names the server asks for

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", store
        finally:
            server.shutdown()
            thread.join()


def run_pipeline(shell: Shell, place: dict[str, str], *steps: str) -> list[markers.Report]:
    """Run steps of pipeline a, each to its end, and return what they said."""
    reports = []
    for name in steps:
        process = shell.start("pipeline", name, PROBE_STEP=name, PROBE_PIPELINE="a", **place)
        reports.append(markers.parse(said(process, until="end")))
        assert process.wait(10) == (0 if reports[-1].markers[-1].get("done") == "yes" else 1)
    return reports


def assert_pipeline(reports: list[markers.Report]) -> None:
    expected = checksums("a")
    spoken = [
        (marker.word, marker.get("artefact"), marker.get("sha256"))
        for report in reports
        for marker in report.markers
        if marker.word in {"gave", "took"}
    ]
    assert spoken == [
        (word, artefact, expected[artefact])
        for word, artefact in (
            ("gave", "data"),
            ("took", "data"),
            ("gave", "model"),
            ("took", "model"),
            ("gave", "entry"),
            ("took", "entry"),
        )
    ]
    assert {report.markers[-1].get("done") for report in reports} == {"yes"}


def test_pipeline_in_a_real_shell_passes_artefacts_through_a_folder(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()

    assert_pipeline(run_pipeline(shell, {"PROBE_FOLDER": str(folder)}, "prepare", "train", "register"))

    assert {entry.name for entry in folder.iterdir()} == {"a-data", "a-model", "a-entry"}


def test_pipeline_in_a_real_shell_passes_artefacts_through_a_store(
    shell: Shell, tmp_path: Path, decade: int
) -> None:
    server = shell.start("store", "store", PROBE_FOLDER=str(tmp_path / "kept"), PROBE_PORT=f"{decade}0")
    said(server, until="serving")

    place = {"PROBE_STORE": f"http://127.0.0.1:{decade}0"}
    assert_pipeline(run_pipeline(shell, place, "prepare", "train", "register"))


def test_pipeline_in_a_real_shell_passes_artefacts_through_an_object_store(
    shell: Shell, object_store: tuple[str, ObjectStore]
) -> None:
    address, store = object_store
    place = {
        "PROBE_S3": address,
        "PROBE_BUCKET": BUCKET,
        "PROBE_PREFIX": "certportal/x/",
        "PROBE_ACCESS_KEY": ACCESS_KEY,
        "PROBE_SECRET_KEY": SECRET_KEY,
    }

    assert_pipeline(run_pipeline(shell, place, "prepare", "train", "register"))
    kept = dict(store.objects)
    [discarded] = run_pipeline(shell, place, "discard")

    assert set(kept) == {f"certportal/x/a-{name}" for name in ("data", "model", "entry")}
    assert hashlib.sha256(kept["certportal/x/a-data"]).hexdigest() == checksums("a")["data"]
    assert discarded.markers[-1].values == {"done": "yes"}
    assert store.objects == {}


@pytest.mark.parametrize("secret", ["a-wrong-key", "x" * 80])
def test_object_store_takes_nothing_with_a_wrong_signature(
    object_store: tuple[str, ObjectStore], shell: Shell, secret: str
) -> None:
    address, store = object_store
    process = shell.start(
        "pipeline",
        "prepare",
        PROBE_STEP="prepare",
        PROBE_S3=address,
        PROBE_BUCKET=BUCKET,
        PROBE_ACCESS_KEY=ACCESS_KEY,
        PROBE_SECRET_KEY=secret,
    )
    time.sleep(1.5)

    assert store.objects == {}
    assert process.poll() is None


def test_signatures_are_those_of_the_published_example() -> None:
    # From the description of version 4: the policy of a form, signed with the documentation's own key.
    key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    text = (
        "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"
        "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972"
    )

    assert sign(key, "20130524", "us-east-1", text) == (
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


@pytest.mark.parametrize("program", ["pipeline", "store", "stream", "train"])
def test_model_begins_as_the_script_does(program: str) -> None:
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {}}
    container = {"name": "c", "image": "busybox", "command": probes.command(program), "env": []}

    run = programs.run(pod, container, View())

    assert run.first[0].startswith(f"::probe begin program={program}")

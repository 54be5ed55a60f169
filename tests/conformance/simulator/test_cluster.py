"""A cluster as a whole: its start and end, its restart, its quiet, its size."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest
import yaml
from urllib3.exceptions import HTTPError

from conformance.cluster import kubeconfig
from conformance.simulator import start

from .conftest import SPEED, Talker, config_map


def test_kubeconfig_is_one_a_vendor_could_hand_over(cluster):
    access = kubeconfig.load(cluster.kubeconfig.encode())
    assert access is not None
    assert cluster.url in cluster.kubeconfig


def test_tokens_and_authority_differ_between_starts():
    with start("conformant-1.36", speed=SPEED) as one, start("conformant-1.36", speed=SPEED) as two:
        assert one.kubeconfig != two.kubeconfig
        assert one.kubeconfig != one.admin_kubeconfig


def test_cluster_comes_back_at_the_same_address_with_the_same_tokens(tmp_path):
    with start("conformant-1.36", speed=SPEED, ca_dir=tmp_path / "ca") as first:
        before, port = first.kubeconfig, first.port
    with start("conformant-1.36", speed=SPEED, ca_dir=tmp_path / "ca", port=port) as second:
        assert second.kubeconfig == before
        talker = Talker(second, before)
        assert talker.call("GET", "/api/v1/nodes")[0] == 200
        talker.close()
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "ca").iterdir())


def test_port_in_use_is_an_error(cluster):
    with pytest.raises(OSError, match="address already in use"):
        start("conformant-1.36", port=cluster.port)


def test_speed_of_nothing_is_refused():
    with pytest.raises(ValueError, match="above zero"):
        start("conformant-1.36", speed=0)


def test_stop_ends_watches_and_the_thread():
    running = start("conformant-1.36", speed=SPEED)
    talker = Talker(running, running.admin_kubeconfig)
    opened, ended = threading.Event(), threading.Event()

    def follow() -> None:
        response = talker.core.list_node(watch=True, _preload_content=False, _request_timeout=10)
        opened.set()
        # How a broken stream shows is the client's affair; here it matters that it ends.
        with contextlib.suppress(HTTPError):
            list(response.stream())
        ended.set()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    assert opened.wait(5)
    running.stop()
    running.stop()
    assert ended.wait(5)
    thread.join(5)
    talker.close()
    assert not running._thread.is_alive()


def test_idle_cluster_costs_next_to_nothing():
    with start("conformant-1.36", speed=SPEED):
        time.sleep(0.3)
        before = time.process_time()
        time.sleep(1)
        assert time.process_time() - before < 0.05


def test_log_of_changes_is_bounded(cluster):
    table = cluster.call(lambda world: world.store._table("configmaps"))
    limit = table.log.maxlen

    def churn(world) -> None:
        kind = world.types.get("configmaps")
        for index in range(limit + 10):
            world.api.create(kind, config_map(f"churn-{index}"), "default")
            world.api.delete(kind, "default", f"churn-{index}")

    cluster.call(churn)
    assert len(table.log) == limit
    assert table.compacted > 0


def test_events_are_bounded(cluster):
    def storm(world) -> int:
        node = world.store.all("nodes")[0]
        for index in range(1100):
            world.recorder.record(node, "Normal", "Storm", f"number {index}", component="test")
        return len(world.store.all("events"))

    assert cluster.call(storm) <= 1000


def test_repeated_event_counts_up(cluster):
    def repeat(world) -> int:
        node = world.store.all("nodes")[0]
        for _ in range(3):
            world.recorder.record(node, "Warning", "Again", "the same", component="test")
        return [e["count"] for e in world.store.all("events") if e["reason"] == "Again"]

    assert cluster.call(repeat) == [3]


def test_simulator_does_not_load_the_client():
    code = "import sys, conformance.simulator; sys.exit('kubernetes' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_command_lists_the_profiles():
    result = subprocess.run(
        [sys.executable, "-m", "conformance", "simulate", "--list"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 0
    assert "conformant-1.36 " in result.stdout
    assert "forbidden:VERB:RESOURCE" in result.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["--profile", "nothing"], ["--profile", "conformant-1.36", "--speed", "0"]]
)
def test_command_refuses_what_it_cannot_do(arguments):
    result = subprocess.run(
        [sys.executable, "-m", "conformance", "simulate", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("simulate: ")


def test_command_runs_until_stopped(tmp_path):
    path = tmp_path / "kubeconfig"
    arguments = ["--profile", "conformant-1.36", "--kubeconfig-out", str(path)]
    with subprocess.Popen(
        [sys.executable, "-m", "conformance", "simulate", *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline().strip()
        document = yaml.safe_load(path.read_text())
        assert line == f"ready {document['clusters'][0]['cluster']['server']}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) == 0


def test_command_stops_however_many_signals_come_at_once():
    with subprocess.Popen(
        [sys.executable, "-m", "conformance", "simulate", "--profile", "conformant-1.36"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline().startswith("ready ")
            for _ in range(20_000):
                process.send_signal(signal.SIGTERM)
            # One that comes when Python is already taking itself down ends the process as it always would.
            assert process.wait(20) in {0, -signal.SIGTERM}
        finally:
            process.kill()

"""``conformance verify`` as a vendor runs it."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from conformance.catalogue import Level
from conformance.cli import main
from conformance.cli.verify import PlainProgress, TerminalProgress
from conformance.simulator import SimulatedCluster
from conformance.verdicts import CheckResult, Status, StepResult
from tests.conformance.engine import world

pytestmark = pytest.mark.cluster


def written(cluster: SimulatedCluster, folder: Path) -> str:
    path = folder / "kubeconfig"
    path.write_text(cluster.kubeconfig)
    return str(path)


def test_verify_writes_report_junit_and_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, junit, bundle = tmp_path / "r.json", tmp_path / "j.xml", tmp_path / "b.zip"

    with world.occupied("conformant-1.36") as cluster:
        code = main(
            [
                "verify",
                "--kubeconfig",
                written(cluster, tmp_path),
                "--checklist",
                "1.36",
                "--report",
                str(report),
                "--junit",
                str(junit),
                "--bundle",
                str(bundle),
            ]
        )
        token = json.dumps(cluster.kubeconfig)

    printed = capsys.readouterr().out
    assert code == 0
    assert "Outcome: conformant" in printed
    assert "simulated" in printed
    assert "\x1b" not in printed
    document = json.loads(report.read_text())
    assert document["outcome"] == "conformant"
    assert document["simulated"] is True
    assert document["cleanup"] == {"complete": True, "left_behind": []}
    assert junit.read_text().startswith("<?xml")
    assert main(["verify-report", str(report)]) == 0
    with zipfile.ZipFile(io.BytesIO(bundle.read_bytes())) as archive:
        names = archive.namelist()
        content = b"".join(archive.read(name) for name in names)
    assert "evidence/secure_accelerator_access/logs/alone-probe.txt" in names
    secret = next(line.split(": ")[1] for line in token.split("\\n") if "token:" in line)
    assert secret.encode() not in content


def test_verify_tells_non_conformant_by_its_exit_code(tmp_path: Path) -> None:
    with world.occupied("webhook-accepts-anything") as cluster:
        code = main(
            [
                "verify",
                "--kubeconfig",
                written(cluster, tmp_path),
                "--checklist",
                "v1.36",
                "--only",
                "robust_controller",
            ]
        )

    assert code == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--checklist", "9.9"], "there is no checklist"),
        (["--checklist", "1.36", "--only", "dra_support"], "has no dra_support"),
        (["--checklist", "1.36", "--report", "/nonexistent/r.json"], "does not exist"),
        (["--checklist", "1.36", "--settings", "/nonexistent"], "cannot read"),
        (["--checklist", "1.36", "--context", "other"], "no context"),
        (["--checklist", "1.36", "--envelope", "e.json"], "--envelope needs --sign-key"),
        (["--checklist", "1.36", "--sign-key", "/nonexistent"], "cannot read"),
    ],
)
def test_verify_says_what_is_wrong_with_its_options(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )

    assert main(["verify", "--kubeconfig", str(path), *options]) == 2
    assert said in capsys.readouterr().err


def test_verify_refuses_a_kubeconfig_that_runs_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = tmp_path / "was-run"
    path = tmp_path / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {"exec": {"command": "touch", "args": [str(marker)]}}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )

    assert main(["verify", "--kubeconfig", str(path), "--checklist", "1.36"]) == 2
    assert "conformance rbac" in capsys.readouterr().err
    assert not marker.exists()


@pytest.mark.parametrize("width", ["0", "33", "many"])
def test_width_out_of_bounds_is_a_usage_error(width: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["verify", "--kubeconfig", "k", "--checklist", "1.36", "--parallel", width])

    assert left.value.code == 2
    assert "--parallel" in capsys.readouterr().err


def test_signed_run_is_attested_and_holds_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, public = tmp_path / "key.pem", tmp_path / "key.pub"
    assert main(["keygen", "--out", str(key)]) == 0
    public.write_text(capsys.readouterr().out)
    names = {name: tmp_path / name for name in ("r.json", "b.zip", "a.json", "e.json")}

    with world.occupied("conformant-1.36") as cluster:
        code = main(
            [
                *("verify", "--kubeconfig", written(cluster, tmp_path), "--checklist", "1.36"),
                *("--only", "robust_controller", "--parallel", "1", "--sign-key", str(key)),
                *("--report", str(names["r.json"]), "--bundle", str(names["b.zip"])),
                *("--attestation", str(names["a.json"]), "--envelope", str(names["e.json"])),
            ]
        )

    assert code == 3
    statement = json.loads(names["a.json"].read_text())
    assert statement["predicate"]["passedTests"] == ["robust_controller"]
    assert statement["predicate"]["result"] == "FAILED"
    with zipfile.ZipFile(names["b.zip"]) as archive:
        assert archive.read("attestation.json") == names["a.json"].read_bytes()
        assert archive.read("attestation.dsse.json") == names["e.json"].read_bytes()
        assert archive.read("report.json") == names["r.json"].read_bytes()
    checked = ["verify-report", str(names["r.json"]), "--bundle", str(names["b.zip"]), "--key", str(public)]
    assert main(checked) == 0


def test_missing_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["verify", "--checklist", "1.36"])

    assert left.value.code == 2
    assert "--kubeconfig" in capsys.readouterr().err


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_verify_cleans_up(stop: signal.Signals, tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    with world.occupied("conformant-1.36", speed=2) as cluster:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "conformance",
                "verify",
                "--kubeconfig",
                written(cluster, tmp_path),
                "--checklist",
                "1.36",
                "--only",
                "gang_scheduling",
                "--report",
                str(report),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            world.wait_for(
                lambda: [pod for pod in cluster.store.list("pods") if "filler" in pod["metadata"]["name"]],
                seconds=30,
            )
            process.send_signal(stop)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()

        assert process.returncode == 3
        assert "being removed" in err
        assert "Outcome: incomplete" in out
        assert json.loads(report.read_text())["cancelled"] is True
        assert world.leftovers(cluster) == []


def test_progress_on_a_terminal_is_written_anew(tmp_path: Path) -> None:
    with world.occupied("conformant-1.36") as cluster:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "conformance",
                "verify",
                "--kubeconfig",
                written(cluster, tmp_path),
                "--checklist",
                "1.36",
                "--only",
                "robust_controller",
            ],
            stdout=theirs,
            env={**os.environ, "TERM": "xterm"},
        )
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
        assert process.wait(30) == 3
        os.close(ours)

    text = shown.decode()
    assert "\x1b[1F" in text
    assert "robust_controller" in text
    assert "running" in text
    assert "pass" in text


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        # The other end of a pseudo terminal is gone.
        return b""


def _result() -> CheckResult:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return CheckResult("a", Level.MUST, Status.NOT_APPLICABLE, "r", "Because.", now, now, 61.0)


def test_plain_progress_is_a_line_for_each_event() -> None:
    out = io.StringIO()
    progress = PlainProgress(out, ["a", "longer"])

    progress.started("a", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    progress.tick()
    progress.finished(_result())
    progress.close()

    assert out.getvalue().splitlines() == [
        "03:04:05 a      running",
        "03:04:05 a      not applicable (61 s) Because.",
    ]


def test_terminal_progress_keeps_to_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    progress = TerminalProgress(out, ["a", "b"])

    progress.started("a", datetime(2026, 1, 2, tzinfo=UTC))
    progress.finished(_result())
    progress.close()

    assert "not applicable 1:01" in out.getvalue()
    assert "\x1b[3" not in out.getvalue()
    assert out.getvalue().endswith("  a: Because.\n")


@pytest.mark.parametrize("columns", [12, 40, 200])
def test_terminal_progress_keeps_to_the_width(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    title = "The job recovers from the loss of a worker"
    out = io.StringIO()
    progress = TerminalProgress(out, ["training", "advanced_inference_ingress"])

    progress.scenario_started("training", datetime(2026, 1, 2, tzinfo=UTC))
    progress.step_finished("training", StepResult("recovery", title, Status.PASS, "", ""))

    drawn = [line.removeprefix("\x1b[2F").removeprefix("\x1b[2K") for line in out.getvalue().splitlines()]
    assert max(map(len, drawn)) <= max(columns, 15)
    assert (f"after: {title}" in out.getvalue()) is (columns == 200)


def test_checks_lists_levels_and_what_is_automatic(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checks", "--format", "json"]) == 0

    listed = {entry["id"]: entry for entry in json.loads(capsys.readouterr().out)["requirements"]}
    assert len(listed) == 16
    assert listed["dra_support"]["levels"] == {"1.33": "SHOULD", "1.34": "MUST", "1.35": "MUST"}
    assert listed["gang_scheduling"]["automatic"] is True
    assert listed["gang_scheduling"]["observes"].startswith("Every pod of a group starts, or none does.")
    assert all(entry["automatic"] for entry in listed.values())

    assert main(["checks"]) == 0
    assert "workload_sandboxing" in capsys.readouterr().out

"""``conformance verify``: run the checks against a cluster."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import TextIO

from conformance import bundle, probe_settings, scenarios, signing
from conformance.catalogue import Checklist, builtin_checklists
from conformance.cli import EXIT_INCOMPLETE, EXIT_NEGATIVE, EXIT_OK, EXIT_USAGE
from conformance.cluster import kubeconfig
from conformance.cluster.guard import AddressRefused, NetworkPolicy
from conformance.report import Cleanup, Report
from conformance.verdicts import CheckResult, Outcome, ScenarioResult, Status, StepResult

_EXIT = {
    Outcome.CONFORMANT: EXIT_OK,
    Outcome.NON_CONFORMANT: EXIT_NEGATIVE,
    Outcome.INCOMPLETE: EXIT_INCOMPLETE,
}
_DEFAULT_TIMEOUT = 3600
_LONGEST_TIMEOUT = 24 * 3600
_PARALLEL = 4
_MOST_PARALLEL = 32


class UsageError(Exception):
    """What was asked for cannot be done; the message says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "--kubeconfig", type=Path, required=True, metavar="FILE", help="with inline data only"
    )
    parser.add_argument("--context", help="a context of the kubeconfig other than the current one")
    parser.add_argument("--checklist", required=True, metavar="VERSION", help="such as 1.36")
    parser.add_argument("--only", metavar="ID,…", help="run these checks only; the rest stay unknown")
    parser.add_argument(
        "--scenarios",
        metavar="ID,…|all|none",
        help="simulated workloads to play after the checks; all, or none with --only, unless said",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=_DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="for all checks and scenarios together",
    )
    parser.add_argument(
        "--parallel",
        type=_width,
        default=_PARALLEL,
        metavar="N",
        help=f"checks that take no devices run N at a time (1 to {_MOST_PARALLEL}, usually {_PARALLEL})",
    )
    parser.add_argument("--settings", type=Path, metavar="FILE", help="probe settings: what only you know")
    parser.add_argument("--namespace", help="work in this prepared namespace instead of making new ones")
    parser.add_argument("--image-prefix", default="", metavar="REGISTRY", help="mirror the probe image is in")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write the sealed report")
    parser.add_argument("--junit", type=Path, metavar="FILE.xml", help="write the results as JUnit XML")
    parser.add_argument("--bundle", type=Path, metavar="FILE.zip", help="write report and evidence together")
    parser.add_argument(
        "--attestation", type=Path, metavar="FILE.json", help="write the report as an in-toto statement"
    )
    parser.add_argument(
        "--envelope", type=Path, metavar="FILE.json", help="write that statement signed, as a DSSE envelope"
    )
    parser.add_argument(
        "--sign-key", type=Path, metavar="FILE", help="sign report and bundle with a key that `keygen` made"
    )


def _width(text: str) -> int:
    width = int(text)
    if not 1 <= width <= _MOST_PARALLEL:
        raise argparse.ArgumentTypeError(f"must be 1 to {_MOST_PARALLEL}")
    return width


def _seconds(text: str) -> int:
    seconds = int(text)
    if not 1 <= seconds <= _LONGEST_TIMEOUT:
        raise argparse.ArgumentTypeError(f"must be 1 to {_LONGEST_TIMEOUT} seconds")
    return seconds


def run(options: argparse.Namespace) -> int:
    """Run the checks and return 0 conformant, 1 not, 3 incomplete, 2 where it could not begin."""
    try:
        key = _sign_key(options)
        report = _verify(options)
    except (
        UsageError,
        kubeconfig.KubeconfigError,
        AddressRefused,
        probe_settings.SettingsError,
        signing.SignatureError,
    ) as error:
        print(f"conformance verify: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("conformance verify: broken off; objects of the run may be left behind.", file=sys.stderr)
        return EXIT_INCOMPLETE
    try:
        _write(options, report, key)
    except OSError as error:
        print(f"conformance verify: cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return EXIT_USAGE
    _summarise(report)
    return _EXIT[report.outcome]


def _outputs(options: argparse.Namespace) -> dict[str, Path | None]:
    """Return the files that are asked for, by their names in the bundle."""
    return {
        bundle.REPORT: options.report,
        bundle.JUNIT: options.junit,
        bundle.STATEMENT: options.attestation,
        bundle.ENVELOPE: options.envelope,
    }


def _sign_key(options: argparse.Namespace) -> signing.SigningKey | None:
    if options.sign_key is not None:
        return signing.SigningKey.from_pem(_content(options.sign_key))
    if options.envelope is not None:
        raise UsageError("--envelope needs --sign-key: an envelope holds a signature")
    return None


def _write(options: argparse.Namespace, report: Report, key: signing.SigningKey | None) -> None:
    """Write what was asked for; raise OSError."""
    files = bundle.files_of(report, key)
    for name, path in _outputs(options).items():
        if path is not None:
            path.write_bytes(files[name])
    if options.bundle is not None:
        options.bundle.write_bytes(bundle.to_bundle(report, key))


def _verify(options: argparse.Namespace) -> Report:
    checklist = _checklist(options.checklist)
    only = _only(options.only, checklist)
    played = _scenarios(options.scenarios, only)
    for path in (*_outputs(options).values(), options.bundle):
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"the folder of {path} does not exist")
    settings = None
    if options.settings is not None:
        settings = probe_settings.parse(_content(options.settings))
    access = kubeconfig.load(_content(options.kubeconfig), context=options.context)
    # The Kubernetes client is slow to import, so a mistake in the options shows before it.
    from conformance import engine
    from conformance.cluster import errors
    from conformance.cluster.connection import connect

    # It is the vendor's own machine: private addresses and loopback are theirs to call.
    policy = NetworkPolicy(allow_private=True, allow_loopback=True)
    try:
        connection = connect(access, policy)
    except errors.ClusterError as error:
        raise UsageError(str(error)) from error
    # urllib3 tells of every dropped watch on a logger that would end up between the lines of progress.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    planned = [requirement.id for _, requirement in checklist.requirements()]
    chosen = planned if only is None else [name for name in planned if name in only]
    progress = _progress([*chosen, *played])
    print(f"Checking {access.server} against checklist {checklist.version}.", flush=True)
    with _interruption() as interrupted:

        def cancelled() -> bool:
            progress.tick()
            return bool(interrupted)

        try:
            return engine.verify(
                connection,
                checklist,
                run_id=str(uuid.uuid4()),
                budget=timedelta(seconds=options.timeout),
                settings=settings,
                only=only,
                listener=progress,
                cancelled=cancelled,
                namespace=options.namespace,
                image_prefix=options.image_prefix,
                parallel=options.parallel,
                scenarios=played,
            )
        finally:
            progress.close()
            connection.close()


def _checklist(version: str) -> Checklist:
    known = builtin_checklists()
    found = known.get(version.removeprefix("v"))
    if found is None:
        raise UsageError(f"there is no checklist {version}; known are {', '.join(sorted(known))}")
    return found


def _only(text: str | None, checklist: Checklist) -> frozenset[str] | None:
    if text is None:
        return None
    wanted = {name.strip() for name in text.split(",") if name.strip()}
    known = {requirement.id for _, requirement in checklist.requirements()}
    if stray := sorted(wanted - known):
        raise UsageError(f"checklist {checklist.version} has no {', '.join(stray)}")
    return frozenset(wanted)


def _scenarios(text: str | None, only: frozenset[str] | None) -> list[str]:
    known = [info.id for info in scenarios.info()]
    if text is None:
        return known if only is None else []
    if text in {"all", "none"}:
        return known if text == "all" else []
    wanted = {name.strip() for name in text.split(",") if name.strip()}
    if stray := sorted(wanted - set(known)):
        raise UsageError(f"there is no scenario {', '.join(stray)}; known are {', '.join(known)}")
    return [name for name in known if name in wanted]


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # A byte more than any document may have shows that it is too large.
            return file.read(max(kubeconfig.MAX_BYTES, probe_settings.MAX_BYTES) + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


@contextmanager
def _interruption() -> Iterator[list[int]]:
    """Collect the first Ctrl-C instead of breaking off, so that the cluster is left clean."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        print("\nStopping; what was created is being removed.", file=sys.stderr, flush=True)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _summarise(report: Report) -> None:
    counts = {status: sum(result.status is status for result in report.results) for status in Status}
    told = ", ".join(f"{count} {status.value.replace('_', ' ')}" for status, count in counts.items() if count)
    print(f"\nOutcome: {report.outcome.value.replace('_', '-')} ({told})")
    for scenario in report.scenarios:
        passed = sum(step.status is Status.PASS for step in scenario.steps)
        word = scenario.status.value.replace("_", " ")
        print(f"Scenario {scenario.id}: {word} ({passed} of {len(scenario.steps)} steps passed)")
    if report.simulated:
        print("The cluster is simulated: this outcome certifies nothing.")
    if not report.cleanup.complete:
        print("Left behind in the cluster, please remove:")
        for name in report.cleanup.left_behind or ("something that could not be named",):
            print(f"  {name}")


# Progress -----------------------------------------------------------------------------------------

_COLOURS = {
    "pass": "32",
    "fail": "31",
    "error": "31",
    "unknown": "33",
    "not applicable": "36",
    "running": "1",
    "waiting": "2",
}


def _progress(planned: list[str]) -> PlainProgress:
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return TerminalProgress(sys.stdout, planned)
    return PlainProgress(sys.stdout, planned)


_STATE = 14  # columns


class PlainProgress:
    """A line for each thing that happens, for logs and pipes."""

    def __init__(self, out: TextIO, planned: list[str]) -> None:
        self._out = out
        self._width = max((len(name) for name in planned), default=0)

    def started(self, check_id: str, at: datetime) -> None:
        """Say that a check begins."""
        self._line(f"{at:%H:%M:%S} {check_id:{self._width}} running")

    def finished(self, result: CheckResult | ScenarioResult) -> None:
        """Say how a check ended."""
        word = result.status.value.replace("_", " ")
        self._line(
            f"{result.finished_at or datetime.now().astimezone():%H:%M:%S} {result.id:{self._width}} {word} "
            f"({result.duration_seconds:.0f} s) {result.message}"
        )

    def scenario_started(self, scenario_id: str, at: datetime) -> None:
        """Say that a scenario begins."""
        self.started(scenario_id, at)

    def step_finished(self, scenario_id: str, step: StepResult) -> None:
        """Say how a step of a scenario ended."""
        word = step.status.value.replace("_", " ")
        self._line(
            f"{datetime.now().astimezone():%H:%M:%S} {scenario_id:{self._width}}   {word} "
            f"({step.duration_seconds:.0f} s) {step.title}: {step.message}"
        )

    def scenario_finished(self, result: ScenarioResult) -> None:
        """Say how a scenario ended."""
        self.finished(result)

    def cleaned(self, cleanup: Cleanup) -> None:
        """Say nothing; the summary tells what was left."""

    def tick(self) -> None:
        """Let time pass."""

    def close(self) -> None:
        """Nothing stays open."""

    def _line(self, text: str) -> None:
        print(text, file=self._out, flush=True)


class TerminalProgress(PlainProgress):
    """A line for each check that is written anew while its state and time change."""

    _EVERY = 0.2

    def __init__(self, out: TextIO, planned: list[str]) -> None:
        super().__init__(out, planned)
        self._states: dict[str, str] = dict.fromkeys(planned, "waiting")
        self._begun: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._messages: dict[str, str] = {}
        self._steps: dict[str, str] = {}
        self._drawn_lines = 0
        self._drawn_at = 0.0
        self._colour = "NO_COLOR" not in os.environ

    def started(self, check_id: str, at: datetime) -> None:
        """Show a check as running."""
        self._states[check_id] = "running"
        self._begun[check_id] = time.monotonic()
        self._draw()

    def step_finished(self, scenario_id: str, step: StepResult) -> None:
        """Show how far a scenario is."""
        self._steps[scenario_id] = step.title
        self._draw()

    def finished(self, result: CheckResult | ScenarioResult) -> None:
        """Show how a check ended."""
        self._steps.pop(result.id, None)
        self._states[result.id] = result.status.value.replace("_", " ")
        self._took[result.id] = result.duration_seconds
        self._messages[result.id] = result.message
        self._draw()

    def tick(self) -> None:
        """Let the clocks of running checks go on."""
        if time.monotonic() - self._drawn_at >= self._EVERY:
            self._draw()

    def close(self) -> None:
        """Leave the last state and everything a verdict says."""
        for check_id, state in self._states.items():
            if state == "waiting":
                self._states[check_id] = "unknown"
        self._draw()
        for check_id, message in self._messages.items():
            self._line(f"  {check_id}: {message}")

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        if self._drawn_lines:
            self._out.write(f"\x1b[{self._drawn_lines}F")
        # A line that wraps would count as one and take two: the next drawing would begin too low.
        columns = shutil.get_terminal_size().columns - 1
        for check_id, state in self._states.items():
            shown = f"\x1b[{_COLOURS[state]}m{state:{_STATE}}\x1b[0m" if self._colour else f"{state:{_STATE}}"
            reached = f"  after: {self._steps[check_id]}" if check_id in self._steps else ""
            name = f"  {check_id:{self._width}}  "[: max(columns - _STATE, 0)]
            rest = f" {self._elapsed(check_id)}{reached}"[: max(columns - _STATE - len(name), 0)]
            self._out.write(f"\x1b[2K{name}{shown}{rest}\n")
        self._drawn_lines = len(self._states)
        self._out.flush()

    def _elapsed(self, check_id: str) -> str:
        if check_id in self._took:
            seconds = self._took[check_id]
        elif check_id in self._begun:
            seconds = time.monotonic() - self._begun[check_id]
        else:
            return ""
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"

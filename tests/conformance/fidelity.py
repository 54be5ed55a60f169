"""The fidelity of the engine: every check and scenario against every simulated cluster.

``make fidelity`` prints the matrix with what is expected and what was observed in each cell, and fails
where the two differ. A cell that differs is looked at once more, alone and with a slower clock, because
a machine under load may be late for a cluster whose minutes last half a second; what is seen then counts.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from conformance.simulator import expectations, profiles  # noqa: E402 - found only now as a script

SPEED, SECOND_LOOK_SPEED = 100.0, 50.0
REQUEST_SECONDS = 10.0
# A server that never answers is told from a slow one after this long.
STALLED_SECONDS = 1.5
BUDGET = timedelta(seconds=240)
# Runs wait most of the time, so that several share a core.
RUNS_PER_CORE = 3

_SIGNS = {"pass": "P", "fail": "F", "error": "E", "unknown": "U", "not_applicable": "-"}


@dataclass(frozen=True)
class Row:
    """What one profile's run said, by id, with the reasons; `left` is what it left behind."""

    profile: str
    statuses: Mapping[str, str]
    reasons: Mapping[str, str]
    left: tuple[str, ...]
    requests: int
    seconds: float


@dataclass
class Matrix:
    """All rows, and the cells that are not as expected."""

    rows: dict[str, Row] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, row: Row) -> None:
        """Put in a row, in place of an earlier one of the same profile."""
        self.rows[row.profile] = row

    def wrong(self) -> list[str]:
        """Return a sentence per cell that is wrong, and per profile something was left behind in."""
        return [text for row in self.rows.values() for text in problems(row)]

    @property
    def cells(self) -> int:
        """How many verdicts were compared."""
        return sum(len(row.statuses) for row in self.rows.values())


def problems(row: Row) -> Iterator[str]:
    """Yield what is not as expected in a row."""
    wanted = expectations.expected(row.profile)
    for name in sorted(wanted.keys() | row.statuses.keys()):
        seen, due = row.statuses.get(name, "nothing"), wanted.get(name, "nothing")
        if seen != due:
            yield f"{row.profile}: {name} is {seen} ({row.reasons.get(name, '')}), expected {due}"
    for thing in row.left:
        yield f"{row.profile}: {thing} was left behind"


def observe(profile: str, speed: float = SPEED) -> Row:
    """Run every check and scenario of a profile's checklist against a cluster of it."""
    from conformance import probe_settings, scenarios
    from tests.conformance.engine import world

    started = time.monotonic()
    stalled = any(entry.code is None for entry in profiles.profile(profile).interceptions)
    with world.occupied(profile, speed=speed) as cluster:
        before = cluster.requests()
        report = world.run(
            cluster,
            settings=probe_settings.parse(cluster.settings.encode()),
            timeout=STALLED_SECONDS if stalled else REQUEST_SECONDS,
            budget=BUDGET,
            scenarios=tuple(scenarios.load()),
        )
        requests = (cluster.requests() - before).total()
        left = tuple(world.leftovers(cluster))
    results = {result.id: (result.status.value, result.reason) for result in report.results}
    for played in report.scenarios:
        bad = next((step for step in played.steps if step.status is played.status), None)
        results[played.id] = (played.status.value, f"{bad.id}: {bad.reason}" if bad else "")
    return Row(
        profile=profile,
        statuses={name: status for name, (status, _) in results.items()},
        reasons={name: reason for name, (_, reason) in results.items()},
        left=left,
        requests=requests,
        seconds=time.monotonic() - started,
    )


def measure(names: Iterable[str], *, workers: int, progress: bool = False) -> Matrix:
    """Observe profiles side by side, in processes of their own, and look again at what is wrong."""
    started = time.monotonic()
    matrix = Matrix()
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        running = {pool.submit(observe, name): name for name in names}
        for done in concurrent.futures.as_completed(running):
            row = _row(done, running[done])
            matrix.add(row)
            if progress:
                sys.stderr.write(f"\r{len(matrix.rows)} profiles, {row.profile:<40.40}")
                sys.stderr.flush()
    suspects = [row.profile for row in list(matrix.rows.values()) if any(problems(row))]
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        for name in suspects:
            if progress:
                sys.stderr.write(f"\rlooking again at {name:<40.40}")
            matrix.add(_row(pool.submit(observe, name, SECOND_LOOK_SPEED), name))
    if progress:
        sys.stderr.write("\r" + " " * 60 + "\r")
    matrix.seconds = time.monotonic() - started
    return matrix


def _row(done: concurrent.futures.Future[Row], profile: str) -> Row:
    """Return what a process found; one that broke down found nothing, which is never as expected."""
    error = done.exception()
    if error is None:
        return done.result()
    return Row(profile, {}, {"": repr(error)}, (f"a run that broke down ({error!r})",), 0, 0.0)


def default_workers() -> int:
    """Return how many runs go on at a time."""
    return max(2, len(os.sched_getaffinity(0)) * RUNS_PER_CORE)


def show(matrix: Matrix) -> str:
    """Return the matrix as text: a sign per cell, expected and observed where they differ."""
    columns = sorted({name for row in matrix.rows for name in expectations.expected(row)})
    width = max(len(name) for name in matrix.rows) + 1
    lines = ["P pass   F fail   E error   U unknown   - not applicable   . not in the checklist", ""]
    lines += [f"{index + 1:>3} {name}" for index, name in enumerate(columns)]
    lines += ["", " " * width + "".join(f"{index + 1:>4}" for index in range(len(columns)))]
    for name in sorted(matrix.rows, key=lambda name: (not name.startswith("conformant"), name)):
        row, wanted = matrix.rows[name], expectations.expected(name)
        cells = []
        for column in columns:
            due = _SIGNS.get(wanted.get(column, ""), ".")
            seen = _SIGNS.get(row.statuses.get(column, ""), ".")
            cells.append(f"{seen:>4}" if seen == due else f" {due}>{seen}")
        lines.append(f"{name:<{width}}" + "".join(cells))
    return "\n".join(lines)


def main() -> int:
    """Print the matrix; 1 where a cell is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profiles", nargs="*", help="these only")
    parser.add_argument("--workers", type=int, default=default_workers())
    options = parser.parse_args()
    matrix = measure(
        options.profiles or expectations.names(), workers=options.workers, progress=sys.stderr.isatty()
    )
    wrong = matrix.wrong()
    most = max(matrix.rows.values(), key=lambda row: row.requests)
    sys.stdout.write(f"{show(matrix)}\n\n")
    sys.stdout.write("".join(f"WRONG {text}\n" for text in wrong))
    sys.stdout.write(
        f"{matrix.cells} cells of {len(matrix.rows)} profiles in {matrix.seconds:.0f} s, {len(wrong)} wrong; "
        f"at most {most.requests} requests in a run ({most.profile}).\n"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

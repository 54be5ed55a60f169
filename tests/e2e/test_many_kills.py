"""Workers killed at random moments: the benchmark, in small."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLS = 5


@pytest.mark.e2e
@pytest.mark.xdist_group("portal")
@pytest.mark.timeout(900)
def test_killed_workers_cost_no_verdict_and_leave_nothing_behind() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/kills.py", str(KILLS), "--width", str(KILLS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=840,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    summary = done.stdout.strip().splitlines()[-1]
    found = re.match(
        r"kills: (\d+) runs hit of (\d+), (\d+) with exactly one verdict for each of (\d+) requirements, "
        r"0 objects left behind",
        summary,
    )
    assert found, summary
    hit, runs, sound, requirements = (int(number) for number in found.groups())
    assert hit >= KILLS
    assert sound == runs
    assert requirements > 0

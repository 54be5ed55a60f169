"""Probe programs run by a real shell, with the tools the probe image has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from conformance import markers, probes


class Shell:
    """Starts programs, each with a folder of its own, and ends them."""

    def __init__(self, folder: Path, path: str) -> None:
        self._folder = folder
        self._path = path
        self._running: list[subprocess.Popen[str]] = []

    def start(self, program: str, name: str, **environment: str) -> subprocess.Popen[str]:
        """Start a program in an empty folder of that name."""
        state = self._folder / name
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir(parents=True)
        process = subprocess.Popen(
            ["/bin/sh", "-c", probes.script(program), program],
            env={"PATH": self._path, "PROBE_STATE": str(state), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process

    def stop(self) -> None:
        """End whatever still runs."""
        for process in self._running:
            if process.poll() is None:
                process.terminate()
        for process in self._running:
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                # On a busy machine a shell may hear of its end late; the pipes are closed all the same.
                process.kill()
                process.communicate()


def said(process: subprocess.Popen[str], *, until: str) -> list[str]:
    """Read lines up to one with this marker; nothing but markers may come."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        assert lines[-1].startswith(markers.PREFIX)
        if lines[-1].startswith(f"{markers.PREFIX}{until}"):
            return lines
    raise AssertionError(f"it never said {until}: {lines}")

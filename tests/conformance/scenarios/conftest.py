"""What the programs of the scenarios need to be run by a real shell."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.scenarios.shells import Shell

_TOOLS = (
    *("awk", "base64", "cut", "date", "head", "httpd", "md5sum", "od", "sed", "seq", "sha256sum"),
    *("timeout", "tr", "wc", "wget"),
)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell whose search path begins with the tools of the probe image."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox")
    offered = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    if missing := set(_TOOLS) - set(offered):
        pytest.skip(f"this busybox lacks {', '.join(sorted(missing))}")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in _TOOLS:
        (folder / name).symlink_to(busybox)
    found = Shell(tmp_path, f"{folder}:{os.environ['PATH']}")
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture
def decade(worker_id: str) -> int:
    """All but the last digit of ten free ports in a row; what runs side by side looks in different places."""
    number = int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0
    first = 2000 + number % 12 * 100
    for base in range(first, first + 100):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for last in range(10):
                probe = stack.enter_context(socket.socket())
                probe.bind(("127.0.0.1", base * 10 + last))
            return base
    pytest.skip("no ten free ports in a row")

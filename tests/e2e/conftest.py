"""A running portal: the supervised tree itself, on a port and in a data folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
CHROMIUM = "/usr/bin/chromium"
ARTIFACTS = ROOT / "test-artifacts"
READY_SECONDS = 120
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(look: Callable[[], Any], seconds: float, what: str) -> Any:
    """What `look` returns once it is truthy; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    pytest.fail(f"{what} did not happen within {seconds:g} s")


@dataclass
class RunningPortal:
    """A portal started with ``python -m certportal.embedded``."""

    data_dir: Path
    port: int
    environment: dict[str, str]
    process: subprocess.Popen[str] | None = None
    lines: list[str] = field(default_factory=list)
    reader: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> float:
        """Start it and wait for ``ready``; returns the seconds it took."""
        started = time.monotonic()
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "certportal.embedded"],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self.reader.start()
        eventually(
            lambda: f"ready {self.url}" in self.lines or self.process.poll() is not None,
            READY_SECONDS,
            "ready",
        )
        assert self.process.poll() is None, "\n".join(self.lines)
        return time.monotonic() - started

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.lines.append(line.rstrip("\n"))

    def pids(self, service: str) -> list[int]:
        """The process of each start of `service`, newest last."""
        pattern = re.compile(rf"{service}\s+\| started \(process (\d+)\)")
        return [int(match[1]) for line in self.lines if (match := pattern.match(line))]

    def stop(self) -> int:
        """Press Ctrl-C and wait; returns the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(timeout=40)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            if self.reader is not None:
                self.reader.join(timeout=10)

    def manage(self, *arguments: str) -> str:
        """Run a management command against the portal's database; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get_json(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            return json.load(response)


@contextlib.contextmanager
def own_database(url: str) -> Iterator[str]:
    """A fresh PostgreSQL database beside the one `url` names."""
    import psycopg

    name = f"certportal_e2e_{uuid.uuid4().hex[:10]}"
    with psycopg.connect(url, autocommit=True) as link:
        link.execute(f'CREATE DATABASE "{name}"')
    try:
        yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(url, autocommit=True) as link:
            link.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPortal]:
    """The embedded portal, on SQLite, or on PostgreSQL and Redis where the environment names them."""
    with contextlib.ExitStack() as stack:
        data_dir = tmp_path_factory.mktemp("portal")
        kept = {
            name: os.environ[name]
            for name in ("PATH", "LANG", "REDIS_URL", "SECRET_KEY", "FIELD_KEYS")
            if name in os.environ
        }
        port = free_port()
        environment = {
            **kept,
            "HOME": str(data_dir),
            "DATA_DIR": str(data_dir),
            "PORT": str(port),
            "EMBEDDED": "true",
            # Another portal's worker on the same Redis would take this one's messages.
            "REDIS_PREFIX": f"portal-{port}",
        }
        if os.environ.get("DATABASE_URL", "").startswith("postgres"):
            environment["DATABASE_URL"] = stack.enter_context(own_database(os.environ["DATABASE_URL"]))
        running = RunningPortal(data_dir=data_dir, port=port, environment=environment)
        running.start()
        try:
            yield running
        finally:
            running.stop()
            ARTIFACTS.mkdir(exist_ok=True)
            (ARTIFACTS / "portal.log").write_text("\n".join(running.lines))


# As long as it is open, an event loop runs in this thread, in which Django refuses to use a database: other
# tests of the same process could not.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()


def is_complaint(message: ConsoleMessage) -> bool:
    """Whether the browser reports a fault; a form that is answered with its problems is none."""
    return message.type == "error" and not re.search(r"status of (409|422)", message.text)


@pytest.fixture
def person(browser: Browser, portal: RunningPortal) -> Iterator[Callable[..., Page]]:
    """Opens a browser window for one person; what its console complains about fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_window(**options: Any) -> Page:
        context = browser.new_context(base_url=portal.url, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: complaints.append(message.text) if is_complaint(message) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_window
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def photograph() -> Callable[[Page, str], None]:
    """Keeps a picture of the whole page for people to look at."""

    def take(page: Page, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)

    return take


@pytest.fixture
def lab(portal: RunningPortal) -> Iterator[Path]:
    """The kubeconfig of a further simulated cluster, Kubernetes 1.34, that the portal may reach."""
    path = portal.data_dir / "clusters" / "lab.yaml"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "conformance", "simulate", "--profile", "conformant-1.34"),
            *("--kubeconfig-out", str(path), "--speed", "20"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready https://"), line
        yield path
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()
        path.unlink(missing_ok=True)

"""The whole portal on one machine, as one supervised tree with one log.

``python -m certportal.embedded`` prepares the data folder, starts simulated clusters, web, worker and
beat, fills the demo on first start, and stops all of it on Ctrl-C. A service that dies is started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import secrets
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
HOST: Final = "127.0.0.1"
# Name and profile of the simulated clusters that the demo registers as test clusters.
CLUSTERS: Final = {"northwind-conformant": "conformant-1.35", "lakeside-leaky": "device-leak@1.35"}
CLUSTER_SPEED: Final = "20"
# Below the range from which the system gives out ports by itself.
CLUSTER_PORTS: Final = range(20000, 32000)
STOP_SECONDS: Final = 15.0
READY_SECONDS: Final = 90.0
RESTART_PAUSES: Final = (0.5, 1, 2, 5, 10, 30)
HEALTHY_SECONDS: Final = 30.0
PR_SET_PDEATHSIG: Final = 1


class EmbeddedError(Exception):
    """The portal cannot start; the text is the sentence that says why."""


@dataclass
class Service:
    """A process of the tree. One that is not `kept` runs once and has to succeed."""

    name: str
    command: Sequence[str]
    kept: bool = True
    ready_line: str = ""
    process: asyncio.subprocess.Process | None = None
    said_ready: asyncio.Event = field(default_factory=asyncio.Event)


def die_with_parent() -> None:
    """Have Linux end the child when the supervisor is gone, even if it was killed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def cluster_ports(folder: Path) -> dict[str, int]:
    """The port of each simulated cluster, the same at every start: registered kubeconfigs name it."""
    path = folder / "ports.json"
    ports: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    for name in CLUSTERS:
        while name not in ports:
            # At random, so that two portals that start together do not both see the same port free.
            candidate = secrets.choice(CLUSTER_PORTS)
            if candidate not in ports.values() and port_is_free(candidate):
                ports[name] = candidate
    path.write_text(json.dumps(ports))
    return ports


class Supervisor:
    """Starts, watches and stops the services."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.data_dir = data_dir
        self.port = port
        self.environment = os.environ | {
            "EMBEDDED": "true",
            "DATA_DIR": str(data_dir),
            "PORT": str(port),
            "PYTHONUNBUFFERED": "1",
            # In a container everything runs as root; Celery's advice against it is meant for servers.
            "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
        }
        self.stopping = asyncio.Event()
        self.services: list[Service] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.width = 8

    # Printing ---------------------------------------------------------------------------------------

    def say(self, name: str, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            print(f"{name:<{self.width}} | {text}", flush=True)

    async def _copy_output(self, service: Service, stream: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # a line longer than the reader's limit; the rest of it follows
                continue
            if not line:
                return
            text = line.decode("utf-8", errors="replace").rstrip()
            if text:
                self.say(service.name, text)
            if service.ready_line and service.ready_line in text:
                service.said_ready.set()

    # Processes --------------------------------------------------------------------------------------

    async def _spawn(self, service: Service) -> asyncio.subprocess.Process:
        # A session of its own: Ctrl-C reaches the supervisor alone, which then stops everything in order.
        service.process = await asyncio.create_subprocess_exec(
            *service.command,
            cwd=ROOT,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
        return service.process

    async def run_once(self, service: Service) -> int:
        """Run to the end; returns the exit code."""
        self.services.append(service)
        process = await self._spawn(service)
        assert process.stdout is not None  # noqa: S101 - asked for above
        await self._copy_output(service, process.stdout)
        return await process.wait()

    def keep(self, service: Service) -> None:
        """Start a service and start it again whenever it dies."""
        self.services.append(service)
        task = asyncio.create_task(self._keep(service), name=service.name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _keep(self, service: Service) -> None:
        failures = 0
        while not self.stopping.is_set():
            started = time.monotonic()
            process = await self._spawn(service)
            self.say(service.name, f"started (process {process.pid})")
            assert process.stdout is not None  # noqa: S101 - asked for above
            await self._copy_output(service, process.stdout)
            code = await process.wait()
            if self.stopping.is_set():
                return
            failures = 0 if time.monotonic() - started > HEALTHY_SECONDS else failures + 1
            pause = RESTART_PAUSES[min(failures, len(RESTART_PAUSES)) - 1] if failures else RESTART_PAUSES[0]
            self.say(service.name, f"ended ({describe_exit(code)}); starting it again in {pause:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), pause)

    async def stop(self) -> None:
        """Stop every service: ask, wait, then kill its whole process group."""
        self.stopping.set()
        living = [s.process for s in reversed(self.services) if s.process and s.process.returncode is None]
        for process in living:
            signal_group(process.pid, signal.SIGTERM)
        waits = [asyncio.create_task(process.wait()) for process in living]
        if waits:
            await asyncio.wait(waits, timeout=STOP_SECONDS)
        for process in living:
            signal_group(process.pid, signal.SIGKILL)
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, *waits, return_exceptions=True)

    # The tree ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Bring everything up, say ``ready``, and stay until asked to stop."""
        python = sys.executable
        clusters = self.data_dir / "clusters"
        clusters.mkdir(parents=True, exist_ok=True)
        code = await self.run_once(Service("setup", [python, "manage.py", "prepare_embedded"], kept=False))
        if self.stopping.is_set():
            return
        if code:
            raise EmbeddedError("the data could not be prepared; see the lines of `setup` above")
        simulated = []
        for name, port in cluster_ports(clusters).items():
            service = Service(
                name.split("-")[0], self._simulate(name, port, clusters), ready_line="ready https://"
            )
            simulated.append(service)
            self.keep(service)
        self.keep(Service("worker", self._celery("worker")))
        self.keep(Service("beat", self._celery("beat")))
        self.keep(
            Service(
                "web",
                [
                    *(python, "-m", "gunicorn", "certportal.wsgi", "--bind", f"{HOST}:{self.port}"),
                    *("--workers", "1", "--threads", "8", "--timeout", "60", "--graceful-timeout", "5"),
                    *("--log-level", "warning"),
                ],
            )
        )
        await self._until_ready(simulated)
        if self.stopping.is_set():
            return
        self._greet()
        await self._fill_demo()
        await self.stopping.wait()

    def _simulate(self, name: str, port: int, folder: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "conformance", "simulate", "--profile", CLUSTERS[name]),
            *("--port", str(port), "--kubeconfig-out", str(folder / f"{name}.yaml")),
            *("--admin-kubeconfig-out", str(folder / name / "admin.yaml")),
            *("--ca-dir", str(folder / name), "--speed", CLUSTER_SPEED),
        ]

    def _celery(self, role: str) -> list[str]:
        command = [sys.executable, "-m", "celery", "-A", "certportal", "--quiet", role, "--loglevel", "INFO"]
        if role == "worker":
            command += [
                *("--pool", "threads", "--concurrency", "4", "--queues", "portal,verification"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ]
        return command

    async def _until_ready(self, simulated: list[Service]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        address = f"http://{HOST}:{self.port}/readyz"
        while not self.stopping.is_set():
            if all(service.said_ready.is_set() for service in simulated) and await asyncio.to_thread(
                answers, address
            ):
                return
            if time.monotonic() > deadline:
                raise EmbeddedError(f"the portal did not answer at {address} within {READY_SECONDS:g} s")
            await asyncio.sleep(0.1)

    def _greet(self) -> None:
        from certportal.demo_people import PASSWORD, PEOPLE

        self.say(
            "portal",
            "the demo: simulated clusters, mail kept in the outbox, no second factor asked of reviewers",
        )
        for person in PEOPLE:
            self.say("portal", f"demo log-in: {person.email}  {PASSWORD}  ({person.who})")
        self.say("portal", f"outbox http://{HOST}:{self.port}/outbox/")
        with contextlib.suppress(BrokenPipeError):
            print(f"ready http://{HOST}:{self.port}", flush=True)

    async def _fill_demo(self) -> None:
        code = await self.run_once(Service("demo", [sys.executable, "manage.py", "seed_demo"], kept=False))
        if code and not self.stopping.is_set():
            self.say(
                "demo",
                f"could not be filled ({describe_exit(code)}); the next start goes on where it stopped",
            )


def describe_exit(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a service's whole process group, if any of it still runs."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as response:  # noqa: S310 - our own http address
            return bool(response.status == HTTP_OK)
    except (urllib.error.URLError, OSError):
        return False


HTTP_OK: Final = 200


def only_one(data_dir: Path) -> Callable[[], None]:
    """Hold the data folder for this supervisor; raises `EmbeddedError` when another one has it."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / "running.lock").open("w")
    except OSError as error:
        raise EmbeddedError(f"the data folder {data_dir} cannot be written to: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise EmbeddedError(
            f"another portal is running on {data_dir}; stop it, or set DATA_DIR to another folder"
        ) from error
    return lock.close


async def watch_parent(stopping: asyncio.Event) -> None:
    """Stop when make, which started us, is gone: nobody could press Ctrl-C any more."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - there is no event for it, only the number to look at
        await asyncio.sleep(1)
    stopping.set()


async def supervise(data_dir: Path, port: int) -> None:
    supervisor = Supervisor(data_dir, port)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stopping.set)
    running = asyncio.create_task(supervisor.run())
    stopped = asyncio.create_task(supervisor.stopping.wait())
    watching = asyncio.create_task(watch_parent(supervisor.stopping)) if "MAKELEVEL" in os.environ else None
    try:
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            supervisor.say("portal", "stopping")
        if running.done():
            running.result()
    finally:
        await supervisor.stop()
        for task in (running, stopped, watching):
            if task is not None:
                task.cancel()
        await asyncio.gather(*filter(None, (running, stopped, watching)), return_exceptions=True)
        supervisor.say("portal", "stopped")


def main() -> int:
    text = os.environ.get("PORT", "8000")
    if not text.isdecimal() or not 0 < int(text) <= 65535:  # noqa: PLR2004 - the highest port there is
        print(f"certportal cannot start: PORT is {text!r}; it should be a port number.", file=sys.stderr)
        return 1
    data_dir = Path(os.environ.get("DATA_DIR") or ROOT / "var").resolve()
    try:
        release = only_one(data_dir)
        try:
            if not port_is_free(int(text)):
                raise EmbeddedError(f"port {text} on {HOST} is taken; set PORT to another one")
            asyncio.run(supervise(data_dir, int(text)))
        finally:
            release()
    except EmbeddedError as error:
        print(f"certportal cannot start: {error}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

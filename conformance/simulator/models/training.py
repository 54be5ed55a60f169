"""Models of the programs of a training job: the worker, and what keeps its checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable

from conformance.simulator.fetching import fetch
from conformance.simulator.network import Request, Response
from conformance.simulator.programs import FOREVER, Process, Run, models_program
from conformance.simulator.volumes import Folder

POLL_SECONDS = 1.0
STEP_SECONDS = 0.2
_OK, _NOT_FOUND, _FULL = 200, 404, 507
_MODULUS = 1_000_003
_STORE_ATTEMPTS, _RESUME_ATTEMPTS = 20, 60
_GONE_MISSES = 5
_UNNAMED = re.compile("[^a-z0-9-]")


class _Store:
    """What `store` does: keep bodies under their names in a folder."""

    def __init__(self, folder: Folder | None) -> None:
        self._folder = folder

    def answer(self, request: Request) -> Response:
        path, _, query = request.path.partition("?")
        if path == "/cgi-bin/keep":
            name = _UNNAMED.sub("", query)
            if self._folder is None or not name:
                return Response(_FULL, b"not kept\n")
            self._folder[name] = request.body
            return Response(_OK, b"kept\n")
        name = path.removeprefix("/kept/")
        if self._folder is None or name == path or name not in self._folder:
            return Response(_NOT_FOUND, b"")
        return Response(_OK, self._folder[name])


@models_program("store")
def _store(process: Process) -> Run:
    variables, world = process.variables, process.world
    place = variables.get("PROBE_FOLDER") or "/tmp/kept"  # noqa: S108 - as the script has it
    port = int(variables.get("PROBE_PORT") or "8080")
    folder = world.volumes.at(world, process.pod, process.container, place) if world is not None else Folder()
    return Run(
        first=("::probe begin program=store", f"::probe serving port={port}"),
        seconds=FOREVER,
        listens={port: _Store(folder).answer},
    )


@models_program("train")
def _train(process: Process) -> Run:
    worker = _Worker(process)
    return Run(
        first=(f"::probe begin program=train index={worker.index}",),
        work=worker.work,
        listens={worker.port: worker.answer},
    )


class _EndedError(Exception):
    """The worker cannot go on; the text is its last marker."""


class _Worker:
    """What `train` does."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.index = self._number("JOB_COMPLETION_INDEX", 0)
        self.port = self._number("PROBE_PORT", 29500)
        self._workers = self._number("PROBE_WORKERS", 1)
        self._steps = self._number("PROBE_STEPS", 12)
        self._every = self._number("PROBE_EVERY", 4)
        self._patience = self._number("PROBE_PATIENCE", 600)
        self._padding = b"." * self._number("PROBE_BYTES", 32768)
        self._peers = process.variables.get("PROBE_PEERS") or "localhost:29500"
        self._store = process.variables.get("PROBE_STORE") or ""
        self._hang = process.variables.get("PROBE_HANG") or ""
        self._history: list[int] = []
        self._is_done = False

    def _number(self, name: str, usual: int) -> int:
        return int(self._process.variables.get(name) or usual)

    def answer(self, request: Request) -> Response:
        name = request.path.strip("/")
        if name == "here":
            return Response(_OK, f"{self.index}\n".encode())
        if name == "done":
            return Response(_OK if self._is_done else _NOT_FOUND)
        if not name.isdigit() or int(name) >= len(self._history):
            return Response(_NOT_FOUND)
        return Response(_OK, f"{self._history[int(name)]}\n".encode() + self._padding)

    async def work(self, say: Callable[[str], None]) -> int:
        try:
            await self._train(say)
        except _EndedError as error:
            say(str(error))
            return 1
        return 0

    async def _train(self, say: Callable[[str], None]) -> None:
        say(await self._resume())
        is_fresh = len(self._history) == 1
        if (missing := await self._await_all("here")) is not None:
            raise _EndedError(f"::probe end done=no failed=rendezvous missing={missing}")
        say(f"::probe met peers={self._workers}")
        left = (self.index - 1) % self._workers
        while (step := len(self._history)) <= self._steps:
            number = await self._pull(left, step)
            self._history.append((self._history[-1] * 31 + number + step) % _MODULUS)
            say(f"::probe step n={step} value={self._history[-1]}")
            if step % self._every == 0:
                stored = "yes" if await self._keep(step) else "no"
                say(f"::probe checkpoint n={step} value={self._history[-1]} stored={stored}")
            if self._hang == f"{self.index}:{step}" and is_fresh:
                say(f"::probe hanging n={step}")
                await self._pause(self._patience)
            await self._pause(STEP_SECONDS)
        await self._await_all(str(self._steps))
        self._is_done = True
        await self._await_all("done", may_be_gone=True)
        say(f"::probe end done=yes n={self._steps} value={self._history[-1]}")

    async def _pause(self, seconds: float) -> None:
        if self._process.world is not None:
            await self._process.world.clock.sleep(seconds)

    def _fetch(self, url: str, body: bytes = b"") -> Response | None:
        if self._process.world is None:
            return None
        return fetch(
            self._process.world,
            url,
            namespace=self._process.pod["metadata"]["namespace"],
            address=self._process.address,
            method="POST" if body else "GET",
            body=body,
        )

    def _load(self, peer: int, name: str) -> bytes | None:
        """Return what a worker shows under a name."""
        answer = self._fetch(f"http://{self._peers.replace('@', str(peer), 1)}/{name}")
        return answer.body if answer is not None and answer.status == _OK else None

    async def _pull(self, peer: int, step: int) -> int:
        left = float(self._patience)
        while left > 0:
            found = self._load(peer, str(step - 1))
            if found is not None and len(found) > len(self._padding):
                text = found.partition(b"\n")[0].decode("ascii", "replace")
                if text.isdigit():
                    return int(text)
            await self._pause(POLL_SECONDS)
            left -= POLL_SECONDS
        raise _EndedError(f"::probe end done=no failed=exchange n={step} from={peer}")

    async def _await_all(self, name: str, *, may_be_gone: bool = False) -> int | None:
        """Wait until every worker shows `name`; return the first that does not.

        Nobody goes before all have everything, so that one that is gone ends the wait where it may be.
        """
        left = float(self._patience)
        peer = misses = 0
        while peer < self._workers:
            if self._load(peer, name) is not None:
                peer += 1
                misses = 0
                continue
            if may_be_gone:
                misses = misses + 1 if self._load(peer, "here") is None else 0
                if misses >= _GONE_MISSES:
                    return None
            if left <= 0 or self._process.world is None:
                return peer
            await self._pause(POLL_SECONDS)
            left -= POLL_SECONDS
        return None

    async def _keep(self, step: int) -> bool:
        text = " ".join(str(number) for number in (step, *self._history)).encode()
        for _ in range(_STORE_ATTEMPTS):
            kept = self._fetch(f"{self._store}/cgi-bin/keep?worker-{self.index}", text)
            if kept is not None and kept.status == _OK:
                found = self._fetch(f"{self._store}/kept/worker-{self.index}")
                if found is not None and found.body == text:
                    return True
            await self._pause(POLL_SECONDS)
        return False

    async def _resume(self) -> str:
        """Take up the last checkpoint and return what is said of it."""
        for _ in range(_RESUME_ATTEMPTS):
            found = self._fetch(f"{self._store}/kept/worker-{self.index}")
            if found is not None and found.status == _OK:
                step, *self._history = [int(word) for word in found.body.split()]
                return f"::probe resumed n={step} value={self._history[-1]}"
            if found is not None and found.status == _NOT_FOUND:
                break
            await self._pause(POLL_SECONDS)
        self._history = [self.index + 1]
        return f"::probe fresh value={self.index + 1}"

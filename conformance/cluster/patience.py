"""How long a request may take and what may interrupt it, honoured down to the socket.

urllib3 bounds each read, so a server that sends one byte a second is never late. Here the socket
itself looks at the clock and at the run before every read.
"""

from __future__ import annotations

import contextlib
import contextvars
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

# How quickly a blocked read notices that it should stop, in seconds.
SLICE = 0.25


def _never() -> None:
    """Interrupt nothing."""


class OutOfTime(Exception):  # noqa: N818 - reads as what happened
    """A read or write would pass its deadline. Not an OSError, so that urllib3 lets it through."""


@dataclass(frozen=True, slots=True)
class Patience:
    """A deadline on the monotonic clock and a function that raises when the caller should leave."""

    deadline: float
    interrupted: Callable[[], None] = _never

    @classmethod
    def of(cls, seconds: float, interrupted: Callable[[], None] = _never) -> Patience:
        """Return a patience that ends so many seconds from now."""
        return cls(time.monotonic() + seconds, interrupted)

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.deadline - time.monotonic())

    def at_most(self, seconds: float) -> Patience:
        """Return a patience that ends no later than so many seconds from now."""
        return Patience(min(self.deadline, time.monotonic() + seconds), self.interrupted)

    def check(self) -> None:
        """Raise OutOfTime, or what `interrupted` raises, where there is no reason to go on."""
        self.interrupted()
        if time.monotonic() >= self.deadline:
            raise OutOfTime

    def sleep(self, seconds: float) -> None:
        """Sleep no longer than the deadline allows, leaving early where interrupted."""
        until = min(self.deadline, time.monotonic() + seconds)
        while (left := until - time.monotonic()) > 0:
            self.interrupted()
            time.sleep(min(left, SLICE))
        self.interrupted()


_current: contextvars.ContextVar[Patience | None] = contextvars.ContextVar("patience", default=None)


@contextlib.contextmanager
def applied(patience: Patience) -> Iterator[None]:
    """Let every guarded socket used in this block keep to `patience`."""
    token = _current.set(patience)
    try:
        yield
    finally:
        _current.reset(token)


class GuardedSocket(ssl.SSLSocket):
    """A TLS socket that keeps to the patience in force, however slowly the other side sends."""

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Read as the base class does, in slices short enough to notice an interruption."""
        patience = _current.get()
        if patience is None:
            return super().recv_into(buffer, nbytes, flags)
        while True:
            patience.check()
            self.settimeout(max(0.001, min(SLICE, patience.remaining())))
            try:
                return super().recv_into(buffer, nbytes, flags)
            except TimeoutError:
                # Nothing was consumed: TLS keeps a record it has not read to its end.
                continue

    def send(self, data: Any, flags: int = 0) -> int:
        """Write as the base class does, no longer than the patience lasts."""
        patience = _current.get()
        if patience is not None:
            patience.check()
            self.settimeout(max(0.001, patience.remaining()))
        return super().send(data, flags)

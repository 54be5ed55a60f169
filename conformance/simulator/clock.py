"""Time inside a simulated cluster: stamps are the wall clock's, waits may run faster."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable


class Clock:
    """Turns a wait a real cluster would need, in seconds, into the simulated one."""

    def __init__(self, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError("the speed of a simulated cluster must be above zero")
        self.speed = speed

    def scaled(self, seconds: float) -> float:
        return seconds / self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(self.scaled(seconds))

    def call_later(self, seconds: float, action: Callable[[], object]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self.scaled(seconds), action)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def stamp(moment: dt.datetime | None = None) -> str:
    """Return `moment` (now, when absent) as a metav1.Time."""
    return (moment or now()).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_stamp() -> str:
    """Return now as a metav1.MicroTime."""
    return now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parsed(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)

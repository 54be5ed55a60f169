"""How a check may end before its last line."""

from __future__ import annotations

from conformance.verdicts import Status, Verdict


class Cancelled(Exception):  # noqa: N818 - reads as what happened
    """The run was called off."""


class BudgetExhausted(Exception):  # noqa: N818
    """The time the engine gave ran out before the check came to a verdict."""


class Concluded(Exception):  # noqa: N818
    """A verdict reached deep inside a check; the runner takes it as if it had been returned."""

    def __init__(self, status: Status, reason: str, message: str) -> None:
        super().__init__(message)
        self.verdict = Verdict(status, reason, message)


def unknown(reason: str, message: str) -> Concluded:
    """Return what to raise where we looked and cannot tell."""
    return Concluded(Status.UNKNOWN, reason, message)


def failed(reason: str, message: str) -> Concluded:
    """Return what to raise where the platform was seen not to do it."""
    return Concluded(Status.FAIL, reason, message)

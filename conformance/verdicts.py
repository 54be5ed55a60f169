"""What a check may say, and what the verdicts of a whole run add up to."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from conformance.catalogue import Level


class Status(enum.StrEnum):
    """The five answers of a check; only ``pass`` passes."""

    PASS = "pass"
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"
    ERROR = "error"
    UNKNOWN = "unknown"


class Outcome(enum.StrEnum):
    """What the verdicts of a run add up to."""

    CONFORMANT = "conformant"
    NON_CONFORMANT = "non_conformant"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check concludes. `reason` is a stable code, `message` a sentence for people."""

    status: Status
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something captured from the cluster, redacted before it is constructed."""

    name: str
    media_type: str
    content: bytes = field(repr=False)
    captured_at: datetime
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        """Hash what is kept, so that it can be told later whether it was changed."""
        object.__setattr__(self, "sha256", hashlib.sha256(self.content).hexdigest())

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return len(self.content)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One requirement's verdict with the evidence for it."""

    id: str
    level: Level
    status: Status
    reason: str
    message: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_seconds: float = 0.0
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step of a scenario with a verdict of its own."""

    id: str
    title: str
    status: Status
    reason: str
    message: str
    started_at: datetime | None = None
    duration_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """What a scenario's steps add up to, with the evidence for all of them."""

    id: str
    status: Status
    reason: str
    message: str
    steps: tuple[StepResult, ...]
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_seconds: float = 0.0
    evidence: tuple[Evidence, ...] = ()


_GRAVEST_FIRST = (Status.FAIL, Status.ERROR, Status.UNKNOWN, Status.PASS, Status.NOT_APPLICABLE)


def deciding_step(steps: Iterable[StepResult]) -> StepResult:
    """Return the step a scenario's verdict is that of: the first of the gravest ones."""
    return min(steps, key=lambda step: _GRAVEST_FIRST.index(step.status))


def outcome_of(results: Iterable[CheckResult]) -> Outcome:
    """Return what `results` add up to: a SHOULD never changes it, and nothing at all proves nothing.

    ``not_applicable`` does not stand in the way here; whether it is justified is a reviewer's decision.
    """
    musts = [result.status for result in results if result.level is Level.MUST]
    if Status.FAIL in musts:
        return Outcome.NON_CONFORMANT
    if Status.PASS not in musts or Status.ERROR in musts or Status.UNKNOWN in musts:
        return Outcome.INCOMPLETE
    return Outcome.CONFORMANT

"""The checks: one module per requirement id, found by being there.

Neither this package nor a check module imports the Kubernetes client, so that the portal's web
processes and ``conformance rbac`` can read what a check needs and observes.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from conformance.catalogue import REQUIREMENTS
from conformance.rights import Right
from conformance.verdicts import Verdict

if TYPE_CHECKING:
    from conformance.run import Run

CheckFunction = Callable[["Run"], Verdict]
FIRST_VERSION = "1.33"


def minor(version: str) -> tuple[int, int]:
    """Return ``(1, 36)`` for ``1.36``, ``v1.36`` or ``v1.36.2+build``; raise ValueError otherwise."""
    parts = version.removeprefix("v").split(".")
    if len(parts) < 2:  # noqa: PLR2004
        raise ValueError(f"not a Kubernetes version: {version}")
    return int(parts[0]), int(parts[1].rstrip("+"))


@dataclass(frozen=True, slots=True)
class CheckInfo:
    """What is known of a check without running it. `deadline` is in seconds.

    `since` and `until` are the first and last checklist version that has the requirement. An
    `exclusive` check occupies devices, so that no other such check may run beside it.
    """

    id: str
    title: str
    kar: int | None
    observes: str
    since: str
    until: str | None
    deadline: int
    rights: tuple[Right, ...]
    exclusive: bool

    def belongs_to(self, version: str) -> bool:
        """Tell whether the checklist of this version can hold the requirement."""
        wanted = minor(version)
        return minor(self.since) <= wanted and (self.until is None or wanted <= minor(self.until))


@dataclass(frozen=True, slots=True)
class Check:
    """A check that can be run."""

    info: CheckInfo
    function: CheckFunction


_registered: dict[str, Check] = {}


def check(
    requirement_id: str,
    *,
    since: str = FIRST_VERSION,
    until: str | None = None,
    deadline: int = 300,
    rights: tuple[Right, ...] = (),
    exclusive: bool = False,
) -> Callable[[CheckFunction], CheckFunction]:
    """Register the function that checks a requirement.

    Its docstring says what it observes, up to the paragraph that names the test plan. The level
    stands in the checklist alone: it changes between versions.
    """

    def register(function: CheckFunction) -> CheckFunction:
        if requirement_id in _registered:
            raise ValueError(f"two checks for {requirement_id}")
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        observes = " ".join(" ".join(paragraphs).partition("KAR-")[0].split())
        known = REQUIREMENTS[requirement_id]
        info = CheckInfo(
            id=requirement_id,
            title=known.title,
            kar=known.kar,
            observes=observes,
            since=since,
            until=until,
            deadline=deadline,
            rights=rights,
            exclusive=exclusive,
        )
        _registered[requirement_id] = Check(info, function)
        return function

    return register


@functools.cache
def load() -> Mapping[str, Check]:
    """Import every module of this package and return the checks by requirement id."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_registered.items()))


def info() -> tuple[CheckInfo, ...]:
    """Return what is known of every check, ordered by requirement id."""
    return tuple(entry.info for entry in load().values())

"""Simulated workloads: what people run on such a platform, each told step by step.

A scenario is a class made with a Run, its steps are methods marked by `step`, run in the order they
are written. As with the checks, neither this package nor its modules import the Kubernetes client.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from conformance.catalogue import WorkloadKind
from conformance.rights import Right
from conformance.verdicts import Verdict

if TYPE_CHECKING:
    from conformance.run import Run

StepFunction = Callable[[Any], Verdict]
Kind = TypeVar("Kind", bound=type[Any])


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a scenario. `needs` are the steps that must have passed for it to be reached."""

    id: str
    title: str
    needs: tuple[str, ...]
    function: StepFunction


@dataclass(frozen=True, slots=True)
class ScenarioInfo:
    """What is known of a scenario without playing it. `deadline` is in seconds."""

    id: str
    title: str
    observes: str
    kind: WorkloadKind
    deadline: int
    rights: tuple[Right, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario that can be played."""

    info: ScenarioInfo
    factory: Callable[[Run], Any]


_registered: dict[str, Scenario] = {}


@dataclass(frozen=True, slots=True)
class _Mark:
    title: str
    needs: tuple[str, ...] | None


def step(title: str, *, needs: tuple[str, ...] | None = None) -> Callable[[StepFunction], StepFunction]:
    """Mark a method as a step; its name is the step's id.

    It is reached once every step before it has passed, or those in `needs`. A step that does not
    apply stands in nobody's way.
    """

    def mark(function: StepFunction) -> StepFunction:
        function.__dict__["step"] = _Mark(title, needs)
        return function

    return mark


def scenario(
    scenario_id: str, *, title: str, kind: WorkloadKind, deadline: int, rights: tuple[Right, ...]
) -> Callable[[Kind], Kind]:
    """Register the class that plays a scenario. Its docstring says what it observes."""

    def register(factory: Kind) -> Kind:
        if scenario_id in _registered:
            raise ValueError(f"two scenarios {scenario_id}")
        info = ScenarioInfo(
            id=scenario_id,
            title=title,
            observes=" ".join(inspect.cleandoc(factory.__doc__ or "").partition("\n\n")[0].split()),
            kind=kind,
            deadline=deadline,
            rights=rights,
            steps=tuple(_steps(factory)),
        )
        _registered[scenario_id] = Scenario(info, factory)
        return factory

    return register


def _steps(factory: type[Any]) -> Iterator[Step]:
    before: list[str] = []
    for name, function in vars(factory).items():
        mark = getattr(function, "step", None)
        if isinstance(mark, _Mark):
            needs = tuple(before) if mark.needs is None else mark.needs
            if stray := set(needs) - set(before):
                raise ValueError(f"{name} needs {', '.join(sorted(stray))}, which do not come before it")
            before.append(name)
            yield Step(name, mark.title, needs, function)


@functools.cache
def load() -> Mapping[str, Scenario]:
    """Import every module of this package and return the scenarios by id."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_registered.items(), key=lambda entry: list(WorkloadKind).index(entry[1].info.kind)))


def info() -> tuple[ScenarioInfo, ...]:
    """Return what is known of every scenario, in the order they are played."""
    return tuple(entry.info for entry in load().values())

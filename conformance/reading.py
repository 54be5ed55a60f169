"""Hearing what a probe says while it still runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from conformance.cluster import errors
from conformance.cluster.patience import OutOfTime
from conformance.conclusions import Concluded
from conformance.markers import PREFIX, Marker, Report, parse
from conformance.resources import PODS
from conformance.run import SHORTEST_WAIT, Run
from conformance.verdicts import Status

if TYPE_CHECKING:
    from conformance.cluster.connection import Query
    from conformance.cluster.patience import Patience

T = TypeVar("T")
_LOG_BYTES = 512 * 1024


def hear(
    run: Run,
    pod: str,
    container: str,
    judge: Callable[[Report], T | None],
    *,
    seconds: float,
    tail: int | None = None,
) -> T | None:
    """Follow a container's log until `judge` finds what it looks for in what was said so far.

    With `tail` only so many of the lines that are there already count. Returns None where that does not
    come within `seconds` of the cluster's time, be it that the program says something else or that it
    never starts; raises a verdict where the log cannot be read.
    """
    patience = run.patience(max(run.scaled(seconds), SHORTEST_WAIT))
    problem: errors.ClusterError | None = None
    while True:
        try:
            found = _listen(run, pod, container, judge, patience, tail=tail)
        except errors.ClusterError as error:
            # The last attempt is cut short by our own patience; what came before says more.
            problem = problem if isinstance(error, errors.RequestTimeout) else error
        else:
            problem = None
            if found is not None:
                return found
        if patience.remaining() <= 0:
            break
        # A server in trouble is not to be pressed, however fast the cluster's clock runs.
        least = 0.5 if isinstance(problem, errors.ServerError) else 0.1
        with contextlib.suppress(OutOfTime):
            patience.sleep(max(least, run.scaled(0.5)))
    run.patience()
    if problem is not None and not _is_early(problem):
        raise Concluded(
            Status.ERROR,
            "logs_unreadable",
            f"The log of pod {pod}, container {container}, cannot be read: {problem}",
        ) from problem
    return None


def _listen(
    run: Run,
    pod: str,
    container: str,
    judge: Callable[[Report], T | None],
    patience: Patience,
    *,
    tail: int | None,
) -> T | None:
    path = f"{PODS.path(run.namespace, pod)}/log"
    query: Query = {
        "container": container,
        "follow": "true",
        "limitBytes": _LOG_BYTES,
        "tailLines": tail,
    }
    markers: list[Marker] = []
    with contextlib.closing(run.connection.lines(path, query=query, patience=patience)) as stream:
        for line in stream:
            if line.startswith(PREFIX):
                markers += parse([line]).markers
                if (found := judge(Report(tuple(markers)))) is not None:
                    return found
    return None


def _is_early(error: errors.ClusterError) -> bool:
    """Tell whether the container has not started, or its pod is gone again."""
    return isinstance(error, errors.StatusError) and error.status in {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
    }

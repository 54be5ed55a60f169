"""A run against a hostile server ends in time, with an error for what could not be looked at."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml

from conformance import engine
from conformance.catalogue import builtin_checklists
from conformance.report import Report
from conformance.simulator import SimulatedCluster
from conformance.verdicts import Status
from tests.conformance.cluster import behaviours
from tests.conformance.cluster.hostile import TOKEN, Behaviour, answer, between, serving
from tests.conformance.engine.world import leftovers, occupied, verdict, wait_for

BUDGET_SECONDS = 3.0
# What a run may take beyond its budget: giving up on the clean-up, and the machine's own pace.
GRACE_SECONDS = 8.0
MOST_BYTES = 256 * 1024 * 1024
CHECK = "secure_accelerator_access"


@pytest.fixture(autouse=True)
def _little_time_to_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # A hostile server is hostile to the clean-up too.
    monkeypatch.setattr("conformance.run.CLEANUP_SECONDS", 2.0)
    monkeypatch.setattr("conformance.engine.CLEANUP_SECONDS", 2.0)


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatedCluster]:
    with occupied("conformant-1.36") as cluster:
        yield cluster


def _verify(behaviour: Behaviour, *, token: str = TOKEN, timeout: float = 0.5, **options: Any) -> Report:
    with (
        serving(behaviour) as server,
        contextlib.closing(server.connection(timeout=timeout, token=token)) as connection,
    ):
        started = time.monotonic()
        report = engine.verify(
            connection,
            builtin_checklists()["1.36"],
            run_id="hostile",
            budget=timedelta(seconds=BUDGET_SECONDS),
            **options,
        )
        assert time.monotonic() - started < BUDGET_SECONDS + GRACE_SECONDS
    return report


# One of each sort; the tests of the connection go through them all.
FROM_THE_START = (
    "never answers",
    "body a byte a second",
    "asks to continue for ever",
    "body without end",
    "many small values",
    "headers without end",
    "compressed bomb",
    "moved elsewhere",
    "page of a portal",
    "invalid JSON",
    "deep JSON",
    "another protocol",
    "half-closed TLS",
    "reset in the middle",
)


@pytest.mark.parametrize("name", FROM_THE_START)
def test_server_hostile_from_the_start_is_an_error_for_every_check(name: str) -> None:
    report = _verify(behaviours.EVERY[name], timeout=3.0 if name in behaviours.ENDLESS else 0.3)

    results = [result for result in report.results if result.reason != "no_check"]
    assert {result.status for result in results} == {Status.ERROR}
    assert all(result.message for result in results)


def _is(method: str, *parts: str) -> Callable[[str, str], bool]:
    return lambda asked, target: asked == method and all(part in target for part in parts)


LATER: dict[str, tuple[Callable[[str, str], bool], Behaviour]] = {
    "review never answered": (_is("POST", "selfsubjectaccessreviews"), behaviours.silent),
    "review answered with a page": (
        _is("POST", "selfsubjectaccessreviews"),
        behaviours.NONSENSE["page of a portal"],
    ),
    "discovery half-closed": (_is("GET", "/apis"), behaviours.BROKEN["half-closed TLS"]),
    "nodes a byte a second": (
        _is("GET", "/nodes?"),
        behaviours.NEVER_ANSWERS["body a byte a second"],
    ),
    "nodes in 10 000 pages": (_is("GET", "/nodes?"), behaviours.LISTS["10 000 pages"]),
    "slices without end": (
        _is("GET", "/resourceslices"),
        behaviours.ENDLESS["body without end"],
    ),
    "slices in invalid JSON": (
        _is("GET", "/resourceslices"),
        behaviours.NONSENSE["invalid JSON"],
    ),
    "slices compressed": (
        _is("GET", "/resourceslices"),
        behaviours.NONSENSE["compressed bomb"],
    ),
    "creation sent elsewhere": (
        _is("POST", "/pods"),
        behaviours.NONSENSE["to be asked elsewhere"],
    ),
    "creation never answered": (_is("POST", "/pods"), behaviours.silent),
    "watch that never ends": (_is("GET", "/pods?", "watch=true"), behaviours.watching(b"")),
    "watch that floods": (_is("GET", "/pods?", "watch=true"), behaviours.flooding),
    "watch of nonsense": (_is("GET", "/pods?", "watch=true"), answer(b"hello\n")),
    "watch half-closed": (
        _is("GET", "/pods?", "watch=true"),
        behaviours.BROKEN["half-closed TLS"],
    ),
    "log without end": (_is("GET", "/log?"), behaviours.ENDLESS["body without end"]),
    "log a byte a second": (
        _is("GET", "/log?"),
        behaviours.NEVER_ANSWERS["body a byte a second"],
    ),
}


@pytest.mark.parametrize(("concerned", "behaviour"), list(LATER.values()), ids=list(LATER))
def test_server_hostile_to_one_request_is_an_error_for_the_check(
    upstream: SimulatedCluster,
    concerned: Callable[[str, str], bool],
    behaviour: Behaviour,
) -> None:
    token = yaml.safe_load(upstream.kubeconfig)["users"][0]["user"]["token"]
    met: list[str] = []

    def hostile(method: str, target: str) -> Behaviour | None:
        if not concerned(method, target):
            return None
        met.append(target)
        return behaviour

    report = _verify(between(upstream, hostile), token=token, timeout=1.0, only=[CHECK])

    assert met, "the hostile request was never made"
    result = verdict(report, CHECK)
    assert (result.status, bool(result.message)) == (Status.ERROR, True), result
    # What is left where the engine could not see to it goes with the namespaces it did remove.
    wait_for(lambda: not leftovers(upstream), seconds=5)
    assert report.cleanup.complete


def test_deletion_that_is_never_answered_is_told(upstream: SimulatedCluster) -> None:
    token = yaml.safe_load(upstream.kubeconfig)["users"][0]["user"]["token"]

    def hostile(method: str, target: str) -> Behaviour | None:
        return behaviours.silent if method == "DELETE" else None

    report = _verify(between(upstream, hostile), token=token, timeout=1.0, only=[CHECK])

    assert not report.cleanup.complete
    assert report.cleanup.left_behind
    assert verdict(report, CHECK).status is not Status.FAIL

"""Whatever an API server answers, a run ends with a report."""

from __future__ import annotations

import contextlib
import json
import random
import ssl
import time
from datetime import timedelta
from typing import Any

import pytest

from conformance import engine
from conformance.catalogue import builtin_checklists
from conformance.context import RUN_LABEL
from conformance.report import Report
from conformance.sweeping import sweep
from conformance.verdicts import Status
from tests.conformance.cluster.hostile import answer, serving

SCRAPS: list[Any] = [
    None,
    True,
    7,
    -1,
    "text",
    "\x00\ud800",
    [],
    [None],
    [1, "x", {}],
    {},
    {"name": "x"},
    {"name": 5, "uid": []},
    {"metadata": 3},
    {"status": {"allowed": True}, "spec": "no"},
    10**30,
    1.5,
]
FIELDS = [
    "metadata", "items", "status", "spec", "groups", "resources", "name", "labels", "versions", "verbs",
    "conditions", "nodeName", "devices", "pool", "webhooks", "gitVersion", "major", "minor", "simulated",
    "preferredVersion", "allocatable", "taints", "type", "object", "kind", "namespaced", "selectors",
]  # fmt: skip


def _answering(seed: int) -> Any:
    dice = random.Random(seed)  # noqa: S311 - repeatable, not secret

    def nonsense(depth: int) -> Any:
        if depth == 0 or dice.random() < 0.2:
            return dice.choice(SCRAPS)
        if dice.random() < 0.3:
            return [nonsense(depth - 1) for _ in range(dice.randrange(3))]
        return {dice.choice(FIELDS): nonsense(depth - 1) for _ in range(dice.randrange(6))}

    def behave(connection: ssl.SSLSocket, head: bytes) -> None:
        path = head.split(b" ")[1]
        value = nonsense(4)
        value = dict(value) if isinstance(value, dict) else {"items": value}
        if path == b"/version" and dice.random() < 0.9:
            value |= {"major": "1", "minor": "36", "gitVersion": "v1.36.0\x00\ud800"}
        elif b"selfsubjectaccessreviews" in path:
            value = {"status": {"allowed": True}}
        elif dice.random() < 0.7:
            value |= {"metadata": {"name": "n", "resourceVersion": "1"}}
            value["items"] = [
                {**nonsense_mapping(nonsense(3)), "metadata": {"name": f"x{index}", "labels": nonsense(1)}}
                for index in range(2)
            ]
        answer(json.dumps(value).encode())(connection, head)

    def nonsense_mapping(value: Any) -> dict[str, Any]:
        return value if isinstance(value, dict) else {}

    return behave


def _verify(behaviour: Any) -> tuple[Report, float]:
    with serving(behaviour) as server, contextlib.closing(server.connection(timeout=0.5)) as connection:
        started = time.monotonic()
        report = engine.verify(
            connection, builtin_checklists()["1.35"], run_id="r", budget=timedelta(seconds=3)
        )
        return report, time.monotonic() - started


@pytest.fixture(autouse=True)
def _little_time_to_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # A server that answers nonsense also answers nonsense to "is it gone?".
    monkeypatch.setattr("conformance.run.CLEANUP_SECONDS", 0.3)
    monkeypatch.setattr("conformance.engine.CLEANUP_SECONDS", 0.3)


@pytest.mark.parametrize("seed", range(12))
def test_nonsense_never_passes_and_never_breaks_the_run(seed: int) -> None:
    report, took = _verify(_answering(seed))

    assert took < 20
    assert not any(result.status is Status.PASS for result in report.results)
    assert Report.from_json(report.to_json().encode()).digest == report.digest
    assert "\x00" not in report.to_json()


@pytest.mark.parametrize(
    "behaviour",
    [
        answer(b"{}"),
        answer(b"[]"),
        answer(b"<html>", media_type="text/html"),
        answer(b"", status="302 Found", headers="Location: https://169.254.169.254/\r\n"),
        answer(b"{}", status="401 Unauthorized"),
        answer(b"{}", status="429 Too Many", headers="Retry-After: 600\r\n"),
        answer(b'{"major": "1", "minor": "x"}'),
    ],
    ids=["nothing", "list", "html", "redirect", "unauthorized", "throttled", "no version"],
)
def test_server_that_is_none_is_an_error_for_every_check(behaviour: Any) -> None:
    report, took = _verify(behaviour)

    assert took < 10
    assert {result.status for result in report.results if result.reason != "no_check"} == {Status.ERROR}
    assert report.cleanup.complete


def test_what_carries_no_label_of_ours_is_never_removed() -> None:
    asked: list[bytes] = []
    items = [
        {"metadata": {"name": name, "labels": labels}}
        for name, labels in (("kube-system", None), ("others", {"app": "x"}), ("a-run", {RUN_LABEL: "r2"}))
    ]

    def behave(connection: ssl.SSLSocket, head: bytes) -> None:
        asked.append(head.split(b"\r\n")[0])
        answer(json.dumps({"items": items, "metadata": {}}).encode())(connection, head)

    with serving(behave) as server, contextlib.closing(server.connection(timeout=0.5)) as connection:
        cleanup = sweep(connection, "r")

    assert cleanup.complete
    assert asked
    assert not any(line.startswith(b"DELETE") for line in asked)

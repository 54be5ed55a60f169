"""Sweeps: when a cluster is swept, by whom it is held meanwhile, and what goes on record."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from conformance.context import RUN_LABEL, run_label
from submissions.errors import ApplicantError
from submissions.models import TestCluster, VerificationRun
from submissions.services import runs, sweeping
from submissions.states import RunKind, RunStatus
from tests.conformance.engine import world
from tests.submissions.cast import Cast
from tests.submissions.factories import RunFactory, TestClusterFactory


def ended(cast: Cast, **values: Any) -> VerificationRun:
    """The cluster's only run, ended as `values` say."""
    changes = {"finished_at": timezone.now() - timedelta(minutes=5), **values}
    VerificationRun.objects.filter(pk=cast.run.pk).update(**changes)
    cast.run.refresh_from_db()
    return cast.run


def report(*, complete: bool) -> dict[str, Any]:
    return {"cleanup": {"complete": complete, "left_behind": [] if complete else ["namespaces/x"]}}


def queue() -> list[VerificationRun]:
    return list(VerificationRun.objects.filter(pk__in=sweeping.queue_sweeps(now=timezone.now())))


@pytest.mark.parametrize(
    ("values", "is_swept"),
    [
        ({"report": report(complete=True)}, False),
        ({"report": report(complete=False)}, True),
        ({"status": RunStatus.ERRORED, "outcome": ""}, True),
        ({"status": RunStatus.CANCELLED, "outcome": "", "report": report(complete=True)}, False),
        ({"status": RunStatus.CANCELLED, "outcome": "", "report": report(complete=False)}, True),
        (
            {
                "status": RunStatus.ERRORED,
                "outcome": "",
                "finished_at": timezone.now() - timedelta(days=8),
            },
            False,
        ),
    ],
)
def test_clusters_are_swept_where_a_run_may_have_left_something(
    cast: Cast, values: dict[str, Any], is_swept: bool
) -> None:
    ended(cast, **values)

    assert [sweep.cluster for sweep in queue()] == ([cast.cluster] if is_swept else [])


def test_cluster_without_kubeconfig_is_not_swept(cast: Cast) -> None:
    ended(cast, status=RunStatus.ERRORED, outcome="")
    TestCluster.objects.filter(pk=cast.cluster.pk).update(kubeconfig_encrypted=None)

    assert queue() == []


def test_no_sweep_while_a_run_is_active_and_no_run_while_it_sweeps(cast: Cast) -> None:
    ended(cast, status=RunStatus.ERRORED, outcome="")
    active = runs.request_run(submission=cast.submission, cluster=cast.cluster, actor=cast.owner)
    assert queue() == []

    runs.cancel_run(run=active, actor=cast.owner)
    assert len(queue()) == 1
    assert queue() == []
    with pytest.raises(ApplicantError) as caught:
        runs.request_run(submission=cast.submission, cluster=cast.cluster, actor=cast.owner)
    assert caught.value.code == "cluster_busy"


def swept(sweep: VerificationRun, **found: Any) -> None:
    VerificationRun.objects.filter(pk=sweep.pk).update(
        status=RunStatus.FINISHED,
        started_at=timezone.now(),
        finished_at=timezone.now(),
        report={"removed": [], "left_behind": [], **found},
    )


def test_clean_sweep_is_the_last_until_another_run_breaks_off(cast: Cast) -> None:
    ended(cast, status=RunStatus.ERRORED, outcome="")
    (sweep,) = queue()
    swept(sweep)
    assert queue() == []

    RunFactory(submission=cast.submission, cluster=cast.cluster, status=RunStatus.ERRORED)
    assert len(queue()) == 1


def test_sweep_that_could_not_remove_everything_is_repeated(cast: Cast) -> None:
    ended(cast, status=RunStatus.ERRORED, outcome="")
    (sweep,) = queue()
    swept(sweep, left_behind=["namespaces/x"])

    assert len(queue()) == 1


def test_sweep_that_broke_off_is_repeated(cast: Cast) -> None:
    ended(cast, status=RunStatus.ERRORED, outcome="")
    (sweep,) = queue()
    VerificationRun.objects.filter(pk=sweep.pk).update(
        status=RunStatus.ERRORED, started_at=timezone.now(), finished_at=timezone.now()
    )

    assert len(queue()) == 1


def test_sweeps_are_no_verifications(cast: Cast) -> None:
    ended(cast, status=RunStatus.ERRORED, outcome="")
    (sweep,) = queue()
    browser = cast.browser("owner")

    listed = browser.get(f"/api/v1/submissions/{cast.submission.uuid}/verifications/").json()["results"]

    assert str(sweep.uuid) not in {row["id"] for row in listed}
    assert browser.get(reverse("submissions:run", args=[sweep.uuid])).status_code == 404
    assert browser.get(f"/api/v1/verifications/{sweep.uuid}/").status_code == 404
    page = browser.get(reverse("submissions:runs", args=[cast.submission.uuid])).content.decode()
    assert str(sweep.uuid) not in page


@pytest.mark.cluster
@pytest.mark.django_db(transaction=True)
def test_sweep_removes_what_the_runs_left_and_nothing_else(settings: Any, tmp_path: Path, cast: Cast) -> None:
    settings.SIMULATED_CLUSTERS_DIR = tmp_path
    with world.occupied("conformant-1.36") as cluster:
        (tmp_path / "lab.yaml").write_text(cluster.kubeconfig)
        registered = TestClusterFactory(
            organization=cast.organization, name="simulated", data=cluster.kubeconfig.encode()
        )
        dead = RunFactory(submission=cast.submission, cluster=registered, status=RunStatus.ERRORED)
        world.make_namespace(cluster, "certportal-dead", {RUN_LABEL: run_label(str(dead.uuid))})
        world.make_namespace(cluster, "someone-elses", {RUN_LABEL: run_label("a-vendors-own-run")})
        world.make_namespace(cluster, "vendors")

        (sweep,) = queue()
        assert runs.execute_run(run_id=sweep.pk) == "finished"

        left = {item["metadata"]["name"] for item in cluster.store.list("namespaces")}

    sweep.refresh_from_db()
    assert sweep.report == {"removed": ["namespaces/certportal-dead"], "left_behind": []}
    assert {"someone-elses", "vendors"} <= left
    assert "certportal-dead" not in left
    use = registered.uses.get()
    assert str(sweep.uuid) in use.purpose
    assert use.actor is None
    event = cast.submission.events.last()
    assert event is not None
    assert (event.action, event.data["removed"]) == ("sweep_finished", ["namespaces/certportal-dead"])
    assert queue() == []
    page = cast.browser("viewer").get(reverse("submissions:cluster", args=[registered.uuid])).content.decode()
    assert "namespaces/certportal-dead" in page


def test_sweep_that_cannot_open_the_kubeconfig_says_so(cast: Cast) -> None:
    ended(cast, status=RunStatus.ERRORED, outcome="")
    (sweep,) = queue()
    TestCluster.objects.filter(pk=cast.cluster.pk).update(kubeconfig_encrypted=b"of another portal")

    assert runs.execute_run(run_id=sweep.pk) == "errored"

    sweep.refresh_from_db()
    assert sweep.kind == RunKind.SWEEP
    assert "FIELD_KEYS" in sweep.error
    assert cast.submission.events.last().action == "sweep_errored"

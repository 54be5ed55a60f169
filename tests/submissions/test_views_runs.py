"""Verification runs: starting, watching, cancelling, reading."""

from __future__ import annotations

from django.urls import reverse
from django.utils import timezone

from conformance.report import SCHEMA, digest_of, read, verify_seal
from submissions.models import VerificationRun
from submissions.states import RunStatus, Status
from tests.submissions.cast import Cast
from tests.submissions.factories import RunFactory, SubmissionFactory, TestClusterFactory

HTMX = {"HX-Request": "true"}


def runs_url(cast: Cast) -> str:
    return reverse("submissions:runs", args=[cast.submission.uuid])


def url(run: VerificationRun, name: str = "run", *more: object) -> str:
    return reverse(f"submissions:{name}", args=[run.uuid, *more])


def active(cast: Cast, **values: object) -> VerificationRun:
    cluster = TestClusterFactory(organization=cast.organization)
    return RunFactory(
        submission=cast.submission,
        cluster=cluster,
        status=RunStatus.RUNNING,
        verdicts={"gang_scheduling": "pass"},
        **values,
    )


def test_run_of_every_requirement_is_started(cast: Cast) -> None:
    response = cast.browser("editor").post(runs_url(cast), {"cluster": cast.cluster.pk})

    run = VerificationRun.objects.get(status=RunStatus.QUEUED)
    assert response["Location"] == url(run)
    assert run.only == []
    assert run.results.count() == cast.submission.checklist.requirements.count()


def test_run_of_some_requirements_is_started(cast: Cast) -> None:
    cast.browser("editor").post(
        runs_url(cast), {"cluster": cast.cluster.pk, "only": ["gang_scheduling", "dra_support"]}
    )

    run = VerificationRun.objects.get(status=RunStatus.QUEUED)
    assert run.only == ["dra_support", "gang_scheduling"]
    assert run.results.count() == 2


def test_busy_cluster_and_foreign_cluster_are_refused(cast: Cast) -> None:
    busy = active(cast).cluster
    foreign = TestClusterFactory()
    browser = cast.browser("editor")

    at_once = browser.post(runs_url(cast), {"cluster": busy.pk})
    elsewhere = browser.post(runs_url(cast), {"cluster": foreign.pk})

    assert at_once.status_code == 422
    assert "Another run is using" in at_once.content.decode()
    assert elsewhere.status_code == 422
    assert not VerificationRun.objects.filter(cluster=foreign).exists()


def test_closed_submission_starts_no_run(cast: Cast) -> None:
    closed = SubmissionFactory(platform=cast.submission.platform, status=Status.REJECTED)
    address = reverse("submissions:runs", args=[closed.uuid])
    browser = cast.browser("editor")

    page = browser.get(address).content.decode()
    response = browser.post(address, {"cluster": cast.cluster.pk})

    assert "Start a run" not in page
    assert response.status_code == 422


def test_without_a_cluster_the_page_leads_to_one(cast: Cast) -> None:
    cast.cluster.kubeconfig_encrypted = None
    cast.cluster.save()

    page = cast.browser("editor").get(runs_url(cast)).content.decode()

    assert reverse("submissions:cluster-register", args=[cast.organization.slug]) in page


def test_active_run_shows_its_progress_and_asks_again(cast: Cast) -> None:
    run = active(cast)

    page = cast.browser("viewer").get(url(run)).content.decode()

    total = run.results.count()
    assert f'<progress value="1" max="{total}"' in page
    assert 'hx-trigger="every 1s"' in page
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page
    assert page.count('data-verdict="waiting"') == total - 1
    assert page.count('data-verdict="pass"') == 1


def test_fragment_brings_only_the_rows_that_turned(cast: Cast) -> None:
    run = active(cast)
    browser = cast.browser("viewer")
    seen = browser.get(url(run)).context["codes"]
    quiet = browser.get(url(run), {"seen": seen}, headers=HTMX).content.decode()
    turned = run.results.get(requirement_id="dra_support")
    turned.status, turned.finished_at, turned.reason = "fail", timezone.now(), "class_missing"
    turned.save()

    answer = browser.get(url(run), {"seen": seen}, headers=HTMX)

    page = answer.content.decode()
    assert "<html" not in page
    assert quiet.count("<li") == 0
    assert page.count('<li class="result"') == 1
    assert 'id="result-dra_support" hx-swap-oob="true"' in page
    assert "class_missing" in page
    assert "2 of" in page
    assert f"seen={answer.context['codes']}" in page


def test_fragment_of_an_ended_run_asks_no_more(cast: Cast) -> None:
    run = active(cast)
    browser = cast.browser("viewer")
    seen = browser.get(url(run)).context["codes"]
    VerificationRun.objects.filter(pk=run.pk).update(
        status=RunStatus.FINISHED, outcome="incomplete", finished_at=timezone.now(), report_digest="a" * 64
    )

    page = browser.get(url(run), {"seen": seen}, headers=HTMX).content.decode()

    assert "hx-get" not in page
    assert 'data-status="incomplete"' in page
    assert "The run has ended." in page
    assert "Download the report" in page


def test_fragments_address_is_a_page_without_htmx(cast: Cast) -> None:
    run = active(cast)

    page = cast.browser("viewer").get(url(run), {"seen": "x"}).content.decode()

    assert page.startswith("<!doctype html>")


def test_finished_run_shows_verdicts_reasons_and_what_contradicts_the_claim(cast: Cast) -> None:
    claim = cast.submission.claims.get(requirement__requirement_id="gang_scheduling")
    claim.status = "Implemented"
    claim.save()

    page = cast.browser("viewer").get(url(cast.run)).content.decode()

    row = page.split('id="result-gang_scheduling"')[1].split("</li>\n")[0]
    assert 'data-verdict="fail"' in row
    assert "What the check saw." in row
    assert "<code>seen</code>" in row
    assert "1.5 s" in row
    assert "The claim says Implemented; the run saw the platform fail it." in row
    assert 'hx-trigger="every' not in page
    assert "http-equiv" not in page


def test_simulated_run_says_so_loudly(cast: Cast) -> None:
    VerificationRun.objects.filter(pk=cast.run.pk).update(simulated=True)

    page = cast.browser("viewer").get(url(cast.run)).content.decode()

    assert 'class="simulated-mark"' in page


def test_errored_run_says_why(cast: Cast) -> None:
    VerificationRun.objects.filter(pk=cast.run.pk).update(
        status=RunStatus.ERRORED, outcome="", error="The kubeconfig of lab was deleted."
    )

    assert "The kubeconfig of lab was deleted." in cast.browser("viewer").get(url(cast.run)).content.decode()


def test_running_run_is_asked_to_stop_and_a_queued_one_ends(cast: Cast) -> None:
    running = active(cast)
    queued = RunFactory(submission=cast.submission, status=RunStatus.QUEUED)
    browser = cast.browser("editor")

    browser.post(url(running, "run-cancel"))
    browser.post(url(queued, "run-cancel"))
    page = browser.get(url(running)).content.decode()

    running.refresh_from_db()
    queued.refresh_from_db()
    assert running.status == RunStatus.RUNNING
    assert running.cancel_requested_at is not None
    assert queued.status == RunStatus.CANCELLED
    assert "stopping and cleaning up" in page
    assert "Cancel the run" not in page


def test_ended_run_cannot_be_cancelled(cast: Cast) -> None:
    response = cast.browser("editor").post(url(cast.run, "run-cancel"), follow=True)

    assert "finished already" in response.content.decode()


def test_evidence_is_shown_as_text_and_downloaded_as_bytes(cast: Cast) -> None:
    piece = cast.run.results.get(requirement_id="gang_scheduling").evidence.get()
    browser = cast.browser("viewer")

    page = browser.get(url(cast.run, "run-evidence", piece.pk)).content.decode()
    response = browser.get(url(cast.run, "run-evidence-download", piece.pk))

    assert "&lt;b&gt;seen&lt;/b&gt;" in page
    assert response.content == bytes(piece.content)
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"] == 'attachment; filename="pod.json"'
    assert response["X-Content-Type-Options"] == "nosniff"


def test_evidence_of_another_run_is_not_found(cast: Cast) -> None:
    piece = cast.run.results.get(requirement_id="gang_scheduling").evidence.get()
    other = RunFactory(submission=cast.submission)

    assert cast.browser("viewer").get(url(other, "run-evidence", piece.pk)).status_code == 404


def test_report_is_downloaded_once_it_is_there(cast: Cast) -> None:
    address = url(cast.run, "run-report")
    before = cast.browser("viewer").get(address)
    content = {"schema": SCHEMA, "outcome": "incomplete", "results": [{"duration_seconds": 1.5}]}
    VerificationRun.objects.filter(pk=cast.run.pk).update(report=content, report_digest=digest_of(content))

    response = cast.browser("viewer").get(address)

    assert before.status_code == 404
    assert verify_seal(read(response.content))
    assert response.json()["results"] == content["results"]
    assert response["Content-Disposition"] == f'attachment; filename="report-{cast.run.uuid}.json"'
    assert cast.browser("stranger").get(address).status_code == 404
    assert cast.browser("nobody").get(address).status_code == 302

"""Reports of vendors' own runs: what is taken, what is refused, and what it counts for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from conformance.bundle import read_bundle, to_bundle
from conformance.catalogue import Level
from conformance.report import verify_seal
from conformance.signing import SigningKey, check_digest
from conformance.verdicts import CheckResult, Evidence, Status
from registry.models import Assurance
from submissions.errors import ApplicantError
from submissions.models import CheckEvidence, Submission, VerificationRun
from submissions.review import review_of
from submissions.services import lifecycle, organizations, report_keys, vendor_reports
from submissions.states import RunKind, RunStatus
from submissions.states import Status as Stage
from tests.submissions.cast import Cast
from tests.submissions.factories import PlatformFactory, RunFactory, SubmissionFactory, UserFactory
from tests.submissions.vendor_runs import KEY, OBSERVED, bundle_for, registered, report_for

OTHER = SigningKey.generate()


def take(cast: Cast, data: bytes, **options: Any) -> VerificationRun:
    submission = options.pop("submission", cast.submission)
    run, _ = vendor_reports.take_report(
        submission=submission, actor=options.pop("actor", cast.editor), data=data, now=timezone.now()
    )
    return run


def refusal(cast: Cast, data: bytes, **options: Any) -> ApplicantError:
    before = VerificationRun.objects.count()
    with pytest.raises(ApplicantError) as caught:
        take(cast, data, **options)
    assert VerificationRun.objects.count() == before
    return caught.value


def test_signed_bundle_becomes_a_finished_run_of_the_vendor(cast: Cast) -> None:
    key = registered(cast.submission)
    report = report_for(cast.submission, {"gang_scheduling": Status.FAIL})

    run = take(cast, to_bundle(report, KEY))

    run.refresh_from_db()
    assert (run.kind, run.status, run.outcome) == (RunKind.VENDOR, RunStatus.FINISHED, "non_conformant")
    assert (run.cluster, run.signed_by, run.requested_by) == (None, key, cast.editor)
    assert (run.started_at, run.finished_at) == (report.started_at, report.finished_at)
    assert run.only == []
    verdicts = dict(run.results.values_list("requirement_id", "status"))
    assert verdicts == {result.id: result.status.value for result in report.results}
    piece = CheckEvidence.objects.filter(result__run=run).first()
    assert piece is not None
    assert bytes(piece.content) == OBSERVED
    assert piece.sha256 == hashlib.sha256(OBSERVED).hexdigest()
    assert cast.submission.events.last().action == "vendor_report_taken"


def test_kept_report_still_bears_seal_and_signature(cast: Cast) -> None:
    registered(cast.submission)
    run = take(cast, bundle_for(cast.submission))

    response = cast.browser("viewer").get(reverse("submissions:run-report", args=[run.uuid]))

    document = json.loads(response.content)
    assert verify_seal(document)
    assert check_digest(document["signature"], document["digest"]) == KEY.public


def test_same_report_again_is_the_same_run(cast: Cast) -> None:
    registered(cast.submission)
    data = bundle_for(cast.submission)

    first = take(cast, data)

    assert vendor_reports.take_report(
        submission=cast.submission, actor=cast.editor, data=data, now=timezone.now()
    ) == (first, False)
    assert cast.submission.events.filter(action="vendor_report_taken").count() == 1


def test_report_of_some_requirements_says_so(cast: Cast) -> None:
    registered(cast.submission)
    report = report_for(cast.submission)
    results = tuple(
        result
        if result.id == "gang_scheduling"
        else dataclasses.replace(result, status=Status.UNKNOWN, reason="not_selected", evidence=())
        for result in report.results
    )
    report = report_for(cast.submission, results=results, outcome=vendor_outcome(results))

    run = take(cast, to_bundle(report, KEY))

    assert run.only == ["gang_scheduling"]
    assert run.results.count() == 1
    assert lifecycle.vouching_run(cast.submission) is None


def vendor_outcome(results: tuple[CheckResult, ...]) -> Any:
    from conformance.verdicts import outcome_of

    return outcome_of(results)


# Refusals -------------------------------------------------------------------------------------------


def test_unsigned_foreign_and_revoked_keys_are_refused(cast: Cast) -> None:
    key = registered(cast.submission)
    report_keys.revoke_key(key=key, actor=cast.owner)

    assert refusal(cast, bundle_for(cast.submission, key=None)).code == "report_unsigned"
    assert refusal(cast, bundle_for(cast.submission, key=OTHER)).code == "unknown_key"
    assert refusal(cast, bundle_for(cast.submission)).code == "key_revoked"


def test_key_of_another_organization_is_not_ours(cast: Cast) -> None:
    registered(SubmissionFactory())

    assert refusal(cast, bundle_for(cast.submission)).code == "unknown_key"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"checklist": "1.34"}, "other_checklist"),
        ({"simulated": True}, "report_simulated"),
        ({"cancelled": True}, "report_cancelled"),
    ],
)
def test_report_that_is_sound_and_unfit_is_refused(cast: Cast, change: dict[str, Any], code: str) -> None:
    registered(cast.submission)

    assert refusal(cast, bundle_for(cast.submission, **change)).code == code


@pytest.mark.parametrize(
    ("age", "code"),
    [
        (timedelta(days=91), "report_too_old"),
        (-timedelta(hours=1), "report_dated_wrong"),
    ],
)
def test_report_of_another_time_is_refused(cast: Cast, age: timedelta, code: str) -> None:
    registered(cast.submission)

    assert refusal(cast, bundle_for(cast.submission, finished_at=timezone.now() - age)).code == code


def test_report_of_89_days_ago_is_taken(cast: Cast) -> None:
    registered(cast.submission)

    assert take(cast, bundle_for(cast.submission, finished_at=timezone.now() - timedelta(days=89)))


def without_one(results: tuple[CheckResult, ...]) -> tuple[CheckResult, ...]:
    return results[1:]


def with_another_level(results: tuple[CheckResult, ...]) -> tuple[CheckResult, ...]:
    other = Level.SHOULD if results[0].level is Level.MUST else Level.MUST
    return (dataclasses.replace(results[0], level=other), *results[1:])


def with_one_twice(results: tuple[CheckResult, ...]) -> tuple[CheckResult, ...]:
    return (*results, dataclasses.replace(results[0], evidence=()))


@pytest.mark.parametrize("change", [without_one, with_another_level, with_one_twice])
def test_report_with_other_requirements_is_refused(
    cast: Cast, change: Callable[[tuple[CheckResult, ...]], tuple[CheckResult, ...]]
) -> None:
    registered(cast.submission)
    results = change(report_for(cast.submission).results)

    data = bundle_for(cast.submission, results=results, outcome=vendor_outcome(results))

    assert refusal(cast, data).code == "other_checklist"


def test_report_for_another_platform_is_refused(cast: Cast) -> None:
    registered(cast.submission)
    report = report_for(cast.submission)
    take(cast, to_bundle(report, KEY))
    other = SubmissionFactory(platform=PlatformFactory(organization=cast.organization))

    assert refusal(cast, to_bundle(report, KEY), submission=other).code == "report_used"


def test_closed_submission_takes_no_report(cast: Cast) -> None:
    closed = SubmissionFactory(platform=cast.submission.platform, status=Stage.REJECTED)
    registered(closed)

    assert refusal(cast, bundle_for(closed), submission=closed).code == "not_possible"


def test_viewers_and_strangers_upload_nothing(cast: Cast) -> None:
    registered(cast.submission)
    data = bundle_for(cast.submission)

    assert refusal(cast, data, actor=cast.viewer).code == "not_allowed"
    assert refusal(cast, data, actor=cast.stranger).code == "not_allowed"


def test_changed_evidence_is_refused(cast: Cast) -> None:
    registered(cast.submission)
    report = report_for(cast.submission)
    first = report.results[0]
    forged = dataclasses.replace(first.evidence[0], content=b'{"bound": 9}')
    object.__setattr__(forged, "sha256", first.evidence[0].sha256)
    results = (dataclasses.replace(first, evidence=(forged,)), *report.results[1:])

    assert (
        refusal(cast, to_bundle(dataclasses.replace(report, results=results), KEY)).code == "report_changed"
    )


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04" + b"\0" * 100])
def test_what_is_no_bundle_is_refused(cast: Cast, data: bytes) -> None:
    assert refusal(cast, data).code == "report_unreadable"


def test_text_no_database_takes_is_refused(cast: Cast) -> None:
    registered(cast.submission)
    report = report_for(cast.submission)
    results = (dataclasses.replace(report.results[0], message="a\0b"), *report.results[1:])

    data = to_bundle(dataclasses.replace(report, results=results), KEY)

    assert refusal(cast, data).code == "report_unreadable"


def test_names_no_check_gives_are_refused(cast: Cast) -> None:
    registered(cast.submission)
    report = report_for(cast.submission)
    piece = Evidence("x" * 300, "text/plain", b"x", report.finished_at)
    results = (dataclasses.replace(report.results[0], evidence=(piece,)), *report.results[1:])

    data = to_bundle(dataclasses.replace(report, results=results), KEY)

    assert refusal(cast, data).code == "report_unreadable"


def test_simulated_report_is_taken_by_the_embedded_portal_and_marked(cast: Cast, settings: Any) -> None:
    settings.EMBEDDED = True
    registered(cast.submission)

    run = take(cast, bundle_for(cast.submission, simulated=True))

    cast.submission.refresh_from_db()
    assert run.simulated
    assert cast.submission.simulated


def test_database_itself_tells_the_kinds_of_runs_apart(cast: Cast) -> None:
    key = registered(cast.submission)
    common = {"submission": cast.submission, "requested_by": cast.owner}
    wrong: list[dict[str, Any]] = [
        {"kind": RunKind.VENDOR, "status": RunStatus.FINISHED, "outcome": "incomplete"},
        {"kind": RunKind.VENDOR, "signed_by": key},
        {"kind": RunKind.PORTAL},
        {"kind": RunKind.PORTAL, "cluster": cast.cluster, "signed_by": key},
    ]
    for values in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            VerificationRun.objects.create(**common, **values)


# What it counts for ---------------------------------------------------------------------------------


def in_review(**options: Any) -> Submission:
    return SubmissionFactory(complete=True, status=Stage.IN_REVIEW, **options)


def vouched(submission: Submission, verdicts: dict[str, Status] | None = None) -> VerificationRun:
    if not submission.organization.report_keys.exists():
        registered(submission)
    run, _ = vendor_reports.take_report(
        submission=submission,
        actor=submission.organization.members.first(),
        data=bundle_for(submission, verdicts),
        now=timezone.now(),
    )
    return run


def ids(submission: Submission) -> list[str]:
    return list(submission.checklist.requirements.values_list("requirement_id", flat=True))


def assurances(submission: Submission) -> dict[str, tuple[str, str]]:
    snapshot = lifecycle.snapshot_of(submission)
    return {row.requirement_id: (row.verdict, row.assurance) for row in snapshot.requirements}


def test_portal_run_beats_the_vendors_own(db: None) -> None:
    submission = in_review()
    vouched(submission)
    RunFactory(
        submission=submission,
        verdicts=dict.fromkeys(ids(submission), "pass")
        | {"gang_scheduling": "error", "dra_support": "fail", "robust_controller": "unknown"},
    )

    found = assurances(submission)

    assert found["secure_accelerator_access"] == ("pass", Assurance.PORTAL_VERIFIED)
    assert found["gang_scheduling"] == ("pass", Assurance.VENDOR_RUN)
    assert found["robust_controller"] == ("pass", Assurance.VENDOR_RUN)
    assert found["dra_support"] == ("fail", Assurance.SELF_ATTESTED)
    assert lifecycle.snapshot_of(submission).assurance == Assurance.PORTAL_VERIFIED


def test_vendors_own_run_alone_counts_as_vendor_run(db: None) -> None:
    submission = in_review()
    run = vouched(submission)

    snapshot = lifecycle.snapshot_of(submission)

    assert snapshot.assurance == Assurance.VENDOR_RUN
    assert snapshot.run_digest == run.report_digest
    assert snapshot.run_finished_at == run.finished_at


def test_revoked_key_takes_the_assurance_away(db: None) -> None:
    submission = in_review()
    run = vouched(submission)
    assert run.signed_by is not None

    report_keys.revoke_key(key=run.signed_by, actor=submission.organization.members.first())

    assert lifecycle.vouching_run(submission) is None
    assert lifecycle.snapshot_of(submission).assurance == Assurance.SELF_ATTESTED


def test_newest_of_the_vendors_runs_counts(db: None) -> None:
    submission = in_review()
    vouched(submission)
    newest = vouched(submission, {"gang_scheduling": Status.UNKNOWN})
    VerificationRun.objects.exclude(pk=newest.pk).update(finished_at=timezone.now() - timedelta(days=1))

    assert assurances(submission)["gang_scheduling"][1] == Assurance.SELF_ATTESTED


def test_approval_needs_a_portal_run_all_the_same(db: None, settings: Any) -> None:
    submission = in_review()
    vouched(submission)
    assert lifecycle.obstacles(submission) == [
        "No verification run has finished since the vendor submitted. Ask for one."
    ]

    settings.VERIFICATION_REQUIRED = False
    assert lifecycle.obstacles(submission) == []


def test_fail_in_the_vendors_own_run_stands_in_the_way_unless_we_saw_otherwise(db: None) -> None:
    submission = in_review()
    vouched(submission, {"gang_scheduling": Status.FAIL})

    before = lifecycle.obstacles(submission)
    RunFactory(submission=submission, verdicts=dict.fromkeys(ids(submission), "pass"))

    assert any("gang_scheduling: the vendor's own run saw the platform fail it" in text for text in before)
    assert lifecycle.obstacles(submission) == []


def test_vendors_run_is_never_the_deciding_one(db: None) -> None:
    submission = in_review()
    vouched(submission)

    assert lifecycle.deciding_run(submission) is None


def test_review_page_shows_the_vendors_run_beside_ours(db: None, settings: Any) -> None:
    settings.REVIEWERS_NEED_MFA = False
    submission = in_review()
    run = vouched(submission, {"gang_scheduling": Status.FAIL})
    reviewer = UserFactory(reviewer=True)
    client = Client()
    client.force_login(reviewer)

    response = client.get(reverse("admin:review", args=[submission.uuid]))
    found = review_of(submission, reviewer, timezone.now().date())
    own = client.get(reverse("admin:review_run", args=[run.uuid])).content.decode()

    page = response.content.decode()
    assert found.own_run == run
    assert "vendor's own run" in page
    assert "Refuted by the vendor&#x27;s own run" in page
    assert page.count("data-own-run") == len(ids(submission))
    assert "on a cluster of its own" in own


# Ways in --------------------------------------------------------------------------------------------


def api(cast: Cast, scope: str = "write") -> APIClient:
    _, secret = organizations.create_token(
        organization=cast.organization, actor=cast.editor, name="ci", scope=scope
    )
    return APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}")


def address(submission: Submission) -> str:
    return f"/api/v1/submissions/{submission.uuid}/reports/"


def test_api_takes_a_bundle_as_the_body(cast: Cast) -> None:
    registered(cast.submission)
    data = bundle_for(cast.submission)
    client = api(cast)

    first = client.generic("POST", address(cast.submission), data, content_type="application/zip")
    again = client.generic("POST", address(cast.submission), data, content_type="application/zip")

    assert (first.status_code, again.status_code) == (201, 200)
    body = first.json()
    assert (body["kind"], body["outcome"], body["cluster"]) == ("vendor_run", "conformant", None)
    assert body["signed_by"] == KEY.public.key_id
    assert body["id"] == again.json()["id"]
    listed = client.get(f"/api/v1/submissions/{cast.submission.uuid}/verifications/").json()["results"]
    assert body["id"] in {row["id"] for row in listed}


def test_api_takes_a_bundle_as_a_file(cast: Cast) -> None:
    registered(cast.submission)
    file = SimpleUploadedFile("bundle.zip", bundle_for(cast.submission))

    response = api(cast).post(address(cast.submission), {"file": file}, format="multipart")

    assert response.status_code == 201


def test_api_refuses_with_a_reason(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    client = api(cast)
    bare = bundle_for(cast.submission, key=None)

    unsigned = client.generic("POST", address(cast.submission), bare, content_type="application/zip")
    reading = api(cast, "read").generic(
        "POST", address(cast.submission), bare, content_type="application/zip"
    )
    foreign = client.generic("POST", address(SubmissionFactory()), bare, content_type="application/zip")
    nothing = client.post(address(cast.submission), {}, format="multipart")
    monkeypatch.setattr("conformance.bundle.MAX_BUNDLE", 100)
    large = client.generic("POST", address(cast.submission), bare, content_type="application/zip")

    assert (unsigned.status_code, unsigned.json()["code"]) == (422, "report_unsigned")
    assert "keygen" in unsigned.json()["detail"]
    assert reading.status_code == 403
    assert foreign.status_code == 404
    assert nothing.status_code == 400
    assert (large.status_code, large.json()["code"]) == (413, "file_too_large")


def test_page_takes_a_bundle_and_shows_the_run(cast: Cast) -> None:
    registered(cast.submission)
    upload = reverse("submissions:report-upload", args=[cast.submission.uuid])
    file = SimpleUploadedFile("bundle.zip", bundle_for(cast.submission))

    response = cast.browser("editor").post(upload, {"file": file}, follow=True)

    page = response.content.decode()
    assert "counts as run by you" in page
    assert "on a cluster of its own" in page
    assert KEY.public.key_id in page


def test_page_says_why_a_bundle_is_refused(cast: Cast) -> None:
    upload = reverse("submissions:report-upload", args=[cast.submission.uuid])
    browser = cast.browser("editor")

    refused = browser.post(upload, {"file": SimpleUploadedFile("b.zip", b"hello")})
    empty = browser.post(upload)
    viewer = cast.browser("viewer").post(upload, {"file": SimpleUploadedFile("b.zip", b"hello")})
    stranger = cast.browser("stranger").post(upload)

    assert refused.status_code == 422
    assert "The zip cannot be read" in refused.content.decode()
    assert "register your public key" in refused.content.decode()
    assert empty.status_code == 422
    assert viewer.status_code == 403
    assert stranger.status_code == 404


def test_bundle_that_was_taken_reads_the_same_again(cast: Cast) -> None:
    registered(cast.submission)
    data = bundle_for(cast.submission)

    run = take(cast, data)

    found = read_bundle(data)
    assert run.report_digest == found.report.digest
    assert run.results.count() == len(found.report.results)

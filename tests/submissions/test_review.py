"""What contradicts a claim, where its evidence leads, and how the page and the queue count it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import timezone

from conformance.document import IMPLEMENTED, NOT_APPLICABLE, NOT_IMPLEMENTED, PARTIALLY_IMPLEMENTED
from registry.models import Requirement
from submissions.models import CheckResult, Claim, EvidenceFile, Submission, Waiver
from submissions.review import Group, Kind, Row, contradictions_of, reference_of, review_of
from submissions.review_queue import counts, queue_entries
from submissions.services import conflicts, drafting, lifecycle
from submissions.states import Status, Verdict
from tests.submissions.factories import RunFactory, SubmissionFactory, member, owner_of
from tests.submissions.reviewing import (
    NA_NOTES,
    certified,
    handed_in,
    in_review,
    ready_to_approve,
    reviewer,
    verified,
    waiver_asked,
)

TODAY = date(2026, 11, 23)
DENIAL = "The platform does not support gang scheduling."


def claim(
    status: str = IMPLEMENTED,
    *,
    notes: str = "Described on the page.",
    evidence: tuple[str, ...] = ("https://docs.example.org/a",),
    level: str = "MUST",
    requirement_id: str = "gang_scheduling",
) -> Claim:
    requirement = Requirement(requirement_id=requirement_id, level=level, position=0)
    return Claim(requirement=requirement, status=status, notes=notes, evidence=list(evidence))


def seen(verdict: str) -> CheckResult:
    return CheckResult(requirement_id="gang_scheduling", status=verdict, message="Two of three pods started.")


def kinds(of: Claim, result: CheckResult | None = None, waiver: Waiver | None = None) -> list[Kind]:
    return [item.kind for item in contradictions_of(of, result, waiver, platform="Engine", today=TODAY)]


# Contradictions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [None, Verdict.PASS, Verdict.UNKNOWN, Verdict.ERROR])
def test_no_contradiction_in_a_claim_with_evidence(verdict: str | None) -> None:
    assert kinds(claim(), seen(verdict) if verdict else None) == []


def test_claim_refuted_by_the_run() -> None:
    (found,) = contradictions_of(claim(), seen(Verdict.FAIL), None, platform="Engine", today=TODAY)

    assert (found.kind, found.tone) == (Kind.REFUTED, "bad")
    assert found.text.endswith("fail it. Two of three pods started.")


def test_claim_denied_by_its_notes() -> None:
    (found,) = contradictions_of(claim(notes=f"{DENIAL} Soon."), None, None, platform="Engine", today=TODAY)

    assert found.kind == Kind.NOTES_DENY
    assert DENIAL in found.text


@pytest.mark.parametrize("evidence", [(), ("",), (" ", "")])
def test_claim_without_evidence(evidence: tuple[str, ...]) -> None:
    assert kinds(claim(evidence=evidence)) == [Kind.NO_EVIDENCE]
    assert kinds(claim(evidence=evidence, level="SHOULD")) == [Kind.NO_EVIDENCE]


def test_claim_of_what_the_run_found_nothing_of() -> None:
    assert kinds(claim(), seen(Verdict.NOT_APPLICABLE)) == [Kind.CONTEXT_ABSENT]


def test_several_contradictions_stand_in_order_of_gravity() -> None:
    found = kinds(claim(notes=DENIAL, evidence=()), seen(Verdict.FAIL))

    assert found == [Kind.REFUTED, Kind.NOTES_DENY, Kind.NO_EVIDENCE]


@pytest.mark.parametrize("status", [NOT_IMPLEMENTED, PARTIALLY_IMPLEMENTED, ""])
def test_must_that_is_not_claimed(status: str) -> None:
    assert kinds(claim(status)) == [Kind.NOT_CLAIMED]
    assert kinds(claim(status, level="SHOULD")) == []


@pytest.mark.parametrize("status", [NOT_IMPLEMENTED, ""])
def test_observed_though_not_claimed(status: str) -> None:
    assert kinds(claim(status, level="SHOULD"), seen(Verdict.PASS)) == [Kind.UNDERSTATED]


@pytest.mark.parametrize(
    ("decision", "expires_on", "expected"),
    [
        (None, None, [Kind.WAIVER_UNDECIDED]),
        ("pending", None, [Kind.WAIVER_UNDECIDED]),
        ("refused", None, [Kind.WAIVER_REFUSED]),
        ("accepted", TODAY + timedelta(days=1), []),
        ("accepted", TODAY, [Kind.WAIVER_UNDECIDED]),
    ],
)
def test_not_applicable_on_a_must(
    decision: str | None, expires_on: date | None, expected: list[Kind]
) -> None:
    waiver = Waiver(decision=decision, expires_on=expires_on) if decision else None

    assert kinds(claim(NOT_APPLICABLE, evidence=()), None, waiver) == expected


def test_not_applicable_on_a_should_is_nobodys_business() -> None:
    assert kinds(claim(NOT_APPLICABLE, level="SHOULD", evidence=())) == []


@pytest.mark.parametrize(
    ("requirement_id", "notes", "words"),
    [
        ("gang_scheduling", NA_NOTES, "knows no condition"),
        ("cluster_autoscaling", "We do not support it.", "no justification"),
    ],
)
def test_waiver_says_what_speaks_against_it(requirement_id: str, notes: str, words: str) -> None:
    asked = claim(NOT_APPLICABLE, notes=notes, evidence=(), requirement_id=requirement_id)
    (found,) = contradictions_of(asked, None, None, platform="Engine", today=TODAY)

    assert words in found.text


# Groups ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "verdict", "group"),
    [
        (claim(), Verdict.PASS, Group.SETTLED),
        (claim(), Verdict.UNKNOWN, Group.UNSEEN),
        (claim(), Verdict.ERROR, Group.UNSEEN),
        (claim(), "", Group.UNSEEN),
        (claim(), Verdict.FAIL, Group.CONTRADICTED),
        (claim("", level="SHOULD"), Verdict.UNKNOWN, Group.OPEN),
        (claim(NOT_APPLICABLE, level="SHOULD"), Verdict.NOT_APPLICABLE, Group.SETTLED),
    ],
)
def test_group_of_a_row(of: Claim, verdict: str, group: Group) -> None:
    result = seen(verdict) if verdict else None
    contradictions = contradictions_of(of, result, None, platform="Engine", today=TODAY)

    assert Row(of, result, None, contradictions).group == group


# References -----------------------------------------------------------------------------------------------

FILES = {name: EvidenceFile(name=name) for name in ("results/junit.xml", "e2e log.txt")}


@pytest.mark.parametrize(
    ("text", "file", "test", "missing"),
    [
        ("https://docs.example.org/a#b", None, "", False),
        ("javascript://results/junit.xml", None, "", False),
        ("file://results/junit.xml#TestGang", "results/junit.xml", "TestGang", False),
        ("FILE://results/junit.xml", "results/junit.xml", "", False),
        ("./results/junit.xml", "results/junit.xml", "", False),
        ("results/junit.xml", "results/junit.xml", "", False),
        ("e2e%20log.txt", "e2e log.txt", "", False),
        ("file://results/other.xml", None, "", True),
        ("../outside.xml", None, "", True),
        ("We tested it.", None, "", False),
    ],
)
def test_reference_of(text: str, file: str | None, test: str, missing: bool) -> None:
    found = reference_of(text, FILES)

    assert (found.file.name if found.file else None, found.test, found.is_missing) == (file, test, missing)


# The page's data --------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_review_puts_the_gravest_first() -> None:
    submission = handed_in(
        {
            "ai_inference": {"notes": "The platform does not provide a gateway."},
            "cluster_autoscaling": {"status": NOT_APPLICABLE, "notes": NA_NOTES, "evidence": []},
            "gpu_sharing": {"evidence": []},
        }
    )
    verified(
        submission,
        secure_accelerator_access="fail",
        pod_autoscaling="unknown",
        cluster_autoscaling="unknown",
    )

    found = review_of(in_review(submission), reviewer(), TODAY)

    assert [row.id for row in found.rows[:4]] == [
        "secure_accelerator_access",
        "ai_inference",
        "cluster_autoscaling",
        "gpu_sharing",
    ]
    assert (found.contradiction_count, found.waiver_count) == (3, 1)
    assert [(group, len(rows)) for group, _, _, rows in found.groups] == [
        (Group.CONTRADICTED, 4),
        (Group.UNSEEN, 1),
        (Group.SETTLED, len(found.rows) - 5),
    ]
    assert {row.id for row in found.rows} == set(
        submission.checklist.requirements.values_list("requirement_id", flat=True)
    )


@pytest.mark.django_db
def test_review_shows_altered_wording_of_the_uploaded_file() -> None:
    draft = SubmissionFactory(complete=True)
    owner = owner_of(draft.organization)
    text = drafting.render_document(draft).replace("level: MUST", "level: SHOULD", 1)
    draft = drafting.fill_from_document(submission=draft, actor=owner, data=text.encode()).submission
    submission = lifecycle.submit(submission=draft, actor=owner)

    found = review_of(submission, reviewer(), TODAY)

    assert {row.id: [problem.code for problem in row.problems] for row in found.rows}["dra_support"][-1:] == [
        "altered_level"
    ]


@pytest.mark.django_db
def test_review_names_approvals_that_do_not_count() -> None:
    submission = ready_to_approve()
    first, gone = reviewer(), reviewer()
    lifecycle.approve(submission=submission, actor=first)
    submission.approvals.create(reviewer=gone, round=submission.round)
    type(gone).objects.filter(pk=gone.pk).update(review_role="")
    conflicts.declare_conflict(
        reviewer=first, organization=submission.organization, note="They hired me.", actor=first
    )

    found = review_of(submission, reviewer(), TODAY)

    assert {item.approval.reviewer: item.void for item in found.approvals} == {
        first: "has an interest in the vendor",
        gone: "no longer a reviewer",
    }
    assert found.given == 0
    assert found.has_approved(first)


@pytest.mark.django_db
def test_review_explains_the_readers_conflict() -> None:
    submission = handed_in()
    reader = member(submission.organization)
    type(reader).objects.filter(pk=reader.pk).update(review_role="reviewer")
    reader.refresh_from_db()

    assert review_of(submission, reader, TODAY).conflict == f"You are a member of {submission.organization}."
    assert review_of(submission, reviewer(), TODAY).conflict == ""


@pytest.mark.django_db
def test_review_tells_reviewers_each_others_comments() -> None:
    submission = ready_to_approve()
    first = reviewer(name="Ada")
    lifecycle.approve(submission=submission, actor=first, comment="I read all of it.")

    newest = review_of(submission, reviewer(), TODAY).history[0]

    assert (newest.who, newest.text) == ("Ada", "1 of 2 approvals. I read all of it.")


# The queue ------------------------------------------------------------------------------------------------


def entry_of(submission: Submission, user: Any = None, today: date | None = None) -> Any:
    row = Submission.objects.with_names().get(pk=submission.pk)
    (entry,) = queue_entries([row], user or reviewer(), today or timezone.now().date())
    return entry


@pytest.mark.django_db
def test_queue_counts_as_the_page_does() -> None:
    submission = waiver_asked()
    verified(submission, gang_scheduling="fail", cluster_autoscaling="unknown")
    RunFactory(submission=submission, verdicts={}, only=["dra_support"])
    user = reviewer()

    entry = entry_of(submission, user)
    page = review_of(submission, user, timezone.now().date())

    assert (entry.contradictions, entry.waivers) == (page.contradiction_count, page.waiver_count) == (1, 1)
    assert entry.run == page.run == lifecycle.deciding_run(submission)
    assert entry.verification == "non_conformant"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("days", "overdue", "left", "late"),
    [(0, False, 10, 0), (14, False, 0, 0), (15, True, 0, 1), (16, True, 0, 2)],
)
def test_queue_says_how_long_is_left(days: int, overdue: bool, left: int, late: int) -> None:
    submission = handed_in()
    monday = date(2026, 11, 23)
    Submission.objects.filter(pk=submission.pk).update(
        submitted_at=timezone.now().replace(year=2026, month=11, day=23),
        due_on=lifecycle.business_days_after(monday, 10),
    )

    entry = entry_of(submission, today=monday + timedelta(days=days))

    assert (entry.is_overdue, entry.days_left, entry.days_late) == (overdue, left, late)


@pytest.mark.django_db
def test_queue_says_whose_turn_it_is() -> None:
    user = reviewer()
    submission = handed_in()
    assert entry_of(submission).turn == "A reviewer, to begin"
    verified(submission)
    submission = in_review(submission)
    assert entry_of(submission).turn == "The reviewers"
    lifecycle.approve(submission=submission, actor=user)
    assert entry_of(submission).turn == "A second reviewer"
    assert entry_of(submission, user).turn == "Another reviewer"
    lifecycle.request_changes(submission=submission, actor=user, reason="why")
    assert entry_of(submission).turn == "The vendor"
    assert entry_of(certified()).turn == "Nobody"


@pytest.mark.django_db
def test_queue_flags_the_readers_interest() -> None:
    submission = handed_in()
    user = reviewer()
    conflicts.declare_conflict(reviewer=user, organization=submission.organization, note="Mine.", actor=user)

    assert entry_of(submission, user).conflict is True
    assert entry_of(submission).conflict is False


@pytest.mark.django_db
def test_queue_counts_where_submissions_stand() -> None:
    SubmissionFactory()
    overdue = handed_in()
    Submission.objects.filter(pk=overdue.pk).update(due_on=TODAY)
    SubmissionFactory(status=Status.CHANGES_REQUESTED)
    SubmissionFactory(status=Status.REJECTED)

    found = counts(TODAY + timedelta(days=1))

    assert (found.waiting, found.overdue, found.changes, found.decided) == (1, 1, 1, 1)

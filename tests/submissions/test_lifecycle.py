"""The transition matrix, what a decision rests on, waivers, and publication."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from registry.models import Assurance, Certificate
from submissions.errors import ApplicantError, StaleState
from submissions.models import Event, MembershipRole, Submission, Waiver
from submissions.services import conflicts, drafting, lifecycle, runs
from submissions.states import TRANSITIONS, Action, Role, RunStatus, Status
from tests.submissions.factories import (
    Membership,
    RunFactory,
    SubmissionFactory,
    UserFactory,
    member,
    owner_of,
)
from tests.submissions.reviewing import (
    NA_NOTES,
    certified,
    handed_in,
    in_review,
    lead,
    ready_to_approve,
    reviewer,
    verified,
    waiver_asked,
)

pytestmark = pytest.mark.django_db

MATRIX = [(status, action, role) for status in Status for action in Action for role in Role]


def submission_at(status: Status) -> Submission:
    return SubmissionFactory(status=status)


# The matrix ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "action", "role"), MATRIX)
def test_transition_matrix(status: Status, action: Action, role: Role) -> None:
    submission = submission_at(status)
    actor = UserFactory()
    step = TRANSITIONS.get((status, action))
    changes = {"decided_at": timezone.now(), "submitted_at": timezone.now()}

    if step is None or step.role != role:
        with pytest.raises(ApplicantError) as refusal:
            lifecycle.transition(submission=submission, action=action, actor=actor, role=role, reason="why")
        assert refusal.value.code == ("not_possible" if step is None else "not_allowed")
        submission.refresh_from_db()
        assert submission.status == status
        assert not submission.events.filter(action=action).exists()
        return
    lifecycle.transition(
        submission=submission, action=action, actor=actor, role=role, reason="why", changes=changes
    )
    submission.refresh_from_db()
    event = submission.events.latest("pk")
    assert submission.status == step.to
    assert (event.action, event.from_status, event.to_status, event.actor, event.reason) == (
        action.value,
        status.value,
        step.to.value,
        actor,
        "why",
    )


@pytest.mark.parametrize("action", [Action.REQUEST_CHANGES, Action.REJECT])
@pytest.mark.parametrize("reason", ["", "  \n "])
def test_transition_without_reason(action: Action, reason: str) -> None:
    submission = submission_at(Status.IN_REVIEW)

    with pytest.raises(ApplicantError) as refusal:
        lifecycle.transition(
            submission=submission, action=action, actor=reviewer(), role=Role.REVIEWER, reason=reason
        )

    assert refusal.value.code == "reason_missing"


def test_transition_loses_against_a_faster_one() -> None:
    submission = submission_at(Status.SUBMITTED)
    seen = Submission.objects.get(pk=submission.pk)
    lifecycle.start_review(submission=submission, actor=reviewer())

    with pytest.raises(StaleState):
        lifecycle.start_review(submission=seen, actor=reviewer())

    assert submission.events.filter(action=Action.START_REVIEW).count() == 1


def test_transition_refuses_a_round_nobody_saw() -> None:
    submission = in_review()
    seen = Submission.objects.get(pk=submission.pk)
    Submission.objects.filter(pk=submission.pk).update(round=2)

    with pytest.raises(StaleState):
        lifecycle.reject(submission=seen, actor=reviewer(), reason="why")


def test_terminal_states_have_no_way_out() -> None:
    leading_out = {status for status, _ in TRANSITIONS}

    assert leading_out.isdisjoint({Status.APPROVED, Status.REJECTED, Status.WITHDRAWN})


# Business days --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        (date(2026, 11, 23), 1, date(2026, 11, 24)),
        (date(2026, 11, 27), 1, date(2026, 11, 30)),
        (date(2026, 11, 28), 1, date(2026, 11, 30)),
        (date(2026, 11, 23), 10, date(2026, 12, 7)),
    ],
)
def test_business_days_after(start: date, days: int, end: date) -> None:
    assert lifecycle.business_days_after(start, days) == end
    assert lifecycle.business_days_between(start, end) == days


@pytest.mark.parametrize("offset", range(25))
def test_business_days_between_counts_like_a_calendar(offset: int) -> None:
    start = date(2026, 11, 19)
    end = start + timedelta(days=offset)
    counted = sum((start + timedelta(days=day)).weekday() < 5 for day in range(1, offset + 1))

    assert lifecycle.business_days_between(start, end) == counted
    assert lifecycle.business_days_between(end, start) == 0


# Submitting ---------------------------------------------------------------------------------------------


def test_submit_with_errors_names_them() -> None:
    submission = SubmissionFactory()

    with pytest.raises(ApplicantError) as refusal:
        lifecycle.submit(submission=submission, actor=owner_of(submission.organization))

    assert refusal.value.code == "document_has_errors"
    assert {problem["severity"] for problem in refusal.value.details["problems"]} == {"error"}
    submission.refresh_from_db()
    assert submission.status == Status.DRAFT


def test_submit_starts_the_clock() -> None:
    submission = handed_in()

    today = timezone.now().date()
    assert (submission.status, submission.round) == (Status.SUBMITTED, 1)
    assert submission.due_on == lifecycle.business_days_after(today, 10)
    assert len(submission.events.get(action="submit").data["document_sha256"]) == 64


@pytest.mark.parametrize("role", ["viewer", "stranger", "reviewer"])
def test_submit_is_for_owners_and_editors(role: str) -> None:
    submission = SubmissionFactory(complete=True)
    actor = {
        "viewer": lambda: member(submission.organization, MembershipRole.VIEWER),
        "stranger": UserFactory,
        "reviewer": reviewer,
    }[role]()

    with pytest.raises(ApplicantError) as refusal:
        lifecycle.submit(submission=submission, actor=actor)

    assert refusal.value.code == "not_allowed"


def test_submit_again_after_changes_counts_a_new_round() -> None:
    submission = in_review()
    lifecycle.request_changes(submission=submission, actor=reviewer(), reason="Say more.")
    submission.refresh_from_db()

    submission = lifecycle.submit(submission=submission, actor=owner_of(submission.organization))

    assert (submission.status, submission.round) == (Status.SUBMITTED, 2)


# Who decides --------------------------------------------------------------------------------------------


def decide(action: Action, submission: Submission, actor: Any) -> Any:
    return {
        Action.START_REVIEW: lambda: lifecycle.start_review(submission=submission, actor=actor),
        Action.REQUEST_CHANGES: lambda: lifecycle.request_changes(
            submission=submission, actor=actor, reason="why"
        ),
        Action.REJECT: lambda: lifecycle.reject(submission=submission, actor=actor, reason="why"),
        Action.APPROVE: lambda: lifecycle.approve(submission=submission, actor=actor),
    }[action]()


REVIEWING = [Action.START_REVIEW, Action.REQUEST_CHANGES, Action.REJECT, Action.APPROVE]


def at_hand(action: Action) -> Submission:
    return handed_in() if action == Action.START_REVIEW else ready_to_approve()


@pytest.mark.parametrize("action", REVIEWING)
@pytest.mark.parametrize("role", ["owner", "operator", "former reviewer"])
def test_review_actions_are_for_reviewers(action: Action, role: str) -> None:
    submission = at_hand(action)
    actor = {
        "owner": lambda: owner_of(submission.organization),
        "operator": lambda: UserFactory(is_staff=True, is_superuser=True),
        "former reviewer": lambda: reviewer(is_active=False),
    }[role]()

    with pytest.raises(ApplicantError) as refusal:
        decide(action, submission, actor)

    assert refusal.value.code == "not_allowed"


@pytest.mark.parametrize("action", REVIEWING)
@pytest.mark.parametrize("interest", ["member", "declared"])
def test_review_actions_are_refused_to_those_with_an_interest(action: Action, interest: str) -> None:
    submission = at_hand(action)
    actor = reviewer()
    if interest == "member":
        Membership.objects.create(
            organization=submission.organization, user=actor, role=MembershipRole.VIEWER
        )
    else:
        conflicts.declare_conflict(
            reviewer=actor, organization=submission.organization, note="I advise them.", actor=actor
        )

    with pytest.raises(ApplicantError) as refusal:
        decide(action, submission, actor)

    assert refusal.value.code == "conflict_of_interest"


@pytest.mark.parametrize("action", [Action.REQUEST_CHANGES, Action.REJECT])
def test_decision_tells_the_vendor_why(action: Action, django_capture_on_commit_callbacks: Any) -> None:
    submission = in_review()
    owner = owner_of(submission.organization)

    with django_capture_on_commit_callbacks(execute=True):
        decide(action, submission, reviewer())

    assert [message.to for message in mail.outbox] == [[owner.email]]
    assert "why" in mail.outbox[0].body


# Approving ----------------------------------------------------------------------------------------------


def test_approve_needs_two_different_reviewers() -> None:
    submission = ready_to_approve()
    first, second = reviewer(), reviewer()

    after_first = lifecycle.approve(submission=submission, actor=first)
    assert after_first.status == Status.IN_REVIEW
    with pytest.raises(ApplicantError) as refusal:
        lifecycle.approve(submission=submission, actor=first)
    assert refusal.value.code == "approved_already"
    assert Certificate.objects.count() == 0

    after_second = lifecycle.approve(submission=submission, actor=second, comment="Fine.")
    assert after_second.status == Status.APPROVED
    certificate = Certificate.objects.get()
    submission.refresh_from_db()
    assert certificate.number == submission.certificate_number
    assert certificate.source == submission.uuid
    assert certificate.assurance == Assurance.PORTAL_VERIFIED
    assert certificate.run_digest == "ab" * 32
    assert [event.action for event in submission.events.all()][-4:] == [
        "approval_given",
        "approval_given",
        "approve",
        "certificate_issued",
    ]


def test_approve_counts_no_approval_of_somebody_with_an_interest() -> None:
    submission = ready_to_approve()
    first = reviewer()
    lifecycle.approve(submission=submission, actor=first)
    conflicts.declare_conflict(
        reviewer=first, organization=submission.organization, note="They hired me.", actor=first
    )

    after_second = lifecycle.approve(submission=submission, actor=reviewer())
    assert after_second.status == Status.IN_REVIEW

    after_third = lifecycle.approve(submission=submission, actor=reviewer())
    assert after_third.status == Status.APPROVED


def test_approve_counts_no_approval_of_an_earlier_round() -> None:
    submission = ready_to_approve()
    first = reviewer()
    lifecycle.approve(submission=submission, actor=first)
    lifecycle.request_changes(submission=submission, actor=reviewer(), reason="Wait.")
    submission = Submission.objects.get(pk=submission.pk)
    submission = lifecycle.submit(submission=submission, actor=owner_of(submission.organization))
    verified(submission)
    submission = in_review(submission)

    assert lifecycle.approve(submission=submission, actor=reviewer()).status == Status.IN_REVIEW
    assert lifecycle.approve(submission=submission, actor=first).status == Status.APPROVED


def test_approve_refuses_a_round_the_reviewer_has_not_seen() -> None:
    submission = ready_to_approve()
    seen = Submission.objects.get(pk=submission.pk)
    Submission.objects.filter(pk=submission.pk).update(round=2)

    with pytest.raises(StaleState):
        lifecycle.approve(submission=seen, actor=reviewer())


@pytest.mark.parametrize("status", [Status.SUBMITTED, Status.CHANGES_REQUESTED, Status.APPROVED])
def test_approve_outside_of_review(status: Status) -> None:
    submission = submission_at(status)

    with pytest.raises(StaleState):
        lifecycle.approve(submission=submission, actor=reviewer())


def obstacles_after(submission: Submission) -> list[str]:
    """The obstacles, which have to be those that an approval is refused for."""
    found = lifecycle.obstacles(submission)
    with pytest.raises(ApplicantError) as refusal:
        lifecycle.approve(submission=submission, actor=reviewer())
    assert refusal.value.code == "cannot_approve"
    assert refusal.value.details["obstacles"] == found
    return found


def test_approve_without_a_run() -> None:
    assert obstacles_after(in_review()) == [
        "No verification run has finished since the vendor submitted. Ask for one."
    ]


def test_approve_without_a_run_where_none_is_required(settings: Any) -> None:
    settings.VERIFICATION_REQUIRED = False
    settings.APPROVALS_NEEDED = 1
    submission = lifecycle.approve(submission=in_review(), actor=reviewer())

    assert submission.status == Status.APPROVED
    assert Certificate.objects.get().assurance == Assurance.SELF_ATTESTED


@pytest.mark.parametrize(
    "changes",
    [
        {"status": RunStatus.RUNNING},
        {"status": RunStatus.ERRORED},
        {"only": ["gang_scheduling"]},
        {"created_at": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
    ids=["running", "errored", "partial", "before it was submitted"],
)
def test_approve_rests_on_no_lesser_run(changes: dict[str, Any]) -> None:
    submission = in_review()
    RunFactory(submission=submission, verdicts={"gang_scheduling": "pass"}, **changes)

    assert lifecycle.deciding_run(submission) is None
    assert "No verification run has finished" in obstacles_after(submission)[0]


def test_approve_with_a_failed_must() -> None:
    submission = handed_in()
    verified(submission, gang_scheduling="fail")

    assert obstacles_after(in_review(submission)) == [
        "gang_scheduling: the run saw the platform fail it. What the check saw."
    ]


def test_approve_with_a_failed_should() -> None:
    submission = handed_in()
    verified(submission, gpu_sharing="fail")

    assert lifecycle.obstacles(in_review(submission)) == []


def test_approve_rests_on_the_newest_run() -> None:
    submission = handed_in()
    verified(submission, gang_scheduling="fail")
    newest = verified(submission)

    assert lifecycle.deciding_run(submission) == newest
    assert lifecycle.obstacles(in_review(submission)) == []


def test_approve_when_nothing_passed() -> None:
    submission = handed_in()
    RunFactory(submission=submission)

    assert obstacles_after(in_review(submission)) == [
        "The run saw nothing pass; nothing executed is never a pass."
    ]


@pytest.mark.parametrize("embedded", [True, False])
def test_approve_on_a_simulated_cluster_only_in_the_demo(settings: Any, embedded: bool) -> None:
    settings.EMBEDDED = embedded
    submission = handed_in()
    run = verified(submission)
    run.simulated = True
    run.save()

    found = lifecycle.obstacles(in_review(submission))

    expected = [] if embedded else ["The run was made against a simulated cluster, which certifies nothing."]
    assert found == expected


def test_a_run_that_ends_after_the_decision_changes_nothing(settings: Any) -> None:
    settings.APPROVALS_NEEDED = 1
    submission = handed_in()
    first = verified(submission)
    Submission.objects.filter(pk=submission.pk).update(release_on=timezone.now().date() + timedelta(days=9))
    submission.refresh_from_db()
    submission = lifecycle.approve(submission=in_review(submission), actor=reviewer())
    later = verified(submission, gang_scheduling="fail")

    assert lifecycle.deciding_run(submission) == first
    certificate = lifecycle.publish(submission=submission, on=timezone.now().date() + timedelta(days=9))
    assert certificate.run_finished_at == first.finished_at != later.finished_at


# Waivers ------------------------------------------------------------------------------------------------


def waiver_of(submission: Submission) -> Waiver:
    return Waiver.objects.select_related("claim__submission", "claim__requirement").get(
        claim__submission=submission
    )


def test_waiver_is_asked_for_by_na_on_a_must() -> None:
    submission = waiver_asked()

    waiver = waiver_of(submission)
    assert (waiver.decision, waiver.justification) == (Waiver.Decision.PENDING, NA_NOTES)


def test_waiver_blocks_while_it_is_pending() -> None:
    submission = waiver_asked()
    verified(submission)

    assert obstacles_after(in_review(submission)) == ["cluster_autoscaling: the waiver is not decided yet."]


def test_waiver_refused_blocks() -> None:
    submission = waiver_asked()
    verified(submission)
    submission = in_review(submission)
    lifecycle.decide_waiver(
        waiver=waiver_of(submission), actor=reviewer(), accept=False, reason="It offers nodes."
    )

    assert obstacles_after(submission) == [
        "cluster_autoscaling: the waiver was refused, so the MUST is not met. Request changes or reject."
    ]


def test_waiver_accepted_lasts_a_year_and_stands_on_the_certificate(settings: Any) -> None:
    settings.APPROVALS_NEEDED = 1
    submission = waiver_asked()
    verified(submission, cluster_autoscaling="fail")
    submission = in_review(submission)
    actor = reviewer()

    waiver = lifecycle.decide_waiver(
        waiver=waiver_of(submission), actor=actor, accept=True, reason=" Bare metal. "
    )
    lifecycle.approve(submission=submission, actor=actor)

    today = timezone.now().date()
    assert waiver.expires_on == lifecycle.registry.one_year_after(today)
    row = Certificate.objects.get().requirements.get(requirement_id="cluster_autoscaling")
    assert (row.claim, row.waived, row.waiver_reason, row.waiver_expires_on) == (
        "N/A",
        True,
        "Bare metal.",
        waiver.expires_on,
    )
    event = submission.events.get(action="waiver_accepted")
    assert event.data == {"requirement": "cluster_autoscaling"}


def test_waiver_that_expired_blocks() -> None:
    submission = waiver_asked()
    verified(submission)
    submission = in_review(submission)
    lifecycle.decide_waiver(waiver=waiver_of(submission), actor=reviewer(), accept=True, reason="Bare metal.")
    Waiver.objects.update(expires_on=timezone.now().date())

    assert "the waiver expired" in obstacles_after(submission)[0]


@pytest.mark.parametrize(
    ("reason", "expires_in", "code"),
    [(" ", 30, "reason_missing"), ("why", 0, "bad_date"), ("why", -1, "bad_date")],
)
def test_waiver_decision_refused(reason: str, expires_in: int, code: str) -> None:
    submission = in_review(waiver_asked())

    with pytest.raises(ApplicantError) as refusal:
        lifecycle.decide_waiver(
            waiver=waiver_of(submission),
            actor=reviewer(),
            accept=True,
            reason=reason,
            expires_on=timezone.now().date() + timedelta(days=expires_in),
        )

    assert refusal.value.code == code
    assert waiver_of(submission).decision == Waiver.Decision.PENDING


def test_waiver_is_decided_in_review_only() -> None:
    submission = waiver_asked()

    with pytest.raises(ApplicantError) as refusal:
        lifecycle.decide_waiver(waiver=waiver_of(submission), actor=reviewer(), accept=True, reason="why")

    assert refusal.value.code == "not_possible"


def test_waiver_of_a_round_the_reviewer_has_not_seen() -> None:
    submission = in_review(waiver_asked())
    waiver = waiver_of(submission)
    Submission.objects.filter(pk=submission.pk).update(round=2)

    with pytest.raises(StaleState):
        lifecycle.decide_waiver(waiver=waiver, actor=reviewer(), accept=True, reason="why")


def test_waiver_decided_stands_while_its_justification_does() -> None:
    submission = in_review(waiver_asked())
    actor, owner = reviewer(), owner_of(submission.organization)
    lifecycle.decide_waiver(waiver=waiver_of(submission), actor=actor, accept=True, reason="Bare metal.")
    lifecycle.request_changes(submission=submission, actor=actor, reason="Something else.")
    submission = lifecycle.submit(submission=Submission.objects.get(pk=submission.pk), actor=owner)
    assert waiver_of(submission).decision == Waiver.Decision.ACCEPTED

    submission = in_review(submission)
    lifecycle.request_changes(submission=submission, actor=actor, reason="And this.")
    submission = Submission.objects.get(pk=submission.pk)
    drafting.save_claim(
        submission=submission,
        actor=owner,
        requirement_id="cluster_autoscaling",
        values={"notes": "Another reason altogether."},
    )
    submission = lifecycle.submit(submission=submission, actor=owner)

    assert waiver_of(submission).decision == Waiver.Decision.PENDING


# Publishing ---------------------------------------------------------------------------------------------


def approved_under_embargo(settings: Any, release_on: date) -> Submission:
    settings.APPROVALS_NEEDED = 1
    submission = handed_in()
    verified(submission)
    lifecycle.set_release_date(
        submission=submission, actor=owner_of(submission.organization), release_on=release_on
    )
    submission.refresh_from_db()
    return lifecycle.approve(submission=in_review(submission), actor=reviewer())


def test_embargo_holds_the_certificate_back_until_the_release_date(settings: Any) -> None:
    today = timezone.now().date()
    release_on = today + timedelta(days=20)
    submission = approved_under_embargo(settings, release_on)

    assert submission.is_embargoed
    assert lifecycle.publish_released(today=release_on - timedelta(days=1)) == []
    assert Certificate.objects.count() == 0

    (number,) = lifecycle.publish_released(today=release_on)
    certificate = Certificate.objects.get(number=number)
    assert certificate.issued_on == release_on
    assert certificate.expires_on == lifecycle.registry.one_year_after(today)
    assert lifecycle.publish_released(today=release_on) == []


def test_release_date_may_not_outlive_the_certificate(settings: Any) -> None:
    today = timezone.now().date()
    submission = approved_under_embargo(settings, today + timedelta(days=20))

    with pytest.raises(ApplicantError) as refusal:
        lifecycle.set_release_date(
            submission=submission,
            actor=owner_of(submission.organization),
            release_on=today + timedelta(days=366),
        )

    assert refusal.value.code == "release_too_far"


def test_release_date_after_the_certificate_is_out() -> None:
    submission = certified()

    with pytest.raises(ApplicantError) as refusal:
        lifecycle.set_release_date(
            submission=submission, actor=owner_of(submission.organization), release_on=None
        )

    assert refusal.value.code == "too_late"


def test_one_certificate_that_cannot_be_issued_holds_back_no_other(settings: Any) -> None:
    today = timezone.now().date()
    broken = approved_under_embargo(settings, today + timedelta(days=5))
    approved_under_embargo(settings, today + timedelta(days=6))
    # Held back for longer than a certificate lasts: it would expire before it is issued.
    Submission.objects.filter(pk=broken.pk).update(decided_at=timezone.now() - timedelta(days=800))

    numbers = lifecycle.publish_released(today=today + timedelta(days=6))

    assert len(numbers) == Certificate.objects.count() == 1


def test_publish_is_refused_before_approval() -> None:
    with pytest.raises(ApplicantError) as refusal:
        lifecycle.publish(submission=in_review(), on=timezone.now().date())

    assert refusal.value.code == "not_possible"


def test_publish_again_returns_the_same_certificate() -> None:
    submission = certified()

    again = lifecycle.publish(submission=submission, on=timezone.now().date())

    assert again.number == submission.certificate_number
    assert Event.objects.filter(action="certificate_issued").count() == 1


def test_runs_are_refused_once_decided() -> None:
    submission = certified()
    cluster = submission.runs.first().cluster

    with pytest.raises(ApplicantError) as refusal:
        runs.request_run(submission=submission, cluster=cluster, actor=reviewer())

    assert refusal.value.code == "not_possible"


# Interests ----------------------------------------------------------------------------------------------


def test_conflict_is_declared_once() -> None:
    actor, organization = reviewer(), handed_in().organization
    conflicts.declare_conflict(reviewer=actor, organization=organization, note=" I  advise. ", actor=actor)

    with pytest.raises(ApplicantError) as refusal:
        conflicts.declare_conflict(reviewer=actor, organization=organization, note="Again.", actor=actor)

    assert refusal.value.code == "declared_already"
    event = Event.objects.get(action="conflict_declared")
    assert (event.reason, event.data) == (
        "I advise.",
        {"organization": organization.slug, "reviewer": actor.pk},
    )


@pytest.mark.parametrize(
    ("who", "allowed"), [("another reviewer", False), ("lead reviewer", True), ("operator", False)]
)
def test_conflict_of_another_is_for_lead_reviewers(who: str, allowed: bool) -> None:
    actor = {
        "another reviewer": reviewer,
        "lead reviewer": lead,
        "operator": lambda: UserFactory(is_staff=True),
    }[who]()
    subject, organization = reviewer(), handed_in().organization

    def declare() -> None:
        conflicts.declare_conflict(reviewer=subject, organization=organization, note="Known.", actor=actor)

    if allowed:
        declare()
    else:
        with pytest.raises(ApplicantError, match="Reviewers declare their own"):
            declare()
    assert subject.conflicts.exists() is allowed


def test_conflict_is_lifted_by_another_lead_reviewer_with_a_reason() -> None:
    subject, organization = lead(), handed_in().organization
    conflict = conflicts.declare_conflict(
        reviewer=subject, organization=organization, note="Known.", actor=subject
    )

    for actor, reason in [(subject, "over"), (reviewer(), "over"), (lead(), " ")]:
        with pytest.raises(ApplicantError):
            conflicts.lift_conflict(conflict=conflict, actor=actor, reason=reason)
    conflicts.lift_conflict(conflict=conflict, actor=lead(), reason="They left the company.")

    assert not subject.conflicts.exists()
    assert Event.objects.get(action="conflict_lifted").reason == "They left the company."

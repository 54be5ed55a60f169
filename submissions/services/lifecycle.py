"""The life of a submission: submit, review, decide, publish. Only `transition` writes its status."""

from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.utils import timezone

from certportal.accounts.models import User
from conformance.document import IMPLEMENTED, NOT_APPLICABLE
from registry import services as registry
from registry.models import Assurance, Certificate
from submissions import rules
from submissions.errors import ApplicantError, StaleState
from submissions.models import (
    Approval,
    CheckResult,
    Claim,
    MembershipRole,
    Submission,
    VerificationRun,
    Waiver,
)
from submissions.services.drafting import judge_submission, render_document
from submissions.services.events import record_event
from submissions.states import TRANSITIONS, Action, Role, Status, Verdict

log = structlog.get_logger(__name__)

MONDAY_TO_FRIDAY = 5
CHANGED_MEANWHILE = "Someone else changed this submission in the meantime. Load it again and look."


def business_days_after(day: date, number: int) -> date:
    """The date `number` business days (Monday to Friday) after `day`."""
    while number > 0:
        day += timedelta(days=1)
        if day.weekday() < MONDAY_TO_FRIDAY:
            number -= 1
    return day


def business_days_between(start: date, end: date) -> int:
    """How many business days after `start` the day `end` is; 0 when it is not later."""
    days = (end - start).days
    weeks, rest = divmod(max(days, 0), 7)
    odd = sum((start + timedelta(days=n)).weekday() < MONDAY_TO_FRIDAY for n in range(1, rest + 1))
    return weeks * MONDAY_TO_FRIDAY + odd


@transaction.atomic
def transition(
    *,
    submission: Submission,
    action: Action,
    actor: User,
    role: Role,
    reason: str = "",
    changes: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
) -> Submission:
    """Take `action`, and nothing else writes a status.

    Status and review round are compared and set in one statement, so that nobody decides on a round they
    have not seen; the event goes into the same transaction.
    `changes` are other columns that change with it. Raises `ApplicantError` when the action does not
    exist here, is not this role's or lacks its reason, and `StaleState` when someone was faster.
    """
    before = Status(submission.status)
    step = TRANSITIONS.get((before, action))
    if step is None:
        raise ApplicantError(
            "not_possible",
            f"A submission that is {before.label.lower()} cannot be changed by {action.label.lower()!r}.",
        )
    if step.role != role:
        raise ApplicantError("not_allowed", f"{action.label} is for the {step.role.label.lower()}.")
    if step.needs_reason and not reason.strip():
        raise ApplicantError("reason_missing", f"{action.label} needs a reason; the vendor reads it.")
    updated = Submission.objects.filter(pk=submission.pk, status=before, round=submission.round).update(
        status=step.to, updated_at=timezone.now(), **(changes or {})
    )
    if updated != 1:
        raise StaleState(CHANGED_MEANWHILE)
    submission.refresh_from_db()
    record_event(
        action=action.value,
        actor=actor,
        submission=submission,
        from_status=before.value,
        to_status=step.to.value,
        reason=reason.strip(),
        data=data,
    )
    return submission


# The vendor's part ----------------------------------------------------------------------------------


@transaction.atomic
def submit(*, submission: Submission, actor: User) -> Submission:
    """Hand the submission to the accreditation group. Refused while the rules find errors."""
    _refuse_stranger(actor, submission)
    submission = Submission.objects.select_for_update().get(pk=submission.pk)
    judgement = judge_submission(submission)
    if not judgement.valid:
        errors = [problem.as_dict() for problem in judgement.problems if problem.severity == "error"]
        raise ApplicantError(
            "document_has_errors",
            f"The submission has {len(errors)} error{'s' if len(errors) != 1 else ''}. "
            "Mend what the list names, then submit.",
            problems=errors,
        )
    now = timezone.now()
    text = render_document(submission)
    _renew_waivers(submission)
    return transition(
        submission=submission,
        action=Action.SUBMIT,
        actor=actor,
        role=Role.VENDOR,
        changes={
            "submitted_at": now,
            "round": submission.round + 1,
            "due_on": business_days_after(now.date(), settings.REVIEW_BUSINESS_DAYS),
        },
        data={"document_sha256": hashlib.sha256(text.encode()).hexdigest()},
    )


def _refuse_stranger(actor: User, submission: Submission) -> None:
    if not rules.may_edit(actor, submission.organization):
        raise ApplicantError(
            "not_allowed",
            f"Only owners and editors of {submission.organization} may do that; ask one of them.",
        )


def _renew_waivers(submission: Submission) -> None:
    """Every N/A on a MUST asks for a waiver; one already decided stands while its justification does."""
    for claim in submission.claims.select_related("requirement"):
        waiver = Waiver.objects.filter(claim=claim).first()
        if not claim.requirement.is_must or claim.status != NOT_APPLICABLE:
            if waiver is not None:
                waiver.delete()
        elif waiver is None:
            Waiver.objects.create(claim=claim, justification=claim.notes)
        elif waiver.justification != claim.notes:
            waiver.delete()
            Waiver.objects.create(claim=claim, justification=claim.notes)


def withdraw(*, submission: Submission, actor: User, reason: str = "") -> Submission:
    """Take the submission back. It stays on record and is never public."""
    _refuse_stranger(actor, submission)
    return transition(
        submission=submission, action=Action.WITHDRAW, actor=actor, role=Role.VENDOR, reason=reason
    )


def set_release_date(*, submission: Submission, actor: User, release_on: date | None) -> Submission:
    """Set the day before which nothing is public; possible until the certificate is out."""
    _refuse_stranger(actor, submission)
    with transaction.atomic():
        row = Submission.objects.select_for_update().get(pk=submission.pk)
        if row.certificate_number or row.status in {Status.REJECTED, Status.WITHDRAWN}:
            raise ApplicantError("too_late", "The decision is out; a release date changes nothing any more.")
        # A certificate counts from the decision: held back for a year, it would expire before it is public.
        decided_on = row.decided_at.date() if row.decided_at else timezone.now().date()
        if release_on is not None and release_on >= registry.one_year_after(decided_on):
            raise ApplicantError(
                "release_too_far",
                f"The release date has to be before {registry.one_year_after(decided_on)}: "
                "a certificate is valid for one year from the decision.",
            )
        row.release_on = release_on
        row.save(update_fields=["release_on", "updated_at"])
        record_event(
            action="release_date_set",
            actor=actor,
            submission=row,
            data={"release_on": release_on.isoformat() if release_on else None},
        )
    return row


# The reviewers' part --------------------------------------------------------------------------------


def _refuse_unfit_reviewer(actor: User, submission: Submission) -> None:
    if not actor.is_reviewer:
        raise ApplicantError("not_allowed", "Only reviewers of the accreditation group decide.")
    conflict = rules.conflict_of(actor, submission.organization)
    if conflict:
        raise ApplicantError("conflict_of_interest", f"{conflict} You must not decide on its submissions.")


def start_review(*, submission: Submission, actor: User) -> Submission:
    """Take a submission into review."""
    _refuse_unfit_reviewer(actor, submission)
    return transition(submission=submission, action=Action.START_REVIEW, actor=actor, role=Role.REVIEWER)


def request_changes(*, submission: Submission, actor: User, reason: str) -> Submission:
    """Send the submission back to the vendor, with what has to change."""
    _refuse_unfit_reviewer(actor, submission)
    submission = transition(
        submission=submission, action=Action.REQUEST_CHANGES, actor=actor, role=Role.REVIEWER, reason=reason
    )
    _tell_vendor(submission, "Changes requested", f"The reviewer asks for changes:\n\n{reason}\n")
    return submission


def reject(*, submission: Submission, actor: User, reason: str) -> Submission:
    """Refuse certification, for good."""
    _refuse_unfit_reviewer(actor, submission)
    submission = transition(
        submission=submission,
        action=Action.REJECT,
        actor=actor,
        role=Role.REVIEWER,
        reason=reason,
        changes={"decided_at": timezone.now()},
    )
    _tell_vendor(submission, "Rejected", f"The submission was rejected:\n\n{reason}\n")
    return submission


@transaction.atomic
def decide_waiver(
    *, waiver: Waiver, actor: User, accept: bool, reason: str, expires_on: date | None = None
) -> Waiver:
    """Accept an N/A on a MUST until a date (a year when none is given), or refuse it."""
    submission = Submission.objects.select_for_update().get(pk=waiver.claim.submission_id)
    _refuse_unfit_reviewer(actor, submission)
    if submission.round != waiver.claim.submission.round:
        raise StaleState(CHANGED_MEANWHILE)
    if submission.status != Status.IN_REVIEW:
        raise ApplicantError("not_possible", "Waivers are decided while the submission is in review.")
    if not reason.strip():
        raise ApplicantError("reason_missing", "Say why; the reason stands beside the requirement.")
    today = timezone.now().date()
    if accept and expires_on is not None and expires_on <= today:
        raise ApplicantError("bad_date", "The waiver would have expired already; choose a later day.")
    waiver = Waiver.objects.select_for_update().get(pk=waiver.pk)
    waiver.decision = Waiver.Decision.ACCEPTED if accept else Waiver.Decision.REFUSED
    waiver.reason = reason.strip()
    waiver.expires_on = (expires_on or registry.one_year_after(today)) if accept else None
    waiver.decided_by = actor
    waiver.decided_at = timezone.now()
    waiver.save()
    record_event(
        action=f"waiver_{waiver.decision}",
        actor=actor,
        submission=submission,
        reason=waiver.reason,
        data={"requirement": waiver.claim.requirement.requirement_id},
    )
    return waiver


def deciding_run(submission: Submission) -> VerificationRun | None:
    """The run a decision rests on: the newest finished one that ran every check since the last submit."""
    run: VerificationRun | None = submission.runs.deciding().first()
    return run


def vouching_run(submission: Submission) -> VerificationRun | None:
    """The newest run of every check that the vendor made itself and uploaded, signed with a good key."""
    run: VerificationRun | None = submission.runs.vouching().first()
    return run


def counting_approvals(submission: Submission) -> list[Approval]:
    """The approvals of this round that count: those of people who may still decide.

    Whoever left the group or was found to have an interest in the vendor no longer counts.
    """
    given = submission.approvals.filter(round=submission.round).select_related("reviewer")
    return [approval for approval in given if rules.may_review(approval.reviewer, submission)]


def obstacles(submission: Submission) -> list[str]:
    """Why the submission cannot be approved as it stands, in sentences; empty when it can."""
    found = []
    for waiver in Waiver.objects.filter(claim__submission=submission).select_related("claim__requirement"):
        name = waiver.claim.requirement.requirement_id
        if waiver.decision == Waiver.Decision.PENDING:
            found.append(f"{name}: the waiver is not decided yet.")
        elif waiver.decision == Waiver.Decision.REFUSED:
            found.append(
                f"{name}: the waiver was refused, so the MUST is not met. Request changes or reject."
            )
        elif waiver.has_expired(timezone.now().date()):
            found.append(f"{name}: the waiver expired on {waiver.expires_on}. Decide on it again.")
    waived = set(
        Waiver.objects.filter(claim__submission=submission, decision=Waiver.Decision.ACCEPTED).values_list(
            "claim__requirement__requirement_id", flat=True
        )
    )
    run = deciding_run(submission)
    found += _against_itself(submission, run, waived)
    if run is None:
        if settings.VERIFICATION_REQUIRED:
            found.append("No verification run has finished since the vendor submitted. Ask for one.")
        return found
    if run.simulated and not settings.EMBEDDED:
        found.append("The run was made against a simulated cluster, which certifies nothing.")
    found.extend(
        f"{result.requirement_id}: the run saw the platform fail it. {result.message}".strip()
        for result in run.results.filter(level="MUST", status=Verdict.FAIL)
        if result.requirement_id not in waived
    )
    if not run.results.filter(status=Verdict.PASS).exists():
        found.append("The run saw nothing pass; nothing executed is never a pass.")
    return found


def _against_itself(submission: Submission, run: VerificationRun | None, waived: set[str]) -> list[str]:
    """MUSTs that the vendor's own run saw fail and ours did not see met; sentences as in `obstacles`."""
    own = vouching_run(submission)
    if own is None:
        return []
    told = {Verdict.PASS, Verdict.FAIL, Verdict.NOT_APPLICABLE}
    settled = (
        set(run.results.filter(status__in=told).values_list("requirement_id", flat=True)) if run else set()
    )
    return [
        f"{result.requirement_id}: the vendor's own run saw the platform fail it. {result.message}".strip()
        for result in own.results.filter(level="MUST", status=Verdict.FAIL)
        if result.requirement_id not in waived | settled
    ]


@transaction.atomic
def approve(*, submission: Submission, actor: User, comment: str = "") -> Submission:
    """Approve; the last approval needed decides, and issues the certificate unless it is embargoed."""
    seen = submission.round
    submission = Submission.objects.select_for_update().get(pk=submission.pk)
    _refuse_unfit_reviewer(actor, submission)
    if submission.round != seen:
        raise StaleState(CHANGED_MEANWHILE)
    if submission.status != Status.IN_REVIEW:
        raise StaleState(f"The submission is {submission.get_status_display().lower()}, not in review.")
    blocking = obstacles(submission)
    if blocking:
        raise ApplicantError("cannot_approve", " ".join(blocking), obstacles=blocking)
    try:
        with transaction.atomic():
            Approval.objects.create(
                submission=submission, reviewer=actor, round=submission.round, comment=comment.strip()
            )
    except IntegrityError as error:
        raise ApplicantError(
            "approved_already",
            "You approved this submission already; the next approval is another reviewer's.",
        ) from error
    given = len(counting_approvals(submission))
    record_event(
        action="approval_given",
        actor=actor,
        submission=submission,
        reason=comment.strip(),
        data={"given": given, "needed": settings.APPROVALS_NEEDED},
    )
    if given < settings.APPROVALS_NEEDED:
        return submission
    submission = transition(
        submission=submission,
        action=Action.APPROVE,
        actor=actor,
        role=Role.REVIEWER,
        changes={"decided_at": timezone.now()},
    )
    today = timezone.now().date()
    if submission.release_on is None or submission.release_on <= today:
        publish(submission=submission, on=today)
    else:
        _tell_vendor(
            submission,
            "Approved, not public yet",
            f"The submission is approved. The certificate is published on {submission.release_on}.\n",
        )
    return submission


# Publishing -----------------------------------------------------------------------------------------


@transaction.atomic
def publish(*, submission: Submission, on: date) -> Certificate:
    """Issue the certificate of an approved submission; doing it again returns the same certificate."""
    submission = Submission.objects.select_for_update().get(pk=submission.pk)
    if submission.status != Status.APPROVED or submission.decided_at is None:
        raise ApplicantError("not_possible", "Only an approved submission is certified.")
    certificate = registry.issue_certificate(
        snapshot=snapshot_of(submission), on=on, decided_on=submission.decided_at.date()
    )
    if not submission.certificate_number:
        submission.certificate_number = certificate.number
        submission.save(update_fields=["certificate_number", "updated_at"])
        record_event(
            action="certificate_issued",
            actor=None,
            submission=submission,
            data={"number": certificate.number, "expires_on": certificate.expires_on.isoformat()},
        )
        link = settings.SITE_URL + certificate.get_absolute_url()
        _tell_vendor(
            submission,
            f"Certified: {certificate.number}",
            f"{certificate.platform_name} {certificate.platform_version} is certified until "
            f"{certificate.expires_on}.\n{link}\n",
        )
    return certificate


def publish_released(*, today: date) -> list[str]:
    """Issue the certificates whose release date has come; returns their numbers."""
    numbers = []
    for submission in Submission.objects.due_for_release(today).order_by("decided_at"):
        try:
            numbers.append(publish(submission=submission, on=today).number)
        except Exception:
            # One certificate that cannot be issued must not hold back the others.
            log.exception("certificate not issued", submission=str(submission.uuid))
    return numbers


def snapshot_of(submission: Submission) -> registry.CertificateSnapshot:
    """Everything the certificate will say, taken from the submission and the runs it was decided on."""
    run, own = deciding_run(submission), vouching_run(submission)
    claims = submission.claims.select_related("requirement__category").prefetch_related("waiver")
    seen, told = _results_of(run), _results_of(own)
    requirements = [
        _requirement_snapshot(
            claim, seen.get(claim.requirement.requirement_id), told.get(claim.requirement.requirement_id)
        )
        for claim in claims
    ]
    runs = [
        found
        for found, assurance in ((run, Assurance.PORTAL_VERIFIED), (own, Assurance.VENDOR_RUN))
        if found is not None
        and (found is run or any(requirement.assurance == assurance for requirement in requirements))
    ]
    metadata = submission.metadata
    return registry.CertificateSnapshot(
        vendor=submission.organization.name,
        vendor_slug=submission.organization.slug,
        platform_name=submission.platform.name,
        platform_slug=submission.platform.slug,
        platform_version=submission.platform_version,
        configuration=submission.configuration.name,
        kubernetes_version=submission.checklist.version,
        checklist_revision=submission.checklist.revision,
        checklist_digest=submission.checklist.digest,
        assurance=registry.overall_assurance(requirements),
        requirements=requirements,
        description=metadata.get("description", ""),
        website_url=metadata.get("websiteUrl", ""),
        documentation_url=metadata.get("documentationUrl", ""),
        repo_url=metadata.get("repoUrl", ""),
        logo_url=metadata.get("productLogoUrl", ""),
        base_conformance_url=metadata.get("k8sConformanceUrl", ""),
        base_platform=metadata.get("basePlatform", ""),
        simulated=any(found.simulated for found in runs),
        run_digest=runs[0].report_digest if runs else "",
        run_finished_at=runs[0].finished_at if runs else None,
        source=submission.uuid,
    )


def _results_of(run: VerificationRun | None) -> dict[str, CheckResult]:
    return {result.requirement_id: result for result in run.results.all()} if run else {}


def _requirement_snapshot(
    claim: Claim, seen: CheckResult | None, told: CheckResult | None
) -> registry.RequirementSnapshot:
    """What the certificate says of one requirement: what we saw, else what the vendor's own run saw pass."""
    result = seen
    looked = {Verdict.PASS, Verdict.FAIL, Verdict.NOT_APPLICABLE}
    if (seen is None or seen.status not in looked) and told is not None and told.status == Verdict.PASS:
        result = told
    asked: Waiver | None = getattr(claim, "waiver", None)
    waiver = asked if asked is not None and asked.decision == Waiver.Decision.ACCEPTED else None
    assurance = ""
    if result is not None and result.status == Verdict.PASS:
        assurance = Assurance.PORTAL_VERIFIED if result is seen else Assurance.VENDOR_RUN
    elif claim.status == IMPLEMENTED:
        assurance = Assurance.SELF_ATTESTED
    return registry.RequirementSnapshot(
        requirement_id=claim.requirement.requirement_id,
        category=claim.requirement.category.key,
        description=claim.requirement.description,
        level=claim.requirement.level,
        claim=claim.status,
        notes=claim.notes,
        evidence=tuple(claim.evidence),
        verdict=result.status if result else "",
        verdict_reason=result.reason if result else "",
        verdict_message=result.message if result else "",
        assurance=assurance,
        waived=waiver is not None,
        waiver_reason=waiver.reason if waiver else "",
        waiver_expires_on=waiver.expires_on if waiver else None,
    )


def _tell_vendor(submission: Submission, subject: str, text: str) -> None:
    """Mail the people who can act on it, once the transaction stands."""
    people = submission.organization.memberships.filter(
        role__in=[MembershipRole.OWNER, MembershipRole.EDITOR], user__is_active=True
    ).values_list("user__email", flat=True)
    link = settings.SITE_URL + submission.get_absolute_url()
    recipients = list(people)
    transaction.on_commit(
        lambda: send_mail(
            f"[{settings.SITE_NAME}] {submission.platform}: {subject}",
            f"{text}\n{submission}\n{link}\n",
            None,
            recipients,
            fail_silently=False,
        ),
        robust=True,
    )


def age_of(submission: Submission, now: datetime) -> timedelta | None:
    """How long the submission has waited for the accreditation group; None before it was submitted."""
    return now - submission.submitted_at if submission.submitted_at else None

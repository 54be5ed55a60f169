"""What a reviewer weighs: the vendor's claims beside what the run observed. Reads only.

A *contradiction* is where the claim and something else we know cannot both be right, or where a claim
rests on nothing; a reviewer settles each before deciding. The queue
(`submissions.review_queue`) counts them by the same functions as the page shows them.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.core.cache import cache
from django.db.models import Prefetch

from certportal.accounts.models import User
from conformance.catalogue import REQUIREMENTS
from conformance.document import IMPLEMENTED, NOT_APPLICABLE, Problem
from conformance.rules.notes import contradiction as denial_in_notes
from conformance.rules.notes import is_mere_refusal
from submissions import rules
from submissions.guidance import Happening, happenings
from submissions.models import (
    Approval,
    CheckEvidence,
    CheckResult,
    Claim,
    EvidenceFile,
    Submission,
    VerificationRun,
    Waiver,
)
from submissions.services.drafting import judge_document, judge_submission
from submissions.services.lifecycle import deciding_run, obstacles, vouching_run
from submissions.states import Status, Verdict

# What the rules say of the uploaded file and not of the form, which always shows the published wording.
WORDING_CODES = frozenset({"altered_description", "altered_level", "misplaced_requirement"})
# What the contradictions say already.
SAID_ELSEWHERE = frozenset(
    {
        "notes_contradict",
        "evidence_missing",
        "should_evidence_missing",
        "must_not_met",
        "must_unanswered",
        "waiver_request",
        "weak_justification",
    }
)
JUDGEMENT_KEPT = 300  # seconds; judging reads the attached files, which do not change during a review


# Contradictions --------------------------------------------------------------------------------------


class Kind(enum.IntEnum):
    """What contradicts a claim; the gravest first."""

    REFUTED = 1
    NOTES_DENY = 2
    WAIVER_REFUSED = 3
    WAIVER_UNDECIDED = 4
    NO_EVIDENCE = 5
    NOT_CLAIMED = 6
    CONTEXT_ABSENT = 7
    UNDERSTATED = 8

    @property
    def is_waiver(self) -> bool:
        return self in {Kind.WAIVER_UNDECIDED, Kind.WAIVER_REFUSED}


@dataclass(frozen=True, slots=True)
class Contradiction:
    """One thing that does not fit a claim, in a sentence."""

    kind: Kind
    title: str
    text: str

    @property
    def tone(self) -> str:
        return "bad" if self.kind in {Kind.REFUTED, Kind.NOTES_DENY, Kind.WAIVER_REFUSED} else "warn"


def contradictions_of(
    claim: Claim,
    result: CheckResult | None,
    waiver: Waiver | None,
    *,
    platform: str,
    today: date,
    told: CheckResult | None = None,
) -> tuple[Contradiction, ...]:
    """Everything that does not fit the claim, the gravest first.

    `result` is the deciding run's, `told` that of the vendor's own.
    """
    found: list[Contradiction] = []
    verdict = result.status if result is not None else ""
    if claim.status == IMPLEMENTED:
        found += _against_implemented(claim, result, platform)
        if told is not None and told.status == Verdict.FAIL and verdict not in {Verdict.PASS, Verdict.FAIL}:
            text = f"Claimed Implemented, and the vendor's own run saw the platform fail it. {told.message}"
            found.append(Contradiction(Kind.REFUTED, "Refuted by the vendor's own run", text.strip()))
    elif claim.status == NOT_APPLICABLE:
        if claim.requirement.is_must:
            found += _about_waiver(claim, waiver, today)
    elif claim.requirement.is_must:
        said = claim.status or "nothing"
        found.append(
            Contradiction(Kind.NOT_CLAIMED, "MUST not claimed", f"The vendor says {said} of a MUST.")
        )
    if claim.status != IMPLEMENTED and verdict == Verdict.PASS:
        said = claim.status or "nothing"
        found.append(
            Contradiction(
                Kind.UNDERSTATED,
                "Observed, though not claimed",
                f"The vendor says {said}, and the run saw the platform meet it.",
            )
        )
    return tuple(sorted(found, key=lambda item: item.kind))


def _against_implemented(claim: Claim, result: CheckResult | None, platform: str) -> list[Contradiction]:
    found = []
    if result is not None and result.status == Verdict.FAIL:
        text = f"Claimed Implemented, and the run saw the platform fail it. {result.message}".strip()
        found.append(Contradiction(Kind.REFUTED, "Refuted by the run", text))
    if sentence := denial_in_notes(claim.requirement.requirement_id, claim.notes, platform):
        text = f"Claimed Implemented, and the notes say: “{sentence}”"
        found.append(Contradiction(Kind.NOTES_DENY, "The notes say the opposite", text))
    if not any(str(entry).strip() for entry in claim.evidence):
        text = "Claimed Implemented, and no link or file shows it."
        found.append(Contradiction(Kind.NO_EVIDENCE, "Claimed without evidence", text))
    if result is not None and result.status == Verdict.NOT_APPLICABLE:
        text = f"Claimed Implemented, and the run found nothing it applies to. {result.message}".strip()
        found.append(Contradiction(Kind.CONTEXT_ABSENT, "Nothing found to check", text))
    return found


def _about_waiver(claim: Claim, waiver: Waiver | None, today: date) -> list[Contradiction]:
    if waiver is not None and waiver.decision == Waiver.Decision.REFUSED:
        text = "The vendor says N/A, and the waiver was refused: the MUST is not met."
        return [Contradiction(Kind.WAIVER_REFUSED, "Waiver refused", text)]
    if waiver is not None and waiver.decision == Waiver.Decision.ACCEPTED and not waiver.has_expired(today):
        return []
    text = "The vendor says N/A on a MUST. Accept the justification for a time, or refuse it."
    info = REQUIREMENTS.get(claim.requirement.requirement_id)
    if info is not None and not info.conditional:
        text += " This requirement knows no condition under which it would not apply."
    if is_mere_refusal(claim.notes):
        text += " The notes only say that it is not supported, which is no justification."
    return [Contradiction(Kind.WAIVER_UNDECIDED, "Waiver to decide", text)]


# References ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reference:
    """An entry of a claim's evidence. `file` is the attached file it names; `is_missing`: there is none."""

    text: str
    file: EvidenceFile | None = None
    test: str = ""
    is_missing: bool = False


def reference_of(text: str, files: Mapping[str, EvidenceFile]) -> Reference:
    """`text` as a reader follows it: a web address stays one, a file's name leads to the attached file."""
    text = str(text).strip()
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() != "file":
        return Reference(text)
    name, _, test = (rest if separator else text).partition("#")
    for spelling in (name, unquote(name)):
        file = files.get(str(PurePosixPath(spelling)))
        if file is not None:
            return Reference(text, file, test)
    return Reference(text, test=test, is_missing=bool(separator) or text.startswith(("./", "../")))


# Rows ------------------------------------------------------------------------------------------------


class Group(enum.StrEnum):
    """Where a requirement stands on the review page."""

    CONTRADICTED = "contradicted"
    UNSEEN = "unseen"
    SETTLED = "settled"
    OPEN = "open"


GROUPS: dict[Group, tuple[str, str]] = {
    Group.CONTRADICTED: ("To settle first", "Where the claim and something else do not fit together."),
    Group.UNSEEN: ("Claimed, not observed", "Nothing contradicts the claim; the evidence has to carry it."),
    Group.SETTLED: ("Claim and observation agree", "Observed by the run, or waived."),
    Group.OPEN: ("Not claimed", "SHOULDs the vendor leaves open; they do not stand in the way."),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement: the claim beside the observation."""

    claim: Claim
    result: CheckResult | None
    waiver: Waiver | None
    contradictions: tuple[Contradiction, ...]
    references: tuple[Reference, ...] = ()
    problems: tuple[Problem, ...] = ()
    told: CheckResult | None = None

    @property
    def id(self) -> str:
        return str(self.claim.requirement.requirement_id)

    @property
    def verdict(self) -> str:
        return self.result.status if self.result is not None else ""

    @property
    def group(self) -> Group:
        if self.contradictions:
            return Group.CONTRADICTED
        if self.claim.status == IMPLEMENTED:
            return Group.SETTLED if self.verdict == Verdict.PASS else Group.UNSEEN
        if self.waiver is not None or self.verdict == Verdict.NOT_APPLICABLE:
            return Group.SETTLED
        return Group.OPEN

    @property
    def gravity(self) -> tuple[int, int, int]:
        """Sorts what has to be settled first to the top: by contradiction, MUST before SHOULD, position."""
        worst = min((item.kind for item in self.contradictions), default=max(Kind) + 1)
        return int(worst), 0 if self.claim.requirement.is_must else 1, self.claim.requirement.position


def waiver_of(claim: Claim) -> Waiver | None:
    """The claim's waiver, if it has one."""
    waiver: Waiver | None = getattr(claim, "waiver", None)
    return waiver


def rows_of(
    submission: Submission,
    claims: Iterable[Claim],
    results: Mapping[str, CheckResult],
    today: date,
    own_results: Mapping[str, CheckResult],
) -> tuple[Row, ...]:
    """A row for each claim, contradictions first. No query when the claims came with their waivers.

    `results` are the deciding run's, `own_results` those of the vendor's own run.
    """
    platform = submission.metadata.get("platformName", "")
    rows = []
    for claim in claims:
        result = results.get(claim.requirement.requirement_id)
        waiver = waiver_of(claim)
        told = own_results.get(claim.requirement.requirement_id)
        contradictions = contradictions_of(claim, result, waiver, platform=platform, today=today, told=told)
        rows.append(Row(claim, result, waiver, contradictions, told=told))
    return tuple(sorted(rows, key=lambda row: row.gravity))


# The review page -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GivenApproval:
    """An approval of this round; `void` says why it does not count, "" where it does."""

    approval: Approval
    void: str


@dataclass(frozen=True, slots=True)
class Review:
    """Everything the page for one submission shows."""

    submission: Submission
    run: VerificationRun | None
    own_run: VerificationRun | None
    runs: tuple[VerificationRun, ...]
    rows: tuple[Row, ...]
    other_problems: tuple[Problem, ...]
    approvals: tuple[GivenApproval, ...]
    needed: int
    obstacles: tuple[str, ...]
    conflict: str
    history: tuple[Happening, ...]

    @property
    def groups(self) -> list[tuple[Group, str, str, list[Row]]]:
        """The rows by group, with the group's heading and what it means; empty groups are left out."""
        by_group: defaultdict[Group, list[Row]] = defaultdict(list)
        for row in self.rows:
            by_group[row.group].append(row)
        return [(group, *GROUPS[group], by_group[group]) for group in GROUPS if by_group[group]]

    @property
    def contradiction_count(self) -> int:
        return count_contradictions(self.rows)

    @property
    def waiver_count(self) -> int:
        return count_waivers(self.rows)

    @property
    def given(self) -> int:
        return sum(1 for item in self.approvals if not item.void)

    @property
    def active_run(self) -> VerificationRun | None:
        return next((run for run in self.runs if run.is_active), None)

    def has_approved(self, user: User) -> bool:
        return any(item.approval.reviewer_id == user.pk for item in self.approvals)


def count_contradictions(rows: Iterable[Row]) -> int:
    """Requirements with a contradiction other than a waiver."""
    return sum(1 for row in rows if any(not item.kind.is_waiver for item in row.contradictions))


def count_waivers(rows: Iterable[Row]) -> int:
    """Waivers nobody has decided on yet."""
    return sum(1 for row in rows if any(item.kind == Kind.WAIVER_UNDECIDED for item in row.contradictions))


def review_of(submission: Submission, user: User, today: date) -> Review:
    """Gather what `user` needs for a decision on `submission`."""
    runs = tuple(
        submission.runs.verifications()
        .select_related("cluster", "requested_by")
        .defer("report", "cluster__kubeconfig_encrypted")
    )
    run, own_run = deciding_run(submission), vouching_run(submission)
    results, own_results = _results(run), _results(own_run)
    claims = submission.claims.select_related("requirement__category", "waiver__decided_by")
    files = {file.name: file for file in submission.files.all()}
    problems, others = _problems(submission)
    rows = tuple(
        replace(
            row,
            references=tuple(reference_of(entry, files) for entry in row.claim.evidence),
            problems=tuple(problems.get(row.id, ())),
        )
        for row in rows_of(submission, claims, results, today, own_results)
    )
    return Review(
        submission=submission,
        run=run,
        own_run=own_run,
        runs=runs,
        rows=rows,
        other_problems=others,
        approvals=_approvals(submission),
        needed=settings.APPROVALS_NEEDED,
        obstacles=tuple(obstacles(submission)) if submission.status == Status.IN_REVIEW else (),
        conflict=rules.conflict_of(user, submission.organization) if user.is_reviewer else "",
        history=_history(submission),
    )


def _results(run: VerificationRun | None) -> dict[str, CheckResult]:
    if run is None:
        return {}
    return {result.requirement_id: result for result in run.results.prefetch_related(_evidence())}


def _evidence() -> Any:
    """The evidence of results without its content, which may be large."""
    return Prefetch("evidence", queryset=CheckEvidence.objects.defer("content"))


def _problems(submission: Submission) -> tuple[dict[str, list[Problem]], tuple[Problem, ...]]:
    """What the rules say: by requirement, and of the rest; what contradictions say already is left out."""
    of_requirement: defaultdict[str, list[Problem]] = defaultdict(list)
    others = []
    for problem in _judged(submission):
        section, _, rest = problem.path.partition(".")
        requirement_id = rest.partition(".")[2].partition(".")[0].partition("[")[0]
        # A line and column of a document the reviewer does not see would only puzzle.
        shown = replace(problem, line=None, column=None)
        if section == "spec" and requirement_id in REQUIREMENTS:
            of_requirement[requirement_id].append(shown)
        else:
            others.append(shown)
    return of_requirement, tuple(others)


def _judged(submission: Submission) -> list[Problem]:
    key = f"review-problems:{submission.uuid}:{submission.revision}:{submission.round}"
    found: list[Problem] | None = None if submission.is_editable else cache.get(key)
    if found is None:
        found = [item for item in judge_submission(submission).problems if item.code not in SAID_ELSEWHERE]
        if submission.source_file:
            uploaded = judge_document(submission.source_file.encode(), submission=submission)
            found += [item for item in uploaded.problems if item.code in WORDING_CODES]
        cache.set(key, found, JUDGEMENT_KEPT)
    return found


def _approvals(submission: Submission) -> tuple[GivenApproval, ...]:
    given = submission.approvals.filter(round=submission.round).select_related("reviewer")
    found = []
    for approval in given:
        void = ""
        if not approval.reviewer.is_reviewer:
            void = "no longer a reviewer"
        elif rules.conflict_of(approval.reviewer, submission.organization):
            void = "has an interest in the vendor"
        found.append(GivenApproval(approval, void))
    return tuple(found)


def _history(submission: Submission) -> tuple[Happening, ...]:
    """The submission's events, newest first. Reviewers see every name, and each other's comments."""
    events = list(submission.events.select_related("actor"))
    members = {event.actor_id for event in events if event.actor_id is not None}
    told = happenings(submission, events, members)
    return tuple(
        replace(happening, text=f"{happening.text} {event.reason}".strip())
        if event.action == "approval_given"
        else happening
        for happening, event in zip(told, reversed(events), strict=True)
    )

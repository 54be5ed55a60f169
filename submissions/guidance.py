"""What the pages tell a vendor: whose turn it is, what is missing and where, what happened so far."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from conformance import rules as judging
from conformance.catalogue import REQUIREMENTS
from conformance.document import METADATA, Problem, Severity
from submissions.models import Claim, Event, Submission
from submissions.states import AWAITING_REVIEW, Status

_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
PRODUCT = "product"
# What the form calls the fields of the metadata, and what it says of them.
METADATA_LABELS: dict[str, tuple[Any, Any]] = {
    "kubernetesVersion": (_("Kubernetes version"), _("With its patch level if you like: v1.36.2.")),
    "platformName": (_("Platform name"), ""),
    "platformVersion": (_("Platform version"), _("The version that is certified.")),
    "vendorName": (_("Vendor name"), ""),
    "websiteUrl": (_("Website"), _("The platform's own page.")),
    "repoUrl": (_("Source repository"), ""),
    "documentationUrl": (_("Documentation"), ""),
    "productLogoUrl": (
        _("Logo"),
        _("Address of an SVG or PNG. Without it your organization's name stands alone."),
    ),
    "description": (_("Description"), _("What the platform is, in a sentence or two.")),
    "contactEmailAddress": (_("Contact address"), _("Whom reviewers write to. It is never made public.")),
    "k8sConformanceUrl": (
        _("Base certification"),
        _("The product's folder: https://github.com/cncf/k8s-conformance/tree/master/vX.Y/…"),
    ),
    "configuration": (_("Configuration"), _("As the uploaded file names it.")),
    "basePlatform": (
        _("Built on"),
        _("For a layered platform: the distribution underneath, with its version."),
    ),
}


# Whose turn it is -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Turn:
    """Who has to act next, and what they have to do. `who` is empty when nobody has to."""

    tone: str
    who: str
    text: str
    due_on: date | None = None
    is_late: bool = False


NOBODY = "Nobody's turn"
_YOURS = {
    Status.DRAFT: "Fill in what is missing, then submit.",
    Status.CHANGES_REQUESTED: "Answer what the reviewers ask for, then submit again.",
}
_ENDED = {
    Status.REJECTED: ("bad", NOBODY, "It was rejected. A new submission may answer the reasons."),
    Status.WITHDRAWN: ("quiet", NOBODY, "You withdrew it. It stays on record and is never public."),
}


def turn_of(submission: Submission, today: date) -> Turn:
    """Whose turn it is with `submission`."""
    status = Status(submission.status)
    if status in _YOURS:
        return Turn("warn", "Your turn", _YOURS[status])
    if status in AWAITING_REVIEW:
        late = submission.due_on is not None and submission.due_on < today
        if late:
            text = "The answer is overdue, and the reviewers see that."
        elif status == Status.SUBMITTED:
            text = "It waits for a reviewer to take it up."
        else:
            needed = settings.APPROVALS_NEEDED
            text = f"Reviewers compare claims with what the checks observe; {needed} of them have to approve."
        return Turn("busy", "The reviewers' turn", text, submission.due_on, late)
    if status in _ENDED:
        return Turn(*_ENDED[status])
    if submission.is_embargoed:
        when = f"{submission.release_on:%-d %B %Y}" if submission.release_on else "the next hour"
        return Turn("good", NOBODY, f"Approved. The certificate is published on {when}, not before.")
    return Turn("good", NOBODY, f"Certified as {submission.certificate_number}.")


# What is missing --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """A page of the guided form and how far it is. `state` is empty, problems, remarks or complete."""

    key: str
    title: str
    url: str
    errors: int
    warnings: int
    is_blank: bool

    @property
    def state(self) -> str:
        if self.is_blank:
            return "empty"
        if self.errors:
            return "problems"
        return "remarks" if self.warnings else "complete"

    @property
    def tone(self) -> str:
        return {"empty": "quiet", "problems": "bad", "remarks": "warn", "complete": "good"}[self.state]

    @property
    def words(self) -> str:
        if self.is_blank:
            return f"not begun, {self.errors} to answer" if self.errors else "empty, nothing here is required"
        if self.errors:
            return f"{self.errors} problem{'s' if self.errors != 1 else ''}"
        if self.warnings:
            return f"complete, {self.warnings} remark{'s' if self.warnings != 1 else ''}"
        return "complete"


@dataclass(frozen=True, slots=True)
class Place:
    """A page and a field on it that problems belong to."""

    title: str
    url: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Guidance:
    """A judgement, sorted by the pages and fields of the guided form."""

    judgement: judging.Judgement
    steps: tuple[Step, ...]
    of_field: dict[str, tuple[Problem, ...]]  # metadata fields by name
    of_requirement: dict[str, tuple[Problem, ...]]  # by requirement id
    elsewhere: tuple[Problem, ...]  # what belongs to no field
    places: tuple[Place, ...] = field(default=())

    @property
    def errors(self) -> int:
        return sum(1 for problem in self.judgement.problems if problem.severity is Severity.ERROR)

    @property
    def warnings(self) -> int:
        return len(self.judgement.problems) - self.errors

    @property
    def complete_steps(self) -> int:
        """How many pages stand in nobody's way; one that is empty may, where nothing on it is required."""
        return sum(1 for step in self.steps if not step.errors)


def category_title(key: str) -> str:
    """``Scheduling orchestration`` for ``schedulingOrchestration``."""
    return _CAPITAL.sub(" ", key).replace("_", " ").capitalize()


def requirement_title(requirement_id: str) -> str:
    info = REQUIREMENTS.get(requirement_id)
    return info.title if info else requirement_id.replace("_", " ").capitalize()


def guide(submission: Submission, judgement: judging.Judgement, claims: Sequence[Claim]) -> Guidance:
    """Sort the problems of `judgement` by page and field. `claims` are the submission's, in order."""
    fields: defaultdict[str, list[Problem]] = defaultdict(list)
    requirements: defaultdict[str, list[Problem]] = defaultdict(list)
    elsewhere: list[Problem] = []
    known = {claim.requirement.requirement_id for claim in claims}
    for problem in judgement.problems:
        section, _, rest = problem.path.partition(".")
        name = re.split(r"[.\[]", rest)[0]
        identifier = re.split(r"[.\[]", rest.partition(".")[2])[0]
        if section == "metadata" and name in METADATA:
            fields[name].append(problem)
        elif section == "spec" and identifier in known:
            requirements[identifier].append(problem)
        else:
            elsewhere.append(problem)
    by_category: defaultdict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_category[claim.requirement.category.key].append(claim)
    product_url = reverse("submissions:product", args=[submission.uuid])
    steps = [_step(PRODUCT, "The product", product_url, _all(fields.values()), is_blank=False)]
    places = [
        Place(f"The product: {METADATA_LABELS[name][0]}", f"{product_url}#id_{name}", tuple(found))
        for name, found in fields.items()
    ]
    for key, members in by_category.items():
        url = reverse("submissions:category", args=[submission.uuid, key])
        ids = [claim.requirement.requirement_id for claim in members]
        found = _all(requirements[id_] for id_ in ids)
        is_blank = all(_is_blank(claim) for claim in members)
        steps.append(_step(key, category_title(key), url, found, is_blank=is_blank))
        places += [
            Place(requirement_title(id_), f"{url}#{id_}", tuple(requirements[id_]))
            for id_ in ids
            if requirements[id_]
        ]
    return Guidance(
        judgement=judgement,
        steps=tuple(steps),
        of_field={name: tuple(found) for name, found in fields.items()},
        of_requirement={id_: tuple(found) for id_, found in requirements.items()},
        elsewhere=tuple(elsewhere),
        places=tuple(places),
    )


def _all(lists: Iterable[Sequence[Problem]]) -> list[Problem]:
    return [problem for found in lists for problem in found]


def _is_blank(claim: Claim) -> bool:
    return not (claim.status or claim.evidence or claim.notes)


def _step(key: str, title: str, url: str, problems: Sequence[Problem], *, is_blank: bool) -> Step:
    errors = sum(1 for problem in problems if problem.severity is Severity.ERROR)
    return Step(key, title, url, errors, len(problems) - errors, is_blank)


# A document with its problems ---------------------------------------------------------------------------

# What YAML, and so the reader that counts the lines, takes for the end of a line.
_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
WHOLE_DOCUMENT = 3000
CONTEXT = 3


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a document with the problems that stand on it; with `skipped`, so many lines left out."""

    number: int
    text: str = ""
    problems: tuple[Problem, ...] = ()
    skipped: int = 0

    @property
    def tone(self) -> str:
        if any(problem.severity is Severity.ERROR for problem in self.problems):
            return "error"
        return "warning" if self.problems else ""


def annotate(text: str, problems: Sequence[Problem]) -> list[Line]:
    """The lines of `text`, each with its problems. Of a very long document only the lines around problems."""
    lines = _LINE_END.split(text)
    if lines and not lines[-1]:
        lines.pop()
    at: defaultdict[int, list[Problem]] = defaultdict(list)
    for problem in problems:
        at[min(max(problem.line or 1, 1), max(len(lines), 1))].append(problem)
    shown: Sequence[int] = range(1, len(lines) + 1)
    if len(lines) > WHOLE_DOCUMENT:
        near = {number + step for number in at for step in range(-CONTEXT, CONTEXT + 1)}
        shown = [number for number in shown if number in near or number <= CONTEXT]
    result: list[Line] = []
    last = 0
    for number in shown:
        if number > last + 1:
            result.append(Line(last + 1, skipped=number - last - 1))
        result.append(Line(number, lines[number - 1], tuple(at.get(number, ()))))
        last = number
    if last < len(lines):
        result.append(Line(last + 1, skipped=len(lines) - last))
    return result


# What happened ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Happening:
    """An event in words."""

    tone: str
    title: str
    when: datetime
    who: str
    text: str = ""


_EVENTS: dict[str, tuple[str, str]] = {
    "created": ("quiet", "Draft created"),
    "document_uploaded": ("quiet", "PRODUCT.yaml uploaded"),
    "file_attached": ("quiet", "File attached"),
    "file_removed": ("quiet", "File removed"),
    "release_date_set": ("quiet", "Release date set"),
    "submit": ("busy", "Submitted"),
    "start_review": ("busy", "Review begun"),
    "request_changes": ("warn", "Changes requested"),
    "approval_given": ("good", "A reviewer approved"),
    "approve": ("good", "Approved"),
    "reject": ("bad", "Rejected"),
    "withdraw": ("quiet", "Withdrawn"),
    "waiver_accepted": ("good", "Waiver accepted"),
    "waiver_refused": ("bad", "Waiver refused"),
    "certificate_issued": ("good", "Certificate issued"),
    "verification_requested": ("quiet", "Verification asked for"),
    "verification_cancelled": ("quiet", "Verification cancelled"),
    "verification_finished": ("busy", "Verification finished"),
    "verification_errored": ("bad", "Verification broke off"),
    "vendor_report_taken": ("busy", "Report of the vendor's own run uploaded"),
    "sweep_finished": ("quiet", "Test cluster swept"),
    "sweep_errored": ("quiet", "Test cluster could not be swept"),
}
# What reviewers write to each other is not the vendor's to read.
_REASON_IS_INTERNAL = frozenset({"approval_given"})


def happenings(submission: Submission, events: Iterable[Event], members: set[int]) -> list[Happening]:
    """The events of a submission, newest first. Reviewers are named as the group they decide for.

    `members` are the ids of the organization's people, who see each other by name.
    """
    told = []
    for event in events:
        tone, title = _EVENTS.get(event.action, ("quiet", event.action.replace("_", " ").capitalize()))
        if event.actor is None:
            who = "The portal"
        elif event.actor_id in members:
            who = str(event.actor)
        else:
            who = (
                "Accreditation group"
                if event.actor.is_reviewer or event.actor.is_staff
                else "A former member"
            )
        told.append(Happening(tone, title, event.at, who, _details(event)))
    return told[::-1]


def _details(event: Event) -> str:
    data = event.data
    parts = [] if event.action in _REASON_IS_INTERNAL else [event.reason]
    if event.action == "approval_given":
        parts.append(f"{data.get('given')} of {data.get('needed')} approvals.")
    elif event.action in {"waiver_accepted", "waiver_refused"}:
        parts.insert(0, f"{requirement_title(str(data.get('requirement', '')))}:")
    elif event.action in {"file_attached", "file_removed"}:
        parts.append(str(data.get("name", "")))
    elif event.action == "document_uploaded":
        number = int(data.get("problems", 0))
        parts.append(f"{number or 'No'} problem{'s' if number != 1 else ''} found.")
    elif event.action == "release_date_set":
        parts.append(f"To {data['release_on']}." if data.get("release_on") else "Removed.")
    elif event.action == "verification_requested":
        parts.append(f"On {data.get('cluster')}.")
    elif event.action == "sweep_finished":
        removed, left = data.get("removed", []), data.get("left_behind", [])
        parts.append(f"{len(removed)} removed, {len(left)} left behind on {data.get('cluster')}.")
    elif event.action in {"verification_finished", "vendor_report_taken"}:
        parts.append(f"{str(data.get('outcome', '')).replace('_', ' ').capitalize()}.")
    elif event.action == "certificate_issued":
        parts.append(f"{data.get('number')}, valid until {data.get('expires_on')}.")
    return " ".join(part for part in parts if part)

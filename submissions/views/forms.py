"""The guided form: a page for the product, a page per category of requirements.

Every page saves by an ordinary POST. `static/js/submissions/autosave.js` sends the same form while the
person types; the answer then holds only the pieces of the page that changed (marked ``data-piece``).
Nothing typed is lost: what cannot be saved is shown again with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from conformance.document import METADATA, Problem
from submissions.errors import ApplicantError, StaleState
from submissions.forms import ClaimForm, MetadataForm
from submissions.guidance import PRODUCT, Guidance, Step
from submissions.models import Claim, EvidenceFile, Submission
from submissions.services import drafting
from submissions.views.access import Seat, page, person, posted, require_editor, signed_in, submission_at
from submissions.views.submissions import claims_of, frame, guidance_for

CLAIM_FIELDS = ("status", "evidence", "notes", "met_by")
_IN_DOCUMENT = {"status": "status", "evidence": "evidence", "notes": "notes", "met_by": "metBy"}


@dataclass
class Conflict:
    """Why a part was not saved, what stands there now, and the digest that saying "mine" confirms."""

    message: str
    theirs: list[tuple[str, str]]
    digest: str


@dataclass
class Editor:
    """One requirement on a page of the form."""

    claim: Claim
    form: ClaimForm
    conflict: Conflict | None = None
    outdated: bool = False
    problems: dict[str, list[Problem]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(self.claim.requirement.requirement_id)

    @property
    def seen(self) -> str:
        """The digest of what the page shows; after a conflict still that of what it showed first."""
        if self.form.is_bound and (self.conflict or self.outdated or self.form.errors):
            return str(self.form.data.get(self.form.add_prefix("seen"), ""))
        return drafting.section_digest(drafting.claim_values(self.claim))

    @property
    def fields(self) -> list[tuple[Any, list[Problem]]]:
        """Each field with what the rules say of it."""
        return [
            (self.form[name], self.problems.get(name, []))
            for name in CLAIM_FIELDS
            if name in self.form.fields
        ]

    @property
    def general(self) -> list[Problem]:
        """What the rules say of the requirement as a whole."""
        return self.problems.get("", [])

    @property
    def all_problems(self) -> list[Problem]:
        return [problem for found in self.problems.values() for problem in found]

    def sort_problems(self, guidance: Guidance) -> None:
        """Put each problem beside its field; what is about the whole requirement comes first."""
        self.problems = {name: [] for name in ("", *CLAIM_FIELDS)}
        for problem in guidance.of_requirement.get(self.id, ()):
            last = problem.path.removeprefix(f"spec.{self.claim.requirement.category.key}.{self.id}").lstrip(
                "."
            )
            name = next((name for name, said in _IN_DOCUMENT.items() if last.startswith(said)), "")
            if name not in self.form.fields:
                name = ""
            self.problems[name].append(problem)


def is_layered(submission: Submission, claims: list[Claim]) -> bool:
    """Whether the platform is built on another, so that each requirement says which layer meets it."""
    return bool(
        submission.metadata.get("basePlatform")
        or submission.platform.base_platform
        or any(claim.met_by for claim in claims)
    )


# The product --------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def product(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The product's metadata."""
    submission, seat = submission_at(request, uuid)
    form = MetadataForm(posted(request), submission=submission)
    conflict = None
    if request.method == "POST":
        require_editor(seat)
        if form.is_valid():
            conflict = _save_metadata(request, submission, form)
            submission, seat = submission_at(request, uuid)
        saved = conflict is None and form.is_valid()
        if not is_autosave(request) and saved:
            return _onwards(request, submission, PRODUCT)
    guidance = guidance_for(submission)
    shown = {name: submission.metadata.get(name, "") for name in form.fields}
    kept = request.POST.get("seen", "") if conflict or form.errors else drafting.section_digest(shown)
    context = _frame(submission, seat, guidance, PRODUCT) | {
        "form": form,
        "fields": [
            (form[name], METADATA[name].required, guidance.of_field.get(name, ())) for name in form.fields
        ],
        "facts": [(form[name].label, shown[name]) for name in form.fields],
        "seen": kept,
        "conflict": conflict,
    }
    return _answer(request, "product", context, conflict=bool(conflict), invalid=bool(form.errors))


def _save_metadata(request: HttpRequest, submission: Submission, form: MetadataForm) -> Conflict | None:
    values = {name: form.cleaned_data[name] for name in form.fields}
    seen = request.POST.get("accept") or request.POST.get("seen") or None
    if seen == drafting.section_digest(values):
        return None  # The page is as it was shown: nothing to save, and nothing of others to overwrite.
    try:
        drafting.save_metadata(submission=submission, actor=person(request), values=values, seen=seen)
    except StaleState as error:
        submission.refresh_from_db()
        now = {name: submission.metadata.get(name, "") for name in values}
        theirs = [(str(form[name].label), text) for name, text in now.items() if text != values[name]]
        return Conflict(str(error), theirs, drafting.section_digest(now))
    return None


# A category ---------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def category(request: HttpRequest, uuid: UUID, category: str) -> HttpResponse:
    """The requirements of one category."""
    submission, seat = submission_at(request, uuid)
    claims = claims_of(submission)
    editors = _editors(request, submission, claims, category)
    if request.method == "POST":
        require_editor(seat)
        for editor in editors:
            if editor.form.is_valid():
                _save_claim(request, submission, editor)
        if not is_autosave(request) and not any(editor.conflict or editor.form.errors for editor in editors):
            return _onwards(request, submission, category)
        submission, seat = submission_at(request, uuid)
        claims = claims_of(submission)
        _renew(editors, claims)
    guidance = guidance_for(submission, claims)
    for editor in editors:
        editor.sort_problems(guidance)
    context = _frame(submission, seat, guidance, category) | {
        "category": category,
        "editors": editors,
        "files": list(EvidenceFile.objects.filter(submission=submission).values_list("name", flat=True)),
    }
    return _answer(
        request,
        "category",
        context,
        conflict=any(editor.conflict for editor in editors),
        invalid=any(editor.form.errors for editor in editors),
    )


def _editors(
    request: HttpRequest, submission: Submission, claims: list[Claim], category: str
) -> list[Editor]:
    layered = is_layered(submission, claims)
    data = posted(request)
    editors = [
        Editor(claim, ClaimForm(data, claim=claim, layered=layered))
        for claim in claims
        if claim.requirement.category.key == category
    ]
    if not editors:
        raise Http404
    return editors


def _save_claim(request: HttpRequest, submission: Submission, editor: Editor) -> None:
    form, claim = editor.form, editor.claim
    values = form.values
    seen = form.cleaned_data["accept"] or form.cleaned_data["seen"] or None
    current = drafting.claim_values(claim)
    if seen is not None and seen == drafting.section_digest({**current, **values}):
        # Untouched on this page: what others wrote meanwhile stays, and is told of.
        editor.outdated = seen != drafting.section_digest(current)
        return
    try:
        drafting.save_claim(
            submission=submission, actor=person(request), requirement_id=editor.id, values=values, seen=seen
        )
    except StaleState as error:
        claim.refresh_from_db()
        now = drafting.claim_values(claim)
        theirs = [
            (str(form.fields[name].label), _as_text(now[name]))
            for name, value in values.items()
            if now[name] != value
        ]
        editor.conflict = Conflict(str(error), theirs, drafting.section_digest(now))
    except ApplicantError as error:
        form.add_error(None, str(error))


def _as_text(value: Any) -> str:
    return "\n".join(value) if isinstance(value, list) else str(value)


def _renew(editors: list[Editor], claims: list[Claim]) -> None:
    """Give each editor the claim as it is stored now."""
    stored = {claim.requirement.requirement_id: claim for claim in claims}
    for editor in editors:
        editor.claim = stored.get(editor.id, editor.claim)


# Both ----------------------------------------------------------------------------------------------------


def is_autosave(request: HttpRequest) -> bool:
    return request.headers.get("X-Autosave") == "1"


def _frame(submission: Submission, seat: Seat, guidance: Guidance, key: str) -> dict[str, Any]:
    previous, following = _neighbours(guidance.steps, key)
    return frame(
        submission,
        seat,
        "form",
        guidance=guidance,
        step=next(step for step in guidance.steps if step.key == key),
        previous=previous,
        following=following,
        now=timezone.now(),
    )


def _neighbours(steps: tuple[Step, ...], key: str) -> tuple[Step | None, Step | None]:
    at = next(number for number, step in enumerate(steps) if step.key == key)
    return steps[at - 1] if at else None, steps[at + 1] if at + 1 < len(steps) else None


def _onwards(request: HttpRequest, submission: Submission, key: str) -> HttpResponse:
    """To the next page of the form for "save and continue", else to the same page again."""
    if "continue" in request.POST:
        keys = [PRODUCT]
        for claim in claims_of(submission):
            if claim.requirement.category.key not in keys:
                keys.append(claim.requirement.category.key)
        following = keys[keys.index(key) + 1 :]
        if not following:
            return redirect("submissions:check", submission.uuid)
        return redirect("submissions:category", submission.uuid, following[0])
    if key == PRODUCT:
        return redirect("submissions:product", submission.uuid)
    return redirect("submissions:category", submission.uuid, key)


def _answer(
    request: HttpRequest, name: str, context: dict[str, Any], *, conflict: bool, invalid: bool
) -> HttpResponse:
    """The page, or to an autosave its pieces. 409 tells of a conflict, 422 of a field that was refused."""
    status = 409 if conflict else 422 if invalid else 200
    # Typed text is shown again in its fields even where the submission can no longer be edited.
    context["shows_form"] = context["may_fill_in"] or request.method == "POST"
    context["conflict_or_invalid"] = conflict or invalid
    template = f"submissions/_{name}_pieces.html" if is_autosave(request) else f"submissions/{name}.html"
    return page(request, template, context, status=status)

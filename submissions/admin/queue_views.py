"""The queue of the accreditation group."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.core.paginator import Paginator
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from certportal.accounts.models import User
from submissions.admin.forms import QueueForm
from submissions.admin.gate import group_page, page, person
from submissions.models import Approval, Submission
from submissions.review_queue import conflicted_organizations, counts, queue_entries
from submissions.states import AWAITING_REVIEW, TERMINAL, Status

ROWS_A_PAGE = 25
TABS = {
    "waiting": ("Waiting", Q(status__in=AWAITING_REVIEW)),
    "changes": ("Changes requested", Q(status=Status.CHANGES_REQUESTED)),
    "decided": ("Decided", Q(status__in=TERMINAL)),
}
ORDERS: dict[str, tuple[Any, ...]] = {
    "": (F("due_on").asc(nulls_last=True), "submitted_at", "pk"),
    "newest": ("-submitted_at", "-pk"),
    "vendor": ("configuration__platform__organization__name", "configuration__platform__name", "pk"),
}


@group_page
@require_safe
def queue(request: HttpRequest) -> HttpResponse:
    """Everything that was submitted, by where it stands; what is due first stands first."""
    today = timezone.now().date()
    user = person(request)
    tab = request.GET.get("tab", "")
    tab = tab if tab in TABS else "waiting"
    form = QueueForm(request.GET)
    form.is_valid()
    found = _filtered(Submission.objects.reviewable().filter(TABS[tab][1]), form.cleaned_data, user, today)
    order = ORDERS[form.cleaned_data.get("sort", "")]
    if tab == "decided" and not form.cleaned_data.get("sort"):
        order = (F("decided_at").desc(nulls_last=True), "-pk")
    rows = Paginator(found.with_names().order_by(*order), ROWS_A_PAGE).get_page(request.GET.get("page"))
    entries = queue_entries(list(rows.object_list), user, today)
    total = counts(today)
    numbers = {"waiting": total.waiting, "changes": total.changes, "decided": total.decided}
    context = {
        "title": "Review queue",
        "tab": tab,
        "tabs": [(key, label, numbers[key]) for key, (label, _) in TABS.items()],
        "form": form,
        "is_filtered": any(form.cleaned_data.get(name) for name in ("q", "checklist", "show")),
        "page": rows,
        "entries": entries,
        "counts": total,
    }
    return page(request, "admin/review/queue.html", context)


def _filtered(found: Any, chosen: dict[str, Any], user: User, today: date) -> Any:
    for word in (chosen.get("q") or "").split():
        found = found.filter(
            Q(configuration__platform__name__icontains=word)
            | Q(configuration__platform__organization__name__icontains=word)
        )
    if chosen.get("checklist"):
        found = found.filter(checklist__version=chosen["checklist"])
    if chosen.get("show") == "overdue":
        found = found.filter(status__in=AWAITING_REVIEW, due_on__lt=today)
    if chosen.get("show") == "open":
        found = found.exclude(
            configuration__platform__organization__in=conflicted_organizations(user)
        ).exclude(approvals__in=_approvals_of(user))
    return found


def _approvals_of(user: User) -> QuerySet[Any]:
    """The person's approvals in the round that their submission is in now."""
    return Approval.objects.filter(reviewer=user, round=F("submission__round"))

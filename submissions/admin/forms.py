"""What reviewers fill in."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from registry.models import Checklist
from registry.services import one_year_after
from submissions.errors import ApplicantError
from submissions.models import Submission, TestCluster
from submissions.states import Action

FIELD_OF = {"reason_missing": "reason", "bad_date": "expires_on"}


def take_error(form: forms.Form, error: ApplicantError) -> None:
    """Show a service's refusal beside the field it is about; what was typed stays."""
    field = FIELD_OF.get(error.code)
    if field is not None and field not in form.fields:
        field = "note" if "note" in form.fields else None
    form.add_error(field, str(error))


class RoundForm(forms.Form):
    """Carries the review round the reviewer's page showed."""

    round = forms.IntegerField(widget=forms.HiddenInput)


class DecisionForm(RoundForm):
    """A decision on a submission, with its reason."""

    action = forms.ChoiceField(
        label=_("Decision"),
        choices=[
            (Action.APPROVE, _("Approve")),
            (Action.REQUEST_CHANGES, _("Request changes")),
            (Action.REJECT, _("Reject, for good")),
        ],
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose a decision.")},
    )
    reason = forms.CharField(
        label=_("Reason or comment"),
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text=_(
            "The vendor reads why you request changes or reject. With an approval it is for the group."
        ),
    )


class WaiverForm(RoundForm):
    """The decision on an N/A on a MUST."""

    decision = forms.ChoiceField(
        label=_("Decision on the waiver"),
        choices=[("accept", _("Accept until the date below")), ("refuse", _("Refuse: the MUST is not met"))],
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose: accept or refuse.")},
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say why; the reason stands beside the requirement.")},
        help_text=_("It stands beside the requirement, on the certificate too when you accept."),
    )
    expires_on = forms.DateField(
        label=_("Expires on"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text=_("A year from today when left empty."),
    )

    def __init__(self, *args: Any, today: date, **kwargs: Any) -> None:
        kwargs["initial"] = {"expires_on": one_year_after(today), **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        self.fields["expires_on"].widget.attrs["min"] = today.isoformat()


class RunForm(forms.Form):
    """Where to run the checks again."""

    cluster = forms.ModelChoiceField(
        label=_("Test cluster"),
        queryset=TestCluster.objects.none(),
        empty_label=None,
        error_messages={"required": _("Choose a test cluster.")},
    )

    def __init__(self, *args: Any, submission: Submission, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["cluster"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - tells the type checker what stands above
        field.queryset = submission.organization.clusters.usable().defer("kubeconfig_encrypted")


class ConflictForm(forms.Form):
    """An interest of the reviewer in the vendor."""

    note = forms.CharField(
        label=_("Your interest"),
        max_length=300,
        error_messages={"required": _("Say what the interest is, in a few words.")},
        help_text=_("For example: I consult for them. You cannot take it back yourself."),
    )


class ReasonForm(forms.Form):
    """The reason of a change that stands on record."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 5}),
        error_messages={"required": _("Say why; the reason stands on record.")},
    )


class QueueForm(forms.Form):
    """Filters of the queue; whatever is wrong with them, they only filter less."""

    q = forms.CharField(label=_("Platform or vendor"), required=False, max_length=100)
    checklist = forms.ChoiceField(label=_("Checklist"), required=False)
    show = forms.ChoiceField(
        label=_("Show"),
        required=False,
        choices=[("", _("All")), ("open", _("Open to my decision")), ("overdue", _("Overdue only"))],
    )
    sort = forms.ChoiceField(
        label=_("Order"),
        required=False,
        choices=[("", _("Due first")), ("newest", _("Newest first")), ("vendor", _("By vendor"))],
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        versions = Checklist.objects.published().order_by("version").values_list("version", flat=True)
        choices = [("", _("All")), *((version, version) for version in dict.fromkeys(versions))]
        self.fields["checklist"].choices = choices  # type: ignore[attr-defined]

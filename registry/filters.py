"""One set of filters for the public list and the API, so that an address means the same in both."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, ClassVar

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django_filters.fields import BaseCSVField

from conformance import catalogue
from registry.caching import version_of
from registry.models import EXPIRING_DAYS, Assurance, Certificate
from registry.tallies import TallyOn, remembered

EXPIRING = "expiring"
WORKLOADS = (
    (catalogue.WorkloadKind.TRAINING.value, _("Training")),
    (catalogue.WorkloadKind.INFERENCE.value, _("Inference")),
    (catalogue.WorkloadKind.MLOPS.value, _("MLOps pipelines")),
    (catalogue.WorkloadKind.AGENTIC.value, _("Agentic workloads")),
)
STATUSES = (
    ("active", _("Certified")),
    (EXPIRING, _("Certified, expiring soon")),
    ("suspended", _("Suspended")),
    ("expired", _("Expired")),
    ("revoked", _("Revoked")),
    ("superseded", _("Superseded")),
)
ORDERINGS = (
    ("issued_on", _("Oldest first")),
    ("-issued_on", _("Newest first")),
    ("expires_on", _("First to expire")),
    ("-expires_on", _("Last to expire")),
    ("platform_name", _("Platform, A to Z")),
    ("-platform_name", _("Platform, Z to A")),
    ("vendor", _("Vendor, A to Z")),
    ("-vendor", _("Vendor, Z to A")),
    ("kubernetes_version", _("Kubernetes, oldest first")),
    ("-kubernetes_version", _("Kubernetes, newest first")),
    ("number", _("Number, ascending")),
    ("-number", _("Number, descending")),
)


class MinorVersionField(forms.CharField):
    """A Kubernetes version in any usual spelling; ``v1.35.3`` means 1.35."""

    def clean(self, value: Any) -> str:
        text = super().clean(value)
        if not text:
            return ""
        version = catalogue.minor_version(text)
        if version is None:
            raise ValidationError(
                _("This is no Kubernetes version. Write it as 1.36."), code="invalid_version"
            )
        return version


class OrderField(BaseCSVField):  # type: ignore[misc]
    """Names to order by, with commas between them."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "empty_entry": _("There is a comma with no name beside it. Write the order as vendor,-issued_on.")
    }

    def clean(self, value: Any) -> Any:
        if value and not all(value):
            raise ValidationError(self.error_messages["empty_entry"], code="empty_entry")
        return super().clean(value)


class OrderFilter(django_filters.OrderingFilter):  # type: ignore[misc]
    base_field_class = OrderField


class MinorVersionFilter(django_filters.CharFilter):  # type: ignore[misc]
    field_class = MinorVersionField


def expiring_until(on: date) -> date:
    """The last day of expiring certificates on the date `on`; the calendar ends with the year 9999."""
    return on + min(timedelta(days=EXPIRING_DAYS), date.max - on)


def requirement_choices() -> list[tuple[str, str]]:
    """Requirement ids with their titles."""
    return [(info.id, info.title) for info in catalogue.REQUIREMENTS.values()]


class CertificateFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Filters of certificates. Statuses are those on the date `on`, today where it is absent."""

    form_class: ClassVar[Any]

    search = django_filters.CharFilter(
        label=_("Search"),
        max_length=200,
        method="filter_search",
        help_text=_(
            "Every word must occur in the platform, vendor, version, configuration, description or number."
        ),
    )
    vendor = django_filters.CharFilter(
        label=_("Vendor"),
        max_length=200,
        method="filter_vendor",
        help_text=_("The vendor's name, or its short form in addresses."),
    )
    kubernetes_version = MinorVersionFilter(
        label=_("Kubernetes"),
        help_text=_("Minor version, such as 1.36; patch versions mean their minor version."),
    )
    status = django_filters.ChoiceFilter(
        empty_label=_("Any status"),
        label=_("Status"),
        choices=STATUSES,
        method="filter_status",
        help_text=_(
            "Status on the date asked. `expiring` is an active certificate with 60 days or fewer left."
        ),
    )
    assurance = django_filters.ChoiceFilter(
        empty_label=_("Any"),
        label=_("How we know"),
        choices=Assurance.choices,
        help_text=_("The strongest assurance on the certificate."),
    )
    requirement = django_filters.ChoiceFilter(
        empty_label=_("Any requirement"),
        label=_("Requirement met"),
        choices=requirement_choices,
        method="filter_requirement",
        help_text=_("Id of a requirement that is claimed and was not contradicted."),
    )
    configuration = django_filters.CharFilter(
        label=_("Configuration"),
        max_length=120,
        help_text=_("The configuration's name, as the certificate gives it."),
    )
    workload = django_filters.ChoiceFilter(
        empty_label=_("Any workload"),
        label=_("Workload"),
        choices=WORKLOADS,
        method="filter_workload",
        help_text=_("A kind of workload for which every requirement of the checklist is met."),
    )
    on = django_filters.DateFilter(
        label=_("As of"),
        method="filter_on",
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text=_("YYYY-MM-DD. Shows the registry as of that date; later certificates are left out."),
        error_messages={"invalid": _("This is no date. Write it as 2026-03-31.")},
    )
    ordering = OrderFilter(
        empty_label=_("Usual order"),
        label=_("Order"),
        fields=["issued_on", "expires_on", "platform_name", "vendor", "kubernetes_version", "number"],
        choices=ORDERINGS,
    )

    class Meta:
        model = Certificate
        fields: tuple[str, ...] = ()

    def get_form_class(self) -> Any:
        """The form's class, made once: it is the same for every request."""
        kind = type(self)
        if "form_class" not in kind.__dict__:
            kind.form_class = super().get_form_class()
        return kind.form_class

    @property
    def date_asked(self) -> date:
        """The date whose statuses are shown."""
        asked = getattr(self.form, "cleaned_data", {}).get("on") if self.is_bound else None
        return asked or timezone.now().date()

    @property
    def asked(self) -> dict[str, Any]:
        """What is asked for, by filter; without the order, and empty where it could not be understood."""
        if not self.is_bound or not self.form.is_valid():
            return {}
        return {name: value for name, value in self.form.cleaned_data.items() if value and name != "ordering"}

    @cached_property
    def tally(self) -> TallyOn:
        """The tally on the date asked."""
        return remembered(version_of(self.request) if self.request else None, self.date_asked)

    @cached_property
    def is_settled(self) -> bool:
        """Whether today is asked and the certificates' own columns say what holds today."""
        return self.date_asked == timezone.now().date() and self.tally.is_settled

    def narrowed(self, *, leave_out: str = "") -> Any:
        """What is asked for, but for one filter; in no order."""
        today = timezone.now().date()
        published = self.queryset.order_by()
        if self.is_settled:
            found = published.as_recorded() if self.tally.is_noticed else published.standing(today)
        else:
            found = published.published(today).listed(self.date_asked)
        for name, value in self.asked.items():
            if name != leave_out:
                found = self.filters[name].filter(found, value)
        return found

    def filter_queryset(self, queryset: Any) -> Any:
        found = self.narrowed()
        if order := self.form.cleaned_data.get("ordering"):
            found = self.filters["ordering"].filter(found, order)
            # A tie is broken the same way on every page, in the direction in which an index runs.
            last = "-pk" if str(found.query.order_by[0]).startswith("-") else "pk"
            return found.order_by(*found.query.order_by, last)
        if self.asked.get("status") == EXPIRING:
            # What ends first matters most, and stands side by side in the index.
            return found.order_by("expires_on", "pk")
        return found.order_by("-issued_on", "-pk")

    def filter_search(self, queryset: Any, _name: str, value: str) -> Any:
        return queryset.matching(value)

    @cached_property
    def _vendor_asked(self) -> Any:
        """The vendor asked for, looked up once however often the list is narrowed."""
        return self.queryset.vendor_named(self.asked["vendor"])

    def filter_vendor(self, queryset: Any, _name: str, _value: str) -> Any:
        return queryset.filter(self._vendor_asked)

    def filter_status(self, queryset: Any, _name: str, value: str) -> Any:
        status = "active" if value == EXPIRING else value
        if self.is_settled and not self.tally.is_noticed:
            queryset = queryset.standing_as(status, self.date_asked)
        else:
            queryset = queryset.filter(status_on=status)
        if value == EXPIRING:
            queryset = queryset.filter(expires_on__lte=expiring_until(self.date_asked))
        return queryset

    def filter_requirement(self, queryset: Any, _name: str, value: str) -> Any:
        return queryset.meeting(value)

    def filter_workload(self, queryset: Any, _name: str, value: str) -> Any:
        return queryset.serving(value)

    def filter_on(self, queryset: Any, _name: str, _value: date) -> Any:
        """The date is applied before all other filters, in `narrowed`."""
        return queryset

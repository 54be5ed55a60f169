"""The API across certificates: changes, vendors, requirements, statistics."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import exceptions, generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from certportal.api.schema import PROBLEM
from registry import overviews
from registry.api import examples
from registry.api.views import PublicView
from registry.caching import public_page
from registry.change_views import OF_THE_LIST, ChangeForm
from registry.changes import KINDS, Change, Position, changes, position_after
from registry.following import ScopeFilter
from registry.models import CertificateEvent, Tally
from registry.standing import ANY
from registry.statistics import Statistics, statistics_on
from registry.structured import address
from registry.tallies import TallyOn

A_PAGE = 100


def _parameter_of_the_list(name: str) -> OpenApiParameter:
    """A filter of the list, which means here what it means there."""
    field = ScopeFilter.base_filters[name].field
    choices = [value for value, _words in getattr(field, "choices", ()) if value]
    return OpenApiParameter(
        name, OpenApiTypes.STR, enum=choices or None, description=str(field.help_text or field.label)
    )


class ChangeSerializer(serializers.Serializer[Change]):
    """One change of one certificate."""

    kind = serializers.ChoiceField(choices=CertificateEvent.Kind.choices)
    on = serializers.DateField(help_text="The day on which it took effect.")
    reason = serializers.CharField()
    number = serializers.CharField(source="certificate.number")
    url = serializers.SerializerMethodField(help_text="The page for people.")
    platform_name = serializers.CharField(source="certificate.platform_name")
    platform_version = serializers.CharField(source="certificate.platform_version")
    vendor = serializers.CharField(source="certificate.vendor")
    kubernetes_version = serializers.CharField(source="certificate.kubernetes_version")
    simulated = serializers.BooleanField(source="certificate.simulated")

    def get_url(self, change: Change) -> str:
        return address(change.certificate.get_absolute_url())


class ChangePageSerializer(serializers.Serializer[None]):
    """A page of the change log, newest first."""

    next = serializers.URLField(allow_null=True, help_text="The next page; null on the last.")
    results = ChangeSerializer(many=True)


@method_decorator(public_page, name="dispatch")
class ChangeList(PublicView):
    """What was certified, renewed, suspended, revoked and what expired, newest first."""

    @extend_schema(
        operation_id="changes_list",
        parameters=[
            OpenApiParameter("kind", OpenApiTypes.STR, enum=list(KINDS), description="Only these changes."),
            OpenApiParameter("vendor", OpenApiTypes.STR, description="The vendor's short form."),
            OpenApiParameter("platform", OpenApiTypes.STR, description="The platform's short form."),
            OpenApiParameter("number", OpenApiTypes.STR, description="Number of one certificate."),
            *(_parameter_of_the_list(name) for name in OF_THE_LIST),
            OpenApiParameter("since", OpenApiTypes.DATE, description="Changes from this day on."),
            OpenApiParameter(
                "after", OpenApiTypes.STR, description="Where the page begins; taken from `next`."
            ),
        ],
        responses={
            200: ChangePageSerializer,
            (400, "application/problem+json"): PROBLEM[400, "application/problem+json"],
        },
        examples=[examples.CHANGES],
    )
    def get(self, request: Request) -> Response:
        today = timezone.now().date()
        form = ChangeForm(request.query_params)
        if not form.is_valid():
            raise exceptions.ValidationError(
                {name: [str(error) for error in errors] for name, errors in form.errors.items()}
            )
        text = request.query_params.get("after", "")
        after = Position.read(text) if text else None
        if text and after is None:
            raise exceptions.ValidationError({"after": ["This is no place in the change log."]})
        found = changes(form.wanted(), today=today, limit=A_PAGE + 1, after=after)
        following = None
        if len(found) > A_PAGE:
            found = found[:A_PAGE]
            url = request.build_absolute_uri()
            following = replace_query_param(url, "after", str(position_after(found, today)))
        rows: Any = found
        return Response({"next": following, "results": ChangeSerializer(rows, many=True).data})


class VendorSerializer(serializers.Serializer[Tally]):
    """A vendor with certificates."""

    slug = serializers.CharField(source="value")
    name = serializers.CharField(source="label")
    url = serializers.SerializerMethodField(help_text="The page for people.")
    certificates = serializers.SerializerMethodField(help_text="Ever issued.")
    certified_today = serializers.SerializerMethodField(help_text="Those that hold today.")

    def get_url(self, row: Tally) -> str:
        return address(reverse("registry:vendor", args=[row.value]))

    def get_certificates(self, row: Tally) -> int:
        known: dict[tuple[str, str], Any] = self.context["tally"]
        return int(known[row.facet, row.value][ANY])

    def get_certified_today(self, row: Tally) -> int:
        known: dict[tuple[str, str], Any] = self.context["tally"]
        return int(known[row.facet, row.value]["active"])


@method_decorator(public_page, name="dispatch")
class VendorList(PublicView, generics.ListAPIView[Tally]):
    """Every vendor with a certificate, by name."""

    serializer_class = VendorSerializer
    filter_backends = ()
    queryset = Tally.objects.none()

    @extend_schema(
        operation_id="vendors_list",
        responses={200: VendorSerializer(many=True), **PROBLEM},
        examples=[examples.VENDOR],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> Any:
        self.tally_on = TallyOn(timezone.now().date())
        return self.tally_on.shown("vendor").order_by("label", "value")

    def paginate_queryset(self, queryset: Any) -> Any:
        page = super().paginate_queryset(queryset)
        shown = [row.value for row in page or ()]
        self.tally = self.tally_on.numbers(Tally.objects.filter(facet="vendor", value__in=shown))
        return page

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "tally": getattr(self, "tally", {})}


class WordingSerializer(serializers.Serializer[overviews.Wording]):
    """A requirement as one checklist words it."""

    version = serializers.CharField()
    level = serializers.ChoiceField(choices=["MUST", "SHOULD"])
    category = serializers.CharField()
    description = serializers.CharField()


class CheckSerializer(serializers.Serializer[Any]):
    """How a requirement is checked."""

    observes = serializers.CharField(help_text="What the check looks at.")
    deadline = serializers.IntegerField(help_text="Seconds it may take.")
    kar = serializers.IntegerField(allow_null=True, help_text="Number of the programme's test plan.")


class RequirementSerializer(serializers.Serializer[overviews.RequirementPage]):
    """A requirement across the checklists."""

    id = serializers.CharField()
    title = serializers.CharField(source="info.title", default="")
    url = serializers.SerializerMethodField(help_text="The page for people.")
    workloads = serializers.ListField(child=serializers.CharField(), source="kinds")
    wordings = WordingSerializer(many=True)
    check = CheckSerializer(allow_null=True)

    def get_url(self, page: overviews.RequirementPage) -> str:
        return address(reverse("registry:requirement", args=[page.id]))


@method_decorator(public_page, name="dispatch")
class RequirementDetail(PublicView):
    """What a requirement asks in each published checklist, and how it is checked."""

    @extend_schema(
        operation_id="requirements_retrieve",
        parameters=[
            OpenApiParameter(
                "requirement_id",
                OpenApiTypes.STR,
                "path",
                description="A requirement's id.",
                examples=[OpenApiExample("An id", value="gang_scheduling")],
            )
        ],
        examples=[examples.REQUIREMENT],
        responses={
            200: RequirementSerializer,
            (404, "application/problem+json"): PROBLEM[404, "application/problem+json"],
        },
    )
    def get(self, request: Request, requirement_id: str) -> Response:
        found = overviews.requirement_page(requirement_id)
        if found is None:
            raise exceptions.NotFound
        return Response(RequirementSerializer(found).data)


class MonthSerializer(serializers.Serializer[Any]):
    """What happened in a month."""

    month = serializers.DateField(help_text="Its first day.")
    issued = serializers.IntegerField()
    ended = serializers.IntegerField()


class StatisticsSerializer(serializers.Serializer[Statistics]):
    """Figures of today; keys are the values that the filters of the list take."""

    certified = serializers.IntegerField(help_text="Certificates that hold today.")
    vendors = serializers.IntegerField(help_text="Vendors with a certificate that holds.")
    by_status = serializers.DictField(child=serializers.IntegerField(), help_text="All ever issued.")
    by_version = serializers.DictField(child=serializers.IntegerField(), help_text="Those that hold.")
    by_assurance = serializers.DictField(child=serializers.IntegerField(), help_text="Those that hold.")
    by_requirement = serializers.DictField(child=serializers.IntegerField(), help_text="Those that hold.")
    by_workload = serializers.DictField(child=serializers.IntegerField(), help_text="Those that hold.")
    months = serializers.SerializerMethodField(help_text="The last 24 months, oldest first.")

    @extend_schema_field(MonthSerializer(many=True))
    def get_months(self, figures: Statistics) -> list[dict[str, Any]]:
        return [
            {"month": month.isoformat(), "issued": began, "ended": ended}
            for month, began, ended in figures.months
        ]


@method_decorator(public_page, name="dispatch")
class StatisticsView(PublicView):
    """Figures about the registry as a whole."""

    @extend_schema(
        operation_id="statistics_retrieve",
        responses={200: StatisticsSerializer},
        examples=[examples.STATISTICS],
    )
    def get(self, request: Request) -> Response:
        return Response(StatisticsSerializer(statistics_on(timezone.now().date())).data)

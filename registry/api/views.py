"""The public API: no log-in, nothing but published facts."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.utils import timezone
from django.utils.decorators import method_decorator
from django_filters.rest_framework import DjangoFilterBackend
from django_filters.utils import translate_validation
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import exceptions, generics
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from certportal.api.schema import PROBLEM
from conformance import catalogue
from registry.api import examples, serializers
from registry.api.fields import FieldSelection, fields_parameter
from registry.api.pagination import CURSOR, CertificationPagination
from registry.caching import public_page
from registry.filters import CertificateFilter
from registry.forms import OnDateForm
from registry.models import Certificate, Checklist

ON = OpenApiParameter("on", OpenApiTypes.DATE, description="Status on this date instead of today.")
NUMBER = OpenApiParameter(
    "number",
    OpenApiTypes.STR,
    "path",
    description="The certificate's number.",
    examples=[OpenApiExample("A number", value="AIK-2026-0042")],
)


class PublicView(APIView):
    """Open to anyone. Credentials are not even read, so that one answer serves all and can be cached."""

    authentication_classes = ()
    permission_classes = (AllowAny,)


class CertificationBackend(DjangoFilterBackend):  # type: ignore[misc]
    """Filters certificates, and keeps what was asked for whoever counts them."""

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        filters = self.get_filterset(request, queryset, view)
        if not filters.is_valid():
            raise translate_validation(filters.errors)
        view.filters = filters
        return filters.qs


@method_decorator(public_page, name="dispatch")
class CertificationList(FieldSelection, PublicView, generics.ListAPIView[Certificate]):
    """Certificates, newest first. `status` is the one on the date asked.

    Turn pages with `page`, or follow `next`. With `cursor` (empty to begin) every page costs the same
    however far one goes, and none is shown twice when certificates are added meanwhile.
    """

    serializer_class = serializers.CertificationSerializer
    filterset_class = CertificateFilter
    filter_backends = (CertificationBackend,)
    pagination_class = CertificationPagination
    queryset = Certificate.objects.all()
    filters: CertificateFilter

    @extend_schema(
        operation_id="certifications_list",
        parameters=[fields_parameter(serializers.CertificationSerializer), CURSOR],
        responses={200: serializers.CertificationSerializer(many=True), **PROBLEM},
        examples=[examples.CERTIFICATION],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        return super().get(request, *args, **kwargs)

    def filter_queryset(self, queryset: Any) -> Any:
        found = super().filter_queryset(queryset)
        asked = self.asked_fields()
        needs_rows = asked is None or "requirements" in asked
        return found.prefetch_related("requirements") if needs_rows else found

    def get_serializer_context(self) -> dict[str, Any]:
        # The filters have been checked by now: an `on` that is no date never gets here.
        return {**super().get_serializer_context(), "on": date_asked(self.request)}


@method_decorator(public_page, name="dispatch")
class CertificationDetail(FieldSelection, PublicView, generics.RetrieveAPIView[Certificate]):
    """One certificate in full. A number that was not yet issued on the date asked is not found."""

    serializer_class = serializers.CertificationDetailSerializer
    lookup_field = "number"
    filter_backends = ()

    @extend_schema(
        operation_id="certifications_retrieve",
        parameters=[NUMBER, ON, fields_parameter(serializers.CertificationDetailSerializer)],
        responses={200: serializers.CertificationDetailSerializer, **PROBLEM},
        examples=[examples.CERTIFICATION_IN_FULL],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> Any:
        published = Certificate.objects.published(timezone.now().date())
        shown = published.listed(date_asked(self.request))
        return shown.select_related("supersedes").prefetch_related("requirements", "history", "successors")

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "on": date_asked(self.request)}


@method_decorator(public_page, name="dispatch")
class ChecklistList(PublicView, generics.ListAPIView[Checklist]):
    """Published checklists, one per Kubernetes minor version, the newest revision of each."""

    serializer_class = serializers.ChecklistSerializer
    filter_backends = ()
    queryset = Checklist.objects.current().prefetch_related("requirements__category")

    @extend_schema(
        operation_id="checklists_list",
        responses={200: serializers.ChecklistSerializer(many=True)},
        examples=[examples.CHECKLIST],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        return super().get(request, *args, **kwargs)


@method_decorator(public_page, name="dispatch")
class ChecklistDetail(PublicView, generics.RetrieveAPIView[Checklist]):
    """The newest published checklist of a version; `1.36`, `v1.36` and `v1.36.2` mean the same."""

    serializer_class = serializers.ChecklistSerializer
    lookup_field = "version"
    filter_backends = ()
    queryset = Checklist.objects.current().prefetch_related("requirements__category")

    @extend_schema(
        operation_id="checklists_retrieve",
        parameters=[
            OpenApiParameter(
                "version",
                OpenApiTypes.STR,
                "path",
                description="A Kubernetes version.",
                examples=[OpenApiExample("A version", value="1.36")],
            )
        ],
        responses={200: serializers.ChecklistSerializer},
        examples=[examples.CHECKLIST],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        self.kwargs["version"] = catalogue.minor_version(self.kwargs["version"]) or self.kwargs["version"]
        return super().get(request, *args, **kwargs)


def date_asked(request: Request) -> date:
    """The date of the parameter `on`, else today. Raises ValidationError."""
    if not request.query_params.get("on"):
        return timezone.now().date()
    form = OnDateForm(request.query_params)
    if not form.is_valid():
        raise exceptions.ValidationError(
            {"on": [exceptions.ErrorDetail(str(form.errors["on"][0]), code="invalid")]}
        )
    asked: date = form.cleaned_data["on"]
    return asked

"""Exports: everything, or what the filters of the list leave, as a file that is written while it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, TypeVar

from django.http import HttpResponse, StreamingHttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import get_conditional_response, patch_cache_control
from django.utils.decorators import method_decorator
from django.utils.http import http_date
from django_filters.utils import translate_validation
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from certportal.api.schema import PROBLEM
from registry import exports
from registry.api import examples
from registry.api.exported import (
    ExportedChangeSerializer,
    ExportedChecklistSerializer,
    ExportedRequirementSerializer,
)
from registry.api.fields import fields_asked, fields_parameter, keep_fields
from registry.api.overview_views import VendorSerializer
from registry.api.serializers import CertificationDetailSerializer
from registry.api.views import CertificationBackend, PublicView
from registry.caching import LONGEST, last_change, public_page, seconds_left_today, version_of
from registry.filters import CertificateFilter
from registry.models import Certificate, Tally
from registry.structured import address
from registry.tallies import TallyOn

NAMES = {
    "certifications": "api-export-certifications",
    "requirements": "api-export-requirements",
    "changes": "api-export-changes",
    "vendors": "api-export-vendors",
    "checklists": "api-export-checklists",
}
_Method = TypeVar("_Method", bound=Callable[..., Any])
FORM = OpenApiParameter("form", OpenApiTypes.STR, "path", enum=list(exports.FORMS))


class ExportSerializer(serializers.Serializer[None]):
    """One file that can be taken along."""

    name = serializers.CharField()
    format = serializers.CharField()
    url = serializers.URLField()


@method_decorator(public_page, name="dispatch")
class ExportList(PublicView):
    """The files that can be taken along."""

    @extend_schema(
        operation_id="exports_list",
        responses={200: ExportSerializer(many=True)},
        examples=[examples.EXPORT],
    )
    def get(self, request: Request) -> Response:
        entries = [
            {"name": name, "format": form, "url": address(reverse(view, args=[form]))}
            for name, view in NAMES.items()
            for form in exports.FORMS
        ]
        landscape = {"name": "landscape", "format": "yaml", "url": address(reverse("api-landscape"))}
        return Response([*entries, landscape])


class ExportView(PublicView):
    """An answer that is written while it is read; the same until the registry changes or the day ends."""

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:  # noqa: FBT001, FBT002
        """The address says which form is meant."""
        return super().perform_content_negotiation(request, force=True)

    def answer(self, request: Request, name: str, media_type: str, write: Callable[[], Iterator[str]]) -> Any:
        """Stream what `write` yields, unless the reader has it already."""
        now = timezone.now()
        version = version_of(request._request)  # noqa: SLF001 - Django's own request
        said = f"{version.number if version else 0} {now.date()} {request.get_full_path()}"
        etag = f'W/"{hashlib.sha256(said.encode()).hexdigest()[:32]}"'
        modified = last_change(request._request, now)  # noqa: SLF001
        kept = get_conditional_response(
            request._request,  # noqa: SLF001 - Django's own request
            etag=etag,
            last_modified=int(modified.timestamp()) if modified else None,
        )
        if kept is not None and kept.status_code == 304:  # noqa: PLR2004 - not modified
            response: HttpResponse | StreamingHttpResponse = kept
        else:
            # Nobody writes a file to tell how it begins.
            response = (
                HttpResponse(content_type=media_type)
                if request.method == "HEAD"
                else StreamingHttpResponse(write(), content_type=media_type)
            )
            response["Content-Disposition"] = f'attachment; filename="{name}"'
            response["X-Content-Type-Options"] = "nosniff"
        response["ETag"] = etag
        if modified:
            response["Last-Modified"] = http_date(modified.timestamp())
        patch_cache_control(response, public=True, max_age=min(LONGEST, seconds_left_today(now)))
        return response

    def table(self, request: Request, name: str, form: str, serializer: Any, found: Any) -> Any:
        """What is found in the form asked for, with the fields asked for."""
        if form not in exports.FORMS:
            raise exceptions.NotFound
        keep_fields(serializer, fields_asked(request))
        chosen = exports.FORMS[form]
        return self.answer(
            request,
            f"{name}.{form}",
            chosen.media_type,
            lambda: chosen.write(exports.table(serializer, found())),
        )


def described(
    operation_id: str, rows: type[serializers.Serializer[Any]], **more: Any
) -> Callable[[_Method], _Method]:
    """The description of an export of such rows."""
    forms = {form: chosen.media_type.partition(";")[0] for form, chosen in exports.FORMS.items()}
    written = {
        (200, forms[form]): OpenApiTypes.STR if form in {"csv", "jsonl"} else rows(many=True)
        for form in forms
    }
    found: Callable[[_Method], _Method] = extend_schema(
        operation_id=operation_id,
        parameters=[FORM, fields_parameter(rows)],
        responses={**written, **PROBLEM},
        **more,
    )
    return found


class CertificationExport(ExportView):
    """Certificates in full, with the filters, the order and the field selection of the list.

    In CSV, mappings are spread over columns (`coverage_waived`), lists are JSON in one cell, nothing and
    empty text are both an empty cell. Text that begins as a formula would, or with an apostrophe, has an
    apostrophe before it: take away one, and you have what was there.
    """

    filterset_class = CertificateFilter
    filter_backends = (CertificationBackend,)
    queryset = Certificate.objects.all()

    @described("exports_certifications", CertificationDetailSerializer, filters=True)
    def get(self, request: Request, form: str) -> Any:
        filters = CertificateFilter(request.query_params, queryset=self.queryset.all())
        if not filters.is_valid():
            raise translate_validation(filters.errors)
        serializer = CertificationDetailSerializer(context={"on": filters.date_asked})
        return self.table(
            request, "certifications", form, serializer, lambda: exports.certificates(filters.qs)
        )


class RequirementExport(ExportView):
    """What every certificate says of every requirement, a row each."""

    @described("exports_requirements", ExportedRequirementSerializer)
    def get(self, request: Request, form: str) -> Any:
        serializer = ExportedRequirementSerializer()
        return self.table(
            request, "requirements", form, serializer, lambda: exports.certified_requirements(_today())
        )


class ChangeExport(ExportView):
    """The history of all certificates, oldest first, as it was recorded."""

    @described("exports_changes", ExportedChangeSerializer)
    def get(self, request: Request, form: str) -> Any:
        serializer = ExportedChangeSerializer()
        return self.table(request, "changes", form, serializer, lambda: exports.changes(_today()))


class VendorExport(ExportView):
    """Every vendor with a certificate, by name."""

    @described("exports_vendors", VendorSerializer)
    def get(self, request: Request, form: str) -> Any:
        known: dict[tuple[str, str], Any] = {}
        tally = TallyOn(_today())

        def look_up(chunk: list[Tally]) -> None:
            shown = [row.value for row in chunk]
            known.clear()
            known.update(tally.numbers(Tally.objects.filter(facet="vendor", value__in=shown)))

        serializer = VendorSerializer(context={"tally": known})
        return self.table(request, "vendors", form, serializer, lambda: exports.vendors(tally, look_up))


class ChecklistExport(ExportView):
    """Every requirement of every published checklist, a row each; all revisions."""

    @described("exports_checklists", ExportedChecklistSerializer)
    def get(self, request: Request, form: str) -> Any:
        serializer = ExportedChecklistSerializer()
        return self.table(request, "checklists", form, serializer, exports.checklist_requirements)


class LandscapeExport(ExportView):
    """What holds today, in the form of a landscape file; without simulated certificates."""

    @extend_schema(
        operation_id="exports_landscape",
        responses={(200, "application/yaml"): OpenApiTypes.OBJECT},
        examples=[examples.LANDSCAPE],
    )
    def get(self, request: Request) -> Any:
        media_type = exports.FORMS["yaml"].media_type
        return self.answer(request, "landscape.yml", media_type, lambda: exports.landscape(_today()))


def _today() -> date:
    return timezone.now().date()

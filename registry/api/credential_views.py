"""What others take away from a certificate: its badge, its credential, and the answer for a date."""

from __future__ import annotations

import base64
import json
from datetime import date
from typing import Any

from django import forms
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from certportal.api.schema import PROBLEM, ProblemSerializer
from registry.answers import PlatformAnswer, PlatformAsked, answer_for, answer_for_platform
from registry.api import examples
from registry.api.views import NUMBER, PublicView
from registry.badge import Style, Theme, badge
from registry.caching import public_page
from registry.certificate_views import shared
from registry.credentials import MEDIA_TYPE, address, list_exists, signed_credential, signed_list
from registry.filters import MinorVersionField
from registry.forms import date_field
from registry.keys import SigningKeyError
from registry.models import Certificate

NO_KEY = {(503, "application/problem+json"): ProblemSerializer}
FORMS = ("jwt", "json")
FORMAT = OpenApiParameter(
    "format",
    OpenApiTypes.STR,
    enum=list(FORMS),
    description="`json` shows what the JWT says, without its signature; for reading, not for verifying.",
)
EXAMPLE_JWT = OpenApiExample(
    "Signed", value="eyJhbGciOiJFZERTQSIsInR5cCI6InZjK2p3dCIsImN0eSI6InZjIiwia2lkIjoi…", media_type=MEDIA_TYPE
)


class CannotSign(exceptions.APIException):
    """The signing key cannot be read; operators have to see to it."""

    status_code = 503
    default_detail = _("The portal cannot sign at the moment.")
    default_code = "cannot_sign"


class OneFormView(PublicView):
    """Answers in a form of its own; errors are problem documents whatever is accepted."""

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Whatever an img element or a wallet accepts."""
        return super().perform_content_negotiation(request, force=True)


def checked(form: forms.Form) -> dict[str, Any]:
    """What was asked, cleaned. Raises ValidationError in the API's own words."""
    if form.is_valid():
        return form.cleaned_data
    raise exceptions.ValidationError(
        {
            name: [exceptions.ErrorDetail(str(text), code="invalid") for text in errors]
            for name, errors in form.errors.items()
        }
    )


class BadgeForm(forms.Form):
    """How the badge should look."""

    style = forms.ChoiceField(choices=[(style, style) for style in Style], required=False)
    theme = forms.ChoiceField(choices=[(theme, theme) for theme in Theme], required=False)


@method_decorator(public_page, name="dispatch")
class CertificationBadge(OneFormView):
    """A badge that states today's status of a certificate; kept by caches for a minute at most."""

    @extend_schema(
        operation_id="certifications_badge",
        parameters=[
            NUMBER,
            OpenApiParameter("style", enum=list(Style), description="`small`, the default, or `large`."),
            OpenApiParameter("theme", enum=list(Theme), description="For a `light` or a `dark` page."),
        ],
        responses={(200, "image/svg+xml"): OpenApiResponse(OpenApiTypes.STR), **PROBLEM},
        examples=[examples.BADGE],
    )
    def get(self, request: Request, number: str) -> HttpResponse:
        asked = checked(BadgeForm(request.query_params))
        today = timezone.now().date()
        certificate: Any = get_object_or_404(Certificate.objects.listed(today), number=number)
        picture = badge(
            certificate,
            status=certificate.status_on,
            today=today,
            style=Style(asked["style"] or Style.SMALL),
            theme=Theme(asked["theme"] or Theme.LIGHT),
        )
        response = shared(HttpResponse(picture, content_type="image/svg+xml"))
        response["X-Content-Type-Options"] = "nosniff"
        return response


class SignedView(OneFormView):
    """Serves a JWT, or what it says as JSON to whoever asks for that."""

    def answer(self, request: Request, token: str, name: str) -> HttpResponse:
        """The token in the form asked for; the signed one where nothing else is asked for."""
        if self.wants_json(request):
            payload = token.split(".")[1]
            said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            response: HttpResponse = JsonResponse(
                said, json_dumps_params={"ensure_ascii": False, "indent": 2}
            )
        else:
            response = HttpResponse(f"{token}\n", content_type=MEDIA_TYPE)
            response["Content-Disposition"] = f'inline; filename="{name}.jwt"'
        patch_vary_headers(response, ["Accept"])
        return shared(response)

    def wants_json(self, request: Request) -> bool:
        asked = request.query_params.get("format", "")
        if asked and asked not in FORMS:
            message = _("There are: %(forms)s.") % {"forms": ", ".join(FORMS)}
            raise exceptions.ValidationError(
                {"format": [exceptions.ErrorDetail(message, code="invalid_choice")]}
            )
        if asked:
            return bool(asked == "json")
        # Whoever takes anything gets what can be verified.
        preferred = request._request.get_preferred_type([MEDIA_TYPE, "application/json"])  # noqa: SLF001 - Django's own reading of Accept
        return bool(preferred == "application/json")


@method_decorator(public_page, name="dispatch")
class CertificationCredential(SignedView):
    """The certificate as a signed credential: Open Badges 3.0, a W3C Verifiable Credential as JWT.

    Signed with Ed25519 by a key of `/.well-known/jwks.json`. Whether it still holds stands in the status
    lists that it names.
    """

    @extend_schema(
        operation_id="certifications_credential",
        parameters=[NUMBER, FORMAT],
        examples=[examples.CREDENTIAL],
        responses={
            (200, MEDIA_TYPE): OpenApiResponse(OpenApiTypes.STR, examples=[EXAMPLE_JWT]),
            (200, "application/json"): OpenApiTypes.OBJECT,
            **NO_KEY,
        },
    )
    def get(self, request: Request, number: str) -> HttpResponse:
        today = timezone.now().date()
        certificate = get_object_or_404(Certificate.objects.listed(today), number=number)
        try:
            token = signed_credential(certificate, today)
        except SigningKeyError as error:
            raise CannotSign from error
        return self.answer(request, token, certificate.number)


@method_decorator(public_page, name="dispatch")
class StatusListCredential(SignedView):
    """A Bitstring Status List: which credentials no longer hold (odd numbers) or are suspended (even ones).

    It is made anew for every request and kept by caches for a minute at most. Each credential names its two
    lists and its place in them.
    """

    @extend_schema(
        operation_id="status_lists_retrieve",
        parameters=[
            OpenApiParameter(
                "number",
                OpenApiTypes.INT,
                "path",
                description="The list's number, from 1.",
                examples=[OpenApiExample("The first", value=1)],
            ),
            FORMAT,
        ],
        examples=[examples.STATUS_LIST],
        responses={
            (200, MEDIA_TYPE): OpenApiResponse(OpenApiTypes.STR, examples=[EXAMPLE_JWT]),
            (200, "application/json"): OpenApiTypes.OBJECT,
            **NO_KEY,
        },
    )
    def get(self, request: Request, number: int) -> HttpResponse:
        if not list_exists(number):
            raise exceptions.NotFound
        try:
            token = signed_list(number, timezone.now())
        except SigningKeyError as error:
            raise CannotSign from error
        return self.answer(request, token, f"status-list-{number}")


class CertifiedForm(forms.Form):
    """Which certificate or platform is meant, and on which date."""

    number = forms.CharField(required=False, max_length=24)
    platform = forms.CharField(required=False, max_length=200)
    vendor = forms.CharField(required=False, max_length=200)
    version = forms.CharField(required=False, max_length=100)
    configuration = forms.CharField(required=False, max_length=120)
    kubernetes_version = MinorVersionField(required=False)
    on = date_field(required=False)

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors and bool(found.get("number")) == bool(found.get("platform")):
            raise forms.ValidationError(_("Name either a number or a platform."))
        return found


class CertifiedRowSerializer(serializers.Serializer[Any]):
    """One certificate and its status on the date asked."""

    number = serializers.CharField()
    url = serializers.SerializerMethodField(help_text="The page for people.")
    platform_name = serializers.CharField()
    platform_version = serializers.CharField()
    configuration = serializers.CharField()
    vendor = serializers.CharField()
    kubernetes_version = serializers.CharField()
    status = serializers.CharField(
        source="status_on", allow_null=True, help_text="On the date asked; null: it was not yet issued."
    )
    issued_on = serializers.DateField()
    expires_on = serializers.DateField(help_text="The first day on which it no longer holds.")
    simulated = serializers.BooleanField()

    def get_url(self, certificate: Certificate) -> str:
        return address(certificate.get_absolute_url())


class CertifiedSerializer(serializers.Serializer[PlatformAnswer]):
    """Whether it was certified on the date, and by which certificates."""

    on = serializers.DateField()
    certified = serializers.BooleanField(help_text="Whether any of the certificates was active on the date.")
    known = serializers.BooleanField(
        help_text="Whether the registry has any certificate of this name at all."
    )
    future = serializers.BooleanField(
        source="is_future", help_text="The date lies ahead: true only if nothing is changed until then."
    )
    simulated = serializers.BooleanField(
        help_text="It was certified in the demonstration only, which certifies nothing."
    )
    certificates = CertifiedRowSerializer(many=True)


@method_decorator(public_page, name="dispatch")
class CertifiedOnDate(PublicView):
    """Was it certified on the date? For a certificate's number, or for a platform by its name.

    A platform may have several certificates: of several versions, configurations, Kubernetes versions, or of
    vendors that use the same name. Name what matters to you; `certified` is true where any of them held.
    """

    @extend_schema(
        operation_id="certified_on_date",
        parameters=[
            OpenApiParameter("number", description="Number of a certificate, instead of a platform."),
            OpenApiParameter(
                "platform", description="Name of the platform in full, or its short form in addresses."
            ),
            OpenApiParameter("vendor", description="The vendor's name in full, or its short form."),
            OpenApiParameter("version", description="Version of the platform."),
            OpenApiParameter(
                "configuration", description="Configuration, such as `default` or `air-gapped`."
            ),
            OpenApiParameter("kubernetes_version", description="Minor version, such as 1.36."),
            OpenApiParameter("on", OpenApiTypes.DATE, description="The date; today where it is absent."),
        ],
        responses={200: CertifiedSerializer, (400, "application/problem+json"): ProblemSerializer},
        examples=[examples.CERTIFIED],
    )
    def get(self, request: Request) -> Response:
        asked = checked(CertifiedForm(request.query_params))
        today = timezone.now().date()
        on = asked["on"] or today
        if asked["number"]:
            found = _answer_for_number(asked["number"].upper(), on, today)
        else:
            names = {name: asked[name] for name in PlatformAsked.__dataclass_fields__}
            found = answer_for_platform(PlatformAsked(**names), on, today=today)
        return Response(CertifiedSerializer(found).data)


def _answer_for_number(number: str, on: date, today: date) -> PlatformAnswer:
    answer = answer_for(number, on, today=today)
    rows: tuple[Any, ...] = ()
    if answer is not None:
        certificate: Any = answer.certificate
        certificate.status_on = None if answer.status == "not_issued" else answer.status
        rows = (certificate,)
    return PlatformAnswer(PlatformAsked(""), on, on > today, rows)

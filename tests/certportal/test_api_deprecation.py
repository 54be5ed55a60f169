"""How the end of a part of the API is announced."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.test import RequestFactory
from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from certportal.api.deprecation import deprecated
from certportal.api.docs import _operation
from certportal.api.schema import document, operations

SINCE, SUNSET = date(2026, 6, 1), date(2027, 6, 1)
HEADERS = {
    "Deprecation": "@1780272000",
    "Sunset": "Tue, 01 Jun 2027 00:00:00 GMT",
    "Link": '<http://127.0.0.1:8000/api/#change>; rel="deprecation"; type="text/html"'
    ', <http://127.0.0.1:8000/api/v1/new/>; rel="successor-version"',
}


class Old(APIView):
    """On its way out."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @deprecated(since=SINCE, sunset=SUNSET, successor="/api/v1/new/")
    @extend_schema(operation_id="old", responses={200: dict})
    def get(self, request: Request) -> Response:
        if "bad" in request.query_params:
            raise exceptions.ValidationError({"bad": ["No."]})
        return Response({"still": "there"})


class OldParameter(APIView):
    """Here to stay, but for a parameter."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @deprecated(since=SINCE, sunset=SUNSET, successor="/api/v1/new/", parameter="colour")
    @extend_schema(
        operation_id="stays", responses={200: dict}, parameters=[OpenApiParameter("colour", deprecated=True)]
    )
    def get(self, request: Request) -> Response:
        return Response({})


def described(view: type[APIView]) -> dict[str, Any]:
    generator: Any = SchemaGenerator(patterns=[path("api/v1/old/", view.as_view())])
    found: dict[str, Any] = generator.get_schema(request=None, public=True)["paths"]["/api/v1/old/"]["get"]
    return found


def announced(response: Response) -> dict[str, str]:
    return {name: response[name] for name in HEADERS if response.has_header(name)}


@pytest.mark.parametrize(("query", "status"), [("", 200), ("?bad=1", 400)])
def test_end_is_announced_in_every_answer(query: str, status: int) -> None:
    response = Old.as_view()(RequestFactory().get(f"/{query}"))
    assert (response.status_code, announced(response)) == (status, HEADERS)


def test_end_of_a_parameter_is_announced_to_whoever_uses_it() -> None:
    ask = OldParameter.as_view()
    assert announced(ask(RequestFactory().get("/?colour=red"))) == HEADERS
    assert announced(ask(RequestFactory().get("/?size=1"))) == {}


def test_end_is_described() -> None:
    operation = described(Old)
    assert operation["operationId"] == "old"
    assert operation["deprecated"] is True
    assert set(operation["responses"]["200"]["headers"]) >= set(HEADERS)
    assert _operation("/api/v1/old/", "get", operation).is_deprecated


def test_end_of_a_parameter_is_described() -> None:
    operation = described(OldParameter)
    assert "deprecated" not in operation
    assert [(entry["name"], entry["deprecated"]) for entry in operation["parameters"]] == [("colour", True)]
    (shown,) = _operation("/api/v1/old/", "get", operation).parameters
    assert shown.is_deprecated


def test_end_within_a_year_is_refused() -> None:
    with pytest.raises(ValueError, match="365 days"):
        deprecated(since=SINCE, sunset=date(2027, 5, 31))


def test_whatever_is_deprecated_says_until_when() -> None:
    for _path, operation in operations(document()):
        if operation.get("deprecated"):
            assert {"Deprecation", "Sunset"} <= set(operation["responses"]["200"]["headers"])

"""What the OpenAPI description says of errors, of headers, and of answers with fewer fields."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from django.utils.decorators import method_decorator
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiJsonRenderer2, OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from certportal.api import examples
from registry.caching import public_page

PROBLEM_TYPE = "application/problem+json"
METHODS = ("get", "put", "post", "patch", "delete")


class ProblemErrorSerializer(serializers.Serializer[None]):
    """One error and the place it concerns."""

    path = serializers.CharField(help_text="Parameter or field; empty for the request as a whole.")
    code = serializers.CharField()
    message = serializers.CharField()


class ProblemFindingSerializer(serializers.Serializer[None]):
    """What the rules say of one place in a submission."""

    code = serializers.CharField()
    severity = serializers.ChoiceField(choices=["error", "warning"])
    message = serializers.CharField()
    path = serializers.CharField()
    line = serializers.IntegerField(allow_null=True)
    column = serializers.IntegerField(allow_null=True)


@extend_schema_serializer(examples=[examples.PROBLEM])
class ProblemSerializer(serializers.Serializer[None]):
    """A problem document (RFC 9457), served as `application/problem+json`."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="Stable, for programs.")
    detail = serializers.CharField(help_text="For people.")
    errors = ProblemErrorSerializer(many=True, required=False)  # type: ignore[assignment]
    problems = ProblemFindingSerializer(
        many=True, required=False, help_text="Where a document or a submission has errors."
    )


PROBLEM = {(code, PROBLEM_TYPE): ProblemSerializer for code in (400, 404)}


# --- What holds for every operation -------------------------------------------------------------------

# Why an answer has this code, where the operation itself does not say it.
REASONS = {
    "400": "The request has errors; `errors` names each.",
    "401": "No token, or one that does not open this.",
    "403": "Whoever made the token, or its scope, may not do that.",
    "404": "There is no such thing, no such page, or it is not yours to see.",
    "406": "`Accept` leaves out every form that there is.",
    "409": "It conflicts with how things stand; `code` says how.",
    "413": "The body or the file is too large.",
    "415": "`Content-Type` is none of those listed, or is missing.",
    "422": "It can be read, but not taken; `code` says why.",
    "503": "The portal cannot sign at the moment.",
}
CACHING = {
    "ETag": {
        "schema": {"type": "string"},
        "description": "Send it as `If-None-Match`: 304 where nothing is new. Absent with a cookie.",
    },
    "Last-Modified": {
        "schema": {"type": "string"},
        "description": "When the registry last changed, or the day began.",
    },
    "Cache-Control": {
        "schema": {"type": "string"},
        "description": "For how long anyone may keep it: a minute at most, never past midnight UTC.",
    },
}
CHALLENGE = {
    "WWW-Authenticate": {
        "schema": {"type": "string"},
        "required": True,
        "description": "The scheme of tokens: Bearer.",
    }
}


def describe_everywhere(result: dict[str, Any], generator: Any, **_more: Any) -> dict[str, Any]:
    """Add to each operation what holds for all of its kind: errors, headers, answers with fewer fields."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    for described in schemas.values():
        _describe_what_is_empty(described)
    for _path, operation in operations(result):
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "query":
                # As a form sends what was not filled in.
                parameter["allowEmptyValue"] = True
        _describe_errors(operation)
        if is_public(operation):
            operation["responses"]["200"].setdefault("headers", {}).update(CACHING)
            operation["responses"]["304"] = {"description": "Nothing is new since the `ETag` that was sent."}
        if any(entry["name"] == "fields" for entry in operation.get("parameters", ())):
            for media in operation["responses"]["200"]["content"].values():
                media["schema"] = _fewer_fields(media["schema"], schemas)
        operation["responses"] = dict(sorted(operation["responses"].items()))
    return result


def _describe_what_is_empty(described: dict[str, Any]) -> None:
    """Say that a text may be empty so that whoever checks an answer, and whoever reads this, can follow."""
    if described.get("enum") == [""]:
        described["description"] = "An empty text: there is no value."
    for field in described.get("properties", {}).values():
        # No text, or an address: for whoever does not check what an address is, no text is both.
        if {"type": "string", "maxLength": 0} in field.get("oneOf", ()):
            field["anyOf"] = field.pop("oneOf")


def _describe_errors(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for code in _further_errors(operation):
        content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        responses.setdefault(code, {"content": content})
    for code, answer in responses.items():
        if not answer.get("description"):
            answer["description"] = REASONS.get(code, "")
        if code == "401":
            answer["headers"] = CHALLENGE


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every operation of a description with its path."""
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                yield path, methods[method]


def is_public(operation: dict[str, Any]) -> bool:
    """Whether it is answered without a token."""
    return {} in operation.get("security", [{}])


def _further_errors(operation: dict[str, Any]) -> set[str]:
    parameters = operation.get("parameters", ())
    found = set()
    if any(entry["in"] == "query" for entry in parameters):
        found.add("400")
    if any(entry["in"] == "path" or entry["name"] == "page" for entry in parameters):
        found.add("404")
    if "requestBody" in operation:
        found |= {"400", "413", "415"}
    good = [answer for code, answer in operation["responses"].items() if code.startswith("2")]
    if all(set(answer.get("content", ())) == {"application/json"} for answer in good):
        found.add("406")
    return found


def _fewer_fields(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The same, or with any of its fields left out."""
    if "items" in schema:
        return {**schema, "items": _fewer_fields(schema["items"], schemas)}
    name = schema.get("$ref", "").rpartition("/")[2]
    if not name:
        return schema
    if name.startswith("Paginated"):
        results = schemas[name]["properties"]["results"]
        results["items"] = _fewer_fields(results["items"], schemas)
        return schema
    described = dict(schemas[name])
    described.pop("required", None)
    described["description"] = f"The fields of {name} that `fields` asked for."
    schemas[f"Selected{name}"] = described
    return {"anyOf": [schema, {"$ref": f"#/components/schemas/Selected{name}"}]}


# --- The description itself -----------------------------------------------------------------------------


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The description; made once, since the API does not change while it runs."""
    generator: Any = SchemaGenerator()  # type: ignore[no-untyped-call]
    made: dict[str, Any] = generator.get_schema(request=None, public=True)
    return made


class SchemaNegotiation(DefaultContentNegotiation):
    """`format` chooses between YAML and JSON, and `Accept` where it says neither."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        asked = request.query_params.get("format", "")
        for renderer in renderers:
            if renderer.format == asked:
                return renderer, renderer.media_type
        return super().select_renderer(request, renderers, format_suffix)


class SchemaYaml(OpenApiYamlRenderer):
    """The type that most readers know stands in the answer, too."""

    format = "yaml"
    media_type = "application/yaml"


class SchemaJson(OpenApiJsonRenderer2):
    format = "json"


@method_decorator(public_page, name="dispatch")
class SchemaView(APIView):
    """This description of the API, as YAML or as JSON."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = SchemaNegotiation
    renderer_classes = (OpenApiYamlRenderer, SchemaYaml, OpenApiJsonRenderer, SchemaJson)

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response(document())

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Problems are JSON, whatever the description would have been."""
        finished = super().finalize_response(request, response, *args, **kwargs)
        if finished.status_code >= 400:  # noqa: PLR2004 - an error
            finished.accepted_renderer = JSONRenderer()
        return finished

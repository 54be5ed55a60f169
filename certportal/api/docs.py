"""The API as a page for people, made from the OpenAPI document; nothing is fetched from elsewhere."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from certportal.api.limits import policies
from certportal.api.schema import document
from registry.caching import public_page

ROOT = "/api/v1/"
# The order in which a reader meets the parts, and what they are called.
PARTS = {
    "certifications": "Certificates",
    "certified": "Was it certified on that day?",
    "status-lists": "Status lists",
    "changes": "Changes",
    "vendors": "Vendors",
    "requirements": "Requirements",
    "checklists": "Checklists",
    "statistics": "Statistics",
    "exports": "Exports",
    "submissions": "Submissions (with a token)",
    "verifications": "Verification runs (with a token)",
}


# How the OpenAPI document says in a description what each value means: for programs that show Markdown.
_MEANING = re.compile(r"^\* `(?P<word>[^`]*)` - (?P<meaning>.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Choice:
    """A value that may be given; `meaning` where the value does not say it itself."""

    word: str
    meaning: str = ""


class Choices(tuple[Choice, ...]):
    """All values that may be given."""

    __slots__ = ()

    @property
    def have_meanings(self) -> bool:
        return any(choice.meaning for choice in self)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an operation, or a field of a schema."""

    name: str
    place: str
    type: str
    required: bool
    description: SafeString
    choices: Choices
    is_deprecated: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation may answer with one code."""

    code: str
    words: str
    media_types: tuple[str, ...]
    schema: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address."""

    id: str
    method: str
    path: str
    summary: SafeString
    details: tuple[SafeString, ...]
    parameters: tuple[Parameter, ...]
    body: tuple[str, ...]
    sent: tuple[tuple[str, str], ...]
    """Examples of bodies, by media type."""
    answers: tuple[Answer, ...]
    example: str
    needs_token: bool
    is_deprecated: bool


@dataclass(slots=True)
class Part:
    """Operations on one kind of thing."""

    name: str
    title: str
    operations: list[Operation] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Schema:
    """A named thing in answers."""

    name: str
    description: SafeString
    fields: tuple[Parameter, ...]
    choices: Choices


def _reference(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def type_words(schema: dict[str, Any]) -> str:
    """A schema in a few words: ``string (date)``, ``list of Certification``."""
    if name := _reference(schema):
        return name
    for key in ("allOf", "oneOf", "anyOf"):
        if key in schema:
            return " or ".join(type_words(part) for part in schema[key])
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        return f"list of {type_words(schema.get('items', {}))}"
    words = f"{kind} ({schema['format']})" if "format" in schema else kind
    return f"{words} or null" if schema.get("nullable") else words


def _sentences(description: Any) -> SafeString:
    """A description without its lists of values, which are shown apart; code words as such."""
    parts = " ".join(_MEANING.sub("", str(description or "")).split()).split("`")
    if len(parts) % 2 == 0:
        # A sign that stands alone marks nothing.
        return escape("`".join(parts))
    return format_html_join(
        "",
        "{}",
        ((format_html("<code>{}</code>", part) if place % 2 else part,) for place, part in enumerate(parts)),
    )


def _choices(schema: dict[str, Any], description: Any) -> Choices:
    """The values that `schema` names, with what `description` says of them."""
    words = schema.get("enum") or schema.get("items", {}).get("enum", ())
    meanings = {
        found["word"]: found["meaning"].strip() for found in _MEANING.finditer(str(description or ""))
    }
    return Choices(
        Choice(word, _meaning(word, meanings.get(word, "")))
        for word in (str(each) for each in words if each not in {"", None})
    )


def _meaning(word: str, meaning: str) -> str:
    """Nothing where it is the same word with a capital letter."""
    return "" if meaning.casefold() == word.replace("_", " ").casefold() else meaning


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _operation(path: str, method: str, said: dict[str, Any]) -> Operation:
    paragraphs = [_sentences(part) for part in said.get("description", "").split("\n\n")]
    answers = []
    example = ""
    for code, answer in sorted(said.get("responses", {}).items()):
        content = answer.get("content", {})
        first: dict[str, Any] = next(iter(content.values()), {})
        words = HTTPStatus(int(code)).phrase if code.isdigit() else code
        answers.append(Answer(code, words, tuple(content), type_words(first["schema"]) if first else ""))
        for shown in first.get("examples", {}).values() if code.startswith("2") else ():
            example = example or _written(shown["value"])
    bodies = said.get("requestBody", {}).get("content", {})
    return Operation(
        id=said["operationId"],
        method=method.upper(),
        path=path,
        summary=paragraphs[0],
        details=tuple(paragraphs[1:]),
        parameters=tuple(
            Parameter(
                entry["name"],
                entry["in"],
                type_words(entry.get("schema", {})),
                bool(entry.get("required")),
                _sentences(entry.get("description")),
                _choices(entry.get("schema", {}), entry.get("description")),
                bool(entry.get("deprecated")),
            )
            for entry in sorted(said.get("parameters", ()), key=lambda entry: entry["in"] != "path")
        ),
        body=tuple(bodies),
        sent=tuple(
            (media_type, _written(shown["value"]))
            for media_type, content in bodies.items()
            for shown in content.get("examples", {}).values()
        ),
        answers=tuple(answers),
        example=example,
        needs_token=bool(said.get("security")) and {} not in said["security"],
        is_deprecated=bool(said.get("deprecated")),
    )


def _schema(name: str, said: dict[str, Any]) -> Schema:
    required = set(said.get("required", ()))
    return Schema(
        name,
        _sentences(said.get("description")),
        tuple(
            Parameter(
                field_name,
                "",
                type_words(entry),
                field_name in required,
                _sentences(entry.get("description")),
                _choices(entry, entry.get("description")),
            )
            for field_name, entry in said.get("properties", {}).items()
        ),
        _choices(said, said.get("description")),
    )


@lru_cache(maxsize=1)
def described() -> tuple[tuple[Part, ...], tuple[Schema, ...]]:
    """Every operation by part, and every schema; made once, since the API does not change while it runs."""
    said = document()
    parts = {name: Part(name, title) for name, title in PARTS.items()}
    for path, methods in said["paths"].items():
        name = path.removeprefix(ROOT).partition("/")[0]
        part = parts.setdefault(name, Part(name, name.capitalize()))
        part.operations += [_operation(path, method, each) for method, each in methods.items()]
    schemas = said.get("components", {}).get("schemas", {})
    return (
        tuple(part for part in parts.values() if part.operations),
        tuple(_schema(name, said) for name, said in sorted(schemas.items())),
    )


@require_safe
@public_page
def api_docs(request: HttpRequest) -> HttpResponse:
    """Everything the API offers, to be read."""
    parts, schemas = described()
    context = {
        "section": "api",
        "parts": parts,
        "schemas": schemas,
        "policies": [policy for policy in policies().values() if policy.quota],
        "window": settings.API_RATE_WINDOW,
    }
    return render(request, "api/docs.html", context)

"""Collects what the public pages say, keeps the translations in step with it, and compiles them.

Run by ``make translations``. Nothing but Python is needed: templates are read by Django's own parser, code
as a syntax tree, and Babel reads and writes the files.
"""

from __future__ import annotations

import ast
import io
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ("ja", "zh_Hans")
# The workspace, the review and the outbox speak English only.
ENGLISH_ONLY = ("templates/submissions/", "templates/admin/", "templates/outbox/", "templates/api/")
CODE = ("certportal", "registry")
# Seen in the admin or by programs.
ENGLISH_CODE = (
    *("certportal/admin.py", "certportal/records.py", "certportal/outbox/", "certportal/api/"),
    *("certportal/accounts/models.py", "registry/admin.py", "registry/api/"),
)
_MADE = datetime(2026, 11, 28, tzinfo=UTC)
_PLACE = re.compile(r"%\((\w+)\)[sd]")
# Which arguments of the functions are what.
_FUNCTIONS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop"), ("text",)),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), ("text", "plural")),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ("context", "text")),
    **dict.fromkeys(("npgettext", "npgettext_lazy"), ("context", "text", "plural")),
}


@dataclass(frozen=True, slots=True, order=True)
class Said:
    """One message: as English has it, in the plural where it counts, and what tells it from others alike."""

    text: str
    plural: str = ""
    context: str = ""


def catalogue_path(language: str) -> Path:
    return ROOT / "locale" / language / "LC_MESSAGES" / "django.po"


# --- What is said -------------------------------------------------------------------------------------


def said_in_code(source: str, *, is_models: bool = False) -> Iterator[Said]:
    """Messages in Python: calls with nothing but literals. Of models only their choices reach a page."""
    tree: ast.AST = ast.parse(source)
    if is_models:
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        chosen = [node for node in classes if any("TextChoices" in ast.dump(base) for base in node.bases)]
        tree = ast.Module(body=[*chosen], type_ignores=[])
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        roles = _FUNCTIONS.get(name, ())
        texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        if roles and len(texts) >= len(roles) and all(isinstance(text, str) for text in texts[: len(roles)]):
            yield Said(**dict(zip(roles, texts, strict=False)))


def said_in_template(template: Any) -> Iterator[Said]:
    """Messages in a parsed template, wherever they stand in it."""
    # The things themselves are kept with their numbers, which Python would give to others otherwise.
    seen: dict[int, Any] = {}
    waiting = [template.nodelist]
    while waiting:
        thing = waiting.pop()
        if id(thing) not in seen:
            seen[id(thing)] = thing
            yield from _said_by(thing)
            waiting += _parts_of(thing)


def _said_by(thing: Any) -> Iterator[Said]:
    from django.template.base import FilterExpression
    from django.templatetags.i18n import BlockTranslateNode, TranslateNode
    from django.utils.functional import Promise

    if isinstance(thing, TranslateNode):
        context = thing.message_context.var if thing.message_context else ""
        yield Said(thing.filter_expression.var.literal, context=str(context))
    elif isinstance(thing, BlockTranslateNode):
        plural = thing.render_token_list(thing.plural)[0] if thing.plural else ""
        yield Said(thing.render_token_list(thing.singular)[0], plural)
    elif isinstance(thing, FilterExpression):
        arguments = [argument for _function, given in thing.filters for _is_name, argument in given]
        # A literal in _() is a promise of its translation by now.
        yield from (Said(str(text)) for text in [thing.var, *arguments] if isinstance(text, Promise))


def _parts_of(thing: Any) -> list[Any]:
    from django.template.base import Node
    from django.template.smartif import TokenBase

    if isinstance(thing, dict):
        return list(thing.values())
    if isinstance(thing, list | tuple):
        return list(thing)
    # Conditions are operators and literals; their sides are attributes like the parts of a node.
    return list(vars(thing).values()) if isinstance(thing, Node | TokenBase) else []


def said_by_engine() -> Iterator[Said]:
    """What the engine calls its requirements and says of its checks; it knows no languages itself."""
    from conformance import catalogue, checks
    from registry.templatetags.portal import category_title

    for requirement in catalogue.REQUIREMENTS.values():
        yield Said(requirement.title)
    for checklist in catalogue.builtin_checklists().values():
        for category in checklist.categories:
            yield Said(category_title(category.key))
    for check in checks.info():
        yield Said(check.observes)


def everything_said() -> dict[Said, list[str]]:
    """Every message, and the files it stands in."""
    from django.template.loader import get_template
    from django.utils import translation

    found: dict[Said, set[str]] = {}

    def keep(messages: Iterable[Said], place: str) -> None:
        for message in messages:
            found.setdefault(message, set()).add(place)

    with translation.override("en"):
        for path in sorted((ROOT / "templates").rglob("*.*")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(ENGLISH_ONLY):
                template: Any = get_template(name.removeprefix("templates/"))
                keep(said_in_template(template.template), name)
        for package in CODE:
            for path in sorted((ROOT / package).rglob("*.py")):
                name = path.relative_to(ROOT).as_posix()
                if not (name.startswith(ENGLISH_CODE) or path.name == "admin.py"):
                    keep(said_in_code(path.read_text(), is_models="models" in path.stem), name)
        keep(said_by_engine(), "conformance")
    return {message: sorted(places) for message, places in sorted(found.items())}


# --- The files -------------------------------------------------------------------------------------------


def read(language: str) -> Catalog:
    """The translations as they are kept."""
    with catalogue_path(language).open("rb") as file:
        return read_po(file, locale=language)


def key_of(message: Message) -> Said:
    """What a message of a file translates."""
    ids = message.id if isinstance(message.id, tuple) else (message.id, "")
    return Said(ids[0], ids[1], message.context or "")


def in_step(language: str, known: Catalog) -> Catalog:
    """A catalogue of everything that is said, with the translations that are known."""
    catalog = Catalog(
        locale=language,
        project="certportal",
        version="1",
        header_comment=f"# The public pages in {language}. The words to use stand in ../../README.md.",
        msgid_bugs_address="certportal",
        last_translator="certportal",
        language_team=language,
        creation_date=_MADE,
        revision_date=_MADE,
        fuzzy=False,
    )
    translations = {key_of(message): message.string for message in known if message.id}
    for said, places in everything_said().items():
        catalog.add(
            (said.text, said.plural) if said.plural else said.text,
            translations.get(said, ("",) if said.plural else ""),
            locations=[(place, 0) for place in places],
            context=said.context or None,
        )
    return catalog


def written(catalog: Catalog) -> bytes:
    """The catalogue as its file holds it."""
    buffer = io.BytesIO()
    write_po(buffer, catalog, width=100, include_lineno=False)
    return buffer.getvalue()


def compiled(catalog: Catalog) -> bytes:
    """What the portal reads at run time."""
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def untranslated(catalog: Catalog) -> list[str]:
    """What has no translation, or one that somebody should look at again."""
    return [
        key_of(message).text
        for message in catalog
        if message.id and (message.fuzzy or not all(_strings(message)))
    ]


def placeholders(text: str) -> list[str]:
    """The names and the elements that a translation has to keep."""
    return sorted([*_PLACE.findall(text), *re.findall(r"<[^>]*>", text)])


def astray(catalog: Catalog) -> list[str]:
    """Translations with other placeholders or elements than their English."""
    found = []
    for message in catalog:
        said = key_of(message)
        # Languages without a plural translate the plural, which names the number.
        wanted = placeholders(said.plural or said.text)
        if said.text and any(placeholders(text) != wanted for text in _strings(message)):
            found.append(said.text)
    return found


def _strings(message: Message) -> tuple[str, ...]:
    return tuple(message.string) if isinstance(message.string, list | tuple) else (message.string,)


def main() -> int:
    """Bring every file into step with what is said, and compile it."""
    django.setup()
    missing = 0
    for language in LANGUAGES:
        path = catalogue_path(language)
        path.parent.mkdir(parents=True, exist_ok=True)
        catalog = in_step(language, read(language) if path.exists() else Catalog(locale=language))
        path.write_bytes(written(catalog))
        path.with_suffix(".mo").write_bytes(compiled(read(language)))
        for text in untranslated(catalog):
            missing += 1
            sys.stdout.write(f"{language}: no translation of {text!r}\n")
    return min(missing, 1)


if __name__ == "__main__":
    sys.exit(main())

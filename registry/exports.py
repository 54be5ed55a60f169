"""Everything the registry publishes, as files: written row by row, so that size costs time and not memory."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import yaml
from django.conf import settings
from django.db.models import Prefetch
from rest_framework import serializers

from registry.models import Certificate, CertificateEvent, CertificateRequirement, Requirement, Tally
from registry.overviews import certified
from registry.querysets import CertificateQuerySet
from registry.tallies import TallyOn

CHUNK = 500  # rows read at a time
Row = Mapping[str, Any]
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
# What a spreadsheet would take for a formula gets an apostrophe before it: the text is a vendor's. So does
# text that begins with an apostrophe, and whoever takes away one from every text has what was there before.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n", "'")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one kind. `columns` are their fields, those of mappings spread out."""

    columns: tuple[str, ...]
    rows: Iterable[Row]


@dataclass(frozen=True, slots=True)
class Form:
    """A file format: its media type, and how a table is written."""

    media_type: str
    write: Callable[[Table], Iterator[str]]


def _as_json(table: Table) -> Iterator[str]:
    before = "[\n"
    for row in table.rows:
        yield before + json.dumps(row, ensure_ascii=False)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _as_json_lines(table: Table) -> Iterator[str]:
    for row in table.rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _as_yaml(table: Table) -> Iterator[str]:
    nothing = True
    for row in table.rows:
        nothing = False
        yield yaml.dump([dict(row)], Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=110)
    if nothing:
        yield "[]\n"


def _as_csv(table: Table) -> Iterator[str]:
    """Lists stand in one cell, as JSON; mappings get a column each."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(table.columns)
    for row in table.rows:
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        flat = dict(_flat(row))
        writer.writerow(_cell(flat[name]) for name in table.columns)
    yield buffer.getvalue()


def _flat(row: Row, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}_")
        else:
            yield f"{before}{name}", value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return str(value)


FORMS: dict[str, Form] = {
    "csv": Form("text/csv; charset=utf-8; header=present", _as_csv),
    "json": Form("application/json", _as_json),
    "jsonl": Form("application/jsonl; charset=utf-8", _as_json_lines),
    "yaml": Form("application/yaml; charset=utf-8", _as_yaml),
}


# --- Tables -------------------------------------------------------------------------------------------


def table(serializer: Any, found: Iterable[Any]) -> Table:
    """What is found, as the API shows it."""
    rows = (_plain(serializer.to_representation(row)) for row in found)
    return Table(tuple(_columns(serializer)), rows)


def _columns(serializer: Any, before: str = "") -> Iterator[str]:
    for name, field in serializer.fields.items():
        if isinstance(field, serializers.Serializer):
            yield from _columns(field, f"{before}{name}_")
        else:
            yield f"{before}{name}"


def _plain(data: Any) -> Any:
    """What DRF answers, in plain types that every format knows."""
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if isinstance(data, bool | int | float) or data is None:
        return data
    return str(data)


def certificates(found: Any) -> Iterator[Certificate]:
    """Those of the query set, with all that belongs to them."""
    rows = found.select_related("supersedes").prefetch_related(
        *("requirements", "history"),
        Prefetch("successors", Certificate.objects.only("number", "issued_on", "supersedes")),
    )
    chunks: Iterator[Certificate] = rows.iterator(chunk_size=CHUNK)
    return chunks


def certified_requirements(today: date) -> Iterator[CertificateRequirement]:
    """What every certificate says of each of its requirements, by certificate."""
    rows = CertificateRequirement.objects.filter(certificate__issued_on__lte=today)
    return (
        rows.select_related("certificate").order_by("certificate_id", "position").iterator(chunk_size=CHUNK)
    )


def changes(today: date) -> Iterator[CertificateEvent]:
    """The whole history of every public certificate, oldest first, as it was recorded."""
    rows = CertificateEvent.objects.filter(effective_on__lte=today, certificate__issued_on__lte=today)
    return rows.select_related("certificate").order_by("effective_on", "pk").iterator(chunk_size=CHUNK)


def checklist_requirements() -> Iterator[Requirement]:
    """Every requirement of every published checklist, all revisions."""
    rows = Requirement.objects.filter(checklist__published_at__isnull=False)
    return (
        rows.select_related("checklist", "category")
        .order_by("checklist__version", "checklist__revision", "position")
        .iterator(chunk_size=CHUNK)
    )


def vendors(tally: TallyOn, tally_of: Callable[[list[Tally]], None]) -> Iterator[Tally]:
    """Every vendor with a certificate, by name. `tally_of` is told of each chunk before it is shown."""
    rows = tally.shown("vendor").order_by("label", "value").iterator(chunk_size=CHUNK)
    while chunk := list(itertools.islice(rows, CHUNK)):
        tally_of(chunk)
        yield from chunk


# --- For landscapes --------------------------------------------------------------------------------------


def landscape(today: date) -> Iterator[str]:
    """What holds today in the form of a landscape file: a category, a subcategory for each version, items."""
    found: CertificateQuerySet = certified(today).filter(simulated=False)
    rows = found.order_by("-kubernetes_version", "platform_name", "platform_version", "pk")
    yield "landscape:\n  - category:\n    name: Certified Kubernetes AI platforms\n    subcategories:"
    version = None
    for certificate in rows.iterator(chunk_size=CHUNK):
        if certificate.kubernetes_version != version:
            version = certificate.kubernetes_version
            yield f"\n      - subcategory:\n        name: Kubernetes {version}\n        items:\n"
        item = {
            "item": None,
            "name": f"{certificate.platform_name} {certificate.platform_version}",
            "description": certificate.description,
            "homepage_url": certificate.website_url,
            "repo_url": certificate.repo_url,
            "logo": certificate.logo_url,
            "organization": {"name": certificate.vendor},
            "extra": {
                "certificate": certificate.number,
                "certificate_url": f"{settings.SITE_URL}{certificate.get_absolute_url()}",
                "configuration": certificate.configuration,
                "assurance": certificate.assurance,
                "accepted": certificate.issued_on.isoformat(),
                "expires": certificate.expires_on.isoformat(),
            },
        }
        kept = {name: value for name, value in item.items() if value or name == "item"}
        text = yaml.dump([kept], Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=110)
        # Only line feeds part lines: other signs that end one may stand in a name.
        yield "".join(f"          {line}\n" for line in text.removesuffix("\n").split("\n"))
    if version is None:
        yield " []\n"

"""What the registry says across certificates: the matrix, vendors, requirements, checklists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from django.db.models import Prefetch, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from conformance import catalogue
from conformance.checks import CheckInfo
from conformance.checks import info as checks_info
from registry.models import Certificate, CertificateRequirement, Checklist, FormerAddress, Requirement
from registry.querysets import CertificateQuerySet
from registry.tallies import TallyOn

# What a cell of the matrix can say: a key for its looks, the words in it, and what they mean.
CELLS: dict[str, tuple[Any, Any]] = {
    "verified": (_("Verified"), _("the portal ran the check and saw it pass")),
    "vendor_run": (_("Vendor ran"), _("the vendor ran our check and handed in the sealed report")),
    "attested": (_("Attested"), _("the vendor says so and names evidence")),
    "waived": (_("Waived"), _("reviewers accepted that it does not apply")),
    "failed": (_("Failed"), _("the check saw the platform not do it")),
    "partly": (_("Partly"), _("the vendor claims it in part")),
    "not": (_("No"), _("the vendor says it is not there")),
    "unclaimed": (_("Open"), _("nothing is claimed, or nobody could show it")),
    "absent": (_("Not asked"), _("not in the checklist of this certificate")),
}
# What can become of a requirement from one checklist to another.
DIFFERENCES: dict[str, Any] = {
    "added": _("New"),
    "removed": _("Removed"),
    "raised": _("SHOULD became MUST"),
    "lowered": _("MUST became SHOULD"),
    "reworded": _("Worded differently"),
    "moved": _("Moved to another category"),
}
_CELL_FIELDS = (
    "certificate",
    "requirement_id",
    "level",
    "claim",
    "verdict",
    "assurance",
    "waived",
    "position",
)


def shown_certificates(today: date) -> CertificateQuerySet:
    """Certificates with `status_on` today, from their own columns wherever those say it."""
    certificates: CertificateQuerySet = Certificate.objects.all()
    return certificates.standing(today) if certificates.settled(today) else certificates.listed(today)


def certified(today: date) -> CertificateQuerySet:
    """Those that hold today; suspended ones do not."""
    found = shown_certificates(today)
    certificates: CertificateQuerySet = Certificate.objects.all()
    if certificates.settled(today):
        return found.standing_as("active", today)
    return found.filter(Q(status_on="active"))


def cell_of(row: CertificateRequirement | None) -> str:
    """What the matrix says of a requirement on a certificate: a key of `CELLS`."""
    if row is None:
        return "absent"
    if row.waived:
        return "waived"
    if row.verdict == "fail":
        return "failed"
    if row.is_met:
        if row.verdict == "pass" and row.assurance in {"portal_verified", "vendor_run"}:
            return "verified" if row.assurance == "portal_verified" else "vendor_run"
        return "attested"
    return {"Partially Implemented": "partly", "Not Implemented": "not"}.get(row.claim, "unclaimed")


# --- The matrix ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """A requirement of the checklist, as a column."""

    id: str
    level: str


@dataclass(frozen=True, slots=True)
class Cell:
    """What a certificate says of a requirement, in a word. `key` decides its looks."""

    key: str

    @property
    def words(self) -> str:
        return str(CELLS[self.key][0])


def columns_of(version: str, certificates: Iterable[Certificate]) -> list[Column]:
    """The requirements of a checklist, in its order; those of the certificates where it is not published."""
    checklist = Checklist.objects.current().filter(version=version).prefetch_related("requirements").first()
    if checklist:
        return [Column(row.requirement_id, row.level) for row in checklist.requirements.all()]
    found: dict[str, Column] = {}
    for certificate in certificates:
        for row in certificate.requirements.all():
            found.setdefault(row.requirement_id, Column(row.requirement_id, row.level))
    return list(found.values())


def matrix_rows(version: str, today: date) -> CertificateQuerySet:
    """Certificates of a Kubernetes version that hold today, by vendor and platform."""
    rows = CertificateRequirement.objects.only(*_CELL_FIELDS)
    found: CertificateQuerySet = (
        certified(today)
        .filter(kubernetes_version=version)
        .prefetch_related(Prefetch("requirements", rows))
        .order_by("vendor", "platform_name", "platform_version", "pk")
    )
    return found


def cells_of(certificate: Certificate, columns: Sequence[Column]) -> list[Cell]:
    """One cell for each column."""
    rows = {row.requirement_id: row for row in certificate.requirements.all()}
    return [Cell(cell_of(rows.get(column.id))) for column in columns]


def versions_in_use(today: date) -> list[str]:
    """Kubernetes versions with certificates, newest first."""
    rows = TallyOn(today).shown("kubernetes_version")
    return sorted(rows.values_list("value", flat=True), key=catalogue.version_key, reverse=True)


# --- Vendors and platforms -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor with public certificates."""

    slug: str
    name: str


def find_vendor(slug: str, today: date) -> Vendor | None:
    """The vendor with this short form, as its newest public certificate names it."""
    newest = (
        Certificate.objects.published(today).filter(vendor_slug=slug).order_by("-issued_on", "-pk").first()
    )
    return Vendor(slug, newest.vendor) if newest else None


def present_address(vendor_slug: str, platform_slug: str = "") -> tuple[str, str] | None:
    """Where a former address leads today; None where it is none. Follows renames, never in circles."""
    seen: set[tuple[str, str]] = set()
    place = (vendor_slug, platform_slug)
    while place not in seen:
        seen.add(place)
        place = _one_step(*place) or place
    return place if place != (vendor_slug, platform_slug) else None


def _one_step(vendor_slug: str, platform_slug: str) -> tuple[str, str] | None:
    former = FormerAddress.objects.filter(vendor_slug=vendor_slug)
    if platform_slug:
        platform = former.filter(kind="platform", platform_slug=platform_slug).first()
        if platform:
            return platform.to_vendor_slug, platform.to_platform_slug
    vendor = former.filter(kind="vendor", platform_slug="").first()
    return (vendor.to_vendor_slug, platform_slug) if vendor else None


def former_slugs(vendor_slug: str) -> list[str]:
    """Short forms under which older certificates of this vendor were issued, and its own."""
    found = [vendor_slug]
    for slug in found:
        rows = FormerAddress.objects.filter(kind="vendor", to_vendor_slug=slug)
        found += [old for old in rows.values_list("vendor_slug", flat=True) if old not in found]
    return found


# --- Requirements ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wording:
    """A requirement as one published checklist words it."""

    version: str
    level: str
    description: str
    category: str
    is_new_wording: bool


@dataclass(frozen=True)
class RequirementPage:
    """Everything known of a requirement across the checklists."""

    id: str
    wordings: tuple[Wording, ...]

    @cached_property
    def info(self) -> catalogue.RequirementInfo | None:
        return catalogue.REQUIREMENTS.get(self.id)

    @cached_property
    def check(self) -> CheckInfo | None:
        """How it is checked; None where no check has been written."""
        return next((check for check in checks_info() if check.id == self.id), None)

    @property
    def newest(self) -> Wording | None:
        return self.wordings[0] if self.wordings else None

    @property
    def kinds(self) -> list[str]:
        return sorted(self.info.kinds) if self.info else []


def _published_requirements() -> QuerySet[Requirement]:
    return Requirement.objects.filter(checklist__in=Checklist.objects.current()).select_related(
        "checklist", "category"
    )


def requirement_page(requirement_id: str) -> RequirementPage | None:
    """What the published checklists say of a requirement, newest first; None where nobody knows it."""
    rows = sorted(
        _published_requirements().filter(requirement_id=requirement_id),
        key=lambda row: catalogue.version_key(row.checklist.version),
    )
    wordings: list[Wording] = []
    before = None
    for row in rows:
        wordings.append(
            Wording(
                row.checklist.version,
                row.level,
                row.description,
                row.category.key,
                is_new_wording=row.description != before,
            )
        )
        before = row.description
    if not wordings and requirement_id not in catalogue.REQUIREMENTS:
        return None
    return RequirementPage(requirement_id, tuple(reversed(wordings)))


@dataclass(frozen=True, slots=True)
class RequirementLine:
    """A requirement in the list of all: its level in each checklist that has it."""

    id: str
    levels: dict[str, str]
    kinds: tuple[str, ...]
    is_checked: bool
    met: int

    def level_in(self, version: str) -> str:
        return self.levels.get(version, "")


def requirement_lines(met: dict[str, int]) -> tuple[list[str], list[RequirementLine]]:
    """Versions of the published checklists, newest first, and every requirement in any of them."""
    levels: dict[str, dict[str, str]] = {}
    rows = _published_requirements()
    versions = sorted({row.checklist.version for row in rows}, key=catalogue.version_key, reverse=True)
    order = sorted(
        rows, key=lambda row: (versions.index(row.checklist.version), row.category.position, row.position)
    )
    for row in order:
        levels.setdefault(row.requirement_id, {})[row.checklist.version] = row.level
    checked = {check.id for check in checks_info()}
    lines = []
    for id_, of_versions in levels.items():
        info = catalogue.REQUIREMENTS.get(id_)
        kinds = tuple(sorted(info.kinds)) if info else ()
        lines.append(RequirementLine(id_, of_versions, kinds, id_ in checked, met.get(id_, 0)))
    return versions, lines


# --- Checklists -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of one requirement from one checklist to another."""

    id: str
    kind: str
    """``added``, ``removed``, ``raised`` (to MUST), ``lowered`` (to SHOULD), ``reworded`` or ``moved``."""
    before: str = ""
    after: str = ""

    @property
    def words(self) -> str:
        return str(DIFFERENCES[self.kind])


def differences(old: Checklist, new: Checklist) -> list[Difference]:
    """Everything that changed from `old` to `new`, in the order of the newer checklist, removals last."""
    before = {row.requirement_id: row for row in old.requirements.all()}
    after = {row.requirement_id: row for row in new.requirements.all()}
    # Wordings are compared only where both are the programme's own.
    comparable = old.source == new.source
    found = []
    for id_, row in after.items():
        former = before.get(id_)
        if former is None:
            found.append(Difference(id_, "added", after=row.description))
            continue
        if former.level != row.level:
            found.append(Difference(id_, "raised" if row.is_must else "lowered"))
        if comparable and former.description != row.description:
            found.append(Difference(id_, "reworded", former.description, row.description))
        if former.category.key != row.category.key:
            found.append(Difference(id_, "moved", former.category.key, row.category.key))
    found += [
        Difference(id_, "removed", before=row.description) for id_, row in before.items() if id_ not in after
    ]
    return found


def published_checklists() -> dict[str, Checklist]:
    """The newest revision of each published checklist by version, oldest first, with its requirements."""
    rows = Checklist.objects.current().prefetch_related("requirements__category")
    return {row.version: row for row in sorted(rows, key=lambda row: catalogue.version_key(row.version))}

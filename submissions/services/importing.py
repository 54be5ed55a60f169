"""Taking over what exists: published checklists, and submissions from folders of YAML."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from django.db import transaction

from certportal.accounts.models import User
from conformance import catalogue, document, rules
from registry import services as registry
from registry.models import Assurance, Certificate, Checklist
from submissions.models import Organization, Submission
from submissions.services import drafting
from submissions.services.organizations import create_configuration, create_platform

NAMESPACE = uuid.UUID("6b1f6f0a-33c9-5c0e-9a35-0d8a2f4d5c11")
IMPORTER_EMAIL = "import@certportal.invalid"
IDENTITY = ("platformName", "platformVersion", "vendorName", "kubernetesVersion")
PRODUCT_FILE = "PRODUCT.yaml"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A line of the table: what became of one file, and why."""

    name: str
    result: str  # imported, unchanged or refused
    detail: str


def import_checklists(folder: Path) -> Iterator[Outcome]:
    """Publish every checklist in `folder`; one whose content is known already stays as it is."""
    for path in sorted(folder.glob("*.y*ml")):
        try:
            checklist = catalogue.load_checklist(path.read_bytes())
        except (catalogue.ChecklistError, OSError) as error:
            yield Outcome(path.name, "refused", str(error))
            continue
        row, is_new = registry.publish_checklist(checklist=checklist, source=Checklist.Source.PROGRAMME)
        count = row.requirements.count()
        yield Outcome(
            path.name, "imported" if is_new else "unchanged", f"checklist {row}, {count} requirements"
        )


def product_files(folder: Path) -> list[Path]:
    """The PRODUCT.yaml files in the layout ``vX.Y/<product>/PRODUCT.yaml``, links out of it left aside."""
    root = folder.resolve()
    return [
        path
        for path in sorted(folder.glob(f"v*/*/{PRODUCT_FILE}"))
        if path.is_file() and path.resolve().is_relative_to(root)
    ]


def import_submissions(folder: Path, *, certified_on: date | None) -> Iterator[Outcome]:
    """Import every record below `folder`, each in a transaction of its own.

    Without a date they become drafts of their vendors. With one they are recorded as certified on
    that date by the programme that published them: self-attested, imported, with what the rules say
    of them kept as findings. Only what cannot be told apart or read is refused: a record that was
    published stays on record, whatever today's rules say of it.
    """
    checklists = {row.version: row for row in Checklist.objects.current()}
    judged_against = {version: row.as_catalogue() for version, row in checklists.items()}
    for path in product_files(folder):
        name = f"{path.parent.parent.name}/{path.parent.name}"
        try:
            data = path.read_bytes()
        except OSError as error:
            yield Outcome(name, "refused", f"cannot be read: {error.strerror}")
            continue
        judgement = rules.judge(
            data,
            judged_against,
            folder_version=path.parent.parent.name,
            files=rules.FolderFiles(path.parent),
        )
        refusal = _refusal(judgement, checklists)
        if refusal:
            yield Outcome(name, "refused", refusal)
            continue
        checklist = checklists[str(judgement.checklist)]
        with transaction.atomic():
            if certified_on is None:
                yield _import_draft(name, data, judgement, checklist)
            else:
                yield _import_certificate(name, judgement, checklist, certified_on)


def _refusal(judgement: rules.Judgement, checklists: dict[str, Checklist]) -> str:
    """Why a record cannot be imported at all, or ""."""
    product = judgement.product
    errors = [problem for problem in judgement.problems if problem.severity == document.Severity.ERROR]
    if product is None:
        return errors[0].message if errors else "nothing in it can be read"
    missing = [name for name in IDENTITY if not product.metadata.get(name)]
    if missing:
        return f"lacks {', '.join(missing)}, without which it cannot be told apart"
    if judgement.checklist not in checklists:
        known = ", ".join(sorted(checklists)) or "none; run import_checklists first"
        return f"no checklist for {product.metadata['kubernetesVersion']} is published (there is: {known})"
    mismatch = [problem.message for problem in errors if problem.code == "version_folder_mismatch"]
    if mismatch:
        return mismatch[0]
    if not product.claims:
        return "says nothing of any requirement"
    return ""


def _counted(judgement: rules.Judgement) -> str:
    errors = sum(problem.severity == document.Severity.ERROR for problem in judgement.problems)
    warnings = len(judgement.problems) - errors
    return f"{errors} error{'' if errors == 1 else 's'}, {warnings} warning{'' if warnings == 1 else 's'}"


def _source(name: str, version: str) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, f"{version}/{name.split('/', 1)[1]}")


def _importer() -> User:
    user = User.objects.filter(email=IMPORTER_EMAIL).first()
    if user is None:
        user = User.objects.create_user(IMPORTER_EMAIL, None, name="Import", is_active=False)
    return user


def _organization(name: str) -> Organization:
    found = Organization.objects.filter(name__iexact=name).first()
    if found is not None:
        return found
    slug = registry.address_name(name)
    if Organization.objects.filter(slug=slug).exists():
        slug = f"{slug[:68]}-{uuid.uuid5(NAMESPACE, name).hex[:8]}"
    return Organization.objects.create(name=name, slug=slug)


def _import_draft(name: str, data: bytes, judgement: rules.Judgement, checklist: Checklist) -> Outcome:
    source = _source(name, checklist.version)
    if Submission.objects.filter(uuid=source).exists():
        return Outcome(name, "unchanged", "a draft of it is there already")
    product = judgement.product
    assert product is not None  # noqa: S101 - _refusal has seen to it
    metadata = drafting.storable(product.metadata)
    actor = _importer()
    organization = _organization(metadata["vendorName"][:200])
    platform = organization.platforms.filter(name__iexact=metadata["platformName"][:200]).first()
    platform = platform or create_platform(
        organization=organization,
        actor=actor,
        name=metadata["platformName"][:200],
        description=metadata.get("description", ""),
        base_platform=metadata.get("basePlatform", "")[:200],
    )
    wanted = metadata.get("configuration", "default")[:120]
    configuration = platform.configurations.filter(name=wanted).first() or create_configuration(
        platform=platform, name=wanted
    )
    submission = drafting.create_submission(
        actor=actor, configuration=configuration, checklist=checklist, uuid=source
    )
    drafting.fill_from_document(submission=submission, actor=actor, data=data)
    return Outcome(name, "imported", f"draft against checklist {checklist.version}; {_counted(judgement)}")


def _import_certificate(name: str, judgement: rules.Judgement, checklist: Checklist, on: date) -> Outcome:
    source = _source(name, checklist.version)
    existing = Certificate.objects.filter(source=source).first()
    if existing is not None:
        return Outcome(name, "unchanged", f"{existing.number} is on record already")
    product = judgement.product
    assert product is not None  # noqa: S101 - _refusal has seen to it
    metadata = drafting.storable(product.metadata)
    snapshot = registry.CertificateSnapshot(
        vendor=metadata["vendorName"][:200],
        platform_name=metadata["platformName"][:200],
        platform_version=metadata["platformVersion"][:100],
        configuration=metadata.get("configuration", "default")[:120],
        kubernetes_version=checklist.version,
        checklist_revision=checklist.revision,
        checklist_digest=checklist.digest,
        assurance=Assurance.SELF_ATTESTED,
        requirements=[
            _attested(requirement, category, product.claims.get(requirement.id))
            for category, requirement in checklist.as_catalogue().requirements()
        ],
        description=metadata.get("description", ""),
        website_url=_link(metadata, "websiteUrl"),
        documentation_url=_link(metadata, "documentationUrl"),
        repo_url=_link(metadata, "repoUrl"),
        logo_url=_link(metadata, "productLogoUrl"),
        base_conformance_url=_link(metadata, "k8sConformanceUrl"),
        base_platform=metadata.get("basePlatform", "")[:200],
        imported=True,
        findings=drafting.storable([problem.as_dict() for problem in judgement.problems]),
        source=source,
    )
    twin = registry.live_twin(snapshot)
    if twin is not None:
        return Outcome(
            name, "refused", f"the same platform, version and configuration is on record as {twin.number}"
        )
    certificate = registry.issue_certificate(snapshot=snapshot, on=on)
    return Outcome(name, "imported", f"{certificate.number}, certified on {on}; {_counted(judgement)}")


def _link(metadata: dict[str, str] | object, name: str) -> str:
    """A web address short enough to keep, or "": a page must never offer another kind of link."""
    text = metadata.get(name, "") if isinstance(metadata, dict) else ""
    return text if text.startswith(("https://", "http://")) and len(text) <= 500 else ""  # noqa: PLR2004


def _attested(
    requirement: catalogue.Requirement, category: catalogue.Category, claim: document.Claim | None
) -> registry.RequirementSnapshot:
    claim = claim or document.Claim(requirement.id, category.key)
    return registry.RequirementSnapshot(
        requirement_id=requirement.id,
        category=category.key,
        description=requirement.description,
        level=requirement.level,
        claim=drafting.storable(claim.status)[:40],
        notes=drafting.storable(claim.notes),
        evidence=drafting.storable(claim.evidence),
        assurance=Assurance.SELF_ATTESTED if claim.status == document.IMPLEMENTED else "",
    )

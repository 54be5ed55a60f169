"""Filling in a submission: by form, by upload, by API. What is typed is kept, however wrong it is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID, uuid4

from django.core.files.base import ContentFile
from django.db import transaction

from certportal.accounts.models import User
from conformance import catalogue, document, rules
from registry.models import Checklist
from submissions.errors import ApplicantError, StaleState
from submissions.models import Claim, Configuration, EvidenceFile, Organization, Submission
from submissions.services.events import record_event
from submissions.services.organizations import create_configuration, create_platform

MAX_FILE_BYTES = 20 * 1024 * 1024
MAX_FILES = 100
MAX_FOLDERS_DEEP = 5
SAFE_NAME = re.compile(r"[\w.][\w .()+@-]*")
UNDECIDABLE_NAMES = {".", ".."}
EDITED_FIELDS = ("status", "evidence", "notes", "met_by")


class AttachedFiles:
    """The files attached to a submission, as the rules read them."""

    def __init__(self, submission: Submission) -> None:
        self._files = {file.name: file for file in submission.files.all()}

    def read(self, name: str) -> bytes | None:
        """The file's bytes; None when no such file is attached."""
        file = self._files.get(str(PurePosixPath(name)))
        if file is None:
            return None
        with file.content.open("rb") as content:
            return bytes(content.read())


def checklist_for(version_text: str) -> Checklist:
    """The current checklist for a Kubernetes version such as ``v1.35.3``."""
    version = catalogue.minor_version(version_text)
    checklist = Checklist.objects.current().filter(version=version).first() if version else None
    if checklist is None:
        known = ", ".join(Checklist.objects.current().values_list("version", flat=True).order_by("version"))
        raise ApplicantError(
            "unknown_checklist",
            f"There is no checklist for Kubernetes {version_text or '(no version given)'}. "
            f"Set kubernetesVersion to one of: {known or 'none is published yet'}.",
        )
    return checklist


@transaction.atomic
def create_submission(
    *,
    actor: User,
    configuration: Configuration,
    checklist: Checklist,
    metadata: Mapping[str, str] | None = None,
    uuid: UUID | None = None,
) -> Submission:
    """Start a draft against `checklist`, with an empty claim for every requirement."""
    platform = configuration.platform
    filled = {
        "kubernetesVersion": f"v{checklist.version}",
        "platformName": platform.name,
        "vendorName": platform.organization.name,
        "websiteUrl": platform.organization.website_url,
        "description": platform.description,
        "contactEmailAddress": actor.email,
        "basePlatform": platform.base_platform,
    }
    filled |= metadata or {}
    submission = Submission.objects.create(
        uuid=uuid or uuid4(),
        configuration=configuration,
        checklist=checklist,
        created_by=actor,
        metadata={name: text for name, text in filled.items() if text},
    )
    Claim.objects.bulk_create(
        Claim(submission=submission, requirement=requirement) for requirement in checklist.requirements.all()
    )
    record_event(
        action="created",
        actor=actor,
        submission=submission,
        to_status=submission.status,
        data={"checklist": checklist.version, "checklist_digest": checklist.digest},
    )
    return submission


def storable(value: Any) -> Any:
    """`value` without what PostgreSQL cannot keep in a text: NUL and halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    if isinstance(value, Mapping):
        return {storable(name): storable(item) for name, item in value.items()}
    return value


def section_digest(values: Any) -> str:
    """A short digest of what a page showed; sent back with the form, it tells whether others saved since."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def claim_values(claim: Claim) -> dict[str, Any]:
    return {name: getattr(claim, name) for name in EDITED_FIELDS}


def _locked_draft(submission: Submission) -> Submission:
    submission = Submission.objects.select_for_update().get(pk=submission.pk)
    if not submission.is_editable:
        raise StaleState(
            f"The submission is {submission.get_status_display().lower()} and cannot be edited now. "
            "What you typed was not saved; copy it before you leave this page."
        )
    return submission


@transaction.atomic
def save_metadata(
    *, submission: Submission, actor: User, values: Mapping[str, str], seen: str | None = None
) -> Submission:
    """Save the product's metadata. `seen` is the digest of what the person's page showed.

    Raises `StaleState` when someone saved other values since.
    """
    row = _locked_draft(submission)
    values = storable(values)
    merged = {**row.metadata, **values}
    merged = {name: text for name, text in merged.items() if text}
    shown = {name: row.metadata.get(name, "") for name in values}
    if seen is not None and seen != section_digest(shown) and shown != dict(values):
        raise StaleState("Someone else changed this page while you were typing. Compare, then save again.")
    if merged != row.metadata:
        row.metadata = merged
        row.revision += 1
        row.save(update_fields=["metadata", "revision", "updated_at"])
    return row


@transaction.atomic
def save_claim(
    *,
    submission: Submission,
    actor: User,
    requirement_id: str,
    values: Mapping[str, Any],
    seen: str | None = None,
) -> Claim:
    """Save what the vendor says of one requirement; `values` has `EDITED_FIELDS`, all or some."""
    row = _locked_draft(submission)
    claim = (
        row.claims.select_related("requirement").filter(requirement__requirement_id=requirement_id).first()
    )
    if claim is None:
        raise ApplicantError("unknown_requirement", f"The checklist has no requirement {requirement_id}.")
    current = claim_values(claim)
    if (
        seen is not None
        and seen != section_digest(current)
        and any(current[k] != v for k, v in values.items())
    ):
        raise StaleState(
            f"Someone else changed {requirement_id} while you were typing. Compare, then save again."
        )
    changed = [name for name, value in values.items() if name in EDITED_FIELDS and current[name] != value]
    if changed:
        for name in changed:
            setattr(claim, name, values[name])
        claim.save(update_fields=[*changed, "updated_at"])
        row.revision += 1
        row.save(update_fields=["revision", "updated_at"])
    return claim


@dataclass(frozen=True, slots=True)
class Upload:
    """What became of an uploaded PRODUCT.yaml."""

    submission: Submission | None
    judgement: rules.Judgement


@transaction.atomic
def fill_from_document(*, submission: Submission, actor: User, data: bytes) -> Upload:
    """Fill the form from a PRODUCT.yaml. What can be read is taken over; the problems are returned.

    The submission moves to the checklist the document names, as long as it was never submitted.
    """
    row = _locked_draft(submission)
    judgement = judge_document(data, submission=row)
    product = judgement.product
    if product is None or not (product.metadata or product.claims):
        return Upload(None, judgement)
    version = catalogue.minor_version(product.metadata.get("kubernetesVersion", ""))
    if version and version != row.checklist.version:
        if row.submitted_at is not None:
            raise ApplicantError(
                "other_checklist",
                f"The document is for Kubernetes {version}; this submission was made against checklist "
                f"{row.checklist.version} and stays with it. Start a new submission for {version}.",
            )
        row = _move_to_checklist(row, checklist_for(version))
    row.metadata = storable({**row.metadata, **product.metadata})
    row.source_file = storable(data.decode("utf-8", errors="replace"))
    row.revision += 1
    row.save()
    for claim in row.claims.select_related("requirement"):
        said = product.claims.get(claim.requirement.requirement_id)
        if said is not None:
            claim.status = storable(said.status)[:200]
            claim.evidence = storable(said.evidence)
            claim.notes = storable(said.notes)
            claim.met_by = storable(said.met_by)[:200]
            claim.save()
    record_event(
        action="document_uploaded",
        actor=actor,
        submission=row,
        data={"sha256": hashlib.sha256(data).hexdigest(), "problems": len(judgement.problems)},
    )
    return Upload(row, judgement)


def _move_to_checklist(submission: Submission, checklist: Checklist) -> Submission:
    """Pin another checklist; what was said of requirements that both have is kept."""
    kept = {
        claim.requirement.requirement_id: claim_values(claim)
        for claim in submission.claims.select_related("requirement")
    }
    submission.claims.all().delete()
    submission.checklist = checklist
    submission.metadata = {**submission.metadata, "kubernetesVersion": f"v{checklist.version}"}
    submission.save()
    Claim.objects.bulk_create(
        Claim(submission=submission, requirement=requirement, **kept.get(requirement.requirement_id, {}))
        for requirement in checklist.requirements.all()
    )
    return submission


@transaction.atomic
def create_from_document(
    *, actor: User, organization: Organization, data: bytes, platform_slug: str = ""
) -> Upload:
    """Start a submission from a PRODUCT.yaml; platform and configuration are found by name, or made."""
    judgement = judge_document(data)
    product = judgement.product
    said = storable(product.metadata)
    name = " ".join(said.get("platformName", "").split())
    if not name:
        return Upload(None, judgement)
    checklist = checklist_for(said.get("kubernetesVersion", ""))
    chosen = (
        organization.platforms.filter(slug=platform_slug)
        if platform_slug
        else organization.platforms.filter(name__iexact=name)
    )
    platform = chosen.first() or create_platform(
        organization=organization,
        actor=actor,
        name=name[:200],
        description=said.get("description", ""),
        base_platform=said.get("basePlatform", "")[:200],
    )
    wanted = " ".join(said.get("configuration", "").split())[:120].strip() or "default"
    configuration = platform.configurations.filter(name=wanted).first() or create_configuration(
        platform=platform, name=wanted
    )
    submission = create_submission(actor=actor, configuration=configuration, checklist=checklist)
    return fill_from_document(submission=submission, actor=actor, data=data)


def judge_document(data: bytes, *, submission: Submission | None = None) -> rules.Judgement:
    """Judge a document against the checklists as published now, or the one `submission` pinned.

    Without a submission there are no attached files yet, so references to files are not looked up.
    """
    checklists = {row.version: row.as_catalogue() for row in Checklist.objects.current()}
    if submission is not None and submission.submitted_at is not None:
        checklists[submission.checklist.version] = submission.checklist.as_catalogue()
    return rules.judge(data, checklists, files=AttachedFiles(submission) if submission else None)


def product_of(submission: Submission) -> document.Product:
    """The submission as the rules read one."""
    claims = {
        claim.requirement.requirement_id: document.Claim(
            id=claim.requirement.requirement_id,
            category=claim.requirement.category.key,
            status=claim.status,
            evidence=tuple(claim.evidence),
            notes=claim.notes,
            met_by=claim.met_by,
        )
        for claim in submission.claims.select_related("requirement__category")
    }
    return document.Product(metadata=submission.metadata, claims=claims)


def render_document(submission: Submission) -> str:
    """The submission as a PRODUCT.yaml."""
    return document.render(product_of(submission), submission.checklist.as_catalogue())


def judge_submission(submission: Submission) -> rules.Judgement:
    """Judge what the form holds, by the same rules as an uploaded document."""
    checklist = submission.checklist.as_catalogue()
    text = document.render(product_of(submission), checklist)
    return rules.judge(text.encode(), {checklist.version: checklist}, files=AttachedFiles(submission))


def clean_file_name(name: str) -> str:
    """`name` as a path inside the submission; raises `ApplicantError` when it is none."""
    parts = PurePosixPath(name.replace("\\", "/").removeprefix("./")).parts
    if (
        not parts
        or len(parts) > MAX_FOLDERS_DEEP
        or any(part in UNDECIDABLE_NAMES or not SAFE_NAME.fullmatch(part) for part in parts)
    ):
        raise ApplicantError(
            "bad_file_name",
            f"{name!r} cannot be a file's name here: use letters, digits, spaces, dots, hyphens and "
            "underscores, and slashes for folders.",
        )
    return "/".join(parts)


@transaction.atomic
def attach_file(*, submission: Submission, actor: User, name: str, data: bytes) -> EvidenceFile:
    """Attach a file, replacing one of the same name. Claims quote it as ``file://name`` or ``./name``."""
    row = _locked_draft(submission)
    name = clean_file_name(name)
    if len(data) > MAX_FILE_BYTES:
        raise ApplicantError(
            "file_too_large",
            f"{name} has {len(data) / 1048576:.1f} MiB; a file may have {MAX_FILE_BYTES // 1048576}.",
        )
    former = row.files.filter(name=name).first()
    if former is None and row.files.count() >= MAX_FILES:
        raise ApplicantError("too_many_files", f"A submission holds {MAX_FILES} files; remove one first.")
    if former is not None:
        remove_file(file=former, actor=actor)
    file = EvidenceFile(
        submission=row, name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest(), uploaded_by=actor
    )
    file.content.save(name, ContentFile(data), save=False)
    file.save()
    record_event(
        action="file_attached", actor=actor, submission=row, data={"name": name, "sha256": file.sha256}
    )
    return file


@transaction.atomic
def remove_file(*, file: EvidenceFile, actor: User) -> None:
    """Detach a file; its bytes go once the transaction stands."""
    row = _locked_draft(file.submission)
    content, name = file.content, file.name
    record_event(
        action="file_removed", actor=actor, submission=row, data={"name": name, "sha256": file.sha256}
    )
    file.delete()
    stored_as = str(content.name)
    transaction.on_commit(lambda: content.storage.delete(stored_as))

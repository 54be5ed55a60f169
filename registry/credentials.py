"""What the portal signs: a credential for each certificate, and the lists that say which still hold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Max
from django.urls import reverse
from django.utils import translation
from jwt.api_jws import PyJWS

from certportal.languages import ENGLISH
from conformance import catalogue
from conformance import credentials as formats
from registry.keys import key_address, private_half, signing_key
from registry.models import Assurance, Certificate, CertificateRequirement, StatusEntry

MEDIA_TYPE = "application/vc+jwt"
LIST_SIZE = formats.SHORTEST_LIST * 8
# A list says when it was made; whoever is offline may go on using it for a day.
LIST_HOLDS = timedelta(days=1)
LIST_TTL = timedelta(minutes=1)  # the longest that caches keep it; see registry.caching
PURPOSES = (formats.REVOCATION, formats.SUSPENSION)
ENDED = (Certificate.Status.REVOKED, Certificate.Status.EXPIRED, Certificate.Status.SUPERSEDED)

# How a requirement is known, as a credential says it.
KNOWLEDGE = (*Assurance.values, "waived", "seen_to_fail", "not_claimed")


def address(path: str) -> str:
    return f"{settings.SITE_URL}{path}"


def credential_address(number: str) -> str:
    return address(reverse("api-certification-credential", args=[number]))


def list_address(number: int) -> str:
    return address(reverse("api-status-list", args=[number]))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def sign(document: dict[str, Any], *, subject: str, since: datetime, until: datetime) -> str:
    """`document` as a JWT that holds from `since` until `until`. Raises SigningKeyError.

    The claims of JWT repeat what the document says, for readers that know JWT alone.
    """
    key = signing_key()
    document = {
        **document,
        "issuer": {
            "id": settings.SITE_URL,
            "type": ["Profile"],
            "name": settings.SITE_NAME,
            "url": settings.SITE_URL,
        },
        "validFrom": _written(since),
        "validUntil": _written(until),
        "iss": settings.SITE_URL,
        "sub": subject,
        "jti": document["id"],
        "nbf": int(since.timestamp()),
        "exp": int(until.timestamp()),
    }
    return PyJWS().encode(
        json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(),
        private_half(key),
        algorithm=formats.ALGORITHM,
        headers={"typ": formats.TOKEN_TYPE, "cty": "vc", "kid": key_address(key)},
    )


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- The credential of a certificate -----------------------------------------------------------------


def signed_credential(certificate: Certificate, today: date) -> str:
    """The credential of `certificate` as it stands `today`, as a JWT. No page's language changes it."""
    with translation.override(ENGLISH):
        subject = f"{address(certificate.get_absolute_url())}#platform"
        return sign(
            _credential(certificate, subject),
            subject=subject,
            since=_midnight(certificate.issued_on),
            until=_midnight(_first_day_without(certificate, today)),
        )


def _first_day_without(certificate: Certificate, today: date) -> date:
    """The day it expires, or the earlier day of its revocation or replacement.

    A credential fetched after the end says so by its dates alone, also to readers that know no status lists.
    """
    if certificate.is_uncured(today) and certificate.cure_by:
        return certificate.cure_by
    last = certificate.history.filter(effective_on__lte=today).order_by("-effective_on", "-pk").first()
    ended = last is not None and last.status in ENDED
    return min(certificate.expires_on, last.effective_on) if last and ended else certificate.expires_on


def known_how(row: CertificateRequirement) -> str:
    """How the requirement is known to be met, in one of KNOWLEDGE; the rules of `coverage_of`."""
    if row.waived:
        return "waived"
    if row.verdict == "fail":
        return "seen_to_fail"
    if row.verdict == "pass" and row.assurance in {Assurance.PORTAL_VERIFIED, Assurance.VENDOR_RUN}:
        return row.assurance
    return Assurance.SELF_ATTESTED if row.is_met else "not_claimed"


def _credential(certificate: Certificate, subject: str) -> dict[str, Any]:
    product = f"{certificate.platform_name} {certificate.platform_version}"
    simulated = "SIMULATED, certifies nothing: " if certificate.simulated else ""
    rows = list(certificate.requirements.all())
    checklist = address(reverse("api-checklist-detail", args=[certificate.kubernetes_version]))
    return {
        "@context": [formats.BASE_CONTEXT, formats.BADGE_CONTEXT],
        "id": credential_address(certificate.number),
        "type": ["VerifiableCredential", *sorted(formats.BADGE_TYPES)],
        "name": f"{simulated}{product}, Kubernetes {certificate.kubernetes_version}",
        "description": (
            f"{simulated}{product} by {certificate.vendor} was certified for AI workloads on Kubernetes "
            f"{certificate.kubernetes_version} under the number {certificate.number}."
        ),
        "credentialSubject": {
            "id": subject,
            "type": ["AchievementSubject"],
            "identifier": [
                {
                    "type": "IdentityObject",
                    "hashed": False,
                    "identityHash": text,
                    "identityType": f"ext:{kind}",
                }
                for kind, text in _identity(certificate)
            ],
            "achievement": _achievement(certificate, rows, checklist),
            "result": [
                {
                    "type": ["Result"],
                    "resultDescription": f"{checklist}#{row.requirement_id}",
                    "value": known_how(row),
                }
                for row in rows
            ],
        },
        "evidence": [
            {
                "id": address(certificate.get_absolute_url()),
                "type": ["Evidence"],
                "name": "The certificate, with its history and what stands behind each requirement",
                **(
                    {"description": f"Verification report {digest}"}
                    if (digest := certificate.run_digest)
                    else {}
                ),
            }
        ],
        "credentialStatus": status_entries(certificate),
    }


def _identity(certificate: Certificate) -> tuple[tuple[str, str], ...]:
    return (
        ("certificateNumber", certificate.number),
        ("platformName", certificate.platform_name),
        ("platformVersion", certificate.platform_version),
        ("configuration", certificate.configuration),
        ("vendorName", certificate.vendor),
        ("kubernetesVersion", certificate.kubernetes_version),
        ("assurance", certificate.assurance),
    )


def _achievement(
    certificate: Certificate, rows: list[CertificateRequirement], checklist: str
) -> dict[str, Any]:
    version = certificate.kubernetes_version
    return {
        "id": checklist,
        "type": ["Achievement"],
        "achievementType": formats.SIMULATED_TYPE if certificate.simulated else "Certification",
        "name": f"Kubernetes AI conformance {version}",
        "description": f"The platform meets the AI conformance checklist for Kubernetes {version}.",
        "version": f"{version}, revision {certificate.checklist_revision}",
        "criteria": {
            "id": checklist,
            "narrative": (
                "Every requirement at the level MUST is implemented with evidence, or waived by reviewers "
                "with a reason. The results say how each is known."
            ),
        },
        "resultDescription": [
            {
                "id": f"{checklist}#{row.requirement_id}",
                "type": ["ResultDescription"],
                "name": f"{_title(row.requirement_id)} ({row.level})",
                "resultType": "Result",
                "allowedValue": list(KNOWLEDGE),
            }
            for row in rows
        ],
    }


def _title(requirement_id: str) -> str:
    info = catalogue.REQUIREMENTS.get(requirement_id)
    return info.title if info else requirement_id


# --- Status lists ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """Where a certificate's status is written: in the lists of a block, one for each purpose."""

    block: int
    index: int

    @classmethod
    def of(cls, entry_pk: int) -> Place:
        return cls(*divmod(entry_pk - 1, LIST_SIZE))

    def list_number(self, purpose: str) -> int:
        return self.block * len(PURPOSES) + PURPOSES.index(purpose) + 1


def status_entries(certificate: Certificate) -> list[dict[str, str]]:
    """Where the status of `certificate` is written, once for each purpose."""
    # Certificates get their place when they are issued; this is for rows that were put in by other means.
    entry, _ = StatusEntry.objects.get_or_create(certificate=certificate)
    place = Place.of(entry.pk)
    entries = []
    for purpose in PURPOSES:
        where = list_address(place.list_number(purpose))
        entries.append(
            {
                "id": f"{where}#{place.index}",
                "type": formats.ENTRY_TYPE,
                "statusPurpose": purpose,
                "statusListIndex": str(place.index),
                "statusListCredential": where,
            }
        )
    return entries


def list_exists(number: int) -> bool:
    """Whether list `number` has been begun; the first ones always are."""
    last = StatusEntry.objects.aggregate(last=Max("pk"))["last"] or 1
    return 1 <= number <= (Place.of(last).block + 1) * len(PURPOSES)


def signed_list(number: int, now: datetime) -> str:
    """Status list `number` as it stands at the moment `now`, as a JWT."""
    block, position = divmod(number - 1, len(PURPOSES))
    purpose = PURPOSES[position]
    since = now.replace(second=0, microsecond=0)
    where = list_address(number)
    return sign(
        {
            "@context": [formats.BASE_CONTEXT],
            "id": where,
            "type": ["VerifiableCredential", formats.LIST_TYPE],
            "credentialSubject": {
                "id": f"{where}#list",
                "type": "BitstringStatusList",
                "statusPurpose": purpose,
                "encodedList": formats.pack_bits(_bits(block, purpose, now.date())),
                "ttl": int(LIST_TTL.total_seconds() * 1000),
            },
        },
        subject=f"{where}#list",
        since=since,
        until=since + LIST_HOLDS,
    )


def _bits(block: int, purpose: str, today: date) -> bytes:
    """The bits of a list, the first place at the left. Set: the certificate has ended, or is suspended."""
    statuses = ENDED if purpose == formats.REVOCATION else (Certificate.Status.SUSPENDED,)
    first = block * LIST_SIZE + 1
    known: Any = Certificate.objects.all()
    # The columns answer in a tenth of the time, unless something is dated later than today.
    rows = known.standing(today) if known.settled(today) else known.with_status_on(today)
    affected = (
        rows.filter(status_entry__pk__range=(first, first + LIST_SIZE - 1), status_on__in=statuses)
        .order_by()
        .values_list("status_entry__pk", flat=True)
    )
    bits = bytearray(formats.SHORTEST_LIST)
    for pk in affected.iterator():
        index = Place.of(pk).index
        bits[index // 8] |= 0x80 >> index % 8
    return bytes(bits)

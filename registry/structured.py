"""Structured data for search engines, as JSON-LD in data blocks: the policy allows them, they run nothing."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import translation
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from certportal.languages import ENGLISH
from registry.models import Certificate

_ESCAPES = {ord("<"): "\\u003C", ord(">"): "\\u003E", ord("&"): "\\u0026"}


def address(path: str) -> str:
    """`path` under the public address of the portal."""
    return f"{settings.SITE_URL}{path}"


def block(data: dict[str, Any]) -> SafeString:
    """`data` as it may stand in a script element: nothing in it can end the element."""
    text = json.dumps({"@context": "https://schema.org", **data}, ensure_ascii=False)
    return mark_safe(text.translate(_ESCAPES))  # noqa: S308 - JSON without <, > and &


def breadcrumbs(*places: tuple[str, str]) -> SafeString:
    """The way to a page: names and paths, the page itself last."""
    return block(
        {
            "@type": "BreadcrumbList",
            "itemListElement": [
                {"@type": "ListItem", "position": position, "name": name, "item": address(path)}
                for position, (name, path) in enumerate(places, start=1)
            ],
        }
    )


def dataset() -> SafeString:
    """The registry as a data set with its exports: one and the same, whatever language the page is in."""
    with translation.override(ENGLISH):
        return block(
            {
                "@type": "Dataset",
                "name": f"{settings.SITE_NAME}: Kubernetes platforms certified for AI workloads",
                "description": (
                    "Every certificate issued, with its requirements, how each is known to be met, "
                    "its history and its status on any date."
                ),
                "url": address(reverse("registry:list")),
                "inLanguage": ENGLISH,
                "isAccessibleForFree": True,
                "creator": {"@type": "Organization", "name": settings.SITE_NAME, "url": settings.SITE_URL},
                "distribution": [
                    {
                        "@type": "DataDownload",
                        "encodingFormat": media_type,
                        "contentUrl": address(reverse("api-export-certifications", args=[form])),
                    }
                    for form, media_type in (
                        ("csv", "text/csv"),
                        ("json", "application/json"),
                        ("jsonl", "application/jsonl"),
                        ("yaml", "application/yaml"),
                    )
                ],
            }
        )


def certification(certificate: Certificate, status: str) -> SafeString:
    """One certificate. A simulated one is none, and is not announced as one."""
    if certificate.simulated:
        return breadcrumbs(
            (_("Certified platforms"), reverse("registry:list")),
            (certificate.number, certificate.get_absolute_url()),
        )
    return block(
        {
            "@type": "Certification",
            "name": f"Kubernetes AI conformance {certificate.kubernetes_version}",
            "certificationIdentification": certificate.number,
            "certificationStatus": (
                "https://schema.org/CertificationActive"
                if status == Certificate.Status.ACTIVE
                else "https://schema.org/CertificationInactive"
            ),
            "url": address(certificate.get_absolute_url()),
            "datePublished": certificate.issued_on.isoformat(),
            "validFrom": certificate.issued_on.isoformat(),
            "expires": certificate.expires_on.isoformat(),
            "issuedBy": {"@type": "Organization", "name": settings.SITE_NAME, "url": settings.SITE_URL},
            "about": {
                "@type": "SoftwareApplication",
                "name": certificate.platform_name,
                "softwareVersion": certificate.platform_version,
                "applicationCategory": "Kubernetes platform",
                "author": {"@type": "Organization", "name": certificate.vendor},
            },
        }
    )

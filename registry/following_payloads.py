"""What a webhook is told, as JSON."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import translation

from registry.following_models import Subscription


def _written(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def confirmation_body(subscription: Subscription) -> bytes:
    """Asks whether the receiver wants this: it answers with the challenge."""
    return _written(
        {
            "type": "subscription.confirmation",
            "challenge": subscription.challenge,
            "follows": subscription.query,
            "kinds": subscription.kinds.split(),
            "portal": settings.SITE_URL,
        }
    )


def delivery_body(event: Any, *, id_: str) -> bytes:
    """One change; the fields are those of a change in the API."""
    certificate = event.certificate
    with translation.override("en"):
        page = settings.SITE_URL + certificate.get_absolute_url()
        api = settings.SITE_URL + reverse("api-certification-detail", args=[certificate.number])
    return _written(
        {
            "type": f"certificate.{event.kind}",
            "id": id_,
            "data": {
                "kind": event.kind,
                "status": event.status,
                "on": event.effective_on.isoformat(),
                "reason": event.reason,
                "number": certificate.number,
                "platform_name": certificate.platform_name,
                "platform_version": certificate.platform_version,
                "configuration": certificate.configuration,
                "vendor": certificate.vendor,
                "kubernetes_version": certificate.kubernetes_version,
                "simulated": certificate.simulated,
                "url": page,
                "api_url": api,
            },
        }
    )

"""The mails to followers, in the language in which they signed up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from registry.following_models import Subscription


def link_of(subscription: Subscription, purpose: str) -> str:
    """The address of the page that confirms, manages or stops this subscription."""
    from registry.following_services import link_token

    with translation.override(subscription.language):
        path = reverse(f"registry:follow-{purpose}", args=[link_token(subscription, purpose)])
    return settings.SITE_URL + path


def _page_of(certificate: Any, subscription: Subscription) -> str:
    with translation.override(subscription.language):
        return f"{settings.SITE_URL}{certificate.get_absolute_url()}"


def _words(kind: str) -> str:
    """What the change log calls a change of this kind."""
    from registry.changes import KINDS

    return str(KINDS[kind][0])


def _message(
    subscription: Subscription,
    *,
    subject: str,
    template: str,
    context: dict[str, Any],
    headers: dict[str, str],
) -> EmailMessage:
    from registry.following import Scope

    stop = link_of(subscription, "stop")
    text = render_to_string(
        f"registry/{template}",
        {
            "site_name": settings.SITE_NAME,
            "site_url": settings.SITE_URL,
            "follows": Scope.kept(subscription.query).words,
            "manage": link_of(subscription, "manage"),
            "stop": stop,
            **context,
        },
    )
    return EmailMessage(
        # A name that a vendor gave may hold anything; a subject is one line.
        f"[{settings.SITE_NAME}] {' '.join(subject.split())}",
        text,
        None,
        [subscription.email],
        headers={"Auto-Submitted": "auto-generated", **headers},
    )


def link_message(subscription: Subscription) -> EmailMessage:
    """The mail that asks for confirmation; to those who confirmed before, the way to what they follow."""
    with translation.override(subscription.language):
        if subscription.status == Subscription.Status.PENDING:
            return _message(
                subscription,
                subject=_("Please confirm that you want to follow changes"),
                template="follow_confirm_mail.txt",
                context={"confirm": link_of(subscription, "confirm")},
                headers={},
            )
        return _message(
            subscription,
            subject=_("You follow these changes already"),
            template="follow_known_mail.txt",
            context={},
            headers={},
        )


def changes_message(subscription: Subscription, events: Sequence[Any], *, batch: str) -> EmailMessage:
    """The mail that tells of `events`. The same batch has the same Message-ID."""
    with translation.override(subscription.language):
        first = events[0]
        if len(events) == 1:
            subject = _("%(change)s: %(platform)s") % {
                "change": _words(first.kind),
                "platform": f"{first.certificate.platform_name} {first.certificate.platform_version}",
            }
        else:
            subject = ngettext(
                "%(number)d change of certificates", "%(number)d changes of certificates", len(events)
            ) % {"number": len(events)}
        stop = link_of(subscription, "stop")
        return _message(
            subscription,
            subject=subject[:200],
            template="follow_changes_mail.txt",
            context={
                "changes": [
                    {
                        "words": _words(event.kind),
                        "event": event,
                        "certificate": event.certificate,
                        "address": _page_of(event.certificate, subscription),
                    }
                    for event in events
                ]
            },
            headers={
                "Message-ID": f"<changes-{batch}@{urlsplit(settings.SITE_URL).hostname}>",
                "List-Unsubscribe": f"<{stop}>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            },
        )

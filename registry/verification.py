"""What the page for verifying makes of what people paste, upload or link."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from conformance import credentials as formats
from conformance.credentials import Examination, Result, Step, StepName
from registry import keys
from registry.answers import Answer, answer_for
from registry.credentials import credential_address, signed_credential

_NUMBER = re.compile(r"AIK-[0-9]{4}-[0-9]{4,10}(?![0-9])")
_ENVELOPE = "data:application/vc+jwt,"
_PICTURE = re.compile(r"^\s*(<\?xml[^>]*>\s*)?<svg\b")


class NotUnderstood(Exception):  # noqa: N818 - nothing failed: the text tells what to bring instead
    """The text is neither a credential nor an address or number of ours."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What somebody brought: a credential, or the number of a certificate and where it was read."""

    token: str = ""
    number: str = ""
    is_picture: bool = False
    is_address: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the portal says of what was brought."""

    brought: Brought
    examination: Examination | None = None
    answer: Answer | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.examination.steps if self.examination else ()


def understand(data: bytes | str) -> Brought:
    """Tell what was brought. Raises NotUnderstood with a sentence on what to bring instead."""
    if isinstance(data, bytes):
        if data.startswith(b"%PDF"):
            raise NotUnderstood(
                _("A PDF is for reading. Enter the number that is printed on it, or scan its QR code.")
            )
        try:
            data = data.decode()
        except UnicodeDecodeError as error:
            raise NotUnderstood(_("This file holds no credential: that is a text.")) from error
    text = data.strip()
    if not text:
        raise NotUnderstood(_("There is nothing in it."))
    if re.match(r"https?://", text, re.IGNORECASE):
        return _linked(text)
    if text.startswith("{"):
        return _document(text)
    if _PICTURE.match(text):
        return Brought(number=_number_in(text), is_picture=True)
    if _NUMBER.fullmatch(text.upper()):
        return Brought(number=text.upper())
    # Mail programs break long lines; white space is never part of a credential.
    return Brought(token="".join(text.split()))


def _number_in(text: str) -> str:
    found = _NUMBER.search(text.upper())
    if found is None:
        raise NotUnderstood(_("It names no certificate of this portal."))
    return found[0]


def _linked(text: str) -> Brought:
    """An address is read, never called: this page opens no connection to anyone."""
    if any(character.isspace() for character in text) or not _is_ours(text):
        raise NotUnderstood(
            _(
                "This page opens no addresses but those of this portal, %(site)s. Open the link yourself, "
                "and paste or upload what it shows."
            )
            % {"site": settings.SITE_URL}
        )
    return Brought(number=_number_in(unquote(urlsplit(text).path)), is_address=True)


def _is_ours(text: str) -> bool:
    try:
        there, here = urlsplit(text), urlsplit(settings.SITE_URL)
        return (there.scheme.lower(), there.hostname, there.port) == (here.scheme, here.hostname, here.port)
    except ValueError:
        return False


def _document(text: str) -> Brought:
    """A credential as JSON: with its signature in an envelope, or without one."""
    try:
        identity = json.loads(text).get("id")
    except (ValueError, RecursionError) as error:
        raise NotUnderstood(_("It looks like JSON, but it cannot be read.")) from error
    if isinstance(identity, str) and identity.startswith(_ENVELOPE):
        return Brought(token=identity.removeprefix(_ENVELOPE))
    raise NotUnderstood(
        _("This is a credential as people read it, without its signature. Bring the signed one.")
    )


def verify(brought: Brought, now: datetime) -> Verdict:
    """Check what was brought against the keys and the registry of this portal."""
    today = now.date()
    if brought.token:
        examination, answer = _examined(brought.token, now)
        return Verdict(brought, examination, answer)
    answer = answer_for(brought.number, today, today=today)
    if answer is None or not brought.is_address:
        return Verdict(brought, None, answer)
    examination, answer = _examined(signed_credential(answer.certificate, today), now)
    return Verdict(brought, examination, answer)


def _examined(token: str, now: datetime) -> tuple[Examination, Answer | None]:
    """The steps, the last of them answered by the registry itself instead of by its lists."""
    found = formats.examine(
        token, keys=formats.read_keys(json.dumps(keys.key_set()).encode()), now=now, issuer=settings.SITE_URL
    )
    if found.token is None or not found.is_genuine:
        return found, None
    number = _NUMBER.search(str(found.token.payload["id"]))
    answer = answer_for(number[0], now.date(), today=now.date()) if number else None
    if answer is None or found.token.payload["id"] != credential_address(answer.certificate.number):
        step = Step(
            StepName.STATUS, Result.FAILED, _("The registry knows no certificate of this credential.")
        )
        answer = None
    else:
        step = _status_today(answer)
    return replace(found, steps=(*found.steps[:-1], step)), answer


def _status_today(answer: Answer) -> Step:
    said = {
        "active": _("certified"),
        "suspended": _("suspended"),
        "revoked": _("revoked"),
        "expired": _("expired"),
        "superseded": _("replaced by a newer certificate"),
    }[answer.status]
    text = _("The registry says of %(number)s today, %(date)s: %(status)s.") % {
        "number": answer.certificate.number,
        "date": answer.on.isoformat(),
        "status": said,
    }
    return Step(StepName.STATUS, Result.PASSED if answer.certified else Result.FAILED, text)

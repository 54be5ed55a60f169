"""How states, requirements and addresses are said on pages: ``{% load portal %}``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from django import template
from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple, Field, FileInput, RadioSelect
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, gettext_noop, pgettext
from django.utils.translation import gettext_lazy as _

from certportal.languages import ENGLISH, TAGS, current_language
from conformance import catalogue

register = template.Library()

# One vocabulary for certificates, submissions, runs, verdicts and claims: (tone, words).
STATES: dict[str, tuple[str, Any]] = {
    # certificates
    "active": ("good", _("Certified")),
    "expiring": ("warn", _("Expiring soon")),
    "suspended": ("warn", _("Suspended")),
    "revoked": ("bad", _("Revoked")),
    "expired": ("quiet", _("Expired")),
    "superseded": ("quiet", _("Superseded")),
    "not_issued": ("quiet", _("Not yet issued")),
    # submissions
    "draft": ("quiet", _("Draft")),
    "submitted": ("busy", _("Submitted")),
    "in_review": ("busy", _("In review")),
    "changes_requested": ("warn", _("Changes requested")),
    "approved": ("good", _("Approved")),
    "rejected": ("bad", _("Rejected")),
    "withdrawn": ("quiet", _("Withdrawn")),
    # runs and their outcome
    "queued": ("quiet", _("Waiting to start")),
    "running": ("busy", _("Running")),
    "finished": ("quiet", _("Finished")),
    "errored": ("bad", _("Broken off")),
    "cancelled": ("quiet", _("Cancelled")),
    "conformant": ("good", _("Conformant")),
    "non_conformant": ("bad", _("Not conformant")),
    "incomplete": ("warn", _("Incomplete")),
    # verdicts of checks
    "pass": ("good", _("Pass")),
    "fail": ("bad", _("Fail")),
    "not_applicable": ("quiet", _("Not applicable")),
    "error": ("warn", _("Could not look")),
    "unknown": ("warn", _("Cannot tell")),
    "waiting": ("quiet", _("Waiting")),
    "": ("quiet", _("Not checked")),
    # claims of vendors
    "Implemented": ("quiet", _("Implemented")),
    "Partially Implemented": ("warn", _("Partially implemented")),
    "Not Implemented": ("warn", _("Not implemented")),
    "N/A": ("quiet", _("N/A")),
}
ASSURANCE: dict[str, tuple[int, Any]] = {
    "self_attested": (1, _("Attested by the vendor")),
    "vendor_run": (2, _("Run by the vendor")),
    "portal_verified": (3, _("Verified by the portal")),
}
# What a vendor may say of a requirement, spelled as in a PRODUCT.yaml.
CLAIMS = (
    gettext_noop("Implemented"),
    gettext_noop("Partially Implemented"),
    gettext_noop("Not Implemented"),
    gettext_noop("N/A"),
)
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@register.filter
def tone(state: str | None) -> str:
    """The tone of a state: good, warn, bad, busy or quiet."""
    return STATES.get(state or "", ("quiet", ""))[0]


@register.filter
def state_words(state: str | None) -> str:
    """A state in words."""
    known = STATES.get(state or "")
    return str(known[1]) if known else str(state).replace("_", " ").capitalize()


@register.filter
def assurance_words(assurance: str) -> str:
    return str(ASSURANCE.get(assurance, (0, _("Not stated")))[1])


@register.filter
def assurance_steps(assurance: str) -> int:
    """How strong the knowledge is, from 0 (not stated) to 3 (verified by the portal)."""
    return ASSURANCE.get(assurance, (0, ""))[0]


@register.filter
def requirement_title(requirement_id: str) -> str:
    """``Gang scheduling`` for ``gang_scheduling``; ids the catalogue does not know are spelled out."""
    info = catalogue.REQUIREMENTS.get(requirement_id)
    return gettext(info.title) if info else requirement_id.replace("_", " ").capitalize()


@register.filter
def category_title(key: str) -> str:
    """``Scheduling orchestration`` for ``schedulingOrchestration``."""
    return gettext(_CAPITAL.sub(" ", key).replace("_", " ").capitalize())


@register.filter
def claim_words(claim: str) -> str:
    """A vendor's status of a requirement; what no checklist knows stays as the vendor wrote it."""
    return gettext(claim) if claim in CLAIMS else claim


@register.filter
def in_our_words(text: str) -> str:
    """A text of the engine, which knows English only, in the language of the page."""
    return gettext(text) if text else ""


@register.filter
def day(moment: date | None) -> str:
    """``1 March 2026``, as the language of the page writes it."""
    return date_format(moment, pgettext("date format", "j F Y")) if moment else ""


@register.filter
def short_day(moment: date | None) -> str:
    """``1 Mar 2026``, for tables."""
    return date_format(moment, pgettext("date format", "j M Y")) if moment else ""


@register.filter
def month(moment: date | None) -> str:
    """``March 2026``."""
    return date_format(moment, pgettext("date format", "F Y")) if moment else ""


def short_month(moment: date) -> str:
    """``Mar 2026``, below charts."""
    return date_format(moment, pgettext("date format", "M Y"))


@register.filter
def dated(moment: date | None) -> SafeString | str:
    """The day for people, with the date for programs round it."""
    return _time(moment, day(moment)) if moment else ""


@register.filter
def dated_shortly(moment: date | None) -> SafeString | str:
    return _time(moment, short_day(moment)) if moment else ""


def _time(moment: date, words: str) -> SafeString:
    return format_html('<time datetime="{}">{}</time>', f"{moment:%Y-%m-%d}", words)


@register.filter
def joined(words: Iterable[Any]) -> str:
    """Words one after another, with the comma of the language between them."""
    return pgettext("between the words of a list", ", ").join(map(str, words))


@register.filter
def in_sentence(words: str) -> str:
    """Words that stand alone elsewhere, as a sentence has them; only English tells the two apart."""
    return words.lower() if current_language() == ENGLISH else words


@register.simple_tag
def page_language() -> str:
    """The language of the page as HTML writes it; known on pages of errors too."""
    return TAGS[current_language()]


@register.simple_tag
def as_given() -> SafeString:
    """The attribute of an element whose words are shown as somebody gave them.

    The programme works in English, and so do those who submit to it. On a page in another language its
    words have to be marked, so that they are read aloud and set as what they are.
    """
    return mark_safe("" if current_language() == ENGLISH else f' lang="{ENGLISH}"')  # noqa: S308 - ours


@register.filter
def web_address(text: Any) -> str:
    """`text` if it is an http or https address that a page may link to, else nothing."""
    address = str(text or "").strip()
    try:
        parts = urlsplit(address)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return ""
    return address if usable and not any(character.isspace() for character in address) else ""


@register.simple_tag
def external_link(address: str, text: str = "") -> SafeString | str:
    """A link out of the portal that lends no authority; plain text where the address is no web address."""
    url = web_address(address)
    if not url:
        return text or address
    # On paper the address is written behind the words, unless the words are the address.
    kind = "external" if text else "external external--bare"
    return format_html('<a class="{}" href="{}" rel="nofollow noopener">{}</a>', kind, url, text or url)


@register.filter
def is_choice(field: BoundField) -> bool:
    """Whether the control stands before its label: one check box."""
    return isinstance(field.field.widget, CheckboxInput)


@register.filter
def is_group(field: BoundField) -> bool:
    """Whether the control is several boxes under one legend."""
    return isinstance(field.field.widget, RadioSelect | CheckboxSelectMultiple)


@register.filter
def is_optional(field: BoundField) -> bool:
    """Whether the form says that the field may stay empty (a check box or a hidden field never says so)."""
    inner: Field = field.field
    return not inner.required and not isinstance(inner.widget, CheckboxInput | FileInput)


@register.simple_tag
def control(field: BoundField, **attrs: Any) -> SafeString:
    """The control of `field`; Django adds aria-describedby and aria-invalid. Names with _ get a dash."""
    return field.as_widget(attrs={name.replace("_", "-"): value for name, value in attrs.items()})

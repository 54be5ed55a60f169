"""What the engine finds of a credential, in the language of the page.

The engine says it in English sentences, with names and times in them, since it is used without the portal
too. Here each sentence is known by its form, so that it can be said in another language.
"""

from __future__ import annotations

import re
from functools import cache

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_noop

from certportal.languages import ENGLISH, current_language

SENTENCES = (
    gettext_noop("It is an Open Badges 3.0 credential, signed with Ed25519."),
    gettext_noop("The key %(key)s signed exactly this text."),
    gettext_noop("It was issued by %(issuer)s, whose key that is."),
    gettext_noop("Not looked at after that."),
    gettext_noop("It holds from %(since)s until %(until)s."),
    gettext_noop("It holds only from %(since)s on."),
    gettext_noop("It held until %(until)s."),
    gettext_noop("It is longer than %(size)s KiB; no credential of ours is."),
    gettext_noop("It is not a signed credential: that is one line of letters."),
    gettext_noop("It is not a signed credential: that has three parts with dots between them."),
    gettext_noop("A part of it is not base64url."),
    gettext_noop("A part of it is base64url in a spelling that the issuer never writes."),
    gettext_noop("A part of it is not JSON."),
    gettext_noop("A part of it is not a JSON object."),
    gettext_noop("It is signed with %(algorithm)s; the portal signs with %(own)s."),
    gettext_noop("Its header does not say that it is a credential (%(type)s)."),
    gettext_noop("Its header asks for an extension that the portal does not use."),
    gettext_noop("Its header does not name the key that signed it."),
    gettext_noop("It is not in the W3C data model for credentials, version 2.0."),
    gettext_noop("It is a signed document, but not a certificate: its type is another."),
    gettext_noop("What it says of itself for JWT readers differs from the credential."),
    gettext_noop("No published key has the name %(key)s."),
    gettext_noop("The signature does not fit: this is not, letter for letter, what was signed."),
    gettext_noop("It contradicts itself about who issued it."),
    gettext_noop("It contradicts itself about when it holds."),
    gettext_noop("It was issued by %(issuer)s, not by %(expected)s."),
    gettext_noop("The key %(key)s does not belong to %(issuer)s."),
    gettext_noop("%(text)s is no time."),
    gettext_noop("%(text)s has no time zone."),
)
_PLACE = re.compile(r"%\\\((\w+)\\\)s")


@cache
def _forms() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Each sentence and what it looks like; the first that fits is meant, so names come after plain words."""
    plain_first = sorted(SENTENCES, key=lambda sentence: sentence.count("%("))
    return tuple(
        (sentence, re.compile(_PLACE.sub(r"(?P<\1>.+?)", re.escape(sentence)), re.DOTALL))
        for sentence in plain_first
    )


def in_page_language(text: str) -> str | SafeString:
    """`text` in the language of the page; marked as English where it is no sentence that is known here."""
    if current_language() == ENGLISH:
        return text
    for sentence, form in _forms():
        if found := form.fullmatch(text):
            return gettext(sentence) % found.groupdict()
    # What the portal itself found is in the language of the page already.
    return format_html('<span lang="{}">{}</span>', ENGLISH, text) if text.isascii() else text

"""Notes that say the opposite of the status beside them.

Conservative on purpose: a sentence counts only where the platform itself, or the very subject of the
requirement, is said to be absent, and only if nothing in the same sentence takes it back. A missed
contradiction is still read by a reviewer; a false one accuses a vendor.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from conformance.catalogue import REQUIREMENTS

_MAX_NOTES: Final = 20_000
_MAX_SENTENCE: Final = 2_000
_REACH: Final = 90
"""Characters around the verb in which the requirement's subject must be named."""

# U+3002, U+FF1B and U+FF01 end sentences in Chinese and Japanese.
_SENTENCE_END: Final = re.compile("(?<=[.!?;])\\s+|\n\\s*\n|[\u3002\uff1b\uff01]")
_ASIDE: Final = re.compile(r"\([^()]{0,500}\)")
_TAKEN_BACK: Final = re.compile(
    r"\b(?:but|however|although|though|instead|yet can|while|whereas|nevertheless|nonetheless|except|unless|"
    r"can be (?:installed|enabled|deployed|added|used)|is (?:fully )?supported)\b",
    re.IGNORECASE,
)
_NEGATION: Final = (
    r"(?:(?:do(?:es)?|did) not|don'?t|doesn'?t|can ?not|can't|(?:is|are) (?:not able|unable) to)"
    r"(?: (?:currently|yet|natively|officially|directly|itself|at present|presently|at this time))?"
)
_VERBS: Final = "provide|support|offer|have|implement"
# "If the platform provides an autoscaler": not bringing one is the condition itself. Other requirements
# only want that something can be installed, so not bringing it says nothing there.
_VERBS_OF_A_CONDITION: Final = rf"{_VERBS}|include|ship(?: with)?|bundle|come with|contain|use|deploy|install"
_BRINGING_COUNTS: Final = frozenset({"cluster_autoscaling"})
_SUBJECT_LACKS: Final = re.compile(
    r"\b(?:is|are|was|were) (?:(?:currently|still|presently) )?"
    r"(?:not (?:yet |currently |officially )?"
    r"(?:supported|implemented|available|provided|offered|included|ready)"
    r"|unsupported|unavailable|disabled|missing|absent)\b"
    r"(?! (?:on|by|for|with|under) (?!this|these|our|the (?:platform|product)))",
    re.IGNORECASE,
)
_PLANNED: Final = re.compile(
    r"\bwill be (?:supported|available|implemented|added) (?:in|with|by|from) (?:an? |the )?"
    r"(?:future|next|upcoming|later|coming|v?[0-9])|"
    r"\b(?:is|are) (?:coming soon|on (?:the|our) roadmap|planned for)\b",
    re.IGNORECASE,
)
_WHOLE_NOTE: Final = re.compile(
    r"(?:(?:currently|still) )?"
    r"(?:not (?:yet |currently )?(?:implemented|supported|available|applicable|provided)"
    r"|unsupported|unimplemented|n\s*/\s*a|partially implemented|(?:coming|planned) soon)\b(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_NOT_APPLICABLE: Final = re.compile(
    r"\bN/A (?:is|because|since|as|for)\b"
    r"|\b(?:this|it|the) ?(?:requirement|criterion|item)? (?:is (?:N/A|not applicable)|does not apply)\b"
    r"|\bcondition (?:does )?not apply",
    re.IGNORECASE,
)
_NO_SUBJECT: Final = re.compile(
    r"^(?:there (?:is|are) (?:currently |still |as yet )?no (?:native |built-in |official )?(?:support for )?"
    r"|(?:currently )?no (?:native |built-in |official )?support for )",
    re.IGNORECASE,
)
# "If DRA is not available, …" and "pods for which no device is available" deny nothing.
_CONDITION: Final = re.compile(
    r"\b(?:if|when|where|which|that|because|since|until|unless|in case|without|non-)\b", re.IGNORECASE
)
_GENERIC: Final = r"\bthis (?:feature|requirement|capability|functionality|api)\b"


@functools.cache
def _subject(requirement_id: str) -> re.Pattern[str]:
    info = REQUIREMENTS.get(requirement_id)
    return re.compile(f"{info.words}|{_GENERIC}" if info else _GENERIC, re.IGNORECASE)


def _who(platform: str) -> str:
    name = f"|{re.escape(platform)}" if platform else ""
    return (
        r"(?:the |our |this |these )?"
        rf"(?:platform|product|service|distribution|solution|cluster|we|it|they|version|release{name})s?"
        r"(?: (?:currently|itself))?"
    )


@functools.lru_cache(maxsize=512)
def _who_lacks(requirement_id: str, platform: str) -> re.Pattern[str]:
    verbs = _VERBS_OF_A_CONDITION if requirement_id in _BRINGING_COUNTS else _VERBS
    named = rf"|^{re.escape(platform)}\b[^,;]{{0,80}}? and " if platform else ""
    return re.compile(
        rf"(?:(?:^|[,:]\s*|\band ){_who(platform)} {named}){_NEGATION} (?:{verbs})\b", re.IGNORECASE
    )


def contradiction(requirement_id: str, notes: str, platform: str = "") -> str:
    """The sentence of `notes` that denies what Implemented claims; "" where none does."""
    notes = notes[:_MAX_NOTES].strip()
    whole = _WHOLE_NOTE.match(notes)
    if whole and not _TAKEN_BACK.search(whole["rest"][:200]):
        return notes[:_MAX_SENTENCE]
    for part in _SENTENCE_END.split(_ASIDE.sub("", notes)):
        sentence = part.strip()[:_MAX_SENTENCE]
        if sentence and not _TAKEN_BACK.search(sentence) and _denies(requirement_id, sentence, platform):
            return sentence
    return ""


def _denies(requirement_id: str, sentence: str, platform: str) -> bool:
    if _NOT_APPLICABLE.search(sentence):
        return True
    subject = _subject(requirement_id)
    for pattern in (_who_lacks(requirement_id, platform.strip()[:80]), _NO_SUBJECT):
        if match := pattern.search(sentence):
            return bool(subject.search(sentence[match.end() : match.end() + _REACH]))
    for pattern in (_SUBJECT_LACKS, _PLANNED):
        if match := pattern.search(sentence):
            before = sentence[max(0, match.start() - _REACH) : match.start()]
            if subject.search(before) and not _CONDITION.search(before):
                return True
    return False


_EXCUSE: Final = re.compile(
    rf"(?:(?:this|it|that|the feature) )?(?:is )?(?:not|un)[ -]?(?:yet )?"
    rf"(?:supported|implemented|available|provided)"
    rf"|{_who('')} {_NEGATION} (?:{_VERBS})\b.{{0,60}}"
    rf"|(?:this is |it is )?not applicable(?: (?:for|to) \S+)?(?: at this time| currently| yet| now)?",
    re.IGNORECASE,
)
_MAX_EXCUSE: Final = 80


def is_mere_refusal(notes: str) -> bool:
    """Whether the justification is no more than "we do not support it"."""
    text = notes.strip().rstrip(".!").strip()
    return len(text) <= _MAX_EXCUSE and bool(_EXCUSE.fullmatch(text))


_NOTHING: Final = frozenset({"na", "none", "no", "nil", "null", "notapplicable", "tbd", "todo", ""})


def says_nothing(text: str) -> bool:
    """Whether `text` is blank or a mere N/A."""
    return re.sub(r"[\W_]+", "", text.lower()) in _NOTHING

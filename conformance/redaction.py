"""Taking secrets out of what was captured, before it is stored or hashed."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection
from typing import Any

MARK = "[redacted]"

# Shorter than this a known secret would take harmless text with it.
_SHORTEST_SECRET = 8

# Repetitions are bounded, so that a hostile log costs time in proportion to its length only.
_PATTERNS = (
    # PEM private keys, also where a log cut the end off.
    re.compile(
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
        re.DOTALL,
    ),
    # JSON web tokens, such as those of service accounts.
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,2000}\.[A-Za-z0-9_-]{4,4000}(?:\.[A-Za-z0-9_-]{0,2000})?"),
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)(?<=basic )[A-Za-z0-9+/]{8,}={0,2}"),
    re.compile(r"(?i)\b(?:set-)?cookie2?\b[\"']?\s{0,3}[:=][^\n]{1,8000}"),
    # User and password of a URL.
    re.compile(r"(?<=://)[^\s/@:]{1,200}:[^\s/@]{1,200}(?=@)"),
    # Keys of cloud providers and code hosts, which have a form of their own.
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(
        r"\b(?:ghp|gho|ghs|ghu|github_pat|glpat|xox[abprs]|hf|nvapi|sk|npm|dckr_pat|dop_v1)"
        r"[-_][A-Za-z0-9_-]{16,255}"
    ),
    re.compile(r"\bAIza[0-9A-Za-z_-]{30,60}"),
    re.compile(r"\bya29\.[0-9A-Za-z_-]{20,2000}"),
    re.compile(r"(?<=[?&]sig=)[^&\s\"']{16,200}"),
    # The secret half of a cloud provider's key: forty characters of every sort, and nothing else tells it.
    re.compile(
        r"(?<![A-Za-z0-9/+=._-])(?!/)(?=[A-Za-z0-9/+]{0,39}[A-Z])(?=[A-Za-z0-9/+]{0,39}[a-z])"
        r"(?=[A-Za-z0-9/+]{0,39}[0-9])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=._-])"
    ),
)
# PEM in base64, as kubeconfigs hold it; certificates may stay.
_PACKED_PEM = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/_-]{6,}={0,2}")
_NAMED = re.compile(
    r"""(?ix)
    (?P<name> ["']? (?<![a-z0-9_.-]) [a-z0-9_.-]*?
        (?:passw(?:or)?d|passphrase|secret|token|api[-_]?key|access[-_]?key|private[-_]?key
        |credential|client-key-data)
        [a-z0-9_.-]{0,40} \\{0,3}["']? \s{0,3} [:=] \s{0,3})
    (?P<value> \\{1,3}"[^"\n]*" | "[^"\n]*" | '[^'\n]*' | [^\s,;"']+ )
    """
)
# What registries call the name and password of an account.
_AUTH = re.compile(
    r"""(?i)(?P<name>\\{0,3}["']_?auth\\{0,3}["']\s{0,3}:\s{0,3})(?P<value>\\{0,3}["'][^"'\n]*["'])"""
)
# An option of a command with its value as the next word.
_OPTION = re.compile(
    r"""(?ix) (?P<name> (?<![\w-]) --? [a-z0-9-]{0,30}
        (?:passw(?:or)?d|passphrase|secret|token|api-?key|access-?key|private-?key|credential)
        [a-z0-9-]{0,20} \s{1,3})
    (?P<value> [^\s-]\S{0,4000} )
    """
)
_OPTION_NAME = re.compile(
    r"(?i)^--?[a-z0-9-]{0,30}(?:passw(?:or)?d|passphrase|secret|token|api-?key|access-?key|private-?key)"
    r"[a-z0-9-]{0,20}$"
)
_SECRET_NAME = re.compile(
    r"(?i)passw(or)?d|passphrase|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|client-key-data"
    r"|credential|^_?auth$|^(set-)?cookie$"
)
# Fields whose names hold such a word while their values never are a secret.
_HARMLESS = frozenset(
    {
        "automountServiceAccountToken",
        "serviceAccountToken",
        "secretName",
        "secretRef",
        "secretKeyRef",
        "imagePullSecrets",
        "expirationSeconds",
    }
)


def redact_text(text: str, known: Collection[str] = ()) -> str:
    """Return `text` without what looks like a secret and without the `known` ones."""
    for secret in known:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, MARK)
    text = _PACKED_PEM.sub(_unless_certificate, text)
    for pattern in _PATTERNS:
        text = pattern.sub(MARK, text)
    for named in (_NAMED, _AUTH, _OPTION):
        text = named.sub(lambda match: f"{match['name']}{MARK}", text)
    return text


def _unless_certificate(match: re.Match[str]) -> str:
    """Keep PEM in base64 that holds certificates and nothing else."""
    packed = match[0].rstrip("=")
    try:
        content = base64.b64decode(
            packed + "=" * (-len(packed) % 4), altchars=b"-_" if "-" in packed else None
        )
    except (binascii.Error, ValueError):
        return MARK
    is_public = content.startswith(b"-----BEGIN CERTIFICATE") and b"PRIVATE" not in content
    return match[0] if is_public else MARK


def redact_object(value: Any, known: Collection[str] = ()) -> Any:
    """Return a copy of a Kubernetes object without secrets and without noise.

    Environment values and fields named like a secret lose their content whatever it looks like.
    """
    if isinstance(value, dict):
        named_secret = isinstance(value.get("name"), str) and bool(_SECRET_NAME.search(value["name"]))
        result = {}
        for key, entry in value.items():
            if key == "managedFields":
                continue
            is_content = named_secret and key == "value"
            is_secret = bool(_SECRET_NAME.search(str(key))) and str(key) not in _HARMLESS
            is_secret_data = value.get("kind") == "Secret" and key in {"data", "stringData"}
            if is_secret_data or ((is_content or is_secret) and isinstance(entry, str | int | float)):
                result[key] = MARK
            else:
                result[key] = redact_object(entry, known)
        return result
    if isinstance(value, list):
        return [
            MARK if position and _is_option(value[position - 1]) else redact_object(entry, known)
            for position, entry in enumerate(value)
        ]
    if isinstance(value, str):
        return redact_text(_without_packed_secret(value), known)
    return value


def _is_option(value: Any) -> bool:
    """Tell whether the next word of a command is a secret."""
    return isinstance(value, str) and bool(_OPTION_NAME.match(value))


def _without_packed_secret(text: str) -> str:
    """Return `text` without the content of a Secret it is the JSON of, such as in an annotation."""
    if '"Secret"' not in text or not text.lstrip().startswith("{"):
        return text
    try:
        return json.dumps(redact_object(json.loads(text)))
    except (ValueError, RecursionError):
        return text

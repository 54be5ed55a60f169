"""The form of links and addresses. Nothing is ever fetched or sent."""

from __future__ import annotations

import re
from typing import Final

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_MAX_URL: Final = 2_048
_AUTHORITY = re.compile(r"[^/?#]*")
_PORT = re.compile(r":([0-9]*)$")
_LABEL = re.compile(r"[^\W_]([\w-]{0,61}[^\W_])?")
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]{2,45}\]")
_NEVER_IN_URLS = re.compile(r'[<>"\\`{}]')
_MAX_PORT: Final = 65_535
_MAX_HOST: Final = 253


def url_fault(text: str) -> str:
    """Why `text` is no http(s) link, as the end of a sentence; "" where it is one."""
    match = _SCHEME.match(text)
    if not match:
        return "does not start with https://"
    scheme = match[1].lower()
    if scheme not in {"http", "https"}:
        return f"starts with {scheme}://, and only https:// and http:// are links a reviewer can open"
    authority = _AUTHORITY.match(text, match.end())
    return _text_fault(text) or _authority_fault(authority[0] if authority else "")


def _text_fault(text: str) -> str:
    if re.search(r"\s", text):
        return "holds white space"
    if len(text) > _MAX_URL:
        return f"is longer than {_MAX_URL} characters"
    if wrong := _NEVER_IN_URLS.search(text):
        return f"holds the character {wrong[0]}, which cannot stand in a link"
    return ""


def _authority_fault(authority: str) -> str:
    if "@" in authority:
        return "holds a user name; links must open without credentials"
    port = _PORT.search(authority)
    if port and port[1] and not 0 < int(port[1][:6]) <= _MAX_PORT:
        return f"names the impossible port {port[1][:20]}"
    return _host_fault(authority[: port.start()] if port else authority)


def _host_fault(host: str) -> str:
    if not host:
        return "names no host"
    if _IPV6.fullmatch(host):
        return ""
    labels = host.rstrip(".").split(".")
    if len(host) > _MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        return f"names an impossible host ({host[:80]})"
    if len(labels) == 1:
        return f"names a host only your own network knows ({host[:80]})"
    return ""


def host_of(url: str) -> str:
    """The host of a well-formed link, in lower case and without a port."""
    match = _SCHEME.match(url)
    authority = _AUTHORITY.match(url, match.end()) if match else None
    return _PORT.sub("", authority[0]).lower().rstrip(".") if authority else ""


_SAMPLE_HOSTS: Final = frozenset(
    {"example.com", "example.org", "example.net", "yoyo.dyne", "vendor.com", "your-company.com"}
)
_SAMPLE_ENDINGS: Final = (".example", ".invalid", ".test", ".localhost")


def is_sample_host(host: str) -> bool:
    """Whether `host` belongs to guides and templates, not to a vendor."""
    return host.endswith(_SAMPLE_ENDINGS) or any(
        host == sample or host.endswith(f".{sample}") for sample in _SAMPLE_HOSTS
    )


_LOCAL_PART = re.compile(r"[^\s@\"(),:;<>\[\\\]]{1,64}")


def email_fault(text: str) -> str:
    """Why `text` is no single e-mail address, as the end of a sentence; "" where it is one."""
    if text.lower().startswith("mailto:"):
        return f"starts with mailto:; write only {text[7:].strip()[:80]}"
    if found := re.search(r"<([^<>\s]+@[^<>\s]+)>", text):
        return f"holds more than the address; write only {found[1][:80]}"
    if text.count("@") > 1 and re.search(r"[,;\s]", text):
        return "holds several addresses; write one, a group's address if several people answer"
    local, at, domain = text.rpartition("@")
    labels = domain.split(".")
    if (
        not at
        or not _LOCAL_PART.fullmatch(local)
        or local.startswith(".")
        or local.endswith(".")
        or ".." in local
        or len(domain) > _MAX_HOST
        or len(labels) == 1
        or not all(_LABEL.fullmatch(label) for label in labels)
    ):
        return "is no e-mail address such as conformance@vendor.org"
    return ""


_PLACEHOLDER = re.compile(
    r"\[[^\[\]]*\]|<[^<>]*>|\{\{.*\}\}|TBD|TODO|FIXME|XXX+|CHANGE ?ME|to be (?:done|defined|added|filled in)",
    re.IGNORECASE | re.DOTALL,
)


def is_placeholder(text: str) -> bool:
    """Whether `text` is a template's: the whole of it in brackets, or a word such as TBD."""
    return bool(_PLACEHOLDER.fullmatch(text.strip().rstrip(".")))

# ruff: noqa: N818 - the names read as what happened, without "Error" behind each
"""What can go wrong on the way to an API server, in classes of our own.

Nothing here carries a whole body: what a server answers is a stranger's text and is cut.
"""

from __future__ import annotations

import re

MAX_MESSAGE = 300

# Control characters and halves of surrogate pairs: no database column or terminal wants them.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """Return a stranger's text with everything that is no text replaced."""
    return _UNPRINTABLE.sub("\ufffd", text)


def shortened(text: str, limit: int = MAX_MESSAGE) -> str:
    """Return `text` on one line, cut to `limit` characters."""
    flat = " ".join(printable(text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


class ClusterError(Exception):
    """We could not look. `reason` is the stable code a check result carries."""

    reason = "cluster_error"

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(shortened(message))
        self.status = status


class ConnectionFailed(ClusterError):
    """No connection, or it broke."""

    reason = "connection"


class TlsFailed(ConnectionFailed):
    """The server's certificate is not the one the kubeconfig vouches for, or TLS broke."""

    reason = "tls"


class RequestTimeout(ClusterError):
    """The server did not answer in time."""

    reason = "timeout"


class BadAnswer(ClusterError):
    """The server answered something no API server answers."""

    reason = "bad_answer"


class AnswerTooLarge(BadAnswer):
    """The answer exceeded the size cap."""

    reason = "answer_too_large"


class Redirected(BadAnswer):
    """The server wanted to send us elsewhere."""

    reason = "redirected"


class StatusError(ClusterError):
    """The server answered with an error status. `kind` is the reason word of its Status object."""

    reason = "rejected"

    def __init__(self, message: str, *, status: int, kind: str = "") -> None:
        super().__init__(message, status=status)
        self.kind = kind


class Unauthorized(StatusError):
    """401: the credential is not accepted."""

    reason = "unauthorized"


class Forbidden(StatusError):
    """403: the credential lacks a right, or admission refuses."""

    reason = "forbidden"


class NotFound(StatusError):
    """404."""

    reason = "not_found"


class Conflict(StatusError):
    """409: it exists already, or changed meanwhile."""

    reason = "conflict"


class Gone(StatusError):
    """410: the resourceVersion is too old."""

    reason = "gone"


class Throttled(StatusError):
    """429, and waiting as asked did not help within the time there was."""

    reason = "throttled"
    retry_after: float | None = None


class ServerError(StatusError):
    """5xx. `retry_after` is in seconds, where the server asks for patience."""

    reason = "server_error"
    retry_after: float | None = None

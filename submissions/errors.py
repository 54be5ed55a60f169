"""Two kinds of trouble: what the applicant can mend, and what we must."""

from __future__ import annotations

from typing import Any


class ApplicantError(Exception):
    """Something the person can mend; the text says what happened and what to do.

    `code` is stable and meant for programs; `details` goes into the API's problem document.
    """

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.details = details


class StaleState(ApplicantError):  # noqa: N818 - reads as what happened
    """Someone else changed the object in the meantime."""

    def __init__(self, message: str) -> None:
        super().__init__("stale_state", message)


class PortalError(Exception):
    """Something we must mend; the person is told that, and the log has the rest."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

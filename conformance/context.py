"""What the checks of one run share."""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from conformance.cluster.patience import Patience
from conformance.probe_settings import ProbeSettings

if TYPE_CHECKING:
    from conformance.cluster.connection import Connection

Json = dict[str, Any]

RUN_LABEL = "certportal.dev/run"
CHECK_LABEL = "certportal.dev/check"
MANAGED_BY = {"app.kubernetes.io/managed-by": "certportal"}


@dataclass(frozen=True)
class RunContext:
    """What the checks of one run share. `speed` is above 1 on a simulated cluster with a fast clock."""

    connection: Connection
    run_id: str
    server_version: tuple[int, int]
    settings: ProbeSettings
    image: str
    namespace: str | None
    speed: float
    deadline: float
    stop: threading.Event
    checklist_version: str
    attempt: str = field(default_factory=lambda: secrets.token_hex(2))
    _groups: dict[str, Json] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def label(self) -> str:
        """The value of the run's label."""
        return run_label(self.run_id)

    @property
    def short(self) -> str:
        """A short name for namespaces: of the run, and of this attempt at it.

        A worker that lost the run to another and does not know it yet must not meet it there.
        """
        return f"{hashlib.sha256(self.run_id.encode()).hexdigest()[:6]}{self.attempt}"

    def groups(self, patience: Patience) -> dict[str, Json]:
        """Return the API groups the server offers, by name; asked once."""
        with self._lock:
            if not self._groups:
                answer = self.connection.get("/apis", patience=patience)
                for group in answer.get("groups") or []:
                    self._groups[str(group.get("name"))] = group
            return dict(self._groups)


def run_label(run_id: str) -> str:
    """Return a valid label value for a run id, the id itself where it is one."""
    if len(run_id) <= 63 and run_id.replace("-", "").isalnum() and run_id[0] != "-" != run_id[-1]:  # noqa: PLR2004
        return run_id
    return hashlib.sha256(run_id.encode()).hexdigest()[:32]

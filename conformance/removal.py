"""Removing what was created, and making sure that it is gone."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from conformance.cluster import errors
from conformance.cluster.patience import OutOfTime, Patience
from conformance.resources import Resource

if TYPE_CHECKING:
    from conformance.cluster.connection import Connection

logger = logging.getLogger(__name__)

_ATTEMPTS = 3
_LONGEST_PAUSE = 2.0


@dataclass(slots=True)
class Created:
    """Something that was, or may have been, created.

    With a `uid` only this very object is meant: another run, such as one that took this one over, may
    have made one of the same name since.
    """

    resource: Resource
    namespace: str | None
    name: str
    uid: str = field(default="", compare=False)

    @property
    def path(self) -> str:
        """Where it is served."""
        return self.resource.path(self.namespace, self.name)

    def __str__(self) -> str:
        """Name it as a person would look it up."""
        place = f" in namespace {self.namespace}" if self.namespace else ""
        return errors.printable(f"{self.resource.qualified}/{self.name}{place}")

    def remember(self, item: dict[str, Any]) -> None:
        """Take over the identity the server gave."""
        metadata = item.get("metadata")
        if isinstance(metadata, dict):
            self.uid = str(metadata.get("uid") or "")


def delete(connection: Connection, handle: Created, patience: Patience) -> None:
    """Ask for an object's removal, again where the connection broke or the server had trouble.

    Raises ClusterError where it is refused or keeps going wrong, OutOfTime where there is no time for it.
    """
    for attempt in range(_ATTEMPTS):
        try:
            connection.delete(handle.path, uid=handle.uid or None, patience=patience)
        except errors.Conflict:
            # Another object has the name by now, or a namespace is on its way out already.
            return
        except (errors.ServerError, errors.ConnectionFailed, errors.RequestTimeout) as error:
            if attempt == _ATTEMPTS - 1:
                raise
            logger.info("cannot remove %s yet: %s", handle, error)
            patience.sleep(0.2 * 2**attempt)
        else:
            return


def ask_removal(connection: Connection, handle: Created, patience: Patience) -> bool:
    """Ask for an object's removal; tell whether it was accepted."""
    try:
        delete(connection, handle, patience)
    except (errors.ClusterError, OutOfTime) as error:
        logger.warning("cannot remove %s: %s", handle, error)
        return False
    return True


def wait_gone(
    connection: Connection, handles: Iterable[Created], patience: Patience, *, pause: float = 0.1
) -> list[Created]:
    """Wait until each object is gone and return those that stay."""
    left = list(handles)
    while left:
        left = [handle for handle in left if _is_there(connection, handle, patience)]
        if not left or patience.remaining() <= 0:
            break
        with contextlib.suppress(OutOfTime):
            patience.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    return left


def _is_there(connection: Connection, handle: Created, patience: Patience) -> bool:
    try:
        found = connection.find(handle.path, patience=patience)
    except errors.ClusterError as error:
        logger.info("cannot tell whether %s is gone: %s", handle, error)
        return True
    if found is None:
        return False
    now = Created(handle.resource, handle.namespace, handle.name)
    now.remember(found)
    return not handle.uid or now.uid == handle.uid

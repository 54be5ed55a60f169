"""Asking for the removal of what was created, on a connection that breaks or is refused."""

from __future__ import annotations

from typing import Any, cast

import pytest

from conformance import removal
from conformance.cluster import errors
from conformance.cluster.connection import Connection
from conformance.cluster.patience import Patience
from conformance.resources import PODS

HANDLE = removal.Created(PODS, "certportal", "worker-1", uid="one")
BROKEN = errors.ConnectionFailed("The connection broke.")
TROUBLE = errors.ServerError("etcd has no leader", status=500)
REFUSED = errors.Forbidden("pods is forbidden", status=403)
REPLACED = errors.Conflict("the UID in the precondition does not match", status=409)


class Deleting:
    """A connection whose every DELETE ends with the next of these errors, and then with none."""

    def __init__(self, *ends: Exception) -> None:
        self.ends = list(ends)
        self.asked: list[tuple[str, str | None]] = []

    def delete(self, path: str, *, uid: str | None, patience: Patience) -> None:
        self.asked.append((path, uid))
        if self.ends:
            raise self.ends.pop(0)


def delete(*ends: Exception) -> int:
    """Remove over such a connection; how often it asked."""
    connection = Deleting(*ends)
    removal.delete(cast(Connection, connection), HANDLE, Patience.of(30))
    assert set(connection.asked) == {(HANDLE.path, "one")}
    return len(connection.asked)


@pytest.mark.parametrize(
    ("ends", "asked"), [((), 1), ((BROKEN,), 2), ((BROKEN, TROUBLE), 3), ((REPLACED,), 1)]
)
def test_removal_is_asked_for_again_where_that_may_help(ends: tuple[Exception, ...], asked: int) -> None:
    assert delete(*ends) == asked


@pytest.mark.parametrize("ends", [(REFUSED,), (BROKEN, BROKEN, BROKEN), (TROUBLE, REFUSED)])
def test_removal_that_keeps_going_wrong_says_why(ends: tuple[Exception, ...]) -> None:
    with pytest.raises(type(ends[-1])):
        delete(*ends)


@pytest.mark.parametrize(
    ("ends", "accepted"), [((BROKEN,), True), ((REFUSED,), False), ((TROUBLE,) * 3, False)]
)
def test_clean_up_goes_on_after_what_cannot_be_removed(ends: tuple[Any, ...], *, accepted: bool) -> None:
    found = removal.ask_removal(cast(Connection, Deleting(*ends)), HANDLE, Patience.of(30))
    assert found is accepted

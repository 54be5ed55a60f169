"""API groups that others than the API server answer for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from conformance.simulator.objects import Json
from conformance.simulator.requests import Target


class Extension(Protocol):
    """A server behind the API server. `versions` are those it serves, the preferred first.

    One that is down answers nothing, and discovery tells what it knew of it before.
    """

    versions: tuple[str, ...]
    is_down: bool

    def resources(self) -> list[Json]:
        """Return what discovery lists of each version."""

    def answer(self, method: str, where: Target, query: Mapping[str, str]) -> Json:
        """Answer a request that was let through; raises ApiError."""

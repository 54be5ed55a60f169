"""The pod network: who listens at which address, and what a request to it gets back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as a program sees it; `path` holds the query too. Header names are lower case."""

    method: str = "GET"
    path: str = "/"
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""


@dataclasses.dataclass(frozen=True, slots=True)
class Response:
    """What a program answers."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


Handler = Callable[[Request], Response]


class Network:
    """All listening programs of one cluster, by address and port."""

    def __init__(self) -> None:
        self._listening: dict[tuple[str, int], Handler] = {}

    def listen(self, address: str, port: int, handler: Handler) -> None:
        self._listening[address, port] = handler

    def close(self, address: str, port: int) -> None:
        self._listening.pop((address, port), None)

    def request(self, address: str, port: int, request: Request) -> Response | None:
        """Return the answer of whoever listens there; None where the connection is refused."""
        handler = self._listening.get((address, port))
        return handler(request) if handler is not None else None

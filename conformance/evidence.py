"""Collecting what a check saw, redacted and bounded, while it still exists."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from conformance.redaction import redact_object, redact_text
from conformance.verdicts import Evidence

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
MAX_PIECE = 256 * 1024
MAX_PIECES = 64

_UNSAFE = re.compile(r"[^A-Za-z0-9._/-]+")


class EvidenceBag:
    """The evidence of one check. Objects are kept by identity, so that the last state wins."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        self._secrets = tuple(secrets)
        self._objects: dict[str, Any] = {}
        self._events: dict[str, Any] = {}
        self._pieces: dict[str, Evidence] = {}
        self._observations: dict[str, Any] = {}

    def observe(self, name: str, value: Any) -> None:
        """Keep something the check computed, such as the devices it counted."""
        self._observations[name] = value

    def add_object(self, label: str, value: dict[str, Any]) -> None:
        """Keep an object's latest state under a label such as ``pods/alone``."""
        self._objects[label] = value

    def add_events(self, events: list[dict[str, Any]]) -> None:
        """Keep events, each once."""
        for event in events:
            metadata = event.get("metadata") or {}
            self._events[str(metadata.get("uid") or metadata.get("name"))] = event

    def add_text(self, name: str, text: str) -> None:
        """Keep a text such as a log; of a long one the end, where things usually go wrong."""
        content = redact_text(text, self._secrets).encode("utf-8", "replace")
        if len(content) > MAX_PIECE:
            content = b"[the beginning was cut]\n" + content[-MAX_PIECE:]
        self._put(name, TEXT, content)

    def sealed(self) -> tuple[Evidence, ...]:
        """Return every piece, redacted and hashed."""
        for name, value in (
            ("observations.json", self._observations),
            ("objects.json", list(self._objects.values())),
            ("events.json", list(self._events.values())),
        ):
            if value:
                self._put(name, JSON, self._json(value))
        return tuple(self._pieces[name] for name in sorted(self._pieces))

    def _json(self, value: Any) -> bytes:
        redacted = redact_object(value, self._secrets)
        content = _dumped(redacted)
        while len(content) > MAX_PIECE and isinstance(redacted, list) and len(redacted) > 1:
            redacted = redacted[: len(redacted) // 2]
            content = _dumped([*redacted, {"cut": "further entries were left out"}])
        return content if len(content) <= MAX_PIECE else _dumped({"cut": "too large to keep"})

    def _put(self, name: str, media_type: str, content: bytes) -> None:
        name = _UNSAFE.sub("-", name).strip("/.-") or "piece"
        if name in self._pieces or len(self._pieces) < MAX_PIECES:
            self._pieces[name] = Evidence(name, media_type, content, datetime.now(UTC))


def _dumped(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace")

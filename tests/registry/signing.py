"""Fetching and reading what the portal signs, for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from typing import Any
from unittest import mock

from django.test import Client
from django.utils import timezone

from conformance.credentials import Examination, examine, read_keys


@contextmanager
def clock(moment: datetime | date) -> Iterator[datetime]:
    """The portal's clock shows `moment`; noon of a day."""
    now = moment if isinstance(moment, datetime) else datetime.combine(moment, time(12), UTC)
    with mock.patch.object(timezone, "now", return_value=now):
        yield now


def published_keys(client: Client) -> dict[str, Any]:
    return dict(read_keys(client.get("/.well-known/jwks.json").content))


def fetch(client: Client, number: str) -> str:
    response = client.get(f"/api/v1/certifications/{number}/credential/")
    assert response.status_code == 200, response.content
    assert response["Content-Type"] == "application/vc+jwt"
    return response.content.decode().strip()


def payload_of(client: Client, number: str) -> dict[str, Any]:
    response = client.get(f"/api/v1/certifications/{number}/credential/?format=json")
    found: dict[str, Any] = json.loads(response.content)
    return found


def status_lists(client: Client, number: str) -> list[str]:
    """The lists that the credential of `number` names, as they stand now."""
    paths = [
        entry["statusListCredential"].split("8000", 1)[1]
        for entry in payload_of(client, number)["credentialStatus"]
    ]
    return [client.get(path).content.decode() for path in paths]


def examined(client: Client, token: str, number: str, now: datetime) -> Examination:
    """What a stranger finds who has fetched the keys and the lists this moment."""
    return examine(
        token,
        keys=published_keys(client),
        now=now,
        issuer="http://127.0.0.1:8000",
        status_lists=status_lists(client, number),
    )

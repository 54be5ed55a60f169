"""Probes and metrics."""

from __future__ import annotations

import pytest
from django.db import DatabaseError
from django.test import Client
from pytest_django import Settings

from certportal import health
from tests.registry.factories import CertificateFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("host", ["testserver", "10.0.0.7:8000"])
def test_probes_answer_whatever_host_is_asked_for(client: Client, host: str) -> None:
    alive, ready = (
        client.get("/healthz", headers={"host": host}),
        client.get("/readyz", headers={"host": host}),
    )
    assert (alive.status_code, alive.content) == (200, b"ok\n")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "problems": {}})


def test_portal_without_a_database_is_alive_and_not_ready(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(health.connection, "cursor", away)
    assert client.get("/healthz").status_code == 200
    response = client.get("/readyz")
    assert (response.status_code, response.json()["problems"]) == (503, {"database": "DatabaseError"})


@pytest.mark.parametrize(
    ("token", "embedded", "shown", "status"),
    [
        ("", False, "", 404),
        ("", False, "Bearer ", 404),
        ("", True, "", 200),
        ("secret", False, "Bearer secret", 200),
        ("secret", False, "Bearer other", 404),
        ("secret", True, "", 404),
    ],
)
def test_metrics_are_for_the_scraper(
    client: Client, settings: Settings, token: str, embedded: bool, shown: str, status: int
) -> None:
    settings.METRICS_TOKEN, settings.EMBEDDED = token, embedded
    response = client.get("/metrics", headers={"authorization": shown})
    assert response.status_code == status


def test_metrics_count_by_status(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKEN = "secret"
    CertificateFactory()
    text = client.get("/metrics", headers={"authorization": "Bearer secret"}).content.decode()
    assert 'certportal_certificates{status="active"} 1.0' in text.splitlines()

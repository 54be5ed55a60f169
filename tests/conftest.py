"""What every test may use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from certportal.append_only import unprotect

APPEND_ONLY = ("submissions_event", "registry_certificateevent")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Tests with real transactions empty every table afterwards, which the log's triggers refuse.

    The test of the triggers puts them back for itself. Threads that tests started may hold connections of
    the pool to the end; PostgreSQL drops no database to which somebody is connected.
    """
    with django_db_blocker.unblock():
        for table in APPEND_ONLY:
            unprotect(connection, table)
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """Each test has a registry of its own, whose versions have the same numbers as another test's."""
    from registry import tallies

    tallies.forget()

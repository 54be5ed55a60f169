"""What tests need that ask the portal's own WSGI application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections


@pytest.fixture(autouse=True)
def _connection_outlives_requests() -> Iterator[None]:
    """A request answered within a test must not close the connection whose transaction the test is in.

    Django's test client sees to that by itself; whoever asks the application directly does not.
    """
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    yield
    request_started.connect(close_old_connections)
    request_finished.connect(close_old_connections)

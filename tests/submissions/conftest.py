"""The world of the page and API tests."""

from __future__ import annotations

import pytest

from tests.submissions.cast import Cast, gather


@pytest.fixture
def cast(db: None) -> Cast:
    return gather()

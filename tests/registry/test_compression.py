"""Public answers are sent compressed; an answer to one person never is."""

from __future__ import annotations

import gzip

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db
TAKES_GZIP = {"accept-encoding": "gzip, deflate, br"}


@pytest.mark.parametrize("path", ["/certified/", "/changes/feed.atom", "/api/v1/certifications/"])
def test_answer_is_the_same_compressed(client: Client, registry: dict[str, str], path: str) -> None:
    plain = client.get(path)
    packed = client.get(path, headers=TAKES_GZIP)
    assert packed["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.content) == plain.content
    assert len(packed.content) < len(plain.content) / 2
    assert packed["Content-Length"] == str(len(packed.content))
    assert "Accept-Encoding" in plain["Vary"]
    assert "Accept-Encoding" in packed["Vary"]
    # Two sets of bytes, two tags; each is the same whenever it is asked for.
    assert packed["ETag"] != plain["ETag"]
    again = client.get(path, headers={**TAKES_GZIP, "if-none-match": packed["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "xgzip"])
def test_answer_is_plain_for_whoever_does_not_take_it(
    client: Client, registry: dict[str, str], accepted: str
) -> None:
    response = client.get("/certified/", headers={"accept-encoding": accepted})
    assert "Content-Encoding" not in response
    assert b"<!doctype html>" in response.content


def test_answer_to_someone_with_a_cookie_is_never_compressed(
    client: Client, registry: dict[str, str]
) -> None:
    client.cookies["sessionid"] = "anything"
    assert "Content-Encoding" not in client.get("/certified/", headers=TAKES_GZIP)


def test_picture_and_short_answer_are_left_as_they_are(client: Client, registry: dict[str, str]) -> None:
    for path in ("/card.png", "/robots.txt"):
        assert "Content-Encoding" not in client.get(path, headers=TAKES_GZIP)

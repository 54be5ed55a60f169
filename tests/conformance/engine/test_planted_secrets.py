"""Secrets that a platform spills reach neither the report nor its bundle."""

from __future__ import annotations

import io
import zipfile

import pytest

from conformance.bundle import read_bundle, to_bundle
from conformance.redaction import MARK
from conformance.signing import SigningKey
from tests.conformance.engine import planting, world

pytestmark = pytest.mark.cluster


def test_what_is_planted_would_be_found() -> None:
    assert planting.found_in(planting.TEXT.encode()) == [secret for _, secret in planting.PLANTED]


def test_nothing_planted_reaches_report_or_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    with planting.spilling(monkeypatch) as cluster:
        report = world.run(cluster)
        token = next(
            line.partition(":")[2].strip() for line in cluster.kubeconfig.splitlines() if "token:" in line
        )

    key = SigningKey.generate()
    data = to_bundle(report, key)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    everything = b"\n".join(files.values())
    assert planting.leaks(everything) == []
    assert token.encode() not in everything
    assert b"PRIVATE KEY" not in everything
    assert read_bundle(data).signer == key.public
    # It was planted in all three places, and each check that looked there saw it.
    for part in ("logs/", "objects.json", "events.json"):
        seen = [content for name, content in files.items() if part in name]
        assert any(planting.BESIDE.encode() in content and MARK.encode() in content for content in seen), part

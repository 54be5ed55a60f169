"""Secrets that a platform spills reach no row of the portal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core import serializers

from conformance.redaction import MARK
from submissions.models import CheckEvidence, TestCluster
from submissions.services import runs
from tests.conformance.engine import planting
from tests.submissions.cast import Cast
from tests.submissions.factories import PlatformFactory, SubmissionFactory, TestClusterFactory


@pytest.mark.cluster
@pytest.mark.django_db(transaction=True)
def test_nothing_planted_reaches_the_database(
    settings: Any, tmp_path: Path, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SIMULATED_CLUSTERS_DIR = tmp_path
    submission = SubmissionFactory(platform=PlatformFactory(organization=cast.organization), version="1.36")
    with planting.spilling(monkeypatch) as cluster:
        (tmp_path / "lab.yaml").write_text(cluster.kubeconfig)
        registered = TestClusterFactory(
            organization=cast.organization, name="spilling", data=cluster.kubeconfig.encode()
        )
        run = runs.request_run(
            submission=submission,
            cluster=registered,
            actor=cast.owner,
            only=["secure_accelerator_access", "robust_controller", "gang_scheduling"],
        )
        assert runs.execute_run(run_id=run.pk) == "finished"
        token = next(
            line.partition(":")[2].strip() for line in cluster.kubeconfig.splitlines() if "token:" in line
        )

    everything = b"".join(bytes(piece.content) for piece in CheckEvidence.objects.all())
    for model in apps.get_app_config("submissions").get_models():
        rows = model._default_manager.all()
        if model is TestCluster:
            rows = rows.defer("kubeconfig_encrypted")
        everything += serializers.serialize("json", rows).encode()
    assert planting.leaks(everything) == []
    assert token.encode() not in everything
    assert planting.BESIDE.encode() in everything
    assert MARK.encode() in everything
    run.refresh_from_db()
    assert planting.leaks(json.dumps(run.report).encode()) == []

"""The MLOps scenario: good platforms, and for each step a defect that flips it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conformance import probe_settings
from conformance.probe_settings import ProbeSettings, SettingsError
from conformance.redaction import redact_text
from conformance.scenarios.mlops import checksums
from conformance.simulator import SimulatedCluster
from conformance.simulator.objectstore import ACCESS_KEY, SECRET_KEY
from conformance.verdicts import ScenarioResult, Status
from tests.conformance.engine import world
from tests.conformance.scenarios.playing import play, step

VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")
STEPS = ("queue", "prepare", "contend", "release", "register", "checksums", "discard", "operator")


def told(cluster: SimulatedCluster) -> ProbeSettings:
    return probe_settings.parse(cluster.settings.encode())


def observed(result: ScenarioResult) -> dict[str, object]:
    piece = next(piece for piece in result.evidence if piece.name == "observations.json")
    return dict(json.loads(piece.content))


@pytest.mark.cluster
@pytest.mark.parametrize("version", VERSIONS)
def test_good_platform_runs_both_pipelines(version: str) -> None:
    with world.occupied(f"conformant-{version}") as cluster:
        result = play(cluster, "mlops", settings=told(cluster))
        secrets = cluster.store.list("secrets")

    expected = dict.fromkeys(STEPS, Status.PASS)
    names_store = version in {"1.35", "1.37"}
    if not names_store:
        expected["discard"] = Status.NOT_APPLICABLE
    assert {entry.id: entry.status for entry in result.steps} == expected
    assert (result.status, result.reason) == (Status.PASS, "all_steps_passed")
    assert observed(result)["queue"] == ("Kueue" if version == "1.33" else "ResourceQuota")
    assert observed(result)["artefacts"] == (
        "the object store http://minio.minio.svc:9000" if names_store else "claimed volumes"
    )
    assert not any(secret["metadata"]["namespace"].startswith("certportal-") for secret in secrets)


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("profile", "name", "status", "reason"),
    [
        ("quota-not-tracked", "queue", Status.FAIL, "quota_not_tracked"),
        ("errors:500:create:resourcequotas", "queue", Status.ERROR, "server_error"),
        ("image-unpullable", "prepare", Status.UNKNOWN, "image_unpullable"),
        ("logs-unreadable", "prepare", Status.ERROR, "logs_unreadable"),
        ("claims-never-bound", "prepare", Status.FAIL, "claim_not_bound"),
        ("volumes-read-only", "prepare", Status.FAIL, "artefact_lost"),
        ("object-store-denies", "prepare", Status.FAIL, "artefact_lost"),
        ("volumes-forget", "contend", Status.FAIL, "artefact_lost"),
        ("quota-ignored", "contend", Status.FAIL, "quota_exceeded"),
        ("quota-never-released", "release", Status.FAIL, "never_released"),
        ("gang-never-released@1.33", "release", Status.FAIL, "never_released"),
        ("object-store-full", "register", Status.FAIL, "artefact_lost"),
        ("volumes-garble", "checksums", Status.FAIL, "artefact_changed"),
        ("object-store-garbles", "checksums", Status.FAIL, "artefact_changed"),
        ("object-store-keeps", "discard", Status.FAIL, "artefact_lost"),
        ("operator-does-not-reconcile", "operator", Status.FAIL, "not_reconciled"),
        ("operator-pods-down", "operator", Status.FAIL, "webhook_unreachable"),
    ],
)
def test_defect_flips_its_step(profile: str, name: str, status: Status, reason: str) -> None:
    with world.occupied(profile, speed=100) as cluster:
        result = play(cluster, "mlops", settings=told(cluster))

    found = step(result, name)
    assert (found.status, found.reason) == (status, reason)
    assert (result.status, result.reason) == (status, reason)
    before = result.steps[: STEPS.index(name)]
    assert {entry.status for entry in before} <= {Status.PASS, Status.NOT_APPLICABLE}
    after = {entry.id: entry for entry in result.steps[STEPS.index(name) + 1 :]}
    # The operator, and what has to be removed in any case, do not depend on the pipelines' way.
    reached = {"operator", "discard"} if STEPS.index(name) >= STEPS.index("prepare") else set()
    for step_id, entry in after.items():
        assert (entry.reason == "not_reached") is (step_id not in reached), step_id


@pytest.mark.cluster
def test_artefacts_pass_through_a_pod_where_no_volume_can_be_claimed() -> None:
    with world.occupied("no-storage-class") as cluster:
        result = play(cluster, "mlops")

    assert result.status is Status.PASS
    assert observed(result)["artefacts"] == "a volume of a pod"


@pytest.mark.cluster
def test_quota_of_others_is_not_touched_in_a_prepared_namespace() -> None:
    with world.occupied("conformant-1.36") as cluster:
        world.make_namespace(cluster, "prepared")
        result = play(cluster, "mlops", namespace="prepared")

    assert (result.status, result.reason) == (Status.UNKNOWN, "needs_own_namespace")


@pytest.mark.cluster
def test_credentials_of_the_store_show_nowhere() -> None:
    with world.occupied("conformant-1.37") as cluster:
        result = play(cluster, "mlops", settings=told(cluster))

    kept = b"".join(piece.content for piece in result.evidence)
    for secret in (SECRET_KEY, ACCESS_KEY):
        assert secret.encode() not in kept
    assert SECRET_KEY not in repr(told(cluster))
    assert b"secretKeyRef" in kept


@pytest.mark.cluster
def test_right_to_make_secrets_is_asked_for_where_a_store_is_named() -> None:
    with world.occupied("forbidden:create:secrets@1.37") as cluster:
        result = play(cluster, "mlops", settings=told(cluster))

    first = result.steps[0]
    assert (first.status, first.reason) == (Status.ERROR, "forbidden")
    assert "create secrets" in first.message


def test_checksums_are_those_of_the_artefacts() -> None:
    found = checksums("a")

    assert found["data"].startswith("ef607088570f18f3")
    assert found["model"].startswith("6f75b7e698ae3be0")
    assert found["entry"].startswith("645a8b797d4037e3")


# Settings -----------------------------------------------------------------------------------------


def test_settings_name_a_store() -> None:
    found = probe_settings.parse(
        b"artifacts: {endpoint: 'https://s3.example.com', bucket: models, region: eu-central-1,"
        b" accessKey: AKIA1, secretKey: abc/def+1}"
    )

    assert found.artifacts is not None
    assert (found.artifacts.endpoint, found.artifacts.bucket) == ("https://s3.example.com", "models")
    assert found.artifacts.region == "eu-central-1"
    assert found.secrets() == {"AKIA1", "abc/def+1"}
    assert {str(right) for right in found.rights()} == {"create secrets"}
    assert redact_text("key abc/def+1.", found.secrets()) != "key abc/def+1."


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{bucket: b, accessKey: aaa, secretKey: bbb}", "artifacts.endpoint"),
        ("{endpoint: 'ftp://x', bucket: b, accessKey: aaa, secretKey: bbb}", "artifacts.endpoint"),
        ("{endpoint: 'http://x/path', bucket: b, accessKey: aaa, secretKey: bbb}", "artifacts.endpoint"),
        ("{endpoint: 'http://u:p@x', bucket: b, accessKey: aaa, secretKey: bbb}", "artifacts.endpoint"),
        ("{endpoint: 'http://x', bucket: B!, accessKey: aaa, secretKey: bbb}", "artifacts.bucket"),
        ("{endpoint: 'http://x', bucket: b, accessKey: aaa}", "artifacts.secretKey"),
        ("{endpoint: 'http://x', bucket: b, accessKey: 'a b', secretKey: bbb}", "artifacts.accessKey"),
        ("{endpoint: 'http://x', bucket: b, accessKey: aaa, secretKey: bbb, x: 1}", "artifacts.x"),
        ("[1]", "artifacts"),
    ],
)
def test_settings_say_what_is_wrong_with_a_store(text: str, where: str) -> None:
    with pytest.raises(SettingsError) as caught:
        probe_settings.parse(f"artifacts: {text}".encode())

    assert where in {path for path, _ in caught.value.problems}
    assert "bbb" not in str(caught.value)


def test_settings_that_the_guide_shows_are_understood() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "vendor.md").read_text(encoding="utf-8")
    [shown] = [block for block in guide.split("```") if block.lstrip().startswith("accelerators:")]

    found = probe_settings.parse(shown.encode())

    assert found.artifacts is not None
    assert found.monitoring.endpoint is not None
    assert found.autoscaling.metric == "http_requests_in_flight"
    assert found.inference.gateway_class == "internal"

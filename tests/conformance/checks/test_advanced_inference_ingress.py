"""Model pools behind a gateway: the good platforms, and the vendor's settings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conformance.simulator import SimulatedCluster
from conformance.verdicts import Status
from tests.conformance.checks import trial
from tests.conformance.engine import world

pytestmark = pytest.mark.cluster

CHECK = "advanced_inference_ingress"


@pytest.mark.parametrize("version", ["1.36", "1.37"])
def test_conformant_platform_prefers_the_emptier_server(version: str) -> None:
    with world.occupied(f"conformant-{version}") as cluster:
        result = trial.observe(cluster, CHECK)
        roles = [entry["metadata"]["name"] for entry in cluster.store.list("roles.rbac.authorization.k8s.io")]

    assert (result.status, result.reason) == (Status.PASS, "emptier_preferred")
    seen = trial.observations(result)["answers to pool-client"]
    assert seen == {
        "reached": True,
        "sent": 50,
        "statuses": {"200": 50},
        "servers": {"pool-server-empty": 50},
    }
    assert "certportal-picker" not in roles


def test_what_shows_that_it_does_not_apply_is_kept() -> None:
    with trial.hurried("inference-extension-missing") as cluster:
        result = trial.observe(cluster, CHECK)

    name = "definition inferencepools.inference.networking.k8s.io"
    assert trial.observations(result) == {name: "absent"}


def test_older_kind_of_pool_alone_does_not_count() -> None:
    key = "customresourcedefinitions.apiextensions.k8s.io"

    def retire(definition: dict) -> None:
        definition["spec"]["versions"][0]["name"] = "v1alpha2"

    with trial.hurried("conformant-1.36") as cluster:
        cluster.store.edit(key, "", "inferencepools.inference.networking.k8s.io", retire)
        result = trial.observe(cluster, CHECK)

    assert (result.status, result.reason) == (Status.NOT_APPLICABLE, "extension_absent")


@pytest.fixture(scope="module")
def cluster() -> Iterator[SimulatedCluster]:
    with world.occupied("conformant-1.36") as running:
        yield running


def test_pools_may_have_a_class_of_their_own(cluster: SimulatedCluster) -> None:
    result = trial.observe(
        cluster, CHECK, b"inference: {gatewayClass: x, poolGatewayClass: inference-gateway}"
    )

    assert result.status is Status.PASS


def test_picker_of_the_settings_is_used(cluster: SimulatedCluster) -> None:
    image = "mirror.example/gaie/epp:v1.3.1"
    settings = f"inference: {{picker: {{image: '{image}', tls: false}}}}".encode()

    result = trial.observe(cluster, CHECK, settings)

    assert result.status is Status.PASS
    kept = next(piece for piece in result.evidence if piece.name == "objects.json").content.decode()
    assert image in kept
    assert "--secure-serving=false" in kept


def test_picker_that_cannot_be_pulled_is_unknown(cluster: SimulatedCluster) -> None:
    settings = b"inference: {picker: {image: 'nowhere.invalid/epp:v1'}}"

    result = trial.observe(cluster, CHECK, settings)

    assert (result.status, result.reason) == (Status.UNKNOWN, "picker_unpullable")
    assert "nowhere.invalid/epp:v1" in result.message

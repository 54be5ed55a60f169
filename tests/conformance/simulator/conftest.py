"""Simulated clusters with the official client before them, over TLS."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from conformance import probes
from conformance.simulator import SimulatedCluster, start

SPEED = 50
PATIENCE_SECONDS = 10


class Talker:
    """One user of a cluster: the typed APIs, and a way to send anything at all."""

    def __init__(self, cluster: SimulatedCluster, kubeconfig: str) -> None:
        self.cluster = cluster
        document = yaml.safe_load(kubeconfig)
        self.token = document["users"][0]["user"]["token"]
        self.api = config.new_client_from_config_dict(document)
        self.core = client.CoreV1Api(self.api)

    def call(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json", accept: str = "*/*"
    ) -> tuple[int, Any]:
        """Send a request and return status and answer, whatever the status."""
        headers = {"Content-Type": kind, "Accept": accept, "Authorization": f"Bearer {self.token}"}
        url = f"{self.cluster.url}{path}"
        try:
            response: Any = self.api.call_api(
                method, url, headers, body, None, _request_timeout=PATIENCE_SECONDS
            )
            response.read()
        except ApiException as error:
            return error.status, json.loads(error.body)
        text = response.data.decode()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text

    def close(self) -> None:
        self.api.rest_client.pool_manager.clear()


def until(look: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> Any:
    """Return what `look` sees once it sees something; fail the test if it never does."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if (found := look()) not in (None, False, [], {}):
            return found
        time.sleep(0.01)
    pytest.fail("it never came")


@pytest.fixture(scope="module")
def profile() -> str:
    return "conformant-1.36"


@pytest.fixture(scope="module")
def cluster(profile: str) -> Iterator[SimulatedCluster]:
    with start(profile, speed=SPEED) as running:
        yield running


@pytest.fixture(scope="module")
def admin(cluster: SimulatedCluster) -> Iterator[Talker]:
    talker = Talker(cluster, cluster.admin_kubeconfig)
    yield talker
    talker.close()


@pytest.fixture(scope="module")
def verifier(cluster: SimulatedCluster) -> Iterator[Talker]:
    talker = Talker(cluster, cluster.kubeconfig)
    yield talker
    talker.close()


@pytest.fixture
def namespace(cluster: SimulatedCluster) -> Iterator[str]:
    made = cluster.store.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "t-"}})
    name = made["metadata"]["name"]
    until(lambda: cluster.store.get("serviceaccounts", name, "default"))
    yield name
    if cluster.store.get("namespaces", "", name):
        cluster.store.delete("namespaces", "", name)
        until(lambda: cluster.store.get("namespaces", "", name) is None)


def pod(
    name: str, program: str = "hold", *, hold: float = 0, device: str = "", **spec: Any
) -> dict[str, Any]:
    """Return a pod that runs a probe, with a device where `device` is ``claim`` or ``resource``."""
    container: dict[str, Any] = {
        "name": "main",
        "image": probes.IMAGE,
        "command": probes.command(program),
        "env": [{"name": "PROBE_HOLD", "value": str(hold)}],
    }
    body: dict[str, Any] = {"restartPolicy": "Never", "containers": [container], **spec}
    if device == "claim":
        body["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "one"}]
        container["resources"] = {"claims": [{"name": "gpu"}]}
    elif device == "resource":
        container["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body}


def claim_template(version: str = "v1") -> dict[str, Any]:
    request = {"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}
    return {
        "apiVersion": f"resource.k8s.io/{version}",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": "one"},
        "spec": {"spec": {"devices": {"requests": [request]}}},
    }


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def place(obj: dict[str, Any], namespace: str) -> dict[str, Any]:
    """Return `obj` with its namespace set, for the back door."""
    return {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}


def phase_of(cluster: SimulatedCluster, namespace: str, name: str) -> str | None:
    found = cluster.store.get("pods", namespace, name)
    return found["status"]["phase"] if found else None


def condition_of(obj: dict[str, Any], kind: str) -> dict[str, Any] | None:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry["type"] == kind), None)

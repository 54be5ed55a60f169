"""A simulated platform that spills secrets wherever a check looks: into logs, objects and events."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

from conformance.simulator import SimulatedCluster
from conformance.simulator.controllers.kubelet import Kubelet
from tests.conformance.engine import world

# Stands beside every secret, so that a test can tell that the places were reached at all.
BESIDE = "beside-what-was-planted"


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


_PAYLOAD = _b64('{"sub":"system:planted"}').rstrip("=")
_JWT = f"eyJhbGciOiJSUzI1NiJ9.{_PAYLOAD}.cGxhbnRlZC1zaWduYXR1cmUtYnl0ZXM"
_BODY = "MHcCAQEEIPlantedPlantedPlantedPlantedPlantedPlantedPlanted"
_PEM = f"-----BEGIN EC PRIVATE KEY-----\n{_BODY}\n-----END EC PRIVATE KEY-----"
_AWS = "pLanTedK7MDENG/bPxRfiCYpLanTedKEY1234567"

# What is written, and what of it must never be seen again.
PLANTED: tuple[tuple[str, str], ...] = (
    (f"using token {_JWT}", _JWT.rpartition(".")[0]),
    (_PEM, _BODY[8:40]),
    (f"client-key-data: {_b64(_PEM)}", _b64(_PEM)[60:100]),
    (f"loaded {_b64(_PEM)}", _b64(_PEM)[60:100]),
    ("users:\n- name: admin\n  user:\n    token: planted-kubeconfig-token\n", "planted-kubeconfig-token"),
    ("    username: admin\n    password: planted-kubeconfig-password\n", "planted-kubeconfig-password"),
    ('{"users":[{"user":{"token":"planted-json-token"}}]}', "planted-json-token"),
    (r'msg="{\"token\":\"planted-escaped-token\"}"', "planted-escaped-token"),
    ("pulling https://puller:planted-url-password@registry.example/v2/", "planted-url-password"),
    ("AKIAPLANTEDPLANTED12", "AKIAPLANTEDPLANTED12"),
    (f"aws_secret_access_key = {_AWS}", _AWS),
    (f"signing with {_AWS} now", _AWS),
    ("Authorization: Bearer planted-bearer-0123456789", "planted-bearer-0123456789"),
    (f"Authorization: Basic {_b64('admin:planted')}", _b64("admin:planted")),
    ("ghp_plantedplantedplantedplantedplanted1", "plantedplantedplanted"),
    ("hf_plantedplantedplantedplanted", "hf_planted"),
    ('{"auths":{"r":{"auth":"cGxhbnRlZDpkb2NrZXI="}}}', "cGxhbnRlZDpkb2NrZXI"),
    ("Set-Cookie: session=planted-cookie-value; Secure", "planted-cookie-value"),
    ("exec serve --api-token planted-option-value --port 80", "planted-option-value"),
)
TEXT = f"{BESIDE}\n" + "\n".join(written for written, _ in PLANTED)


def found_in(data: bytes) -> list[str]:
    """Whatever of the planted secrets is in `data`, plain or escaped as JSON does."""
    text = data.decode("utf-8", "replace")
    return [secret for _, secret in PLANTED if secret in text or json.dumps(secret)[1:-1] in text]


@contextlib.contextmanager
def spilling(
    monkeypatch: pytest.MonkeyPatch, profile: str = "conformant-1.36", **options: Any
) -> Iterator[SimulatedCluster]:
    """Start a cluster whose kubelets, webhooks and components say too much."""
    read, follow = Kubelet.read, Kubelet.follow

    def spilled(pod: Any) -> list[tuple[str, str]]:
        return [("2026-01-02T03:04:05.000000000Z", line) for line in TEXT.split("\n")]

    def reading(self: Kubelet, pod: Any, container: str, *, previous: bool) -> list[tuple[str, str]]:
        return [*spilled(pod), *read(self, pod, container, previous=previous)]

    async def following(
        self: Kubelet, pod: Any, container: str, after: int
    ) -> AsyncGenerator[tuple[str, str], None]:
        for line in spilled(pod):
            yield line
        async for line in follow(self, pod, container, after):
            yield line

    monkeypatch.setattr(Kubelet, "read", reading)
    monkeypatch.setattr(Kubelet, "follow", following)
    with world.occupied(profile, **options) as cluster:
        cluster.call(_spill)
        yield cluster


def _spill(simulated: Any) -> None:
    """Have every pod mutated as a careless webhook would, and every event tell too much."""
    create, record = simulated.store.create, simulated.recorder.record

    def creating(key: str, obj: Any) -> Any:
        if key == "pods":
            notes = obj["metadata"].setdefault("annotations", {})
            notes["sidecar.example/config"] = TEXT
            notes["sidecar.example/api-token"] = "planted-annotation-value"
            applied = {"kind": "Secret", "data": {"plain": _b64("planted-in-a-secret")}}
            notes["sidecar.example/applied"] = json.dumps(applied)
            for container in obj["spec"]["containers"]:
                container.setdefault("env", []).append({"name": "SPILL", "value": TEXT})
                container["env"].append({"name": "DB_PASSWORD", "value": "planted-environment-value"})
        return create(key, obj)

    def recording(obj: Any, kind: str, reason: str, message: str, **more: Any) -> None:
        record(obj, kind, reason, f"{message} {TEXT}", **more)

    simulated.store.create = creating
    simulated.recorder.record = recording


OF_OBJECTS = ("planted-annotation-value", _b64("planted-in-a-secret"), "planted-environment-value")


def leaks(data: bytes) -> list[str]:
    """Everything planted that is in `data`."""
    return found_in(data) + [secret for secret in OF_OBJECTS if secret.encode() in data]

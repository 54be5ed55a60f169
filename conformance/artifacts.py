"""Where the steps of a pipeline leave things for one another: an object store, a volume, or a pod's."""

from __future__ import annotations

import base64
from typing import Any

from conformance import pods, volumes
from conformance.pods import Container, Placement
from conformance.probe_settings import ARTIFACT_RIGHTS, ArtifactSettings
from conformance.resources import PODS, SECRETS, SERVICES, VOLUME_CLAIMS
from conformance.rights import Right, on
from conformance.run import Run

Json = dict[str, Any]

RIGHTS: tuple[Right, ...] = (*volumes.RIGHTS, *on("services", "create get delete"))
ROLE_LABEL = "certportal.dev/role"
SECRET, STORE = "artifacts", "store"
_PORT = 8080


class Artifacts:
    """Chooses a place for the artefacts and gives pods what they need to reach it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._named = run.settings.artifacts
        self._claims: set[str] = set()
        self._is_claimed = False

    @property
    def is_object_store(self) -> bool:
        """Whether what is left there stays until it is removed."""
        return self._named is not None

    @property
    def place(self) -> str:
        """Name it as in a sentence."""
        if self._named is not None:
            return f"the object store {self._named.endpoint}"
        return "claimed volumes" if self._is_claimed else "a volume of a pod"

    def prepare(self, owner: Json) -> None:
        """Set the place up. Credentials are kept in a Secret that goes with `owner`."""
        if self._named is not None:
            self._run.require_rights(ARTIFACT_RIGHTS)
            self._make_secret(self._named, owner)
        else:
            self._is_claimed = volumes.default_class(self._run) is not None
            if not self._is_claimed:
                self._start_store()
        self._run.evidence.observe("artefacts", self.place)

    def _make_secret(self, named: ArtifactSettings, owner: Json) -> None:
        """Make a Secret without any right to see or remove one: the cluster removes it with its owner."""
        namespace = self._run.namespace
        body = {
            "apiVersion": "v1",
            "kind": SECRETS.kind,
            "metadata": {
                "name": SECRET,
                "namespace": namespace,
                "labels": self._run.labels(),
                "ownerReferences": [owner],
            },
            "type": "Opaque",
            "data": {
                "access": base64.b64encode(named.access_key.encode()).decode(),
                "secret": base64.b64encode(named.secret_key.encode()).decode(),
            },
        }
        self._run.connection.create(SECRETS.path(namespace), body, patience=self._run.patience())

    def _start_store(self) -> None:
        labels = {ROLE_LABEL: STORE}
        self._run.create(
            SERVICES,
            STORE,
            {
                "spec": {
                    "selector": {**labels, **self._run.labels()},
                    "ports": [{"name": "http", "port": _PORT}],
                }
            },
        )
        environment = {"PROBE_FOLDER": "/kept", "PROBE_PORT": str(_PORT)}
        body = pods.pod([Container("store", "store", None, environment)], self._run.image(), Placement())
        volumes.mount(body, "state", "/tmp")  # noqa: S108 - a volume of the pod's own
        volumes.mount(body, "kept", "/kept")
        self._run.create(PODS, STORE, {**body, "metadata": {"labels": labels}})

    def unbound(self) -> list[str]:
        """Return the claims for artefacts that have no volume."""
        return [
            name
            for name in sorted(self._claims)
            if (self._run.get(VOLUME_CLAIMS, name).get("status") or {}).get("phase") != "Bound"
        ]

    def equip(self, body: Json, pipeline: str) -> None:
        """Let the pod of a pipeline's step reach the place."""
        variables = body["spec"]["containers"][0]["env"]
        if self._named is not None:
            given = {
                "PROBE_S3": self._named.endpoint,
                "PROBE_BUCKET": self._named.bucket,
                "PROBE_REGION": self._named.region,
                "PROBE_PREFIX": f"certportal/{self._run.context.short}/",
            }
            variables += [{"name": name, "value": value} for name, value in given.items()]
            for name, key in (("PROBE_ACCESS_KEY", "access"), ("PROBE_SECRET_KEY", "secret")):
                reference = {"secretKeyRef": {"name": SECRET, "key": key}}
                variables.append({"name": name, "valueFrom": reference})
        elif self._is_claimed:
            name = f"artefacts-{pipeline}"
            if name not in self._claims:
                volumes.claim(self._run, name)
                self._claims.add(name)
            variables.append({"name": "PROBE_FOLDER", "value": "/artefacts"})
            volumes.mount(body, "artefacts", "/artefacts", claimed=name)
        else:
            variables.append({"name": "PROBE_STORE", "value": f"http://{STORE}:{_PORT}"})

"""How a simulated API server shows the manners of a real one."""

from __future__ import annotations

import asyncio
import dataclasses
from http import HTTPStatus

from conformance.simulator import definitions
from conformance.simulator.admission import VALIDATING, Review, Verdict
from conformance.simulator.authorization import Attributes, User
from conformance.simulator.clock import stamp
from conformance.simulator.controllers.lifecycle import DEFINITIONS, custom_type
from conformance.simulator.errors import ApiError, Json
from conformance.simulator.manners import (
    ADMISSION,
    AGGREGATION,
    CONVERSION,
    DISCOVERY,
    EVENTS,
    OWNERSHIP,
    THROTTLING,
    WARNINGS,
    WATCHES,
)
from conformance.simulator.objects import annotations_of, clone, dig, labels_of, set_condition
from conformance.simulator.world import World

TURNED_AWAY_EVERY = 43
RETRY_SECONDS = 1
DISCOVERY_SECONDS = 0.25
WATCH_SECONDS = 1.5
FORGETS_EVERY_SECONDS = 0.7

_SERVICES = "apiservices.apiregistration.k8s.io"
_DOWN_GROUP, _DOWN_VERSION = "metrics.k8s.io", "v1beta1"
_POLICY_HOME, _POLICY, _POLICY_PATH = "policy-system", "policy-engine", "/mutate"
_POLICY_IMAGE = "registry.example.com/policy/engine:v3.2.1"
_EXEMPT = "system:masters"


class Unavailable:
    """An aggregated API nobody answers for."""

    versions: tuple[str, ...] = (_DOWN_VERSION,)
    is_down = True

    def resources(self) -> list[Json]:
        raise _unavailable()

    def answer(self, *_request: object) -> Json:
        raise _unavailable()


def _unavailable() -> ApiError:
    return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable", "service unavailable")


@dataclasses.dataclass
class Roughness:
    """The manners of one cluster, asked at each request."""

    world: World
    manners: frozenset[str]
    requests: int = 0

    async def meet(self, user: User, wanted: Attributes) -> None:
        """Slow a request down or turn it away; raises ApiError (429)."""
        if wanted.path:
            if DISCOVERY in self.manners and wanted.path.startswith(("/api", "/openapi")):
                await asyncio.sleep(DISCOVERY_SECONDS)
            return
        if THROTTLING not in self.manners or _EXEMPT in user.groups:
            return
        self.requests += 1
        if self.requests % TURNED_AWAY_EVERY == 0:
            message = "Too many requests, please try again later."
            raise ApiError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "TooManyRequests",
                message,
                {"retryAfterSeconds": RETRY_SECONDS},
            )

    def warnings(self, wanted: Attributes) -> list[str]:
        """Return what the answer to a write warns of."""
        if WARNINGS not in self.manners or wanted.path or wanted.verb not in {"create", "update", "patch"}:
            return []
        found = [f"{wanted.resource} are watched over by a policy; see https://policy.example.com/"]
        if wanted.resource == "pods":
            found.append(
                'would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false '
                '(container "main" must set securityContext.allowPrivilegeEscalation=false)'
            )
        return found

    @property
    def watch_seconds(self) -> float | None:
        """How long a watch may last at most."""
        return WATCH_SECONDS if WATCHES in self.manners else None

    async def forget(self) -> None:
        """Let the past go again and again, so that watches resumed from it must list anew."""
        while True:
            await asyncio.sleep(FORGETS_EVERY_SECONDS)
            self.world.store.compact()


def furnish(world: World, manners: frozenset[str]) -> None:
    """Make a new cluster's world rough, before its platform is installed."""
    if OWNERSHIP in manners:
        world.api.own_manager = "kube-controller-manager"
    if EVENTS in manners:
        world.recorder.timed_components = frozenset({"default-scheduler"})
    if AGGREGATION in manners:
        world.types.extensions[_DOWN_GROUP] = Unavailable()
    if ADMISSION in manners:
        world.api.webhooks.serve(_POLICY_HOME, _POLICY, _POLICY_PATH, _enforce)


def objects(manners: frozenset[str]) -> list[Json]:
    """Return what is installed beside the platform."""
    found: list[Json] = []
    if AGGREGATION in manners:
        found.append(_api_service())
    if ADMISSION in manners:
        rule = {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE"],
            "resources": ["pods", "namespaces"],
        }
        found += [
            definitions.namespace(_POLICY_HOME),
            definitions.deployment(_POLICY_HOME, _POLICY, _POLICY_IMAGE),
            definitions.service(_POLICY_HOME, _POLICY, _POLICY),
            definitions.webhook(
                _POLICY,
                "mutate.policy.example.com",
                (_POLICY_HOME, _POLICY, _POLICY_PATH),
                rule,
                mutating=True,
                failure_policy="Ignore",
            ),
        ]
    return found


def finish(world: World, manners: frozenset[str]) -> None:
    """Change what the platform installed."""
    if AGGREGATION in manners:
        world.api.edit(_SERVICES, "", f"{_DOWN_VERSION}.{_DOWN_GROUP}", _mark_down)
    if CONVERSION in manners:
        for entry in world.store.all(DEFINITIONS):
            name = entry["metadata"]["name"]
            edited = world.api.edit(DEFINITIONS, "", name, _serve_older_version)
            if edited is not None:
                world.types.add(custom_type(edited))
        for entry in world.store.all(VALIDATING):
            world.api.edit(VALIDATING, "", entry["metadata"]["name"], _look_at_older_versions)


def _api_service() -> Json:
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{_DOWN_VERSION}.{_DOWN_GROUP}"},
        "spec": {
            "group": _DOWN_GROUP,
            "version": _DOWN_VERSION,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": "metrics-server", "namespace": "kube-system", "port": 443},
        },
    }


def _mark_down(entry: Json) -> None:
    conditions = entry.setdefault("status", {}).setdefault("conditions", [])
    message = "failing or missing response from https://10.96.0.9:443/apis/metrics.k8s.io/v1beta1"
    set_condition(conditions, "Available", "False", reason="FailedDiscoveryCheck", message=message)


def _serve_older_version(entry: Json) -> None:
    """Serve a definition's stored version under an older name as well, and list that one first."""
    versions = entry["spec"]["versions"]
    stored = next(version for version in versions if version.get("storage"))
    names = {version["name"] for version in versions}
    older = _older(str(stored["name"]))
    if older in names:
        return
    copied = clone(stored) | {"name": older, "storage": False, "deprecated": True}
    entry["spec"]["versions"] = [copied, *versions]


def _look_at_older_versions(entry: Json) -> None:
    """Let webhooks be registered for the older version; the server converts what they are to see."""
    for webhook in entry.get("webhooks") or ():
        for rule in webhook["rules"]:
            rule["apiVersions"] = [_older(str(version)) for version in rule["apiVersions"]]


def _older(version: str) -> str:
    return f"{version}alpha1" if version == "v1" else "v1alpha0"


def _enforce(review: Review) -> Verdict:
    """Answer the policy engine's webhook: it leaves its marks on everything it sees."""
    obj = clone(review.obj)
    metadata = obj["metadata"]
    metadata["labels"] = {**labels_of(obj), "policy.example.com/seen": "true"}
    metadata["annotations"] = {**annotations_of(obj), "policy.example.com/at": stamp()}
    if review.kind.key == "pods":
        spec = obj["spec"]
        spec.setdefault("securityContext", {}).setdefault("seccompProfile", {"type": "RuntimeDefault"})
        spec.setdefault("tolerations", []).append({"key": "policy.example.com/any", "operator": "Exists"})
        for container in dig(spec, "containers", default=()):
            resources = container.setdefault("resources", {})
            resources["requests"] = {"cpu": "10m", "memory": "16Mi", **(resources.get("requests") or {})}
            container.setdefault("env", []).append({"name": "POLICY_ENGINE", "value": "v3"})
    return Verdict(allowed=True, obj=obj)

"""Admission webhooks: the stored configurations decide who is asked, the cluster who answers.

A webhook's server is a program in a pod. It is reached through its Service and the ready endpoints
behind that; where there are none the call fails the way it does on a real cluster.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from http import HTTPStatus

from conformance.simulator.errors import ApiError, internal
from conformance.simulator.kinds import ResourceType
from conformance.simulator.objects import Json, clone, dig, labels_of
from conformance.simulator.selectors import matches_label_selector
from conformance.simulator.store import Store

GROUP = "admissionregistration.k8s.io"
VALIDATING = f"validatingwebhookconfigurations.{GROUP}"
MUTATING = f"mutatingwebhookconfigurations.{GROUP}"
SLICES = "endpointslices.discovery.k8s.io"


@dataclasses.dataclass(frozen=True, slots=True)
class Review:
    """What a webhook is asked. `obj` is absent for a deletion, `old` for a creation."""

    operation: str
    kind: ResourceType
    namespace: str
    name: str
    obj: Json | None
    old: Json | None
    dry_run: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What a webhook answers; a mutating one may hand back a changed object."""

    allowed: bool
    message: str = ""
    code: int = HTTPStatus.FORBIDDEN
    reason: str = "Forbidden"
    obj: Json | None = None


Handler = Callable[[Review], Verdict]


class Webhooks:
    """Calls the webhooks of the cluster. Programs announce the paths they serve with `serve`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._handlers: dict[tuple[str, str, str], Handler] = {}

    def serve(self, namespace: str, service: str, path: str, handler: Handler) -> None:
        self._handlers[namespace, service, path] = handler

    def mutate(self, review: Review) -> Json | None:
        """Return the object as the mutating webhooks leave it."""
        obj = review.obj
        for webhook in self._matching(MUTATING, review):
            verdict = self._call(webhook, dataclasses.replace(review, obj=clone(obj)))
            if verdict is not None and verdict.obj is not None:
                obj = verdict.obj
        return obj

    def validate(self, review: Review) -> None:
        """Raise the refusal of the first validating webhook that says no."""
        for webhook in self._matching(VALIDATING, review):
            self._call(webhook, review)

    def _matching(self, key: str, review: Review) -> list[Json]:
        if review.kind.group == GROUP:
            return []
        return [
            webhook
            for configuration in self._store.all(key)
            for webhook in configuration.get("webhooks") or ()
            if self._matches(webhook, review)
        ]

    def _matches(self, webhook: Json, review: Review) -> bool:
        if not any(_rule_matches(rule, review) for rule in webhook.get("rules") or ()):
            return False
        candidates = [obj for obj in (review.obj, review.old) if obj is not None]
        selector = webhook.get("objectSelector") or {}
        if not any(matches_label_selector(selector, labels_of(obj)) for obj in candidates):
            return False
        if not review.kind.namespaced:
            return True
        namespace = self._store.get("namespaces", "", review.namespace)
        labels = labels_of(namespace) if namespace is not None else {}
        return matches_label_selector(webhook.get("namespaceSelector") or {}, labels)

    def _call(self, webhook: Json, review: Review) -> Verdict | None:
        name = webhook["name"]
        handler, problem = self._resolved(webhook.get("clientConfig") or {}, webhook)
        if handler is None:
            if webhook.get("failurePolicy") == "Ignore":
                return None
            raise internal(f'failed calling webhook "{name}": failed to call webhook: {problem}')
        verdict = handler(review)
        if verdict.allowed:
            return verdict
        code = max(int(verdict.code), int(HTTPStatus.BAD_REQUEST))
        message = f'admission webhook "{name}" denied the request'
        message += f": {verdict.message}" if verdict.message else " without explanation"
        raise ApiError(code, verdict.reason, message)

    def _resolved(self, client: Json, webhook: Json) -> tuple[Handler | None, str]:
        service = client.get("service")
        timeout = webhook.get("timeoutSeconds", 10)
        if not service:
            url = f"{client.get('url', '')}?timeout={timeout}s"
            return None, f'Post "{url}": dial tcp: no route to host'
        namespace, name, path = service["namespace"], service["name"], service.get("path", "/")
        port = service.get("port", 443)
        post = f'Post "https://{name}.{namespace}.svc:{port}{path}?timeout={timeout}s"'
        if self._store.get("services", namespace, name) is None:
            return None, f'{post}: service "{name}" not found'
        if not has_ready_endpoint(self._store, namespace, name):
            return None, f'{post}: no endpoints available for service "{name}"'
        handler = self._handlers.get((namespace, name, path))
        if handler is None:
            return None, f"{post}: dial tcp: connect: connection refused"
        return handler, ""


def has_ready_endpoint(store: Store, namespace: str, service: str) -> bool:
    return any(
        dig(endpoint, "conditions", "ready", default=False)
        for entry in store.all(SLICES, namespace)
        if labels_of(entry).get("kubernetes.io/service-name") == service
        for endpoint in entry.get("endpoints") or ()
    )


def _rule_matches(rule: Json, review: Review) -> bool:
    def has(field: str, *wanted: str) -> bool:
        values = rule.get(field) or ()
        return "*" in values or any(value in values for value in wanted)

    scope = "Namespaced" if review.kind.namespaced else "Cluster"
    return (
        has("operations", review.operation)
        and has("apiGroups", review.kind.group)
        and has("apiVersions", *review.kind.versions)
        and has("resources", review.kind.plural)
        and rule.get("scope", "*") in {"*", scope}
    )

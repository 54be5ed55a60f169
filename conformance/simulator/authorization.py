"""Who a request comes from, and whether the stored RBAC objects let it through."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hmac
import secrets
from collections.abc import Iterable, Iterator
from typing import Any

from conformance.simulator.clock import now
from conformance.simulator.errors import ApiError, forbidden
from conformance.simulator.objects import Json, dig, labels_of
from conformance.simulator.selectors import matches_label_selector
from conformance.simulator.store import Store

FORBIDDEN = 403
ROLES, CLUSTER_ROLES = "roles.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io"
ROLE_BINDINGS = "rolebindings.rbac.authorization.k8s.io"
CLUSTER_ROLE_BINDINGS = "clusterrolebindings.rbac.authorization.k8s.io"


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""

    def info(self) -> Json:
        info: Json = {"username": self.name, "groups": list(self.groups)}
        if self.uid:
            info["uid"] = self.uid
        return info


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
SYSTEM = User("system:apiserver", ("system:masters", "system:authenticated"))
ADMIN = User("kubernetes-admin", ("system:masters", "system:authenticated"))


def service_account(namespace: str, name: str, uid: str = "") -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid)


class Tokens:
    """The bearer tokens the server accepts, held in memory for as long as it runs."""

    def __init__(self) -> None:
        self._users: dict[str, tuple[User, dt.datetime | None]] = {}

    def issue(self, user: User, token: str | None = None, expires: dt.datetime | None = None) -> str:
        """Accept a token, a fresh one unless given, for `user`; until `expires` where that is given."""
        moment = now()
        self._users = {key: value for key, value in self._users.items() if not _is_past(value[1], moment)}
        token = token or secrets.token_urlsafe(48)
        self._users[token] = (user, expires)
        return token

    def user(self, token: str) -> User | None:
        for known, (user, expires) in self._users.items():
            if hmac.compare_digest(known.encode(), token.encode()):
                return None if _is_past(expires, now()) else user
        return None


def _is_past(expires: dt.datetime | None, moment: dt.datetime) -> bool:
    return expires is not None and expires <= moment


@dataclasses.dataclass(frozen=True, slots=True)
class Attributes:
    """What a request wants to do. For a path outside the API `path` is set and the rest is not."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Authorizer:
    """Evaluates Roles, ClusterRoles and their bindings as they stand in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allows(self, user: User, wanted: Attributes) -> str | None:
        """Return why `user` may do what is wanted, or None where nothing allows it."""
        if "system:masters" in user.groups:
            return "system:masters"
        for reason, rules in self._granted(user, wanted.namespace):
            if any(_rule_allows(rule, wanted) for rule in rules):
                return reason
        return None

    def rules(self, user: User, namespace: str) -> list[Json]:
        """Return every rule that holds for `user` in `namespace`."""
        if "system:masters" in user.groups:
            everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            return [everything, {"verbs": ["*"], "nonResourceURLs": ["*"]}]
        return [rule for _, rules in self._granted(user, namespace) for rule in rules]

    def _granted(self, user: User, namespace: str) -> Iterator[tuple[str, list[Json]]]:
        for binding in self._store.each(CLUSTER_ROLE_BINDINGS):
            if _is_subject(user, binding, ""):
                yield self._reason("ClusterRoleBinding", binding), self._rules(binding, "")
        if namespace:
            for binding in self._store.all(ROLE_BINDINGS, namespace):
                if _is_subject(user, binding, namespace):
                    yield self._reason("RoleBinding", binding), self._rules(binding, namespace)

    @staticmethod
    def _reason(kind: str, binding: Json) -> str:
        metadata, role = binding["metadata"], binding["roleRef"]
        name = f"{metadata['name']}/{metadata['namespace']}" if "namespace" in metadata else metadata["name"]
        return f'RBAC: allowed by {kind} "{name}" of {role["kind"]} "{role["name"]}"'

    def _rules(self, binding: Json, namespace: str) -> list[Json]:
        reference = binding["roleRef"]
        if reference["kind"] == "ClusterRole":
            role = self._store.get(CLUSTER_ROLES, "", reference["name"])
        else:
            role = self._store.get(ROLES, namespace, reference["name"])
        if role is None:
            return []
        rules = list(role.get("rules") or ())
        for selector in dig(role, "aggregationRule", "clusterRoleSelectors", default=()):
            for other in self._store.each(CLUSTER_ROLES):
                if other is not role and matches_label_selector(selector, labels_of(other)):
                    rules.extend(other.get("rules") or ())
        return rules


def _is_subject(user: User, binding: Json, namespace: str) -> bool:
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name")
        if kind == "User" and name == user.name:
            return True
        if kind == "Group" and name in user.groups:
            return True
        if kind == "ServiceAccount":
            home = subject.get("namespace") or namespace
            if user.name == f"system:serviceaccount:{home}:{name}":
                return True
    return False


def _has(values: Iterable[Any] | None, wanted: str) -> bool:
    values = list(values or ())
    return "*" in values or wanted in values


def _rule_allows(rule: Json, wanted: Attributes) -> bool:
    if not _has(rule.get("verbs"), wanted.verb):
        return False
    if wanted.path:
        return any(
            wanted.path == url or (url.endswith("*") and wanted.path.startswith(url[:-1]))
            for url in rule.get("nonResourceURLs") or ()
        )
    if not _has(rule.get("apiGroups"), wanted.group):
        return False
    resources = rule.get("resources") or ()
    is_named = _has(resources, wanted.full_resource)
    if not is_named and not (wanted.subresource and f"*/{wanted.subresource}" in resources):
        return False
    names = rule.get("resourceNames") or ()
    return not names or wanted.name in names


def refusal(user: User, wanted: Attributes) -> ApiError:
    """Return the 403 of the server for a request nothing allows."""
    if wanted.path:
        message = f'forbidden: User "{user.name}" cannot {wanted.verb} path "{wanted.path}"'
        return ApiError(FORBIDDEN, "Forbidden", message, {})
    place = f' in the namespace "{wanted.namespace}"' if wanted.namespace else " at the cluster scope"
    action = f'User "{user.name}" cannot {wanted.verb} resource "{wanted.full_resource}"'
    return forbidden(
        wanted.group, wanted.resource, wanted.name, f'{action} in API group "{wanted.group}"{place}'
    )


def review_attributes(spec: Json) -> Attributes:
    """Return what a SubjectAccessReview asks about."""
    resource = spec.get("resourceAttributes")
    if resource is None:
        path = spec.get("nonResourceAttributes") or {}
        return Attributes(verb=str(path.get("verb", "")), path=str(path.get("path", "")))
    names = ("verb", "group", "version", "resource", "subresource", "namespace", "name")
    return Attributes(**{name: str(resource.get(name) or "") for name in names})


def bootstrap_objects() -> list[Json]:
    """Return the roles and bindings a server creates for itself that clients can notice."""
    api = "rbac.authorization.k8s.io"

    def role(name: str, *rules: Json) -> Json:
        return {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
            "rules": list(rules),
        }

    def binding(name: str, *groups: str) -> Json:
        return {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "Group", "apiGroup": api, "name": group} for group in groups],
        }

    paths = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
    discovery = [*paths, "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"]
    reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    return [
        role("cluster-admin", everything, {"verbs": ["*"], "nonResourceURLs": ["*"]}),
        role("system:discovery", {"verbs": ["get"], "nonResourceURLs": discovery}),
        role("system:public-info-viewer", {"verbs": ["get"], "nonResourceURLs": paths}),
        role(
            "system:basic-user",
            {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": reviews},
            {
                "verbs": ["create"],
                "apiGroups": ["authentication.k8s.io"],
                "resources": ["selfsubjectreviews"],
            },
        ),
        binding("cluster-admin", "system:masters"),
        binding("system:discovery", "system:authenticated"),
        binding("system:basic-user", "system:authenticated"),
        binding("system:public-info-viewer", "system:authenticated", "system:unauthenticated"),
    ]

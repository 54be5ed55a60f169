"""Tokens, stored roles, reviews and refusals."""

from __future__ import annotations

import datetime as dt
import ssl
import urllib.error
import urllib.request

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from conformance.simulator import start
from conformance.simulator.authorization import Tokens, service_account
from conformance.simulator.clock import now

from .conftest import SPEED, Talker, config_map


def may(talker: Talker, verb: str, resource: str, **fields: str) -> bool:
    attributes = client.V1ResourceAttributes(verb=verb, resource=resource, **fields)
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
    )
    answer = client.AuthorizationV1Api(talker.api).create_self_subject_access_review(review)
    return answer.status.allowed


def test_wrong_token_is_unauthorized(cluster):
    talker = Talker(cluster, cluster.kubeconfig)
    talker.token = "nonsense"
    code, status = talker.call("GET", "/api/v1/nodes")
    talker.close()
    assert (code, status["reason"]) == (401, "Unauthorized")


def test_anonymous_sees_the_version_and_nothing_else(cluster):
    context = ssl.create_default_context(cadata=cluster._identity.ca.decode())
    with urllib.request.urlopen(f"{cluster.url}/version", context=context) as response:
        assert response.status == 200
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{cluster.url}/api/v1/nodes", context=context)
    caught.value.close()
    assert caught.value.code == 403


def test_certificate_of_another_authority_is_refused(cluster):
    with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
        urllib.request.urlopen(f"{cluster.url}/version", context=ssl.create_default_context())


def test_verifier_has_the_rights_of_its_manifest_only(verifier, namespace):
    assert may(verifier, "create", "pods", namespace=namespace)
    assert may(verifier, "get", "pods", subresource="log", namespace=namespace)
    assert may(verifier, "list", "nodes")
    assert not may(verifier, "get", "secrets", namespace=namespace)
    assert not may(verifier, "create", "pods", subresource="exec", namespace=namespace)
    assert not may(verifier, "delete", "nodes")


def test_refusal_names_user_verb_and_resource(verifier, namespace):
    with pytest.raises(ApiException) as caught:
        verifier.core.list_namespaced_secret(namespace)
    assert caught.value.status == 403
    assert (
        'User \\"system:serviceaccount:certportal-verification:certportal-verifier\\" cannot list resource '
        f'\\"secrets\\" in API group \\"\\" in the namespace \\"{namespace}\\"'
    ) in caught.value.body


def test_role_in_a_namespace_takes_effect_at_once(admin, verifier, namespace):
    rbac = client.RbacAuthorizationV1Api(admin.api)
    rule = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["get"]}
    rbac.create_namespaced_role(namespace, {"metadata": {"name": "reader"}, "rules": [rule]})
    rbac.create_namespaced_role_binding(
        namespace,
        {
            "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [
                {
                    "kind": "ServiceAccount",
                    "name": "certportal-verifier",
                    "namespace": "certportal-verification",
                }
            ],
        },
    )
    for name in ("mine", "other"):
        admin.core.create_namespaced_config_map(namespace, config_map(name))
    assert verifier.core.read_namespaced_config_map("mine", namespace).metadata.name == "mine"
    with pytest.raises(ApiException) as caught:
        verifier.core.read_namespaced_config_map("other", namespace)
    assert caught.value.status == 403
    assert not may(verifier, "get", "configmaps", name="mine")


def test_token_of_a_service_account_works(admin, cluster, namespace):
    request = {"spec": {"expirationSeconds": 600, "audiences": []}}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    code, answer = admin.call("POST", path, request)
    assert code == 201
    talker = Talker(cluster, cluster.kubeconfig)
    talker.token = answer["status"]["token"]
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    _, who = talker.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    talker.close()
    assert who["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:default"


def test_token_ends_with_its_time():
    tokens = Tokens()
    user = service_account("n", "a")
    past = tokens.issue(user, expires=now() - dt.timedelta(seconds=1))
    lasting = tokens.issue(user, expires=now() + dt.timedelta(minutes=1))
    assert (tokens.user(past), tokens.user(lasting), tokens.user("other")) == (None, user, None)


def test_withheld_right_is_missing_and_its_neighbours_are_not():
    with start("forbidden:create:pods", speed=SPEED) as running:
        talker = Talker(running, running.kubeconfig)
        assert not may(talker, "create", "pods", namespace="default")
        assert may(talker, "list", "pods", namespace="default")
        assert may(talker, "create", "resourceclaims", group="resource.k8s.io", namespace="default")
        talker.close()


def test_rules_review_lists_what_holds(verifier, namespace):
    body = {"spec": {"namespace": namespace}}
    _, answer = verifier.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body)
    rules = answer["status"]["resourceRules"]
    assert any("pods" in rule["resources"] and "create" in rule["verbs"] for rule in rules)

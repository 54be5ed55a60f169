"""What the server says about itself."""

from __future__ import annotations

import pytest
from kubernetes import client

from conformance.simulator import discovery, start

from .conftest import SPEED, Talker


def test_version_says_that_it_is_simulated(admin, profile):
    _, version = admin.call("GET", "/version/")
    assert version["gitVersion"].startswith("v1.36.")
    assert version["simulated"] == {"profile": profile, "speed": SPEED}
    assert client.VersionApi(admin.api).get_code().minor == "36"


@pytest.mark.parametrize("path", ["/api", "/api/", "/apis", "/apis/", "/api/v1", "/openapi/v3", "/readyz"])
def test_paths_answer_with_and_without_a_slash(admin, path):
    assert admin.call("GET", path)[0] == 200


def test_legacy_discovery_lists_resources_with_their_verbs(admin):
    _, document = admin.call("GET", "/apis/resource.k8s.io/v1")
    by_name = {entry["name"]: entry for entry in document["resources"]}
    assert set(by_name) == {
        "deviceclasses",
        "resourceclaims",
        "resourceclaims/status",
        "resourceclaimtemplates",
        "resourceslices",
    }
    assert {"create", "get", "list", "patch", "update", "delete"} <= set(by_name["resourceslices"]["verbs"])
    assert by_name["deviceclasses"]["namespaced"] is False


def test_aggregated_discovery_holds_groups_and_subresources(admin):
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    _, document = admin.call("GET", "/apis", accept=accept)
    assert document["kind"] == "APIGroupDiscoveryList"
    groups = {entry["metadata"]["name"]: entry["versions"] for entry in document["items"]}
    assert groups["ray.io"][0]["resources"][0]["subresources"][0]["subresource"] == "status"
    _, core = admin.call("GET", "/api", accept=accept)
    assert [version["version"] for version in core["items"][0]["versions"]] == ["v1"]


def test_typed_client_reads_the_group_list(admin):
    names = {group.name for group in client.ApisApi(admin.api).get_api_versions().groups}
    assert {"apps", "batch", "ray.io", "resource.k8s.io", "scheduling.k8s.io"} <= names


def test_openapi_of_a_custom_resource_shows_its_schema(admin):
    _, index = admin.call("GET", "/openapi/v3")
    _, document = admin.call("GET", index["paths"]["apis/ray.io/v1"]["serverRelativeURL"])
    schema = document["components"]["schemas"]["io.ray.v1.RayCluster"]
    assert schema["properties"]["spec"]["required"] == ["headGroupSpec"]


def test_unknown_group_is_not_found(admin):
    assert admin.call("GET", "/apis/nothing.example.com")[0] == 404
    assert admin.call("GET", "/apis/resource.k8s.io/v1alpha1")[0] == 404


def test_stable_versions_are_preferred():
    versions = ["v1alpha2", "v1", "v2beta1", "v2", "v1beta1"]
    assert sorted(versions, key=discovery.version_order) == ["v2", "v1", "v2beta1", "v1beta1", "v1alpha2"]


@pytest.mark.parametrize(
    ("profile", "resource", "group"),
    [
        ("conformant-1.33", [], []),
        ("conformant-1.34", ["v1"], []),
        ("conformant-1.36", ["v1"], ["v1", "v1alpha2"]),
        ("conformant-1.37", ["v1"], ["v1", "v1beta1", "v1alpha3"]),
        ("dra-v1-missing", ["v1beta2"], []),
    ],
)
def test_served_versions_follow_the_profile(profile, resource, group):
    with start(profile, speed=SPEED) as running:
        talker = Talker(running, running.admin_kubeconfig)
        _, document = talker.call("GET", "/apis")
        talker.close()
    served = {
        entry["name"]: [version["version"] for version in entry["versions"]] for entry in document["groups"]
    }
    assert served.get("resource.k8s.io", []) == resource
    if group:
        assert served["scheduling.k8s.io"] == group


def test_missing_verb_is_neither_listed_nor_allowed():
    with start("dra-verb-missing", speed=SPEED) as running:
        talker = Talker(running, running.admin_kubeconfig)
        _, document = talker.call("GET", "/apis/resource.k8s.io/v1")
        path = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaimtemplates/x"
        code, _ = talker.call("PATCH", path, {}, kind="application/merge-patch+json")
        talker.close()
    by_name = {entry["name"]: entry for entry in document["resources"]}
    assert "patch" not in by_name["resourceclaimtemplates"]["verbs"]
    assert "patch" in by_name["resourceclaims"]["verbs"]
    assert code == 405

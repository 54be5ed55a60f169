"""Custom resource definitions come, serve and go."""

from __future__ import annotations

from kubernetes import client

from conformance.simulator.definitions import STRING, definition, structure

from .conftest import condition_of, until

NAME = "widgets.example.com"


def widgets() -> dict:
    spec = structure({"color": {**STRING, "default": "red"}}, ["color"])
    return definition(NAME, "Widget", {"v1": structure({"spec": spec, "status": structure({})})})


def test_definition_is_established_and_served_then_removed_with_its_objects(admin, cluster, namespace):
    extensions = client.ApiextensionsV1Api(admin.api)
    extensions.create_custom_resource_definition(widgets())
    until(
        lambda: condition_of(
            cluster.store.get("customresourcedefinitions.apiextensions.k8s.io", "", NAME), "Established"
        )
    )
    path = f"/apis/example.com/v1/namespaces/{namespace}/widgets"
    code, made = admin.call("POST", path, {"metadata": {"name": "w"}, "spec": {"weight": 1}})
    assert (code, made["spec"]) == (201, {"color": "red"})
    code, status = admin.call("POST", path, {"metadata": {"name": "v"}, "spec": {"color": 1}})
    assert (code, status["details"]["causes"][0]["field"]) == (422, "spec.color")
    strict = {"metadata": {"name": "u"}, "spec": {"weight": 1}}
    code, status = admin.call("POST", f"{path}?fieldValidation=Strict", strict)
    assert code == 400
    assert 'unknown field "spec.weight"' in status["message"]
    extensions.delete_custom_resource_definition(NAME)
    until(lambda: admin.call("GET", path)[0] == 404)
    until(lambda: cluster.store.get("customresourcedefinitions.apiextensions.k8s.io", "", NAME) is None)


def test_definition_with_another_name_is_invalid(admin):
    body = widgets()
    body["metadata"]["name"] = "wrong.example.com"
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert admin.call("POST", path, body)[0] == 422

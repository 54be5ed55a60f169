"""JSON, merge and strategic patches, and server-side apply."""

from __future__ import annotations

import pytest

from conformance.simulator import patching
from conformance.simulator.errors import ApiError

from .conftest import config_map


def test_json_patch_adds_replaces_and_removes():
    target = {"a": {"b": [1, 2]}, "c": 1}
    operations = [
        {"op": "test", "path": "/c", "value": 1},
        {"op": "add", "path": "/a/b/-", "value": 3},
        {"op": "replace", "path": "/c", "value": 2},
        {"op": "move", "from": "/c", "path": "/d~1e"},
        {"op": "remove", "path": "/a/b/0"},
    ]
    assert patching.json_patch(target, operations) == {"a": {"b": [2, 3]}, "d/e": 2}
    assert target == {"a": {"b": [1, 2]}, "c": 1}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/b"},
        {"op": "replace", "path": "/b", "value": 1},
        {"op": "dance", "path": "/a"},
    ],
)
def test_json_patch_that_does_not_apply_is_unprocessable(operation):
    with pytest.raises(ApiError) as caught:
        patching.json_patch({"a": 1}, [operation])
    assert caught.value.code == 422


def test_merge_patch_removes_nulls_and_replaces_lists():
    target = {"a": {"b": 1, "c": 2}, "l": [1, 2]}
    assert patching.merge_patch(target, {"a": {"b": None, "d": 3}, "l": [9]}) == {
        "a": {"c": 2, "d": 3},
        "l": [9],
    }


def test_strategic_merge_joins_lists_by_name():
    target = {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}], "args": [1]}}
    patch = {
        "spec": {
            "containers": [{"name": "b", "image": "2"}, {"name": "c"}, {"name": "a", "$patch": "delete"}],
            "args": [2],
        }
    }
    assert patching.strategic_merge(target, patch) == {
        "spec": {"containers": [{"name": "b", "image": "2"}, {"name": "c"}], "args": [2]}
    }


def test_strategic_merge_unites_finalizers():
    target = {"metadata": {"finalizers": ["a"]}}
    patch = {"metadata": {"finalizers": ["b"]}}
    assert patching.strategic_merge(target, patch) == {"metadata": {"finalizers": ["a", "b"]}}
    gone = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}
    assert patching.strategic_merge(target, gone) == {"metadata": {"finalizers": []}}


def applied(admin, namespace: str, manager: str, *, force: bool = False, **data: str):
    path = f"/api/v1/namespaces/{namespace}/configmaps/shared?fieldManager={manager}"
    path += "&force=true" if force else ""
    return admin.call("PATCH", path, config_map("shared", **data), kind="application/apply-patch+yaml")


def test_apply_creates_then_removes_what_its_manager_drops(admin, namespace):
    code, _ = applied(admin, namespace, "one", a="1", b="1")
    assert code == 201
    code, changed = applied(admin, namespace, "one", a="2")
    assert code == 200
    assert changed["data"] == {"a": "2"}


def test_apply_of_another_managers_field_conflicts_unless_forced(admin, namespace):
    applied(admin, namespace, "one", a="1")
    code, _ = applied(admin, namespace, "two", b="1")
    assert code == 200
    code, status = applied(admin, namespace, "two", a="2", b="1")
    assert (code, status["reason"]) == (409, "Conflict")
    assert status["details"]["causes"][0]["field"] == ".data.a"
    code, forced = applied(admin, namespace, "two", force=True, a="2", b="1")
    assert (code, forced["data"]) == (200, {"a": "2", "b": "1"})
    # The field has changed hands, so the first manager no longer removes it.
    _, left = applied(admin, namespace, "one", c="3")
    assert left["data"] == {"a": "2", "b": "1", "c": "3"}


def test_apply_needs_a_manager(admin, namespace):
    path = f"/api/v1/namespaces/{namespace}/configmaps/shared"
    code, _ = admin.call("PATCH", path, config_map("shared"), kind="application/apply-patch+yaml")
    assert code == 400


def test_apply_merges_list_members_by_their_key():
    config = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "a", "image": "1"}]},
    }
    live = patching.apply(None, config, manager="one", force=False, keys_of=patching.builtin_keys)
    other = {**config, "spec": {"containers": [{"name": "b", "image": "2"}]}}
    both = patching.apply(live, other, manager="two", force=False, keys_of=patching.builtin_keys)
    assert [entry["name"] for entry in both["spec"]["containers"]] == ["a", "b"]
    empty = {**config, "spec": {"containers": []}}
    left = patching.apply(both, empty, manager="one", force=False, keys_of=patching.builtin_keys)
    assert [entry["name"] for entry in left["spec"]["containers"]] == ["b"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json-patch+json", [{"op": "add", "path": "/data", "value": {"a": "2"}}]),
        ("application/merge-patch+json", {"data": {"a": "2"}}),
        ("application/strategic-merge-patch+json", {"data": {"a": "2"}}),
    ],
)
def test_every_patch_type_reaches_the_store(admin, cluster, namespace, kind, body):
    admin.core.create_namespaced_config_map(namespace, config_map("cm", a="1"))
    code, _ = admin.call("PATCH", f"/api/v1/namespaces/{namespace}/configmaps/cm", body, kind=kind)
    assert code == 200
    assert cluster.store.get("configmaps", namespace, "cm")["data"] == {"a": "2"}


def test_strategic_patch_of_a_custom_resource_is_unsupported(admin, namespace):
    path = f"/apis/ray.io/v1/namespaces/{namespace}/rayclusters/x"
    code, _ = admin.call("PATCH", path, {}, kind="application/strategic-merge-patch+json")
    assert code == 415

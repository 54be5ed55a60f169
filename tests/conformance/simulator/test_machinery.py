"""What the API does with an object between request and storage."""

from __future__ import annotations

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from .conftest import config_map, pod, until


def reason(error: ApiException) -> str:
    import json

    return json.loads(error.body)["reason"]


def test_created_object_carries_what_the_server_adds(admin, namespace):
    made = admin.core.create_namespaced_pod(namespace, pod("p", hold=60))
    assert made.metadata.uid
    assert made.metadata.resource_version.isdigit()
    assert made.metadata.generation == 1
    assert made.metadata.creation_timestamp is not None
    assert made.spec.restart_policy == "Never"
    assert made.spec.scheduler_name == "default-scheduler"
    assert made.spec.service_account_name == "default"
    assert made.spec.volumes[0].name.startswith("kube-api-access-")
    assert made.status.phase == "Pending"
    assert made.status.qos_class == "BestEffort"


def test_generated_names_differ(admin, namespace):
    body = {"metadata": {"generateName": "many-"}}
    names = {admin.core.create_namespaced_config_map(namespace, body).metadata.name for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("many-") and len(name) == len("many-") + 5 for name in names)


def test_second_object_of_a_name_already_exists(admin, namespace):
    admin.core.create_namespaced_config_map(namespace, config_map("twice"))
    with pytest.raises(ApiException) as caught:
        admin.core.create_namespaced_config_map(namespace, config_map("twice"))
    assert (caught.value.status, reason(caught.value)) == (409, "AlreadyExists")


def test_update_with_an_old_revision_conflicts(admin, namespace):
    first = admin.core.create_namespaced_config_map(namespace, config_map("cm", a="1"))
    body = first.to_dict()
    body["data"] = {"a": "2"}
    admin.core.replace_namespaced_config_map("cm", namespace, body)
    with pytest.raises(ApiException) as caught:
        admin.core.replace_namespaced_config_map("cm", namespace, body)
    assert (caught.value.status, reason(caught.value)) == (409, "Conflict")


def test_update_without_change_keeps_the_revision(admin, namespace):
    first = admin.core.create_namespaced_config_map(namespace, config_map("cm", a="1"))
    again = admin.core.replace_namespaced_config_map("cm", namespace, first.to_dict())
    assert again.metadata.resource_version == first.metadata.resource_version


def test_dry_run_stores_nothing(admin, cluster, namespace):
    made = admin.core.create_namespaced_config_map(namespace, config_map("dry"), dry_run="All")
    assert made.metadata.uid
    assert cluster.store.get("configmaps", namespace, "dry") is None


def test_invalid_pod_names_every_problem(admin, namespace):
    code, status = admin.call(
        "POST",
        f"/api/v1/namespaces/{namespace}/pods",
        {"metadata": {"name": "Bad_Name"}, "spec": {"containers": []}},
    )
    assert code == 422
    assert status["reason"] == "Invalid"
    assert [cause["field"] for cause in status["details"]["causes"]] == ["metadata.name", "spec.containers"]


def test_claim_a_container_names_must_be_the_pods(admin, namespace):
    body = pod("p")
    body["spec"]["containers"][0]["resources"] = {"claims": [{"name": "nothing"}]}
    code, status = admin.call("POST", f"/api/v1/namespaces/{namespace}/pods", body)
    assert code == 422
    assert "must be one of the names in pod.spec.resourceClaims" in status["message"]


def test_object_of_an_absent_namespace_is_not_found(admin):
    code, status = admin.call("POST", "/api/v1/namespaces/nowhere/configmaps", config_map("x"))
    assert (code, status["message"]) == (404, 'namespaces "nowhere" not found')


def test_pod_before_the_service_account_is_forbidden(admin, cluster):
    # A namespace is usable a moment after it was made, not at once.
    cluster.call(lambda world: setattr(world.clock, "speed", 0.1))
    try:
        admin.core.create_namespace({"metadata": {"name": "too-early"}})
        code, status = admin.call("POST", "/api/v1/namespaces/too-early/pods", pod("p"))
    finally:
        cluster.call(lambda world: setattr(world.clock, "speed", cluster.speed))
        cluster.store.delete("namespaces", "", "too-early")
    assert code == 403
    assert 'serviceaccount "default" not found' in status["message"]


def test_finalizer_keeps_a_deleted_object(admin, cluster, namespace):
    body = config_map("kept")
    body["metadata"]["finalizers"] = ["example.com/mine"]
    admin.core.create_namespaced_config_map(namespace, body)
    code, answer = admin.call("DELETE", f"/api/v1/namespaces/{namespace}/configmaps/kept")
    assert code == 200
    assert answer["kind"] == "ConfigMap"
    assert answer["metadata"]["deletionTimestamp"]
    admin.call(
        "PATCH",
        f"/api/v1/namespaces/{namespace}/configmaps/kept",
        {"metadata": {"finalizers": None}},
        kind="application/merge-patch+json",
    )
    assert cluster.store.get("configmaps", namespace, "kept") is None


def test_deletion_of_a_plain_object_answers_with_a_status(admin, namespace):
    admin.core.create_namespaced_config_map(namespace, config_map("gone"))
    code, answer = admin.call("DELETE", f"/api/v1/namespaces/{namespace}/configmaps/gone")
    assert (code, answer["kind"], answer["status"]) == (200, "Status", "Success")
    assert answer["details"]["kind"] == "configmaps"


def test_deletion_with_another_uid_conflicts(admin, namespace):
    admin.core.create_namespaced_config_map(namespace, config_map("cm"))
    options = {"preconditions": {"uid": "other"}}
    code, status = admin.call("DELETE", f"/api/v1/namespaces/{namespace}/configmaps/cm", options)
    assert (code, status["reason"]) == (409, "Conflict")


def owned(name: str, owner) -> dict:
    body = config_map(name)
    body["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": owner.metadata.name,
            "uid": owner.metadata.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    return body


def test_dependents_follow_their_owner(admin, cluster, namespace):
    owner = admin.core.create_namespaced_config_map(namespace, config_map("owner"))
    admin.core.create_namespaced_config_map(namespace, owned("child", owner))
    admin.core.delete_namespaced_config_map("owner", namespace)
    until(lambda: cluster.store.get("configmaps", namespace, "child") is None)


def test_foreground_deletion_waits_for_the_dependents(admin, cluster, namespace):
    owner = admin.core.create_namespaced_config_map(namespace, config_map("owner"))
    child = owned("child", owner)
    child["metadata"]["finalizers"] = ["example.com/slow"]
    admin.core.create_namespaced_config_map(namespace, child)
    admin.core.delete_namespaced_config_map("owner", namespace, propagation_policy="Foreground")
    until(lambda: "deletionTimestamp" in cluster.store.get("configmaps", namespace, "child")["metadata"])
    assert cluster.store.get("configmaps", namespace, "owner")["metadata"]["finalizers"] == [
        "foregroundDeletion"
    ]
    cluster.store.edit("configmaps", namespace, "child", lambda obj: obj["metadata"].pop("finalizers"))
    until(lambda: cluster.store.get("configmaps", namespace, "owner") is None)


def test_orphaned_dependents_stay(admin, cluster, namespace):
    owner = admin.core.create_namespaced_config_map(namespace, config_map("owner"))
    admin.core.create_namespaced_config_map(namespace, owned("child", owner))
    admin.core.delete_namespaced_config_map("owner", namespace, propagation_policy="Orphan")
    until(lambda: cluster.store.get("configmaps", namespace, "owner") is None)
    assert "ownerReferences" not in cluster.store.get("configmaps", namespace, "child")["metadata"]


def test_object_with_a_made_up_owner_is_collected(admin, cluster, namespace):
    owner = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="never", uid="0000"))
    admin.core.create_namespaced_config_map(namespace, owned("stray", owner))
    until(lambda: cluster.store.get("configmaps", namespace, "stray") is None)


def test_namespace_goes_with_its_content(admin, cluster):
    admin.core.create_namespace({"metadata": {"name": "leaving"}})
    until(lambda: cluster.store.get("serviceaccounts", "leaving", "default"))
    body = config_map("held")
    body["metadata"]["finalizers"] = ["example.com/mine"]
    admin.core.create_namespaced_config_map("leaving", body)
    code, answer = admin.call("DELETE", "/api/v1/namespaces/leaving")
    assert (code, answer["status"]["phase"]) == (200, "Terminating")
    code, status = admin.call("POST", "/api/v1/namespaces/leaving/configmaps", config_map("late"))
    assert code == 403
    assert status["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    assert cluster.store.get("namespaces", "", "leaving")
    cluster.store.edit("configmaps", "leaving", "held", lambda obj: obj["metadata"].pop("finalizers"))
    until(lambda: cluster.store.get("namespaces", "", "leaving") is None)
    assert cluster.store.list("configmaps", "leaving") == []


def test_status_is_written_through_its_subresource_only(admin, cluster, namespace):
    path = f"/apis/ray.io/v1/namespaces/{namespace}/rayclusters"
    template = {"spec": {"containers": [{"name": "c", "image": "rayproject/ray:2.46.0"}]}}
    body = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": "r"},
        "spec": {"suspend": False, "headGroupSpec": {"rayStartParams": {}, "template": template}},
        "status": {"state": "made up"},
    }
    _, made = admin.call("POST", path, body)
    assert (made.get("status") or {}).get("state") != "made up"
    merge = "application/merge-patch+json"
    admin.call("PATCH", f"{path}/r", {"status": {"reason": "ignored"}}, kind=merge)
    assert (cluster.store.get("rayclusters.ray.io", namespace, "r").get("status") or {}).get("reason") is None
    _, patched = admin.call("PATCH", f"{path}/r/status", {"status": {"reason": "mine"}}, kind=merge)
    assert patched["status"]["reason"] == "mine"
    assert patched["metadata"]["generation"] == 1
    _, changed = admin.call("PATCH", f"{path}/r", {"spec": {"rayVersion": "2.46.0"}}, kind=merge)
    assert changed["metadata"]["generation"] == 2


@pytest.mark.parametrize("body", ["k8s\0", "k8s\0\x0a\x02", "no envelope"])
def test_protobuf_that_is_none_is_a_bad_request(admin, namespace, body):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    code, status = admin.call("POST", path, body, kind="application/vnd.kubernetes.protobuf")
    assert (code, status["reason"]) == (400, "BadRequest")


def test_pod_spec_cannot_be_changed(admin, namespace):
    admin.core.create_namespaced_pod(namespace, pod("fixed", hold=60))
    code, status = admin.call(
        "PATCH",
        f"/api/v1/namespaces/{namespace}/pods/fixed",
        {"spec": {"hostname": "other"}},
        kind="application/merge-patch+json",
    )
    assert code == 422
    assert "pod updates may not change fields" in status["message"]

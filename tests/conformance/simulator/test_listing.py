"""List and watch."""

from __future__ import annotations

import threading

import pytest
from kubernetes import watch
from kubernetes.client.exceptions import ApiException

from conformance.simulator import selectors
from conformance.simulator.errors import ApiError

from .conftest import config_map, until


def labelled(name: str, **labels: str) -> dict:
    body = config_map(name)
    body["metadata"]["labels"] = labels
    return body


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("app=web", True),
        ("app==web,tier!=db", True),
        ("app in (web, api)", True),
        ("app notin (web)", False),
        ("app,!gone", True),
        ("gone", False),
        ("size>3", True),
        ("size<3", False),
        ("tier notin (x)", True),
        ("example.com/key=v", True),
    ],
)
def test_label_selectors_match_as_the_server_does(selector, matches):
    labels = {"app": "web", "size": "5", "example.com/key": "v"}
    assert selectors.label_matcher(selector)(labels) is matches


def test_broken_label_selector_is_a_bad_request():
    with pytest.raises(ApiError) as caught:
        selectors.label_matcher("a in b")
    assert caught.value.code == 400


def test_list_filters_by_label_and_field(admin, namespace):
    for name, app in (("one", "web"), ("two", "web"), ("three", "db")):
        admin.core.create_namespaced_config_map(namespace, labelled(name, app=app))
    found = admin.core.list_namespaced_config_map(namespace, label_selector="app=web")
    assert [item.metadata.name for item in found.items] == ["one", "two"]
    found = admin.core.list_namespaced_config_map(namespace, field_selector="metadata.name=three")
    assert [item.metadata.name for item in found.items] == ["three"]


def test_unknown_field_label_is_a_bad_request(admin, namespace):
    with pytest.raises(ApiException) as caught:
        admin.core.list_namespaced_pod(namespace, field_selector="spec.hostname=x")
    assert caught.value.status == 400


def test_pages_follow_each_other_and_end(admin, namespace):
    for index in range(5):
        admin.core.create_namespaced_config_map(namespace, labelled(f"cm-{index}", page="yes"))
    names: list[str] = []
    token = None
    while True:
        page = admin.core.list_namespaced_config_map(
            namespace, limit=2, _continue=token, label_selector="page=yes"
        )
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert names == [f"cm-{index}" for index in range(5)]


def test_continuing_after_compaction_is_gone(admin, cluster, namespace):
    for index in range(3):
        admin.core.create_namespaced_config_map(namespace, config_map(f"cm-{index}"))
    page = admin.core.list_namespaced_config_map(namespace, limit=1)
    admin.core.create_namespaced_config_map(namespace, config_map("later"))
    cluster.store.compact()
    with pytest.raises(ApiException) as caught:
        admin.core.list_namespaced_config_map(namespace, limit=1, _continue=page.metadata._continue)
    assert caught.value.status == 410


def test_typed_lists_leave_the_kind_out_of_their_items(admin, namespace):
    admin.core.create_namespaced_config_map(namespace, config_map("cm"))
    _, document = admin.call("GET", f"/api/v1/namespaces/{namespace}/configmaps")
    assert document["kind"] == "ConfigMapList"
    assert all("kind" not in item for item in document["items"])


def test_watch_resumes_after_a_revision(admin, namespace):
    start = admin.core.list_namespaced_config_map(namespace).metadata.resource_version
    admin.core.create_namespaced_config_map(namespace, config_map("a"))
    admin.core.patch_namespaced_config_map("a", namespace, {"data": {"x": "1"}})
    admin.core.delete_namespaced_config_map("a", namespace)
    stream = watch.Watch().stream(
        admin.core.list_namespaced_config_map, namespace, resource_version=start, timeout_seconds=1
    )
    assert [(event["type"], event["object"].metadata.name) for event in stream] == [
        ("ADDED", "a"),
        ("MODIFIED", "a"),
        ("DELETED", "a"),
    ]


def test_watch_sees_what_happens_later(admin, cluster, namespace):
    seen: list[str] = []

    def follow() -> None:
        stream = watch.Watch().stream(
            admin.core.list_namespaced_config_map, namespace, timeout_seconds=5, resource_version="0"
        )
        for event in stream:
            seen.append(event["object"].metadata.name)
            if event["object"].metadata.name == "late":
                break

    thread = threading.Thread(target=follow)
    thread.start()
    until(lambda: "kube-root-ca.crt" in seen)
    cluster.store.create({**config_map("late"), "metadata": {"name": "late", "namespace": namespace}})
    thread.join(5)
    assert seen[-1] == "late"


def test_watch_shows_an_object_leaving_its_selector_as_deleted(admin, namespace):
    start = admin.core.list_namespaced_config_map(namespace).metadata.resource_version
    admin.core.create_namespaced_config_map(namespace, labelled("moving", app="web"))
    admin.core.patch_namespaced_config_map("moving", namespace, {"metadata": {"labels": {"app": "db"}}})
    stream = watch.Watch().stream(
        admin.core.list_namespaced_config_map,
        namespace,
        resource_version=start,
        label_selector="app=web",
        timeout_seconds=1,
    )
    assert [event["type"] for event in stream] == ["ADDED", "DELETED"]


def test_watch_from_a_forgotten_revision_is_gone(admin, cluster, namespace):
    old = admin.core.list_namespaced_config_map(namespace).metadata.resource_version
    admin.core.create_namespaced_config_map(namespace, config_map("new"))
    cluster.store.compact()
    stream = watch.Watch().stream(
        admin.core.list_namespaced_config_map, namespace, resource_version=old, timeout_seconds=2
    )
    with pytest.raises(ApiException) as caught:
        list(stream)
    assert caught.value.status == 410


def test_initial_events_end_with_an_annotated_bookmark(admin, namespace):
    import json

    admin.core.create_namespaced_config_map(namespace, config_map("cm"))
    query = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    path = f"/api/v1/namespaces/{namespace}/configmaps?{query}&timeoutSeconds=1"
    _, text = admin.call("GET", path)
    events = [json.loads(line) for line in text.splitlines()]
    # A last bookmark comes with the time-out.
    assert [event["type"] for event in events] == ["ADDED", "ADDED", "BOOKMARK", "BOOKMARK"]
    assert events[2]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_revision_of_the_future_times_out(admin, namespace):
    code, status = admin.call(
        "GET", f"/api/v1/namespaces/{namespace}/configmaps?watch=true&resourceVersion=99999999"
    )
    assert (code, status["reason"]) == (504, "Timeout")

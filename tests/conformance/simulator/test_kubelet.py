"""Pods on their nodes: containers, images, logs, the end."""

from __future__ import annotations

import threading

import pytest
from kubernetes.client.exceptions import ApiException

from conformance import probes

from .conftest import claim_template, condition_of, phase_of, place, pod, until


def container(cluster, namespace: str, name: str) -> dict:
    return cluster.store.get("pods", namespace, name)["status"].get("containerStatuses", [{}])[0]


def reasons(cluster, namespace: str) -> list[str]:
    return [event["reason"] for event in cluster.store.list("events", namespace)]


def test_probe_runs_prints_and_succeeds(admin, cluster, namespace):
    cluster.store.create(place(claim_template(), namespace))
    cluster.store.create(place(pod("p", "accelerators", device="claim"), namespace))
    until(lambda: phase_of(cluster, namespace, "p") == "Succeeded")
    lines = admin.core.read_namespaced_pod_log("p", namespace).splitlines()
    assert lines[0] == "::probe begin program=accelerators"
    assert lines[1].startswith("::probe device path=/dev/nvidia")
    assert lines[-1] == "::probe end devices=1"
    found = admin.core.read_namespaced_pod("p", namespace)
    state = found.status.container_statuses[0].state.terminated
    assert (state.exit_code, state.reason) == (0, "Completed")
    assert found.status.pod_ip
    assert condition_of(cluster.store.get("pods", namespace, "p"), "Ready")["reason"] == "PodCompleted"
    assert {"Scheduled", "Pulled", "Created", "Started"} <= set(reasons(cluster, namespace))


def test_waiting_container_has_no_log_yet(admin, cluster, namespace):
    cluster.store.create(place(pod("p", schedulerName="nobody"), namespace))
    with pytest.raises(ApiException) as caught:
        admin.core.read_namespaced_pod_log("p", namespace)
    assert (caught.value.status, "does not have a host assigned" in caught.value.body) == (400, True)


def test_log_of_many_containers_needs_a_name(admin, cluster, namespace):
    body = pod("p")
    body["spec"]["containers"].append({**body["spec"]["containers"][0], "name": "second"})
    cluster.store.create(place(body, namespace))
    until(lambda: phase_of(cluster, namespace, "p") == "Succeeded")
    with pytest.raises(ApiException) as caught:
        admin.core.read_namespaced_pod_log("p", namespace)
    assert "choose one of: [main second]" in caught.value.body
    tail = admin.core.read_namespaced_pod_log("p", namespace, container="second", tail_lines=1)
    assert tail == "::probe end held=0\n"


def test_followed_log_ends_with_the_container(admin, cluster, namespace):
    cluster.store.create(place(pod("p", hold=20), namespace))
    until(lambda: phase_of(cluster, namespace, "p") == "Running")
    texts: list[str] = []
    thread = threading.Thread(
        target=lambda: texts.append(admin.core.read_namespaced_pod_log("p", namespace, follow=True))
    )
    thread.start()
    thread.join(10)
    assert texts == ["::probe begin program=hold\n::probe end held=20\n"]


def test_image_that_cannot_be_pulled_backs_off(cluster, namespace):
    body = pod("p")
    body["spec"]["containers"][0]["image"] = "registry.invalid/nothing:1"
    cluster.store.create(place(body, namespace))

    def waiting() -> str | None:
        return container(cluster, namespace, "p").get("state", {}).get("waiting", {}).get("reason")

    until(lambda: waiting() == "ErrImagePull")
    until(lambda: waiting() == "ImagePullBackOff")
    assert "Failed" in reasons(cluster, namespace)
    assert phase_of(cluster, namespace, "p") == "Pending"


def test_unknown_script_exits_with_127(admin, cluster, namespace):
    body = pod("p")
    body["spec"]["containers"][0]["command"] = ["/bin/sh", "-c", "echo ::probe end devices=0", "accelerators"]
    cluster.store.create(place(body, namespace))
    until(lambda: phase_of(cluster, namespace, "p") == "Failed")
    assert container(cluster, namespace, "p")["state"]["terminated"]["exitCode"] == 127
    assert "::probe" not in admin.core.read_namespaced_pod_log("p", namespace)


def test_missing_shell_is_a_start_error(cluster, namespace):
    body = pod("p")
    body["spec"]["containers"][0]["command"] = ["/bin/bash", "-c", "true"]
    cluster.store.create(place(body, namespace))
    until(lambda: phase_of(cluster, namespace, "p") == "Failed")
    terminated = container(cluster, namespace, "p")["state"]["terminated"]
    assert (terminated["reason"], terminated["exitCode"]) == ("StartError", 128)


def test_failing_container_is_restarted_with_back_off(admin, cluster, namespace):
    body = pod("p", restartPolicy="Always")
    body["spec"]["containers"][0]["command"] = ["/bin/sh", "-c", "false"]
    cluster.store.create(place(body, namespace))
    until(lambda: container(cluster, namespace, "p").get("restartCount", 0) >= 1)
    until(
        lambda: (
            container(cluster, namespace, "p")["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
        )
    )
    assert container(cluster, namespace, "p")["lastState"]["terminated"]["exitCode"] == 127
    assert "does not know" in admin.core.read_namespaced_pod_log("p", namespace, previous=True)


def test_running_pod_is_terminated_before_it_goes(admin, cluster, namespace):
    cluster.store.create(place(pod("p", hold=3600), namespace))
    until(lambda: phase_of(cluster, namespace, "p") == "Running")
    answer = admin.core.delete_namespaced_pod("p", namespace)
    assert answer.metadata.deletion_timestamp is not None
    assert answer.metadata.deletion_grace_period_seconds == 30
    until(lambda: cluster.store.get("pods", namespace, "p") is None)


def test_pod_deleted_by_force_goes_at_once(admin, cluster, namespace):
    cluster.store.create(place(pod("p", hold=3600), namespace))
    until(lambda: phase_of(cluster, namespace, "p") == "Running")
    admin.core.delete_namespaced_pod("p", namespace, grace_period_seconds=0)
    assert cluster.store.get("pods", namespace, "p") is None


def test_pod_past_its_deadline_fails_and_stays(cluster, namespace):
    cluster.store.create(place(pod("p", hold=3600, activeDeadlineSeconds=5), namespace))
    until(lambda: phase_of(cluster, namespace, "p") == "Failed")
    assert cluster.store.get("pods", namespace, "p")["status"]["reason"] == "DeadlineExceeded"


def test_init_container_goes_first(cluster, namespace):
    body = pod("p")
    body["spec"]["initContainers"] = [
        {"name": "first", "image": probes.IMAGE, "command": probes.command("hold")}
    ]
    cluster.store.create(place(body, namespace))
    until(lambda: phase_of(cluster, namespace, "p") == "Succeeded")
    status = cluster.store.get("pods", namespace, "p")["status"]
    assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
    assert condition_of({"status": status}, "Initialized")["status"] == "True"


def test_devices_of_two_pods_on_a_node_are_apart(admin, cluster, namespace):
    cluster.store.create(place(claim_template(), namespace))
    host = {"kubernetes.io/hostname": "gpu-worker-0"}
    for name in ("a", "b"):
        body = pod(name, "accelerators", hold=3600, device="claim", nodeSelector=host)
        body["spec"]["containers"][0]["env"].append({"name": "PROBE_TRY", "value": "c:195:0 c:195:1"})
        cluster.store.create(place(body, namespace))
    logs = []
    for name in ("a", "b"):
        until(lambda name=name: phase_of(cluster, namespace, name) == "Running")
        logs.append(admin.core.read_namespaced_pod_log(name, namespace))
    for log in logs:
        assert log.count("::probe device") == 1
        assert log.count("result=opened") == 1
        assert log.count("result=denied") == 1
    assert {line for line in logs[0].splitlines() if "device path" in line}.isdisjoint(logs[1].splitlines())

"""Four ways of starting pods together, seen through the same eyes."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.simulator import SimulatedCluster, start

from .conftest import SPEED, claim_template, condition_of, place, pod, until

QUIET_SECONDS = 0.4


class Gang:
    """Submits gangs whose pods want a device each, in the way of one scheduler."""

    def __init__(self, cluster: SimulatedCluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def create(self, obj: dict[str, Any]) -> None:
        self.cluster.store.create(place(obj, self.namespace))

    def prepare(self) -> None:
        self.create(claim_template())

    def member(self, name: str, hold: float = 3600) -> dict[str, Any]:
        body = pod(name, hold=hold, device="claim")
        body["metadata"]["labels"] = {"member-of": name.partition("-")[0]}
        return body

    def submit(self, name: str, size: int) -> None:
        self.group(name, size)
        for index in range(size):
            body = self.member(f"{name}-{index}")
            self.join(body, name)
            self.create(body)

    def group(self, name: str, size: int) -> None:
        raise NotImplementedError

    def join(self, body: dict[str, Any], name: str) -> None:
        raise NotImplementedError

    def remove(self, name: str) -> None:
        for entry in self.members(name):
            self.cluster.store.delete("pods", self.namespace, entry["metadata"]["name"])

    def members(self, name: str) -> list[dict[str, Any]]:
        return [
            entry
            for entry in self.cluster.store.list("pods", self.namespace)
            if entry["metadata"].get("labels", {}).get("member-of") == name
        ]

    def bound(self, name: str) -> int:
        return sum(bool(entry["spec"].get("nodeName")) for entry in self.members(name))


class InTree(Gang):
    version = "v1alpha2"
    condition = "PodGroupScheduled"

    def group(self, name: str, size: int) -> None:
        policy = {"schedulingPolicy": {"gang": {"minCount": size}}}
        version = f"scheduling.k8s.io/{self.version}"
        self.create({"apiVersion": version, "kind": "PodGroup", "metadata": {"name": name}, "spec": policy})

    def join(self, body: dict[str, Any], name: str) -> None:
        body["spec"]["schedulingGroup"] = {"podGroupName": name}


class InTreeBeta(InTree):
    version = "v1beta1"
    condition = "PodGroupInitiallyScheduled"


class Volcano(Gang):
    def group(self, name: str, size: int) -> None:
        spec = {"minMember": size, "queue": "default"}
        version = "scheduling.volcano.sh/v1beta1"
        self.create({"apiVersion": version, "kind": "PodGroup", "metadata": {"name": name}, "spec": spec})

    def join(self, body: dict[str, Any], name: str) -> None:
        body["spec"]["schedulerName"] = "volcano"
        body["metadata"]["annotations"] = {"scheduling.k8s.io/group-name": name}


class Kai(Gang):
    def group(self, name: str, size: int) -> None:
        spec = {"minMember": size, "queue": "default-queue"}
        version = "scheduling.run.ai/v2alpha2"
        self.create({"apiVersion": version, "kind": "PodGroup", "metadata": {"name": name}, "spec": spec})

    def join(self, body: dict[str, Any], name: str) -> None:
        body["spec"]["schedulerName"] = "kai-scheduler"
        body["metadata"]["annotations"] = {"pod-group-name": name}
        body["metadata"]["labels"]["kai.scheduler/queue"] = "default-queue"


class Kueue(Gang):
    def prepare(self) -> None:
        spec = {"clusterQueue": "cluster-queue"}
        version = "kueue.x-k8s.io/v1beta1"
        self.create({"apiVersion": version, "kind": "LocalQueue", "metadata": {"name": "q"}, "spec": spec})

    def submit(self, name: str, size: int) -> None:
        body = pod("x", hold=3600, device="resource")
        template = {"metadata": {"labels": {"member-of": name}}, "spec": body["spec"]}
        labels = {"kueue.x-k8s.io/queue-name": "q"}
        spec = {"parallelism": size, "completions": size, "template": template}
        metadata = {"name": name, "labels": labels}
        self.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})

    def remove(self, name: str) -> None:
        self.cluster.store.delete("jobs.batch", self.namespace, name)


BACKENDS = {
    "1.33": Kueue,
    "1.34": Volcano,
    "1.35": Kai,
    "1.36": InTree,
    "1.37": InTreeBeta,
}


def started(profile: str, version: str) -> tuple[SimulatedCluster, Gang]:
    cluster = start(profile, speed=SPEED)
    cluster.store.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gangs"}})
    until(lambda: cluster.store.get("serviceaccounts", "gangs", "default"))
    gang = BACKENDS[version](cluster, "gangs")
    gang.prepare()
    return cluster, gang


def settled(gang: Gang, name: str) -> int:
    """Return how many are bound after a time in which more would have been."""
    import time

    time.sleep(QUIET_SECONDS)
    return gang.bound(name)


@pytest.mark.parametrize("version", BACKENDS)
def test_gang_binds_whole_or_not_at_all(version):
    cluster, gang = started(f"conformant-{version}", version)
    with cluster:
        gang.submit("fits", 2)
        until(lambda: gang.bound("fits") == 2)
        gang.submit("large", 3)
        assert settled(gang, "large") == 0
        gang.remove("fits")
        until(lambda: gang.bound("large") == 3)


@pytest.mark.parametrize("version", BACKENDS)
def test_partial_defect_binds_a_part(version):
    cluster, gang = started(f"gang-partial@{version}", version)
    with cluster:
        gang.submit("first", 2)
        until(lambda: gang.bound("first") == 2)
        gang.submit("large", 3)
        until(lambda: gang.bound("large") == 2)
        assert settled(gang, "large") == 2


@pytest.mark.parametrize("version", BACKENDS)
def test_never_released_defect_leaves_the_gang_waiting(version):
    cluster, gang = started(f"gang-never-released@{version}", version)
    with cluster:
        gang.submit("first", 2)
        until(lambda: gang.bound("first") == 2)
        gang.submit("large", 3)
        assert settled(gang, "large") == 0
        gang.remove("first")
        assert settled(gang, "large") == 0


@pytest.mark.parametrize("version", ["1.34", "1.35", "1.36"])
def test_gang_waits_for_its_group_and_for_all_members(version):
    cluster, gang = started(f"conformant-{version}", version)
    with cluster:
        bodies = [gang.member(f"late-{index}") for index in range(2)]
        for body in bodies:
            gang.join(body, "late")
        gang.create(bodies[0])
        assert settled(gang, "late") == 0
        gang.group("late", 2)
        assert settled(gang, "late") == 0
        gang.create(bodies[1])
        until(lambda: gang.bound("late") == 2)


@pytest.mark.parametrize("version", ["1.36", "1.37"])
def test_in_tree_group_tells_of_its_state_and_outlives_its_pods(version):
    cluster, gang = started(f"conformant-{version}", version)
    key = "podgroups.scheduling.k8s.io"
    with cluster:
        gang.submit("huge", 5)
        told = until(lambda: condition_of(cluster.store.get(key, "gangs", "huge"), gang.condition))
        assert (told["status"], told["reason"]) == ("False", "Unschedulable")
        gang.submit("fits", 2)
        told = until(lambda: condition_of(cluster.store.get(key, "gangs", "fits"), gang.condition))
        assert told["status"] == "True"
        assert cluster.store.get(key, "gangs", "fits")["metadata"]["finalizers"] == [
            "scheduling.k8s.io/podgroup-protection"
        ]
        cluster.store.delete(key, "gangs", "fits")
        assert cluster.store.get(key, "gangs", "fits")["metadata"]["deletionTimestamp"]
        gang.remove("fits")
        until(lambda: cluster.store.get(key, "gangs", "fits") is None)


def test_scheduling_group_is_dropped_where_the_server_does_not_know_it():
    cluster, gang = started("conformant-1.35", "1.35")
    with cluster:
        body = gang.member("p-0")
        body["spec"]["schedulingGroup"] = {"podGroupName": "x"}
        gang.create(body)
        assert "schedulingGroup" not in cluster.store.get("pods", "gangs", "p-0")["spec"]


def test_volcano_groups_pods_that_name_no_group():
    cluster, gang = started("conformant-1.34", "1.34")
    with cluster:
        body = gang.member("solo-0")
        body["spec"]["schedulerName"] = "volcano"
        gang.create(body)
        until(lambda: gang.bound("solo") == 1)
        (group,) = cluster.store.list("podgroups.scheduling.volcano.sh", "gangs")
        assert group["spec"] == {"minMember": 1, "queue": "default"}
        until(
            lambda: (
                cluster.store.list("podgroups.scheduling.volcano.sh", "gangs")[0]["status"]["phase"]
                == "Running"
            )
        )


def test_kai_groups_a_job_by_its_annotation():
    cluster, gang = started("conformant-1.35", "1.35")
    with cluster:
        body = gang.member("x-0")["spec"]
        template = {
            "metadata": {"labels": {"member-of": "batch", "kai.scheduler/queue": "default-queue"}},
            "spec": {**body, "schedulerName": "kai-scheduler"},
        }
        for name, size in (("fits", 2), ("batch", 5)):
            template["metadata"]["labels"]["member-of"] = name
            metadata = {"name": name, "annotations": {"kai.scheduler/batch-min-member": str(size)}}
            spec = {"parallelism": size, "completions": size, "template": template}
            gang.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
        until(lambda: gang.bound("fits") == 2)
        assert settled(gang, "batch") == 0
        groups = cluster.store.list("podgroups.scheduling.run.ai", "gangs")
        assert sorted(group["spec"]["minMember"] for group in groups) == [2, 5]


def test_kueue_tells_why_a_workload_waits_and_counts_its_quota():
    cluster, gang = started("conformant-1.33", "1.33")
    with cluster:
        gang.submit("fits", 3)
        until(lambda: gang.bound("fits") == 3)

        def usage() -> str:
            status = (
                cluster.store.get("clusterqueues.kueue.x-k8s.io", "", "cluster-queue").get("status") or {}
            )
            resources = status.get("flavorsUsage", [{"resources": []}])[0]["resources"]
            return next((entry["total"] for entry in resources if entry["name"] == "nvidia.com/gpu"), "")

        until(lambda: usage() == "3")
        gang.submit("waits", 2)

        def reserved() -> dict[str, Any] | None:
            for workload in cluster.store.list("workloads.kueue.x-k8s.io", "gangs"):
                if workload["metadata"]["name"].startswith("job-waits-"):
                    return condition_of(workload, "QuotaReserved")
            return None

        told = until(reserved)
        assert (told["status"], told["reason"]) == ("False", "Pending")
        assert (
            "insufficient unused quota for nvidia.com/gpu in flavor default-flavor, 1 more needed"
            in told["message"]
        )
        assert cluster.store.get("jobs.batch", "gangs", "waits")["spec"]["suspend"] is True
        gang.remove("fits")
        until(lambda: usage() == "2")


def test_job_without_a_queue_is_none_of_kueues_business():
    cluster, gang = started("conformant-1.33", "1.33")
    with cluster:
        body = pod("x", device="resource")["spec"]
        spec = {"template": {"spec": body}}
        gang.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "free"}, "spec": spec})
        until(lambda: condition_of(cluster.store.get("jobs.batch", "gangs", "free"), "Complete"))
        assert cluster.store.list("workloads.kueue.x-k8s.io") == []

"""Kueue: jobs stay suspended until their queue's quota admits them whole."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from conformance.simulator.admission import Review, Verdict
from conformance.simulator.definitions import (
    BOOLEAN,
    CONDITIONS,
    INT32,
    OPEN,
    QUANTITY,
    STRING,
    array,
    definition,
    deployment,
    namespace,
    service,
    structure,
    webhook,
)
from conformance.simulator.machinery import Deletion
from conformance.simulator.objects import (
    Json,
    clone,
    dig,
    is_condition_true,
    is_deleting,
    labels_of,
    owner_reference,
    set_condition,
    short_hash,
)
from conformance.simulator.quantities import amount, quantity
from conformance.simulator.selectors import matches_label_selector
from conformance.simulator.store import Change
from conformance.simulator.world import Controller

GROUP, VERSION = "kueue.x-k8s.io", "v1beta1"
WORKLOADS, LOCAL_QUEUES = f"workloads.{GROUP}", f"localqueues.{GROUP}"
CLUSTER_QUEUES, FLAVORS = f"clusterqueues.{GROUP}", f"resourceflavors.{GROUP}"
JOBS = "jobs.batch"
QUEUE_LABEL, UID_LABEL = f"{GROUP}/queue-name", f"{GROUP}/job-uid"
IN_USE = f"{GROUP}/resource-in-use"
HOME, WEBHOOK_SERVICE, WEBHOOK_PATH = "kueue-system", "kueue-webhook-service", "/mutate-batch-v1-job"
REACTION_SECONDS = 0.2
_CYCLE = "cycle"

Usage = dict[str, dict[tuple[str, str], Fraction]]


def suspend_managed_job(review: Review) -> Verdict:
    """Answer Kueue's mutating webhook: a job that names a queue starts suspended."""
    job = review.obj
    if job is None or QUEUE_LABEL not in labels_of(job):
        return Verdict(allowed=True)
    if review.operation == "CREATE":
        job.setdefault("spec", {})["suspend"] = True
    return Verdict(allowed=True, obj=job)


class Kueue(Controller):
    name = "batch/job-kueue-controller"

    def notice(self, change: Change) -> None:
        watched = {WORKLOADS, LOCAL_QUEUES, CLUSTER_QUEUES, FLAVORS, JOBS}
        if change.key in watched:
            self.enqueue(_CYCLE, REACTION_SECONDS)

    def reconcile(self, key: str) -> None:
        del key
        if WORKLOADS not in self.world.types:
            return
        self._release_deleted()
        jobs = [
            job for job in self.store.each(JOBS) if labels_of(job).get(QUEUE_LABEL) and not is_deleting(job)
        ]
        for job in jobs:
            self._follow(job)
        usage = self._usage()
        for workload in self.store.each(WORKLOADS):
            if self._is_pending(workload):
                self._consider(workload, usage)
        self._report(usage)

    def _release_deleted(self) -> None:
        """Let go of workloads being deleted, and of those whose job is gone."""
        for workload in self.store.each(WORKLOADS):
            metadata = workload["metadata"]
            if is_deleting(workload):
                self.api.edit(WORKLOADS, metadata["namespace"], metadata["name"], _release)
            elif self.store.located(labels_of(workload).get(UID_LABEL, "")) is None:
                deletion = Deletion(propagation="Background", uid=metadata["uid"])
                self.api.delete(self.api.kind(WORKLOADS), metadata["namespace"], metadata["name"], deletion)

    def _follow(self, job: Json) -> None:
        """Make the job's workload, or tell it that the job has ended."""
        metadata = job["metadata"]
        name = f"job-{metadata['name']}-{short_hash(metadata['uid'])[:5]}"
        workload = self.store.get(WORKLOADS, metadata["namespace"], name)
        if workload is None:
            if is_condition_true(job, "Complete") or is_condition_true(job, "Failed"):
                return
            self.api.create(self.api.kind(WORKLOADS), _workload(job, name), metadata["namespace"])
            message = f"Created Workload: {metadata['namespace']}/{name}"
            self.event(job, "Normal", "CreatedWorkload", message)
            return
        for kind, reason in (("Complete", "Succeeded"), ("Failed", "Failed")):
            if is_condition_true(job, kind) and not is_condition_true(workload, "Finished"):
                self._set(workload, "Finished", "True", reason, f"Job {kind.lower()}")

    def _is_pending(self, workload: Json) -> bool:
        return (
            not is_deleting(workload)
            and dig(workload, "spec", "active", default=True)
            and not is_condition_true(workload, "Admitted")
            and not is_condition_true(workload, "Finished")
        )

    def _usage(self) -> Usage:
        usage: Usage = {queue["metadata"]["name"]: {} for queue in self.store.each(CLUSTER_QUEUES)}
        for workload in self.store.each(WORKLOADS):
            if not is_condition_true(workload, "Admitted") or is_condition_true(workload, "Finished"):
                continue
            admission = dig(workload, "status", "admission", default={})
            used = usage.setdefault(admission.get("clusterQueue", ""), {})
            for assignment in admission.get("podSetAssignments") or ():
                for resource, value in (assignment.get("resourceUsage") or {}).items():
                    place = (assignment["flavors"][resource], resource)
                    used[place] = used.get(place, Fraction(0)) + quantity(value)
        return usage

    def _consider(self, workload: Json, usage: Usage) -> None:
        namespace_name = workload["metadata"]["namespace"]
        local_name = dig(workload, "spec", "queueName", default="")
        local = self.store.get(LOCAL_QUEUES, namespace_name, local_name)
        if local is None:
            self._refuse(workload, "Inadmissible", f"LocalQueue {local_name} doesn't exist")
            return
        queue_name = dig(local, "spec", "clusterQueue", default="")
        queue = self.store.get(CLUSTER_QUEUES, "", queue_name)
        if queue is None:
            self._refuse(workload, "Inadmissible", f"ClusterQueue {queue_name} doesn't exist")
            return
        home = self.store.get("namespaces", "", namespace_name)
        selector = dig(queue, "spec", "namespaceSelector")
        if home is None or not matches_label_selector(selector, labels_of(home)):
            self._refuse(workload, "Inadmissible", "Workload namespace doesn't match ClusterQueue selector")
            return
        pod_set = workload["spec"]["podSets"][0]
        wanted = _pod_set_requests(pod_set)
        used = usage.setdefault(queue_name, {})
        flavors, problem = _assign(queue, wanted, used, pod_set["name"])
        if problem and "gang-partial" not in self.world.faults:
            self._refuse(workload, "Pending", problem)
            return
        known = dig(workload, "status", "conditions", default=())
        if known and "gang-never-released" in self.world.faults:
            return
        for resource, flavor in flavors.items():
            place = (flavor, resource)
            used[place] = used.get(place, Fraction(0)) + wanted[resource]
        self._admit(workload, queue_name, flavors, wanted)

    def _refuse(self, workload: Json, reason: str, message: str) -> None:
        if self._set(workload, "QuotaReserved", "False", reason, message):
            self.event(workload, "Warning", "Pending", message)

    def _set(self, workload: Json, kind: str, status: str, reason: str, message: str) -> bool:
        conditions: list[Json] = clone(dig(workload, "status", "conditions", default=[]))
        generation = workload["metadata"].get("generation", 1)
        values = {"reason": reason, "message": message}
        if not set_condition(conditions, kind, status, observedGeneration=generation, **values):
            return False
        metadata = workload["metadata"]
        self.api.edit(
            WORKLOADS,
            metadata["namespace"],
            metadata["name"],
            lambda obj: obj.setdefault("status", {}).update(conditions=conditions),
        )
        return True

    def _admit(
        self, workload: Json, queue: str, flavors: dict[str, str], wanted: dict[str, Fraction]
    ) -> None:
        metadata = workload["metadata"]
        pod_set = workload["spec"]["podSets"][0]
        admission = {
            "clusterQueue": queue,
            "podSetAssignments": [
                {
                    "name": pod_set["name"],
                    "flavors": flavors,
                    "resourceUsage": {resource: amount(wanted[resource]) for resource in flavors},
                    "count": pod_set["count"],
                }
            ],
        }
        generation = metadata.get("generation", 1)

        def change(obj: Json) -> None:
            status = obj.setdefault("status", {})
            status["admission"] = admission
            conditions = status.setdefault("conditions", [])
            reserved = f"Quota reserved in ClusterQueue {queue}"
            for kind, reason, message in (
                ("QuotaReserved", "QuotaReserved", reserved),
                ("Admitted", "Admitted", "The workload is admitted"),
            ):
                values = {"reason": reason, "message": message, "observedGeneration": generation}
                set_condition(conditions, kind, "True", **values)

        self.api.edit(WORKLOADS, metadata["namespace"], metadata["name"], change)
        self.event(workload, "Normal", "Admitted", f"Admitted by ClusterQueue {queue}")
        self._start(workload, queue, set(flavors.values()))

    def _start(self, workload: Json, queue: str, flavors: set[str]) -> None:
        where = self.store.located(labels_of(workload)[UID_LABEL])
        if where is None:
            return
        selector: dict[str, str] = {}
        for name in sorted(flavors):
            flavor = self.store.get(FLAVORS, "", name)
            selector |= dig(flavor, "spec", "nodeLabels", default={})

        def change(job: Json) -> None:
            job["spec"]["suspend"] = False
            if selector:
                spec = job["spec"]["template"]["spec"]
                spec["nodeSelector"] = {**(spec.get("nodeSelector") or {}), **selector}

        job = self.api.edit(*where, change)
        if job is not None:
            self.event(job, "Normal", "Started", f"Admitted by clusterQueue {queue}")

    def _report(self, usage: Usage) -> None:
        """Write what the queues tell of themselves."""
        workloads = list(self.store.each(WORKLOADS))
        for queue in list(self.store.each(CLUSTER_QUEUES)):
            name = queue["metadata"]["name"]
            mine = [entry for entry in workloads if self._cluster_queue(entry) == name]
            status = _queue_status(queue, mine, "Ready", "Can admit new workloads")
            status["flavorsReservation"] = status["flavorsUsage"] = _flavor_usage(queue, usage.get(name, {}))
            self.api.edit(CLUSTER_QUEUES, "", name, _status_update(status))
        for local in list(self.store.each(LOCAL_QUEUES)):
            metadata = local["metadata"]
            mine = [
                entry
                for entry in workloads
                if entry["metadata"]["namespace"] == metadata["namespace"]
                and dig(entry, "spec", "queueName") == metadata["name"]
            ]
            status = _queue_status(local, mine, "Ready", "Can submit new workloads to localQueue")
            if self.store.get(CLUSTER_QUEUES, "", dig(local, "spec", "clusterQueue", default="")) is None:
                conditions = status["conditions"]
                message = "Can't submit new workloads to clusterQueue"
                set_condition(
                    conditions, "Active", "False", reason="ClusterQueueDoesNotExist", message=message
                )
            self.api.edit(LOCAL_QUEUES, metadata["namespace"], metadata["name"], _status_update(status))

    def _cluster_queue(self, workload: Json) -> str:
        local = self.store.get(
            LOCAL_QUEUES, workload["metadata"]["namespace"], dig(workload, "spec", "queueName", default="")
        )
        return str(dig(local, "spec", "clusterQueue", default=""))


def _status_update(status: Json) -> Callable[[Json], None]:
    def change(obj: Json) -> None:
        obj["status"] = {**(obj.get("status") or {}), **status}

    return change


def _release(workload: Json) -> None:
    kept = [entry for entry in workload["metadata"].get("finalizers") or () if entry != IN_USE]
    if kept:
        workload["metadata"]["finalizers"] = kept
    else:
        workload["metadata"].pop("finalizers", None)


def _workload(job: Json, name: str) -> Json:
    spec, metadata = job["spec"], job["metadata"]
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Workload",
        "metadata": {
            "name": name,
            "labels": {UID_LABEL: metadata["uid"]},
            "finalizers": [IN_USE],
            "ownerReferences": [owner_reference(job)],
        },
        "spec": {
            "queueName": labels_of(job)[QUEUE_LABEL],
            "active": True,
            "priority": 0,
            "podSets": [{"name": "main", "count": spec["parallelism"], "template": clone(spec["template"])}],
        },
    }


def _pod_set_requests(pod_set: Json) -> dict[str, Fraction]:
    total: dict[str, Fraction] = {}
    for container in dig(pod_set, "template", "spec", "containers", default=()):
        for resource, value in dig(container, "resources", "requests", default={}).items():
            total[resource] = total.get(resource, Fraction(0)) + quantity(value) * pod_set["count"]
    return total


def _assign(
    queue: Json, wanted: dict[str, Fraction], used: dict[tuple[str, str], Fraction], pod_set: str
) -> tuple[dict[str, str], str]:
    """Return the flavor each resource comes from, and why that is impossible where it is."""
    flavors: dict[str, str] = {}
    problem = ""
    for resource, value in sorted(wanted.items()):
        options = [
            (flavor["name"], quantity(entry.get("nominalQuota", 0)))
            for group in dig(queue, "spec", "resourceGroups", default=())
            for flavor in group["flavors"]
            for entry in flavor["resources"]
            if entry["name"] == resource
        ]
        if not options:
            why = f"resource {resource} unavailable in ClusterQueue"
            return {}, f"couldn't assign flavors to pod set {pod_set}: {why}"
        for name, quota in options:
            free = quota - used.get((name, resource), Fraction(0))
            flavors.setdefault(resource, name)
            if value <= free:
                flavors[resource] = name
                break
        else:
            name, quota = options[-1]
            free = quota - used.get((name, resource), Fraction(0))
            place, more = f"quota for {resource} in flavor {name}", amount(value - free)
            why = f"insufficient unused {place}, {more} more needed"
            if value > quota:
                limit = f"{amount(value)} > {amount(quota)}"
                why = f"insufficient {place}, request > maximum capacity ({limit})"
            problem = f"couldn't assign flavors to pod set {pod_set}: {why}"
    return flavors, problem


def _flavor_usage(queue: Json, used: dict[tuple[str, str], Fraction]) -> list[Json]:
    return [
        {
            "name": flavor["name"],
            "resources": [
                {
                    "name": entry["name"],
                    "total": amount(used.get((flavor["name"], entry["name"]), Fraction(0))),
                    "borrowed": "0",
                }
                for entry in flavor["resources"]
            ],
        }
        for group in dig(queue, "spec", "resourceGroups", default=())
        for flavor in group["flavors"]
    ]


def _queue_status(queue: Json, workloads: list[Json], reason: str, message: str) -> Json:
    living = [entry for entry in workloads if not is_condition_true(entry, "Finished")]
    admitted = len([entry for entry in living if is_condition_true(entry, "Admitted")])
    conditions: list[Json] = clone(dig(queue, "status", "conditions", default=[]))
    generation = queue["metadata"].get("generation", 1)
    set_condition(conditions, "Active", "True", reason=reason, message=message, observedGeneration=generation)
    return {
        "admittedWorkloads": admitted,
        "reservingWorkloads": admitted,
        "pendingWorkloads": len(living) - admitted,
        "conditions": conditions,
    }


def objects(devices: int) -> list[Json]:
    """Return what an installation of Kueue brings along, with a quota for all `devices`."""
    quota = structure(
        {"name": STRING, "nominalQuota": QUANTITY, "borrowingLimit": QUANTITY, "lendingLimit": QUANTITY},
        ["name", "nominalQuota"],
    )
    flavor_quotas = structure({"name": STRING, "resources": array(quota)}, ["name", "resources"])
    resource_group = structure(
        {"coveredResources": array(STRING), "flavors": array(flavor_quotas)}, ["coveredResources", "flavors"]
    )
    cluster_queue = structure(
        {
            "resourceGroups": array(resource_group, maxItems=16),
            "cohort": STRING,
            "queueingStrategy": {
                **STRING,
                "default": "BestEffortFIFO",
                "enum": ["StrictFIFO", "BestEffortFIFO"],
            },
            "namespaceSelector": {**OPEN, "nullable": True},
            "flavorFungibility": {**OPEN, "default": {}},
            "preemption": {**OPEN, "default": {}},
            "stopPolicy": {**STRING, "default": "None"},
        }
    )
    immutable = [{"rule": "self == oldSelf", "message": "field is immutable"}]
    local_queue = structure(
        {
            "clusterQueue": {**STRING, "x-kubernetes-validations": immutable},
            "stopPolicy": {**STRING, "default": "None"},
        }
    )
    pod_set = structure(
        {"name": STRING, "count": INT32, "minCount": INT32, "template": OPEN}, ["count", "template"]
    )
    workload = structure(
        {
            "queueName": STRING,
            "active": {**BOOLEAN, "default": True},
            "priority": INT32,
            "priorityClassName": STRING,
            "priorityClassSource": STRING,
            "podSets": array(pod_set, maxItems=8),
        }
    )
    flavor = structure({"nodeLabels": OPEN, "nodeTaints": array(OPEN), "tolerations": array(OPEN)})
    status = {**OPEN, "properties": {"conditions": CONDITIONS}}

    def versions(spec: Json) -> dict[str, Json]:
        return {VERSION: structure({"spec": spec, "status": status})}

    quotas = {"cpu": "64", "memory": "256Gi", "nvidia.com/gpu": str(devices)}
    target = (HOME, WEBHOOK_SERVICE, WEBHOOK_PATH)
    rule = {
        "apiGroups": ["batch"],
        "apiVersions": ["v1"],
        "resources": ["jobs"],
        "operations": ["CREATE"],
    }
    manager = "kueue-controller-manager"
    return [
        namespace(HOME),
        definition(
            CLUSTER_QUEUES, "ClusterQueue", versions(cluster_queue), namespaced=False, short_names=["cq"]
        ),
        definition(LOCAL_QUEUES, "LocalQueue", versions(local_queue), short_names=["queue", "queues", "lq"]),
        definition(
            FLAVORS,
            "ResourceFlavor",
            versions(flavor),
            namespaced=False,
            short_names=["flavor", "flavors", "rf"],
        ),
        definition(WORKLOADS, "Workload", versions(workload), short_names=["wl"]),
        deployment(HOME, manager, "registry.k8s.io/kueue/kueue:v0.13.6"),
        service(HOME, WEBHOOK_SERVICE, manager),
        webhook("kueue-mutating-webhook-configuration", "mjob.kb.io", target, rule, mutating=True),
        {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "ResourceFlavor",
            "metadata": {"name": "default-flavor"},
            "spec": {},
        },
        {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "ClusterQueue",
            "metadata": {"name": "cluster-queue"},
            "spec": {
                "namespaceSelector": {},
                "resourceGroups": [
                    {
                        "coveredResources": list(quotas),
                        "flavors": [
                            {
                                "name": "default-flavor",
                                "resources": [
                                    {"name": name, "nominalQuota": value} for name, value in quotas.items()
                                ],
                            }
                        ],
                    }
                ],
            },
        },
    ]

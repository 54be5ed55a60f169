"""An operator like KubeRay: a custom resource, a validating webhook, and a reconciler with children."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

from conformance.simulator.admission import Review, Verdict
from conformance.simulator.clock import stamp
from conformance.simulator.controllers.workloads import OwningController
from conformance.simulator.definitions import (
    BOOLEAN,
    CONDITIONS,
    INT32,
    INT64,
    OPEN,
    QUANTITY,
    STRING,
    TIME,
    array,
    definition,
    deployment,
    namespace,
    service,
    structure,
    webhook,
)
from conformance.simulator.errors import Cause, invalid, invalid_value, required
from conformance.simulator.objects import (
    Json,
    annotations_of,
    clone,
    dig,
    is_controlled_by,
    is_deleting,
    is_pod_finished,
    is_pod_ready,
    labels_of,
    owner_reference,
    set_condition,
    without_empty,
)

RAY_CLUSTERS = "rayclusters.ray.io"
HOME, OPERATOR = "kuberay-system", "kuberay-operator"
WEBHOOK_SERVICE, WEBHOOK_PATH = "kuberay-webhook-service", "/validate-ray-io-v1-raycluster"
WEBHOOK_NAME = "vraycluster.kb.io"
OPERATOR_IMAGE = "quay.io/kuberay/operator:v1.4.2"
OVERWRITE = "ray.io/overwrite-container-cmd"
CLUSTER_LABEL, TYPE_LABEL, GROUP_LABEL = "ray.io/cluster", "ray.io/node-type", "ray.io/group"
MAX_NAME = 50
UNPROCESSABLE = 422

_LABEL = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_PORTS = (("gcs-server", 6379), ("dashboard", 8265), ("client", 10001), ("metrics", 8080))


def spec_problems(cluster: Json) -> Iterator[Cause]:
    """Yield what the operator cannot make sense of although the schema admits it."""
    name, spec = str(cluster["metadata"].get("name", "")), cluster.get("spec") or {}
    if len(name) > MAX_NAME:
        yield invalid_value("metadata.name", name, f"should be no more than {MAX_NAME} characters")
    elif name and not _LABEL.match(name):
        yield invalid_value("metadata.name", name, "should be a valid RFC1035 label")
    if not dig(spec, "headGroupSpec", "template", "spec", "containers"):
        yield required("spec.headGroupSpec.template.spec.containers", "should have at least one container")
    seen: set[str] = set()
    for index, group in enumerate(spec.get("workerGroupSpecs") or ()):
        path = f"spec.workerGroupSpecs[{index}]"
        if group.get("groupName") in seen:
            yield invalid_value(path, group, "worker group names must be unique")
        seen.add(str(group.get("groupName")))
        low, high = group.get("minReplicas", 0), group.get("maxReplicas", 0)
        replicas = group.get("replicas", 0)
        if min(low, replicas) < 0:
            yield invalid_value(path, replicas, "replicas must not be negative")
        elif low > high:
            yield invalid_value(f"{path}.minReplicas", low, "must not be greater than maxReplicas")
        if not dig(group, "template", "spec", "containers"):
            yield required(f"{path}.template.spec.containers", "should have at least one container")


def validate(review: Review) -> Verdict:
    """Answer the operator's webhook."""
    if review.obj is None:
        return Verdict(allowed=True)
    problems = list(spec_problems(review.obj))
    if not problems:
        return Verdict(allowed=True)
    error = invalid("ray.io", "RayCluster", review.name, problems)
    return Verdict(allowed=False, message=error.message, code=UNPROCESSABLE, reason="Invalid")


def accept(_review: Review) -> Verdict:
    return Verdict(allowed=True)


def refuse(review: Review) -> Verdict:
    error = invalid("ray.io", "RayCluster", review.name, [required("spec.licence", "should name a licence")])
    return Verdict(allowed=False, message=error.message, code=UNPROCESSABLE, reason="Invalid")


def answers(faults: Collection[str]) -> Callable[[Review], Verdict]:
    """Return what the operator's webhook answers by, the profile's defects included."""
    if "webhook-rejects-everything" in faults:
        return refuse
    return accept if "webhook-accepts-anything" in faults else validate


class RayOperator(OwningController):
    """Acts only while its own pod is Ready: an operator that is down reconciles nothing."""

    name = "raycluster-controller"
    key, kind, owned = RAY_CLUSTERS, "RayCluster", frozenset({"pods", "services"})

    def reconcile(self, key: tuple[str, str]) -> None:
        if RAY_CLUSTERS not in self.world.types or "operator-does-not-reconcile" in self.world.faults:
            return
        cluster = self.store.get(RAY_CLUSTERS, *key)
        if cluster is None or is_deleting(cluster):
            return
        if not self._is_up():
            self.enqueue(key, 5)
            return
        problem = next(spec_problems(cluster), None)
        if problem is not None:
            message = f"The RayCluster spec is invalid {key[0]}/{key[1]}: {problem.message}"
            self.event(cluster, "Warning", "InvalidRayClusterSpec", message)
            return
        if "operator-makes-nothing" in self.world.faults:
            generation = cluster["metadata"]["generation"]
            self._write_status(cluster, {"state": "ready", "observedGeneration": generation})
            return
        head_service = self._service(cluster)
        pods = [
            pod
            for pod in self.store.all("pods", key[0])
            if is_controlled_by(pod, cluster) and not is_deleting(pod)
        ]
        heads = [pod for pod in pods if labels_of(pod).get(TYPE_LABEL) == "head"]
        if not heads:
            heads = [self._create(cluster, _head(cluster), "CreatedHeadPod")]
        workers: list[Json] = []
        for group in cluster["spec"].get("workerGroupSpecs") or ():
            workers += self._workers(cluster, group, pods)
        self._report(cluster, head_service, heads[0], workers)

    def _is_up(self) -> bool:
        return any(
            is_pod_ready(pod) and labels_of(pod).get("app.kubernetes.io/name") == OPERATOR
            for pod in self.store.all("pods", HOME)
        )

    def _create(self, cluster: Json, pod: Json, reason: str) -> Json:
        made = self.api.create(self.api.kind("pods"), pod, cluster["metadata"]["namespace"])
        name = f"{made['metadata']['namespace']}/{made['metadata']['name']}"
        self.event(cluster, "Normal", reason, f"Created pod {name}")
        return made

    def _service(self, cluster: Json) -> Json:
        metadata = cluster["metadata"]
        name = f"{metadata['name']}-head-svc"
        known = self.store.get("services", metadata["namespace"], name)
        if known is not None:
            return known
        labels = _labels(cluster, "head", "headgroup")
        selector = {key: value for key, value in labels.items() if key != GROUP_LABEL}
        made = self.api.create(
            self.api.kind("services"),
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {
                    "name": name,
                    "labels": labels,
                    "ownerReferences": [owner_reference(cluster)],
                },
                "spec": {
                    "clusterIP": "None",
                    "publishNotReadyAddresses": True,
                    "selector": selector,
                    "ports": [{"name": port, "port": number} for port, number in _PORTS],
                },
            },
            metadata["namespace"],
        )
        self.event(cluster, "Normal", "CreatedService", f"Created service {metadata['namespace']}/{name}")
        return made

    def _workers(self, cluster: Json, group: Json, pods: list[Json]) -> list[Json]:
        """Bring a group to its number of workers and return those it has."""
        name = group["groupName"]
        mine = [
            pod
            for pod in pods
            if labels_of(pod).get(GROUP_LABEL) == name and labels_of(pod).get(TYPE_LABEL) == "worker"
        ]
        wanted = min(max(group.get("replicas", 0), group["minReplicas"]), group["maxReplicas"])
        mine.extend(
            self._create(cluster, _worker(cluster, group), "CreatedWorkerPod")
            for _ in range(wanted - len(mine))
        )
        for pod in mine[wanted:]:
            self._delete("pods", pod)
        return mine[:wanted]

    def _report(self, cluster: Json, head_service: Json, head: Json, workers: list[Json]) -> None:
        groups = cluster["spec"].get("workerGroupSpecs") or ()
        before = cluster.get("status") or {}
        status = clone(before)
        ready = [pod for pod in workers if is_pod_ready(pod)]
        is_behind = "operator-status-stale" in self.world.faults
        conditions = status.setdefault("conditions", [])
        is_head_ready = is_pod_ready(head)
        if is_head_ready:
            set_condition(conditions, "HeadPodReady", "True", reason="HeadPodRunningAndReady", message="")
        else:
            reason = "ContainersNotReady" if not is_pod_finished(head) else "PodFailed"
            set_condition(conditions, "HeadPodReady", "False", reason=reason, message="head pod is not ready")
        if is_head_ready and len(ready) == len(workers):
            status["state"] = "ready"
            message = "All Ray Pods are ready for the first time"
            reason = "AllPodRunningAndReadyFirstTime"
            set_condition(conditions, "RayClusterProvisioned", "True", reason=reason, message=message)
            status.setdefault("stateTransitionTimes", {}).setdefault("ready", stamp())
        elif not status.get("state"):
            message = "RayCluster Pods are being provisioned for first time"
            reason = "RayClusterPodsProvisioning"
            set_condition(conditions, "RayClusterProvisioned", "False", reason=reason, message=message)
        status |= {
            "observedGeneration": cluster["metadata"]["generation"] - is_behind,
            "desiredWorkerReplicas": len(workers),
            "minWorkerReplicas": sum(group["minReplicas"] for group in groups),
            "maxWorkerReplicas": min(sum(group["maxReplicas"] for group in groups), 2**31 - 1),
            "availableWorkerReplicas": len([p for p in workers if dig(p, "status", "phase") == "Running"]),
            "readyWorkerReplicas": len(ready),
            "head": without_empty(
                {
                    "podName": head["metadata"]["name"],
                    "podIP": dig(head, "status", "podIP"),
                    "serviceName": head_service["metadata"]["name"],
                    "serviceIP": dig(head, "status", "podIP"),
                }
            ),
            "endpoints": {name: str(number) for name, number in _PORTS},
        }
        if status != before:
            status["lastUpdateTime"] = stamp()
            self._write_status(cluster, status)


def _labels(cluster: Json, kind: str, group: str) -> dict[str, str]:
    name = cluster["metadata"]["name"]
    return {
        "app.kubernetes.io/created-by": OPERATOR,
        "app.kubernetes.io/name": "kuberay",
        CLUSTER_LABEL: name,
        GROUP_LABEL: group,
        "ray.io/identifier": f"{name}-{kind}",
        "ray.io/is-ray-node": "yes",
        TYPE_LABEL: kind,
    }


def _pod(cluster: Json, template: Json, kind: str, group: str) -> Json:
    template = clone(template)
    metadata = template.get("metadata") or {}
    name = cluster["metadata"]["name"]
    base = f"{name}-head-" if kind == "head" else f"{name}-{group}-worker-"
    metadata = {
        "generateName": base,
        "labels": {**(metadata.get("labels") or {}), **_labels(cluster, kind, group)},
        "annotations": {**(metadata.get("annotations") or {})},
        "ownerReferences": [owner_reference(cluster)],
    }
    spec = template["spec"]
    if annotations_of(cluster).get(OVERWRITE) != "true":
        role = "--head " if kind == "head" else f"--address={name}-head-svc:6379 "
        container = spec["containers"][0]
        container["command"] = ["/bin/bash", "-c", "--"]
        container["args"] = [f"ulimit -n 65536; ray start {role}--block"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _head(cluster: Json) -> Json:
    return _pod(cluster, cluster["spec"]["headGroupSpec"]["template"], "head", "headgroup")


def _worker(cluster: Json, group: Json) -> Json:
    pod = _pod(cluster, group["template"], "worker", group["groupName"])
    address = f"{cluster['metadata']['name']}-head-svc.{cluster['metadata']['namespace']}.svc:6379"
    waiting = {
        "name": "wait-gcs-ready",
        "image": pod["spec"]["containers"][0]["image"],
        "command": ["/bin/bash", "-c", "--"],
        "args": [f"until ray health-check --address {address}; do sleep 5; done"],
        "resources": {"limits": {"cpu": "200m", "memory": "256Mi"}},
    }
    pod["spec"]["initContainers"] = [*(pod["spec"].get("initContainers") or ()), waiting]
    return pod


def _template_schema() -> Json:
    container = structure({"name": STRING, "image": STRING}, ["name"])
    container["x-kubernetes-preserve-unknown-fields"] = True
    spec = structure({"containers": array(container)}, ["containers"])
    spec["x-kubernetes-preserve-unknown-fields"] = True
    return structure({"metadata": OPEN, "spec": spec})


def cluster_definition(*, is_strict: bool) -> Json:
    """Return the definition of RayCluster.

    A strict one refuses by its schema alone what is otherwise left to the webhook.
    """
    parameters: Json = {"type": "object", "additionalProperties": STRING}
    common = {"rayStartParams": parameters, "template": _template_schema(), "resources": OPEN, "labels": OPEN}
    head = structure(
        {**common, "serviceType": STRING, "headService": OPEN, "enableIngress": BOOLEAN},
        ["rayStartParams", "template"],
    )
    worker = structure(
        {
            **common,
            "groupName": STRING,
            "replicas": {**INT32, "default": 0},
            "minReplicas": {**INT32, "default": 0},
            "maxReplicas": {**INT32, "default": 2**31 - 1},
            "numOfHosts": {**INT32, "default": 1},
            "idleTimeoutSeconds": INT32,
            "scaleStrategy": structure({"workersToDelete": array(STRING)}),
            "suspend": BOOLEAN,
        },
        ["groupName", "maxReplicas", "minReplicas", "rayStartParams", "template"],
    )
    workers: Json = array(worker)
    if is_strict:
        workers |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["groupName"]}
        message = "minReplicas must not be greater than maxReplicas"
        rule = {"rule": "self.minReplicas <= self.maxReplicas", "message": message}
        worker["x-kubernetes-validations"] = [rule]
        worker["properties"]["replicas"] = {**INT32, "default": 0, "minimum": 0}
        worker["properties"]["minReplicas"] = {**INT32, "default": 0, "minimum": 0}
        for part in (head, worker):
            part["properties"]["template"]["properties"]["spec"]["properties"]["containers"]["minItems"] = 1
    spec = structure(
        {
            "rayVersion": STRING,
            "suspend": BOOLEAN,
            "managedBy": STRING,
            "enableInTreeAutoscaling": BOOLEAN,
            "autoscalerOptions": OPEN,
            "gcsFaultToleranceOptions": OPEN,
            "headServiceAnnotations": parameters,
            "upgradeStrategy": OPEN,
            "headGroupSpec": head,
            "workerGroupSpecs": workers,
        },
        ["headGroupSpec"],
    )
    counts = ("available", "desired", "max", "min", "ready")
    quantities = ("desiredCPU", "desiredMemory", "desiredGPU", "desiredTPU")
    status = structure(
        {
            "state": STRING,
            "reason": STRING,
            "observedGeneration": INT64,
            "lastUpdateTime": TIME,
            "stateTransitionTimes": {"type": "object", "additionalProperties": TIME},
            "conditions": CONDITIONS,
            "endpoints": parameters,
            "head": structure(dict.fromkeys(("podIP", "podName", "serviceIP", "serviceName"), STRING)),
            **{f"{name}WorkerReplicas": INT32 for name in counts},
            **dict.fromkeys(quantities, QUANTITY),
        }
    )
    return definition(
        RAY_CLUSTERS,
        "RayCluster",
        {"v1": structure({"spec": spec, "status": status})},
        categories=["all"],
    )


def objects(faults: Collection[str]) -> list[Json]:
    """Return what an installation of the operator brings along."""
    if "operator-missing" in faults:
        return []
    kind = cluster_definition(is_strict="schema-only-validation" in faults)
    for version in kind["spec"]["versions"]:
        version["served"] = "operator-kind-not-served" not in faults
    rule = {
        "apiGroups": ["ray.io"],
        "apiVersions": ["v1"],
        "resources": ["rayclusters"],
        "operations": ["CREATE", "UPDATE"],
    }
    target = (HOME, WEBHOOK_SERVICE, WEBHOOK_PATH)
    found = [
        namespace(HOME),
        kind,
        deployment(HOME, OPERATOR, OPERATOR_IMAGE),
        service(HOME, WEBHOOK_SERVICE, OPERATOR),
    ]
    if "webhook-missing" not in faults:
        found.append(webhook("kuberay-validating-webhook-configuration", WEBHOOK_NAME, target, rule))
    return found

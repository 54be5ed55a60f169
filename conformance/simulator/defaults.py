"""What the server fills into objects of built-in kinds before it stores them."""

from __future__ import annotations

import base64
import ipaddress
import itertools
from collections.abc import Callable, Iterable
from typing import Any

from conformance.simulator.objects import Json, clone, dig, suffix

SERVICE_RANGE = ipaddress.ip_network("10.96.0.0/16")
TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
DEFAULT_GRACE_SECONDS = 30

_service_addresses = itertools.count(20)


def pod_template(template: Json) -> None:
    template.setdefault("metadata", {})
    pod_spec(template.setdefault("spec", {}))


def pod_spec(spec: Json) -> None:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
    spec.setdefault("securityContext", {})
    for container in _containers(spec):
        _container(container)
    for volume in spec.get("volumes") or ():
        for source in ("configMap", "secret", "projected", "downwardAPI"):
            if isinstance(volume.get(source), dict):
                volume[source].setdefault("defaultMode", 0o644)


def _containers(spec: Json) -> Iterable[Json]:
    members = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return [member for member in members if isinstance(member, dict)]


def _container(container: Json) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    image = str(container.get("image", ""))
    tag = image.rpartition("/")[2].partition(":")[2]
    is_floating = tag in {"", "latest"} and "@" not in image
    container.setdefault("imagePullPolicy", "Always" if is_floating else "IfNotPresent")
    resources = container.setdefault("resources", {})
    limits = resources.get("limits")
    if isinstance(limits, dict):
        resources["requests"] = {**limits, **(resources.get("requests") or {})}
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    probes = ("livenessProbe", "readinessProbe", "startupProbe")
    for probe in (container.get(name) for name in probes):
        if isinstance(probe, dict):
            values = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
            for key, value in values.items():
                probe.setdefault(key, value)
    for variable in container.get("env") or ():
        reference = dig(variable, "valueFrom", "fieldRef")
        if reference:
            reference.setdefault("apiVersion", "v1")


def pod(obj: Json) -> None:
    """Complete a pod as defaulting and the built-in admission plug-ins do."""
    spec = obj.setdefault("spec", {})
    pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("serviceAccountName", "default")
    spec["serviceAccount"] = spec["serviceAccountName"]
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("priority", 0)
    tolerations = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(
            entry.get("key") in {key, None} and entry.get("effect") in {"NoExecute", None}
            for entry in tolerations
        ):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            )
    if spec.get("automountServiceAccountToken", True):
        _mount_token(spec)
    obj["status"] = {"phase": "Pending", "qosClass": _quality(spec)}
    if spec.get("schedulingGates"):
        obj["status"]["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
                "lastProbeTime": None,
                "lastTransitionTime": None,
            }
        ]


def _mount_token(spec: Json) -> None:
    volumes = spec.setdefault("volumes", [])
    if any(str(volume.get("name", "")).startswith("kube-api-access-") for volume in volumes):
        return
    name = f"kube-api-access-{suffix()}"
    root = {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
    token = {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    volumes.append({"name": name, "projected": {"sources": [token, root], "defaultMode": 0o644}})
    for container in _containers(spec):
        mounts = container.setdefault("volumeMounts", [])
        if not any(mount.get("mountPath") == TOKEN_MOUNT for mount in mounts):
            mounts.append({"name": name, "readOnly": True, "mountPath": TOKEN_MOUNT})


def _quality(spec: Json) -> str:
    compute = ("cpu", "memory")
    guaranteed, anything = True, False
    for container in _containers(spec):
        limits = dig(container, "resources", "limits", default={})
        requests = dig(container, "resources", "requests", default={})
        anything = anything or any(name in limits or name in requests for name in compute)
        guaranteed = guaranteed and all(
            name in limits and limits[name] == requests.get(name) for name in compute
        )
    if not anything:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def job(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    parallelism = spec.setdefault("parallelism", 1)
    if "completions" not in spec and parallelism == 1:
        spec["completions"] = 1
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")
    spec.setdefault("manualSelector", False)
    template = spec.setdefault("template", {})
    pod_template(template)
    if not spec["manualSelector"] and "selector" not in spec:
        uid, name = obj["metadata"]["uid"], obj["metadata"]["name"]
        labels = template["metadata"].setdefault("labels", {})
        labels |= {
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": name,
            "controller-uid": uid,
            "job-name": name,
        }
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


def deployment(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxSurge", "25%")
        rolling.setdefault("maxUnavailable", "25%")
    pod_template(spec.setdefault("template", {}))


def replica_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    pod_template(spec.setdefault("template", {}))


def daemon_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    pod_template(spec.setdefault("template", {}))


def service(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    kind = spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if kind != "ExternalName":
        if not spec.get("clusterIP"):
            spec["clusterIP"] = str(SERVICE_RANGE[next(_service_addresses) % SERVICE_RANGE.num_addresses])
        spec["clusterIPs"] = [spec["clusterIP"]]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        spec.setdefault("internalTrafficPolicy", "Cluster")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    obj["status"] = {"loadBalancer": {}}


def _claim_spec(spec: Json) -> None:
    for request in dig(spec, "devices", "requests", default=()):
        exact = request.get("exactly")
        for entry in [exact] if isinstance(exact, dict) else request.get("firstAvailable") or ():
            if entry.setdefault("allocationMode", "ExactCount") == "ExactCount":
                entry.setdefault("count", 1)


def resource_claim(obj: Json) -> None:
    _claim_spec(obj.setdefault("spec", {}))
    obj["status"] = {}


def resource_claim_template(obj: Json) -> None:
    _claim_spec(obj.setdefault("spec", {}).setdefault("spec", {}))


def namespace(obj: Json) -> None:
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
    obj.setdefault("spec", {})["finalizers"] = ["kubernetes"]
    obj["status"] = {"phase": "Active"}


def secret(obj: Json) -> None:
    obj.setdefault("type", "Opaque")
    plain = obj.pop("stringData", None) or {}
    if plain:
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in plain.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}


def custom_resource_definition(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    names.setdefault("singular", str(names.get("kind", "")).lower())
    names.setdefault("listKind", f"{names.get('kind', '')}List")
    spec.setdefault("conversion", {"strategy": "None"})
    obj["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": None}


def webhook_configuration(obj: Json) -> None:
    for webhook in obj.get("webhooks") or ():
        values: Json = {
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "timeoutSeconds": 10,
            "namespaceSelector": {},
            "objectSelector": {},
        }
        for key, value in values.items():
            webhook.setdefault(key, value)
        if obj["kind"].startswith("Mutating"):
            webhook.setdefault("reinvocationPolicy", "Never")
        for rule in webhook.get("rules") or ():
            rule.setdefault("scope", "*")
        target = dig(webhook, "clientConfig", "service")
        if target:
            target.setdefault("port", 443)


def pod_group(obj: Json) -> None:
    """Complete an in-tree group; admission adds the finalizer that outlives its pods."""
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if POD_GROUP_FINALIZER not in finalizers:
        finalizers.append(POD_GROUP_FINALIZER)
    spec = obj.setdefault("spec", {})
    # The first version of the kind says in a word what later ones say in an object.
    spec.setdefault("disruptionMode", "Pod" if obj["apiVersion"].endswith("v1alpha2") else {"single": {}})
    spec.setdefault("priority", 0)
    obj["status"] = {}


POD_GROUP_FINALIZER = "scheduling.k8s.io/podgroup-protection"

DEFAULTERS: dict[str, Callable[[Json], None]] = {
    "customresourcedefinitions.apiextensions.k8s.io": custom_resource_definition,
    "daemonsets.apps": daemon_set,
    "deployments.apps": deployment,
    "jobs.batch": job,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": webhook_configuration,
    "namespaces": namespace,
    "podgroups.scheduling.k8s.io": pod_group,
    "pods": pod,
    "replicasets.apps": replica_set,
    "resourceclaims.resource.k8s.io": resource_claim,
    "resourceclaimtemplates.resource.k8s.io": resource_claim_template,
    "secrets": secret,
    "services": service,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": webhook_configuration,
}


def complete(key: str, obj: Json) -> None:
    """Fill in `obj`, a new object of the resource `key`, in place."""
    defaulter = DEFAULTERS.get(key)
    if defaulter is not None:
        defaulter(obj)


def complete_update(key: str, obj: Json, before: Json) -> None:
    """Fill in an update of a built-in object, whose status is still the stored one."""
    if key in {"pods", "namespaces", "services", "podgroups.scheduling.k8s.io"}:
        return
    kept: Any = clone(before.get("status"))
    complete(key, obj)
    if kept is None:
        obj.pop("status", None)
    else:
        obj["status"] = kept

"""How kinds are shown as rows: their columns and what stands in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from conformance.simulator.clock import now, parsed
from conformance.simulator.objects import Json, condition, dig, is_condition_true, is_deleting

NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_ROLE_LABEL = "node-role.kubernetes.io/"
_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_SHOWN_ENDPOINTS = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column; those of a `priority` above zero are for wide output."""

    name: str
    cell: Callable[[Json], Any]
    type: str = "string"
    priority: int = 0
    format: str = ""


def age_of(stamp: Any) -> str:
    """Return how long ago a time was, as people write it."""
    if not isinstance(stamp, str):
        return UNKNOWN
    try:
        moment = parsed(stamp)
    except ValueError:
        return "<invalid>"
    return duration(int((now() - moment).total_seconds()))


def duration(seconds: int) -> str:
    """Return a duration in the one or two largest units that tell something."""
    seconds = max(seconds, 0)
    minutes, hours, days = seconds // _MINUTE, seconds // _HOUR, seconds // _DAY
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    if minutes < 10:  # noqa: PLR2004 - from here on seconds do not matter
        return f"{minutes}m{seconds % _MINUTE}s" if seconds % _MINUTE else f"{minutes}m"
    if hours < 3:  # noqa: PLR2004
        return f"{minutes}m"
    if hours < 8:  # noqa: PLR2004
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:  # noqa: PLR2004
        return f"{hours}h"
    return f"{days}d"


def _joined(values: Iterable[Any]) -> str:
    return ",".join(str(value) for value in values) or NONE


def at(*path: str | int, default: Any = NONE) -> Callable[[Json], Any]:
    """Return what is at a path, or `default`."""
    return lambda obj: dig(obj, *path, default=default)


def number(*path: str | int) -> Callable[[Json], Any]:
    return at(*path, default=0)


def since(*path: str | int) -> Callable[[Json], str]:
    return lambda obj: age_of(dig(obj, *path))


NAME = Column("Name", at("metadata", "name"), format="name")
AGE = Column("Age", since("metadata", "creationTimestamp"))
CREATED = Column("Created At", at("metadata", "creationTimestamp"), type="date")


def wide(name: str, cell: Callable[[Json], Any]) -> Column:
    return Column(name, cell, priority=1)


def _selector(obj: Json) -> str:
    selector = dig(obj, "spec", "selector", default={})
    labels = selector.get("matchLabels") or {} if "matchLabels" in selector else selector
    return _joined(f"{key}={value}" for key, value in sorted(labels.items()) if isinstance(value, str))


def _template(member: str) -> Callable[[Json], str]:
    def cell(obj: Json) -> str:
        containers = dig(obj, "spec", "template", "spec", "containers", default=())
        return _joined(container.get(member, "") for container in containers)

    return cell


_CONTAINERS = [wide("Containers", _template("name")), wide("Images", _template("image"))]
_TEMPLATE = [*_CONTAINERS, wide("Selector", _selector)]


# Pods


def _ready_containers(pod: Json) -> str:
    ready = sum(bool(entry.get("ready")) for entry in dig(pod, "status", "containerStatuses", default=()))
    return f"{ready}/{len(dig(pod, 'spec', 'containers', default=()))}"


def _state_reason(entry: Json) -> str:
    """Return the word for a container that is not running as it should, or nothing."""
    waiting, ended = dig(entry, "state", "waiting"), dig(entry, "state", "terminated")
    if waiting and waiting.get("reason"):
        return str(waiting["reason"])
    if ended is None:
        return ""
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def pod_status(pod: Json) -> str:
    """Return a pod's state in a word: its phase, or what keeps its containers from running."""
    status = pod.get("status") or {}
    reason = str(status.get("reason") or status.get("phase") or UNKNOWN)
    if dig(condition(pod, "PodScheduled"), "reason") == "SchedulingGated":
        reason = "SchedulingGated"
    initial = dig(status, "initContainerStatuses", default=())
    for index, entry in enumerate(initial):
        if dig(entry, "state", "terminated", "exitCode", default=1) == 0:
            continue
        why = _state_reason(entry)
        reason = f"Init:{why}" if why not in {"", "PodInitializing"} else f"Init:{index}/{len(initial)}"
        break
    else:
        for entry in reversed(dig(status, "containerStatuses", default=())):
            reason = _state_reason(entry) or reason
    return "Terminating" if is_deleting(pod) else reason


def _restarts(pod: Json) -> str:
    entries = dig(pod, "status", "containerStatuses", default=())
    return str(sum(int(entry.get("restartCount", 0)) for entry in entries))


def _gates(pod: Json) -> str:
    gates = [entry["conditionType"] for entry in dig(pod, "spec", "readinessGates", default=())]
    met = sum(is_condition_true(pod, gate) for gate in gates)
    return f"{met}/{len(gates)}" if gates else NONE


# Nodes


def _node_status(node: Json) -> str:
    ready = condition(node, "Ready")
    words = ["Unknown" if ready is None else ("Ready" if ready["status"] == "True" else "NotReady")]
    if dig(node, "spec", "unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(node: Json) -> str:
    labels = dig(node, "metadata", "labels", default={})
    return _joined(sorted(key.removeprefix(_ROLE_LABEL) for key in labels if key.startswith(_ROLE_LABEL)))


def _address(kind: str) -> Callable[[Json], str]:
    def cell(node: Json) -> str:
        addresses = dig(node, "status", "addresses", default=())
        return next((str(entry["address"]) for entry in addresses if entry["type"] == kind), NONE)

    return cell


# Workloads


def _fraction(done: str, wanted: str) -> Callable[[Json], str]:
    def cell(obj: Json) -> str:
        return f"{dig(obj, 'status', done, default=0)}/{dig(obj, 'spec', wanted, default=0)}"

    return cell


def _job_status(job: Json) -> str:
    for kind, word in (("Complete", "Complete"), ("Failed", "Failed"), ("Suspended", "Suspended")):
        if is_condition_true(job, kind):
            return word
    return "Terminating" if is_deleting(job) else "Running"


def _job_completions(job: Json) -> str:
    wanted = dig(job, "spec", "completions")
    done = dig(job, "status", "succeeded", default=0)
    return f"{done}/{wanted}" if wanted is not None else f"{done}/1 of {dig(job, 'spec', 'parallelism')}"


def _job_duration(job: Json) -> str:
    started, ended = dig(job, "status", "startTime"), dig(job, "status", "completionTime")
    if not started:
        return ""
    return duration(int((parsed(ended) - parsed(started)).total_seconds())) if ended else age_of(started)


def _last_schedule(job: Json) -> str:
    moment = dig(job, "status", "lastScheduleTime")
    return age_of(moment) if moment else NONE


def _reference(scaler: Json) -> str:
    target = dig(scaler, "spec", "scaleTargetRef", default={})
    return f"{target.get('kind', '')}/{target.get('name', '')}"


def _targets(scaler: Json) -> str:
    shown = []
    current = dig(scaler, "status", "currentMetrics", default=())
    for index, metric in enumerate(dig(scaler, "spec", "metrics", default=())):
        source = str(metric.get("type", "Resource"))
        part = source[:1].lower() + source[1:]
        target = dig(metric, part, "target", default={})
        wanted = target.get("averageValue") or target.get("value") or f"{target.get('averageUtilization')}%"
        found = dig(current[index], part, "current", default={}) if index < len(current) else {}
        seen = found.get("averageValue") or found.get("value")
        if seen is None and found.get("averageUtilization") is not None:
            seen = f"{found['averageUtilization']}%"
        shown.append(f"{seen if seen is not None else UNKNOWN}/{wanted}")
    return _joined(shown)


# Network


def _external(service: Json) -> str:
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", NONE))
    if spec.get("type") == "LoadBalancer":
        points = dig(service, "status", "loadBalancer", "ingress", default=())
        return ",".join(str(entry.get("ip") or entry.get("hostname")) for entry in points) or "<pending>"
    return _joined(spec.get("externalIPs") or ())


def _service_ports(service: Json) -> str:
    ports = dig(service, "spec", "ports", default=())
    return _joined(
        f"{port['port']}:{port['nodePort']}/{port.get('protocol', 'TCP')}"
        if port.get("nodePort")
        else f"{port['port']}/{port.get('protocol', 'TCP')}"
        for port in ports
    )


def _endpoints(entry: Json) -> str:
    found = [address for point in entry.get("endpoints") or () for address in point.get("addresses") or ()]
    if len(found) > _SHOWN_ENDPOINTS:
        return f"{','.join(found[:_SHOWN_ENDPOINTS])} + {len(found) - _SHOWN_ENDPOINTS} more..."
    return ",".join(found) or UNSET


def _ingress_hosts(ingress: Json) -> str:
    return ",".join(rule.get("host") or "*" for rule in dig(ingress, "spec", "rules", default=())) or "*"


# Others


def _data(obj: Json) -> int:
    return len(obj.get("data") or {}) + len(obj.get("binaryData") or {})


def _event_object(event: Json) -> str:
    involved = event.get("involvedObject") or {}
    return f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}"


def _last_seen(event: Json) -> str:
    times = (event.get("lastTimestamp"), dig(event, "series", "lastObservedTime"), event.get("eventTime"))
    return age_of(next(filter(None, times), None))


def _subjects(kind: str) -> Callable[[Json], str]:
    def cell(binding: Json) -> str:
        return ", ".join(
            f"{subject['namespace']}/{subject['name']}" if subject.get("namespace") else str(subject["name"])
            for subject in binding.get("subjects") or ()
            if subject.get("kind") == kind
        )

    return cell


def _role(binding: Json) -> str:
    return f"{binding['roleRef']['kind']}/{binding['roleRef']['name']}"


def _claim_state(claim: Json) -> str:
    words = ["allocated"] if dig(claim, "status", "allocation") else []
    words += ["deleted"] if is_deleting(claim) else []
    words += ["reserved"] if dig(claim, "status", "reservedFor") else []
    return ",".join(words) or "pending"


def _modes(claim: Json) -> str:
    modes = dig(claim, "status", "accessModes") or dig(claim, "spec", "accessModes", default=())
    return ",".join(_MODES.get(mode, mode) for mode in modes)


def _bound_claim(volume: Json) -> str:
    claim = dig(volume, "spec", "claimRef", default={})
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""


def _api_service(service: Json) -> str:
    target = dig(service, "spec", "service")
    return f"{target['namespace']}/{target['name']}" if target else "Local"


def _available(service: Json) -> str:
    found = condition(service, "Available")
    if found is None:
        return UNKNOWN
    return "True" if found["status"] == "True" else f"{found['status']} ({found.get('reason', '')})"


def _words(*path: str) -> Callable[[Json], str]:
    return lambda obj: str(dig(obj, *path, default=False)).lower()


def _count(field: str) -> Callable[[Json], int]:
    return lambda obj: len(obj.get(field) or ())


_BINDING = [
    NAME,
    Column("Role", _role),
    AGE,
    wide("Users", _subjects("User")),
    wide("Groups", _subjects("Group")),
    wide("ServiceAccounts", _subjects("ServiceAccount")),
]
_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_INTEGER = "integer"

COLUMNS: dict[str, list[Column]] = {
    "apiservices.apiregistration.k8s.io": [
        NAME,
        Column("Service", _api_service),
        Column("Available", _available),
        AGE,
    ],
    f"clusterrolebindings.{_RBAC}": _BINDING,
    f"clusterroles.{_RBAC}": [NAME, CREATED],
    "configmaps": [NAME, Column("Data", _data, _INTEGER), AGE],
    "cronjobs.batch": [
        NAME,
        Column("Schedule", at("spec", "schedule")),
        Column("Timezone", at("spec", "timeZone")),
        Column("Suspend", _words("spec", "suspend"), "boolean"),
        Column("Active", lambda obj: len(dig(obj, "status", "active", default=())), _INTEGER),
        Column("Last Schedule", _last_schedule),
        AGE,
    ],
    "customresourcedefinitions.apiextensions.k8s.io": [NAME, CREATED],
    "daemonsets.apps": [
        NAME,
        Column("Desired", number("status", "desiredNumberScheduled"), _INTEGER),
        Column("Current", number("status", "currentNumberScheduled"), _INTEGER),
        Column("Ready", number("status", "numberReady"), _INTEGER),
        Column("Up-to-date", number("status", "updatedNumberScheduled"), _INTEGER),
        Column("Available", number("status", "numberAvailable"), _INTEGER),
        Column(
            "Node Selector",
            lambda obj: _joined(
                f"{key}={value}"
                for key, value in dig(obj, "spec", "template", "spec", "nodeSelector", default={}).items()
            ),
        ),
        AGE,
        *_TEMPLATE,
    ],
    "deployments.apps": [
        NAME,
        Column("Ready", _fraction("readyReplicas", "replicas")),
        Column("Up-to-date", number("status", "updatedReplicas"), _INTEGER),
        Column("Available", number("status", "availableReplicas"), _INTEGER),
        AGE,
        *_TEMPLATE,
    ],
    "endpointslices.discovery.k8s.io": [
        NAME,
        Column("AddressType", at("addressType")),
        Column(
            "Ports", lambda obj: ",".join(str(port.get("port")) for port in obj.get("ports") or ()) or UNSET
        ),
        Column("Endpoints", _endpoints),
        AGE,
    ],
    "events": [
        Column("Last Seen", _last_seen),
        Column("Type", at("type")),
        Column("Reason", at("reason")),
        Column("Object", _event_object),
        wide("Subobject", at("involvedObject", "fieldPath", default="")),
        wide("Source", lambda obj: _joined(filter(None, (obj.get("source") or {}).values()))),
        Column("Message", lambda obj: str(obj.get("message", "")).strip()),
        wide("First Seen", lambda obj: age_of(obj.get("firstTimestamp") or obj.get("eventTime"))),
        Column("Count", at("count", default=1), _INTEGER, priority=1),
        Column("Name", at("metadata", "name"), priority=1, format="name"),
    ],
    "horizontalpodautoscalers.autoscaling": [
        NAME,
        Column("Reference", _reference),
        Column("Targets", _targets),
        Column("MinPods", at("spec", "minReplicas", default=1)),
        Column("MaxPods", at("spec", "maxReplicas")),
        Column("Replicas", number("status", "currentReplicas"), _INTEGER),
        AGE,
    ],
    "ingresses.networking.k8s.io": [
        NAME,
        Column("Class", at("spec", "ingressClassName")),
        Column("Hosts", _ingress_hosts),
        Column(
            "Address",
            lambda obj: ",".join(
                str(entry.get("ip") or entry.get("hostname"))
                for entry in dig(obj, "status", "loadBalancer", "ingress", default=())
            ),
        ),
        Column("Ports", lambda obj: "80, 443" if dig(obj, "spec", "tls") else "80"),
        AGE,
    ],
    "jobs.batch": [
        NAME,
        Column("Status", _job_status),
        Column("Completions", _job_completions),
        Column("Duration", _job_duration),
        AGE,
        *_TEMPLATE,
    ],
    "leases.coordination.k8s.io": [NAME, Column("Holder", at("spec", "holderIdentity", default="")), AGE],
    "limitranges": [NAME, CREATED],
    f"mutatingwebhookconfigurations.{_ADMISSION}": [
        NAME,
        Column("Webhooks", _count("webhooks"), _INTEGER),
        AGE,
    ],
    "namespaces": [NAME, Column("Status", at("status", "phase")), AGE],
    "networkpolicies.networking.k8s.io": [
        NAME,
        Column(
            "Pod-Selector",
            lambda obj: _joined(
                f"{key}={value}"
                for key, value in dig(obj, "spec", "podSelector", "matchLabels", default={}).items()
            ),
        ),
        AGE,
    ],
    "nodes": [
        NAME,
        Column("Status", _node_status),
        Column("Roles", _roles),
        AGE,
        Column("Version", at("status", "nodeInfo", "kubeletVersion")),
        wide("Internal-IP", _address("InternalIP")),
        wide("External-IP", _address("ExternalIP")),
        wide("OS-Image", at("status", "nodeInfo", "osImage", default=UNKNOWN)),
        wide("Kernel-Version", at("status", "nodeInfo", "kernelVersion", default=UNKNOWN)),
        wide("Container-Runtime", at("status", "nodeInfo", "containerRuntimeVersion", default=UNKNOWN)),
    ],
    "persistentvolumeclaims": [
        NAME,
        Column("Status", lambda obj: "Terminating" if is_deleting(obj) else dig(obj, "status", "phase")),
        Column("Volume", at("spec", "volumeName", default="")),
        Column("Capacity", at("status", "capacity", "storage", default="")),
        Column("Access Modes", _modes),
        Column("StorageClass", at("spec", "storageClassName", default="")),
        AGE,
        wide("VolumeMode", at("spec", "volumeMode", default=UNSET)),
    ],
    "persistentvolumes": [
        NAME,
        Column("Capacity", at("spec", "capacity", "storage", default="")),
        Column("Access Modes", _modes),
        Column("Reclaim Policy", at("spec", "persistentVolumeReclaimPolicy", default="")),
        Column("Status", lambda obj: "Terminating" if is_deleting(obj) else dig(obj, "status", "phase")),
        Column("Claim", _bound_claim),
        Column("StorageClass", at("spec", "storageClassName", default="")),
        AGE,
    ],
    "poddisruptionbudgets.policy": [
        NAME,
        Column("Min Available", at("spec", "minAvailable", default="N/A")),
        Column("Max Unavailable", at("spec", "maxUnavailable", default="N/A")),
        Column("Allowed Disruptions", number("status", "disruptionsAllowed"), _INTEGER),
        AGE,
    ],
    "pods": [
        NAME,
        Column("Ready", _ready_containers),
        Column("Status", pod_status),
        Column("Restarts", _restarts),
        AGE,
        wide("IP", at("status", "podIP")),
        wide("Node", at("spec", "nodeName")),
        wide("Nominated Node", at("status", "nominatedNodeName")),
        wide("Readiness Gates", _gates),
    ],
    "priorityclasses.scheduling.k8s.io": [
        NAME,
        Column("Value", number("value"), _INTEGER),
        Column("Global-Default", _words("globalDefault"), "boolean"),
        AGE,
        Column("PreemptionPolicy", at("preemptionPolicy")),
    ],
    "replicasets.apps": [
        NAME,
        Column("Desired", number("spec", "replicas"), _INTEGER),
        Column("Current", number("status", "replicas"), _INTEGER),
        Column("Ready", number("status", "readyReplicas"), _INTEGER),
        AGE,
        *_TEMPLATE,
    ],
    "resourceclaims.resource.k8s.io": [NAME, Column("State", _claim_state), AGE],
    "resourceslices.resource.k8s.io": [
        NAME,
        Column("Node", at("spec", "nodeName", default=UNSET)),
        Column("Driver", at("spec", "driver")),
        Column("Pool", at("spec", "pool", "name")),
        AGE,
    ],
    f"rolebindings.{_RBAC}": _BINDING,
    f"roles.{_RBAC}": [NAME, CREATED],
    "runtimeclasses.node.k8s.io": [NAME, Column("Handler", at("handler")), AGE],
    "secrets": [NAME, Column("Type", at("type")), Column("Data", _data, _INTEGER), AGE],
    "services": [
        NAME,
        Column("Type", at("spec", "type")),
        Column("Cluster-IP", at("spec", "clusterIP")),
        Column("External-IP", _external),
        Column("Port(s)", _service_ports),
        AGE,
        wide("Selector", _selector),
    ],
    "statefulsets.apps": [NAME, Column("Ready", _fraction("readyReplicas", "replicas")), AGE, *_CONTAINERS],
    "storageclasses.storage.k8s.io": [
        NAME,
        Column("Provisioner", at("provisioner")),
        Column("ReclaimPolicy", at("reclaimPolicy", default="Delete")),
        Column("VolumeBindingMode", at("volumeBindingMode", default="Immediate")),
        Column("AllowVolumeExpansion", _words("allowVolumeExpansion"), "boolean"),
        AGE,
    ],
    f"validatingwebhookconfigurations.{_ADMISSION}": [
        NAME,
        Column("Webhooks", _count("webhooks"), _INTEGER),
        AGE,
    ],
}

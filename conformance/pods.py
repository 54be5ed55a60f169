"""Building the pods of the checks and reading how they fare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance import probes

Json = dict[str, Any]

GRACE_SECONDS = 2
CLAIM = "device"
TEMPLATE = "one-device"

# The kubelet will not get such an image, however long one waits.
_HOPELESS_IMAGE = frozenset(
    {"InvalidImageName", "ErrImageNeverPull", "ImagePullBackOff", "ImageInspectError"}
)

_UNPRIVILEGED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "capabilities": {"drop": ["ALL"]},
}
# To try a device that was not granted the probe makes a node for it, as any ordinary container may.
# The container runtime's device rules must stop it there; without the right the test would be vain.
_PROBING = {
    "allowPrivilegeEscalation": False,
    "runAsUser": 0,
    "capabilities": {"drop": ["ALL"], "add": ["MKNOD"]},
}


@dataclass(frozen=True, slots=True)
class Request:
    """How a container asks for devices: by a claim made from a template, or by an extended resource."""

    resource: str | None = None
    count: int = 1
    template: str = TEMPLATE

    @property
    def is_claim(self) -> bool:
        """Dynamic resource allocation."""
        return self.resource is None


@dataclass(frozen=True, slots=True)
class Placement:
    """The nodes a pod may go to, by name or by label. `tolerations` are for the taints of just these."""

    nodes: tuple[str, ...] = ()
    tolerations: tuple[Mapping[str, str], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Container:
    """A probe in a container, with a device where `request` is given."""

    name: str
    program: str
    request: Request | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def pod(
    containers: Iterable[Container],
    image: str,
    placement: Placement,
    *,
    covered: Callable[[str], bool] | None = None,
) -> Json:
    """Return the spec of a pod, without metadata.

    `covered` tells which resources a queue knows: a request beyond them would keep the pod out.
    """
    containers = list(containers)
    spec: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(container, image, covered) for container in containers],
    }
    for container in containers:
        if container.request and container.request.is_claim:
            template = container.request.template
            spec["resourceClaims"] = [{"name": CLAIM, "resourceClaimTemplateName": template}]
    if placement.labels:
        spec["nodeSelector"] = dict(placement.labels)
    if placement.nodes:
        spec["affinity"] = {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    # A field selector takes one name only, so every node is a term of its own.
                    "nodeSelectorTerms": [
                        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
                        for node in placement.nodes
                    ]
                }
            }
        }
    if placement.tolerations:
        spec["tolerations"] = [dict(toleration) for toleration in placement.tolerations]
    return {"spec": spec}


def _container(container: Container, image: str, covered: Callable[[str], bool] | None) -> Json:
    requests = {"cpu": "10m", "memory": "16Mi"}
    limits = {"cpu": "100m", "memory": "64Mi"}
    if covered is not None:
        requests = {name: amount for name, amount in requests.items() if covered(name)}
        limits = {name: amount for name, amount in limits.items() if covered(name)}
    resources: Json = {"requests": requests, "limits": limits}
    if container.request is not None:
        if container.request.resource is None:
            resources["claims"] = [{"name": CLAIM}]
        else:
            requests[container.request.resource] = str(container.request.count)
            limits[container.request.resource] = str(container.request.count)
    return {
        "name": container.name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": probes.command(container.program),
        "env": [{"name": name, "value": value} for name, value in container.environment.items()],
        "resources": resources,
        "securityContext": dict(_PROBING if container.program == "accelerators" else _UNPRIVILEGED),
    }


def phase(pod_object: Json) -> str:
    """Return the phase of a pod, empty where it has none yet."""
    return str((pod_object.get("status") or {}).get("phase") or "")


def node_of(pod_object: Json) -> str | None:
    """Return the node a pod is bound to."""
    return (pod_object.get("spec") or {}).get("nodeName") or None


def is_over(pod_object: Json) -> bool:
    """Tell whether the pod has come to its end."""
    return phase(pod_object) in {"Succeeded", "Failed"}


def is_unschedulable(pod_object: Json) -> bool:
    """Tell whether the scheduler has tried and found no place."""
    return any(
        condition.get("type") == "PodScheduled"
        and condition.get("status") == "False"
        and condition.get("reason") == "Unschedulable"
        for condition in (pod_object.get("status") or {}).get("conditions") or []
    )


def gates_of(pod_object: Json) -> list[str]:
    """Return the gates that keep a pod from the scheduler."""
    gates = (pod_object.get("spec") or {}).get("schedulingGates") or []
    return [str(gate.get("name")) for gate in gates]


def lacks_image(pod_object: Json) -> bool:
    """Tell whether the kubelet cannot get the image of a container."""
    for status in (pod_object.get("status") or {}).get("containerStatuses") or []:
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _HOPELESS_IMAGE:
            return True
    return False

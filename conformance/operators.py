"""AI operators whose custom resources can be tried without the vendor's help.

Each knows an object its operator accepts and one that satisfies the schema but means nothing, so
that only an admission webhook can tell. Other operators come from the probe settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance import probes
from conformance.rights import Right, on


@dataclass(frozen=True, slots=True)
class Operator:
    """A custom resource, a valid and an invalid object of it, and the kinds its operator makes.

    The objects lack ``apiVersion``, ``kind`` and ``metadata.name``, which come from the cluster and the
    run. A child is a resource with its group, such as ``jobs.batch``; ``pods`` has none.
    """

    crd: str
    valid: Mapping[str, Any] = field(repr=False)
    invalid: Mapping[str, Any] = field(repr=False)
    children: tuple[str, ...]

    @property
    def resource(self) -> str:
        """The plural, first part of the definition's name."""
        return self.crd.partition(".")[0]

    @property
    def group(self) -> str:
        """The API group, the rest of the definition's name."""
        return self.crd.partition(".")[2]

    def rights(self) -> tuple[Right, ...]:
        """Return the rights needed to try the operator."""
        needed = [*on(self.resource, "create get delete", group=self.group, option=self.crd)]
        for child in self.children:
            resource, _, group = child.partition(".")
            needed += on(resource, "list", group=group, option=self.crd)
        return tuple(needed)


def known_operators(image: str = probes.IMAGE) -> tuple[Operator, ...]:
    """Return the operators known here, their objects running the probe image."""
    return (_kuberay(image), _training_operator(image), _jobset(image))


def _pod(container: str, image: str, **spec: Any) -> dict[str, Any]:
    """Return a pod template that holds still for a while and asks for next to nothing."""
    return {
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 5,
            "containers": [
                {
                    "name": container,
                    "image": image,
                    "command": probes.command("hold"),
                    "env": [{"name": "PROBE_HOLD", "value": "120"}],
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "16Mi"},
                        "limits": {"cpu": "100m", "memory": "64Mi"},
                    },
                }
            ],
            **spec,
        }
    }


def _kuberay(image: str) -> Operator:
    def group(name: str) -> dict[str, Any]:
        return {
            "groupName": name,
            "replicas": 1,
            "minReplicas": 0,
            "maxReplicas": 1,
            "rayStartParams": {},
            "template": _pod("ray-worker", image),
        }

    def cluster(*groups: dict[str, Any]) -> dict[str, Any]:
        return {
            # The operator starts Ray itself unless told that the image brings its own command.
            "metadata": {"annotations": {"ray.io/overwrite-container-cmd": "true"}},
            "spec": {
                "headGroupSpec": {"rayStartParams": {}, "template": _pod("ray-head", image)},
                "workerGroupSpecs": list(groups),
            },
        }

    return Operator(
        crd="rayclusters.ray.io",
        valid=cluster(group("workers")),
        # The schema does not demand distinct names; the operator cannot tell two such groups apart.
        invalid=cluster(group("workers"), group("workers")),
        children=("pods", "services"),
    )


def _training_operator(image: str) -> Operator:
    def job(container: str) -> dict[str, Any]:
        replica = {"replicas": 1, "restartPolicy": "Never", "template": _pod(container, image)}
        return {"spec": {"pytorchReplicaSpecs": {"Master": replica}}}

    return Operator(
        crd="pytorchjobs.kubeflow.org",
        valid=job("pytorch"),
        # The operator runs the container of this name and no other.
        invalid=job("something"),
        children=("pods", "services"),
    )


def _jobset(image: str) -> Operator:
    template = _pod("worker", image, restartPolicy="Never")
    job = {"spec": {"parallelism": 1, "completions": 1, "backoffLimit": 0, "template": template}}
    replicated = [{"name": "workers", "replicas": 1, "template": job}]
    return Operator(
        crd="jobsets.jobset.x-k8s.io",
        valid={"spec": {"replicatedJobs": replicated}},
        invalid={
            "spec": {
                "replicatedJobs": replicated,
                "successPolicy": {"operator": "All", "targetReplicatedJobs": ["absent"]},
            }
        },
        children=("jobs.batch",),
    )

"""What the installation of an accelerator metrics exporter brings along."""

from __future__ import annotations

from conformance.simulator import definitions
from conformance.simulator.models.exporters import PORT
from conformance.simulator.objects import Json
from conformance.simulator.profiles import Profile

HOME, NAME = "gpu-operator", "nvidia-dcgm-exporter"
IMAGE = "nvcr.io/nvidia/k8s/dcgm-exporter:4.4.1-4.5.2-ubuntu22.04"


def objects(profile: Profile) -> list[Json]:
    """Return the exporter of a platform with accelerators it knows; nothing where it has none."""
    if not any(profile.nodes_devices):
        return []
    if not profile.faults.isdisjoint({"metrics-exporter-missing", "unrecognised-vendor"}):
        return []
    labels = {"app": NAME}
    container = {"name": NAME, "image": IMAGE, "ports": [{"name": "metrics", "containerPort": PORT}]}
    pod = {
        "nodeSelector": {"nvidia.com/gpu.present": "true"},
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
    }
    metadata = {"name": NAME, "namespace": HOME, "labels": labels}
    return [
        definitions.namespace(HOME),
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {
                "selector": labels,
                "ports": [{"name": "gpu-metrics", "port": PORT, "targetPort": PORT, "protocol": "TCP"}],
            },
        },
    ]

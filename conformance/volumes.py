"""Volumes that outlive the pods that write to them, where a cluster offers them."""

from __future__ import annotations

from typing import Any

from conformance.resources import STORAGE_CLASSES, VOLUME_CLAIMS
from conformance.rights import CLUSTER, Right, on
from conformance.run import Run

Json = dict[str, Any]

RIGHTS: tuple[Right, ...] = (
    *on("storageclasses", "list", group="storage.k8s.io", scope=CLUSTER),
    *on("persistentvolumeclaims", "create get delete"),
)
_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_USER = 65532


def default_class(run: Run) -> str | None:
    """Return the name of the default StorageClass; the newest where several claim to be it."""
    marked = [
        item["metadata"]
        for item in run.items(STORAGE_CLASSES)
        if (item["metadata"].get("annotations") or {}).get(_DEFAULT) == "true"
    ]
    if not marked:
        return None
    newest = max(marked, key=lambda entry: (str(entry.get("creationTimestamp")), str(entry["name"])))
    return str(newest["name"])


def claim(run: Run, name: str, size: str = "1Gi") -> None:
    """Claim a volume of the default StorageClass."""
    run.create(
        VOLUME_CLAIMS,
        name,
        {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}},
    )


def mount(body: Json, name: str, path: str, *, claimed: str | None = None) -> None:
    """Mount a volume in the containers of a pod: a claimed one, else one that goes with the pod."""
    spec = body["spec"]
    source: Json = {"emptyDir": {"sizeLimit": "64Mi"}}
    if claimed is not None:
        source = {"persistentVolumeClaim": {"claimName": claimed}}
        # The probes run without privileges; a fresh volume belongs to root.
        spec["securityContext"] = {**(spec.get("securityContext") or {}), "fsGroup": _USER}
    spec.setdefault("volumes", []).append({"name": name, **source})
    for container in spec["containers"]:
        container.setdefault("volumeMounts", []).append({"name": name, "mountPath": path})

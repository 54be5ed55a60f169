"""Binding claims to volumes made for them, and letting go of both."""

from __future__ import annotations

from conformance.simulator.machinery import Deletion
from conformance.simulator.objects import Json, annotations_of, dig, is_deleting, is_pod_finished
from conformance.simulator.profiles import Profile
from conformance.simulator.store import DELETED, Change
from conformance.simulator.volumes import CLAIMS, claims_of
from conformance.simulator.world import Controller

VOLUMES, CLASSES = "persistentvolumes", "storageclasses.storage.k8s.io"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
PROTECTION = "kubernetes.io/pvc-protection"
PROVISION_SECONDS, REACTION_SECONDS = 1.5, 0.2


def objects(chosen: Profile) -> list[Json]:
    """Return what a platform offers in the way of volumes: one class, the default."""
    if "no-storage-class" in chosen.faults:
        return []
    offered: Json = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": {DEFAULT_CLASS: "true"}},
        "provisioner": "rancher.io/local-path",
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    return [offered]


class VolumeController(Controller):
    """Makes a volume for a claim once a pod waits for it, and removes it with the claim."""

    name = "persistentvolume-controller"

    def notice(self, change: Change) -> None:
        if change.key == "pods":
            if change.kind == DELETED:
                self.world.volumes.forget(str(change.obj["metadata"]["uid"]))
            for name in claims_of(change.obj):
                self.enqueue((change.namespace, name), PROVISION_SECONDS)
        elif change.key == CLAIMS:
            if change.kind == DELETED:
                self.world.volumes.forget(str(change.obj["metadata"]["uid"]))
                self.enqueue(("", str(dig(change.obj, "spec", "volumeName", default=""))), REACTION_SECONDS)
            else:
                self.enqueue((change.namespace, change.name), REACTION_SECONDS)

    def reconcile(self, key: tuple[str, str]) -> None:
        namespace, name = key
        if not namespace:
            if self.store.get(VOLUMES, "", name) is not None:
                self.api.delete(self.api.kind(VOLUMES), "", name, Deletion())
            return
        claim = self.store.get(CLAIMS, namespace, name)
        if claim is None:
            return
        users = [pod for pod in self.store.all("pods", namespace) if name in claims_of(pod)]
        living = [pod for pod in users if not is_pod_finished(pod)]
        if is_deleting(claim):
            if not living:
                self.api.edit(CLAIMS, namespace, name, _release)
            return
        if PROTECTION not in (claim["metadata"].get("finalizers") or ()):
            self.api.edit(CLAIMS, namespace, name, self._adopt)
        elif dig(claim, "status", "phase") != "Bound" and living:
            self._bind(claim)

    def _adopt(self, claim: Json) -> None:
        """Do what admission and the protection controller do with a new claim."""
        claim["metadata"].setdefault("finalizers", []).append(PROTECTION)
        claim.setdefault("status", {})["phase"] = "Pending"
        claim["spec"].setdefault("volumeMode", "Filesystem")
        if "storageClassName" not in claim["spec"]:
            for entry in self.store.each(CLASSES):
                if annotations_of(entry).get(DEFAULT_CLASS) == "true":
                    claim["spec"]["storageClassName"] = entry["metadata"]["name"]

    def _bind(self, claim: Json) -> None:
        chosen = self.store.get(CLASSES, "", str(claim["spec"].get("storageClassName", "")))
        if chosen is None or "claims-never-bound" in self.world.faults:
            message = "waiting for a volume to be created by the external provisioner"
            self.event(claim, "Normal", "ExternalProvisioning", message)
            return
        metadata, spec = claim["metadata"], claim["spec"]
        name = f"pvc-{metadata['uid']}"
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "accessModes": spec["accessModes"],
                "capacity": dict(spec["resources"]["requests"]),
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": metadata["namespace"],
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                },
                "hostPath": {"path": f"/opt/local-path-provisioner/{name}", "type": "DirectoryOrCreate"},
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": chosen["metadata"]["name"],
                "volumeMode": "Filesystem",
            },
        }
        self.api.create(self.api.kind(VOLUMES), volume)
        self.api.edit(VOLUMES, "", name, lambda obj: obj.update(status={"phase": "Bound"}))

        def change(obj: Json) -> None:
            obj["spec"]["volumeName"] = name
            obj["status"] = {
                "phase": "Bound",
                "accessModes": spec["accessModes"],
                "capacity": dict(spec["resources"]["requests"]),
            }

        self.api.edit(CLAIMS, metadata["namespace"], metadata["name"], change)
        message = f"Successfully provisioned volume {name}"
        self.event(claim, "Normal", "ProvisioningSucceeded", message)


def _release(claim: Json) -> None:
    kept = [entry for entry in claim["metadata"].get("finalizers") or () if entry != PROTECTION]
    if kept:
        claim["metadata"]["finalizers"] = kept
    else:
        claim["metadata"].pop("finalizers", None)

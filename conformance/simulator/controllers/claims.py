"""The controller of resource claims: makes them from templates and frees what nobody uses."""

from __future__ import annotations

from conformance.simulator.allocation import CLAIMS
from conformance.simulator.hardware import claim_name
from conformance.simulator.machinery import Deletion
from conformance.simulator.objects import (
    Json,
    clone,
    controller_of,
    dig,
    is_deleting,
    is_pod_finished,
    owner_reference,
    uid_of,
)
from conformance.simulator.store import DELETED, Change
from conformance.simulator.world import Controller

TEMPLATES = "resourceclaimtemplates.resource.k8s.io"
PROTECTION = "resource.kubernetes.io/delete-protection"
POD_CLAIM_ANNOTATION = "resource.kubernetes.io/pod-claim-name"
RELEASE_SECONDS = 0.3
REACTION_SECONDS = 0.05


class ClaimController(Controller):
    name = "resource_claim"

    def notice(self, change: Change) -> None:
        if change.key == "pods":
            if not change.obj["spec"].get("resourceClaims"):
                return
            self.enqueue(("pod", change.namespace, change.name), REACTION_SECONDS)
            if change.kind == DELETED or is_pod_finished(change.obj):
                for entry in change.obj["spec"]["resourceClaims"]:
                    claim = claim_name(change.obj, entry["name"])
                    if claim is not None:
                        self.enqueue(("claim", change.namespace, claim), RELEASE_SECONDS)
        elif change.key == CLAIMS and change.kind != DELETED:
            if is_deleting(change.obj) or change.before is None:
                self.enqueue(("claim", change.namespace, change.name), RELEASE_SECONDS)
        elif change.key == TEMPLATES and change.before is None:
            self._wake_pods(change.namespace)

    def _wake_pods(self, namespace: str) -> None:
        """Look again at the pods that may have waited for a template."""
        for pod in self.store.all("pods", namespace):
            if pod["spec"].get("resourceClaims"):
                self.enqueue(("pod", namespace, pod["metadata"]["name"]))

    def reconcile(self, key: tuple[str, str, str]) -> None:
        role, namespace, name = key
        if role == "pod":
            pod = self.store.get("pods", namespace, name)
            if pod is not None and not is_deleting(pod) and not is_pod_finished(pod):
                self._make_claims(pod)
        else:
            claim = self.store.get(CLAIMS, namespace, name)
            if claim is not None:
                self._release(claim)

    def _make_claims(self, pod: Json) -> None:
        metadata = pod["metadata"]
        made: list[Json] = list(dig(pod, "status", "resourceClaimStatuses", default=()))
        known = {entry["name"] for entry in made}
        for entry in pod["spec"]["resourceClaims"]:
            template_name = entry.get("resourceClaimTemplateName")
            if not template_name or entry["name"] in known:
                continue
            template = self.store.get(TEMPLATES, metadata["namespace"], template_name)
            if template is None:
                problem = f'resourceclaimtemplate.resource.k8s.io "{template_name}" not found'
                message = f"PodResourceClaim {entry['name']}: {problem}"
                self.event(pod, "Warning", "FailedResourceClaimCreation", message)
                continue
            claim = self.api.create(
                self.api.kind(CLAIMS), _claim(pod, entry, template), metadata["namespace"]
            )
            made.append({"name": entry["name"], "resourceClaimName": claim["metadata"]["name"]})
        if len(made) > len(known):
            self.api.edit(
                "pods",
                metadata["namespace"],
                metadata["name"],
                lambda obj: obj["status"].update(resourceClaimStatuses=made),
            )

    def _release(self, claim: Json) -> None:
        metadata = claim["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        reserved = list(dig(claim, "status", "reservedFor", default=()))
        valid = [entry for entry in reserved if self._is_using(namespace, entry)]
        if valid:
            if len(valid) < len(reserved):
                self.api.edit(CLAIMS, namespace, name, lambda obj: obj["status"].update(reservedFor=valid))
            return
        # A claim that is allocated but not reserved yet is in the hands of the scheduler only for
        # an instant within one write, so it is never seen here.
        self.api.edit(CLAIMS, namespace, name, _deallocate)
        owner = controller_of(claim)
        if owner is not None and owner["kind"] == "Pod" and reserved and not is_deleting(claim):
            self.api.delete(self.api.kind(CLAIMS), namespace, name, Deletion(uid=metadata["uid"]))

    def _is_using(self, namespace: str, consumer: Json) -> bool:
        if consumer.get("resource") != "pods":
            return True
        pod = self.store.get("pods", namespace, consumer["name"])
        if pod is None or uid_of(pod) != consumer["uid"]:
            return False
        keeps = "finished-pods-keep-devices" in self.world.faults and not is_deleting(pod)
        return keeps or not is_pod_finished(pod)


def _claim(pod: Json, entry: Json, template: Json) -> Json:
    inner = dig(template, "spec", "metadata", default={})
    annotations = {**(inner.get("annotations") or {}), POD_CLAIM_ANNOTATION: entry["name"]}
    metadata: Json = {
        "generateName": f"{pod['metadata']['name']}-{entry['name']}-",
        "annotations": annotations,
        "ownerReferences": [owner_reference(pod)],
    }
    if inner.get("labels"):
        metadata["labels"] = dict(inner["labels"])
    return {
        "apiVersion": template["apiVersion"],
        "kind": "ResourceClaim",
        "metadata": metadata,
        "spec": clone(template["spec"]["spec"]),
    }


def _deallocate(claim: Json) -> None:
    status = claim.setdefault("status", {})
    for field in ("allocation", "reservedFor", "devices"):
        status.pop(field, None)
    finalizers = [entry for entry in claim["metadata"].get("finalizers") or () if entry != PROTECTION]
    if finalizers:
        claim["metadata"]["finalizers"] = finalizers
    else:
        claim["metadata"].pop("finalizers", None)

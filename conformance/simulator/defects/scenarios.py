"""Defects that show in workloads: volumes, names, jobs and what crosses the pod network."""

DEFECTS: dict[str, tuple[str, str]] = {
    "claims-never-bound": ("1.36", "claims of volumes are never bound"),
    "finished-pods-keep-devices": ("1.36", "devices of pods that ended well stay taken"),
    "gang-staggered": ("1.36", "the members of a gang are bound long after one another"),
    "headless-names-missing": ("1.36", "the names of pods behind headless Services do not resolve"),
    "job-never-replaces": ("1.36", "a Job's pod that is removed is not replaced"),
    "no-storage-class": ("1.36", "the cluster offers no volumes to claim"),
    "object-store-denies": ("1.37", "the object store takes nothing from anybody"),
    "object-store-full": ("1.37", "the object store acknowledges what it has no room for"),
    "object-store-garbles": ("1.37", "the object store hands out other bytes than it was given"),
    "object-store-keeps": ("1.37", "the object store acknowledges removals and removes nothing"),
    "pod-network-garbles": ("1.36", "the pod network changes bytes on their way"),
    "pod-network-loses-large": ("1.36", "answers of more than a packet never arrive"),
    "quota-ignored": ("1.36", "pods are let in beyond a namespace's quota"),
    "quota-never-released": ("1.36", "pods that have ended still count against a quota"),
    "quota-not-tracked": ("1.36", "nobody keeps the books of quotas"),
    "rollout-ignored": ("1.36", "Deployments keep their pods when the template changes"),
    "volumes-forget": ("1.36", "what was written to a claimed volume goes with the pod"),
    "volumes-garble": ("1.36", "a claimed volume hands out other bytes than were written"),
    "volumes-read-only": ("1.36", "claimed volumes cannot be written to"),
}

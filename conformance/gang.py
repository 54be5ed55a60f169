"""The gang schedulers a check can use, each behind the same few verbs."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from conformance import pods
from conformance.cluster import errors
from conformance.conclusions import Concluded, unknown
from conformance.devices import Allocation
from conformance.pods import Container, Placement
from conformance.resources import JOBS, PODS, Resource
from conformance.rights import CLUSTER, Right, on
from conformance.run import Run
from conformance.verdicts import Status

Json = dict[str, Any]

GANG_LABEL = "certportal.dev/gang"
_HOLD_SECONDS = "1"
_OCCUPY_SECONDS = "1800"
# A worker that is removed counts as failed; a job is to bear with more than one of them.
_BACKOFF_LIMIT = 6

RIGHTS: tuple[Right, ...] = (
    *on("podgroups", "create get delete", group="scheduling.k8s.io", option="podgroup"),
    *on("podgroups", "create get delete", group="scheduling.volcano.sh", option="volcano"),
    *on("queues", "get list", group="scheduling.volcano.sh", scope=CLUSTER, option="volcano"),
    *on("podgroups", "create get delete", group="scheduling.run.ai", option="kai"),
    *on("queues", "get list", group="scheduling.run.ai", scope=CLUSTER, option="kai"),
    *on("jobs", "create get delete", group="batch", option="kueue"),
    *on("localqueues", "create get delete", group="kueue.x-k8s.io", option="kueue"),
    *on("workloads", "get list", group="kueue.x-k8s.io", option="kueue"),
    *on("clusterqueues", "get list", group="kueue.x-k8s.io", scope=CLUSTER, option="kueue"),
)


class Backend(abc.ABC):
    """One way to have pods started together or not at all.

    Gangs and fillers are named by the check; the label GANG_LABEL carries the name, so that the pods
    are found whoever made them.
    """

    name: str
    title: str

    def __init__(self, run: Run, allocation: Allocation) -> None:
        self._run = run
        self._allocation = allocation

    @abc.abstractmethod
    def prepare(self) -> None:
        """Make sure the backend can be used; conclude where it cannot."""

    @abc.abstractmethod
    def submit(self, name: str, size: int, placement: Placement, *, lasting: bool = False) -> None:
        """Submit a gang of so many pods with a device each.

        The pods of a `lasting` one stay until they are removed: a member that ended would leave its
        place to the next, and a gang bound in part would look like one bound whole.
        """

    @abc.abstractmethod
    def submit_job(self, name: str, size: int, template: Json) -> None:
        """Submit an indexed Job whose workers, all of them, are a gang; `template` is that of their pods."""

    def fill(self, name: str, placement: Placement) -> None:
        """Submit one pod, not part of any gang, that occupies a device until it is removed."""
        self._run.create(PODS, name, self._pod(name, placement, _OCCUPY_SECONDS))

    def remove(self, *names: str) -> None:
        """Remove fillers, and wait until their devices are free."""
        self._run.remove(*((PODS, name) for name in names))

    @abc.abstractmethod
    def withdraw(self, name: str, size: int) -> None:
        """Remove a gang, and wait until its devices are free."""

    def places(self, placement_total: int) -> int:
        """Return how many fillers are worth trying, of `placement_total` devices advertised."""
        return placement_total

    def pinned(self) -> bool:
        """Tell whether gangs may be kept to chosen nodes without the backend miscounting."""
        return True

    def attribution(self, name: str) -> str | None:
        """Return why a gang that ran cannot be ascribed to this backend, or None where it can."""
        return None

    def _indexed(self, name: str, size: int, template: Json, **spec: Any) -> Json:
        """Return an indexed Job of `size` workers, whose pods carry the run's labels and the gang's name."""
        metadata = template.setdefault("metadata", {})
        metadata["labels"] = {**(metadata.get("labels") or {}), GANG_LABEL: name, **self._run.labels()}
        return {
            "metadata": {"labels": {GANG_LABEL: name}},
            "spec": {
                "completionMode": "Indexed",
                "parallelism": size,
                "completions": size,
                "backoffLimit": _BACKOFF_LIMIT,
                "template": template,
                **spec,
            },
        }

    def _pod(
        self, gang: str, placement: Placement, seconds: str, covered: Callable[[str], bool] | None = None
    ) -> Json:
        container = Container("hold", "hold", self._allocation.request, {"PROBE_HOLD": seconds})
        body = pods.pod([container], self._run.image(), placement, covered=covered)
        return {**body, "metadata": {"labels": {GANG_LABEL: gang}}}


class _Grouped(Backend):
    """Backends whose users write a group object and pods that name it."""

    resource: Resource

    def submit(self, name: str, size: int, placement: Placement, *, lasting: bool = False) -> None:
        self._run.create(self.resource, name, {"spec": self._group_spec(size)})
        for index in range(size):
            body = self._pod(name, placement, _OCCUPY_SECONDS if lasting else _HOLD_SECONDS)
            self._join(body, name)
            created = self._run.create(PODS, f"{name}-{index}", body)
            self._check_joined(created)

    def submit_job(self, name: str, size: int, template: Json) -> None:
        self._run.create(self.resource, name, {"spec": self._group_spec(size)})
        job = self._indexed(name, size, template)
        self._join(template, name)
        self._run.create(JOBS, name, job)

    def withdraw(self, name: str, size: int) -> None:
        self._run.remove(*((PODS, f"{name}-{index}") for index in range(size)))
        self._run.remove((self.resource, name))

    @abc.abstractmethod
    def _group_spec(self, size: int) -> Json:
        """Return the spec of a group that wants so many pods together."""

    @abc.abstractmethod
    def _join(self, body: Json, group: str) -> None:
        """Make a pod part of a group."""

    def _check_joined(self, created: Json) -> None:
        """Conclude where the server dropped what makes the pod part of its group."""


class InTree(_Grouped):
    """The scheduler's own pod groups."""

    name = "podgroup"
    title = "in-tree PodGroup"

    def prepare(self) -> None:
        found = _served(self._run, "scheduling.k8s.io", "podgroups")
        if found is None:
            raise unknown("backend_missing", "The server offers no PodGroup in scheduling.k8s.io.")
        self.resource = found
        body = self._pod("trial", Placement(), _HOLD_SECONDS)
        self._join(body, "trial")
        self._check_joined(self._run.create(PODS, "trial", body, dry_run=True))

    def _group_spec(self, size: int) -> Json:
        return {"schedulingPolicy": {"gang": {"minCount": size}}}

    def _join(self, body: Json, group: str) -> None:
        body["spec"]["schedulingGroup"] = {"podGroupName": group}

    def _check_joined(self, created: Json) -> None:
        # A disabled feature gate makes the server drop the field without a word.
        if not (created.get("spec") or {}).get("schedulingGroup"):
            raise unknown("backend_inactive", "The server drops a pod's schedulingGroup: the feature is off.")


class Volcano(_Grouped):
    """Volcano's pod groups and scheduler."""

    name = "volcano"
    title = "Volcano"
    _queue = "default"

    def prepare(self) -> None:
        found = _served(self._run, "scheduling.volcano.sh", "podgroups")
        if found is None:
            raise unknown("backend_missing", "The server offers no PodGroup in scheduling.volcano.sh.")
        self.resource = found
        self._queue = self._run.settings.gang.queue or "default"
        queues = Resource(found.group, found.version, "queues", "Queue", namespaced=False)
        if self._run.find(queues, self._queue) is None:
            raise unknown(
                "queue_missing", f"Volcano has no queue {self._queue}; name one under `gang.queue`."
            )

    def _group_spec(self, size: int) -> Json:
        return {"minMember": size, "queue": self._queue}

    def _join(self, body: Json, group: str) -> None:
        body["spec"]["schedulerName"] = "volcano"
        body["metadata"]["annotations"] = {"scheduling.k8s.io/group-name": group}


class Kai(_Grouped):
    """KAI's pod groups and scheduler."""

    name = "kai"
    title = "KAI scheduler"
    _queue = ""

    def prepare(self) -> None:
        found = _served(self._run, "scheduling.run.ai", "podgroups")
        queues = _served(self._run, "scheduling.run.ai", "queues")
        if found is None or queues is None:
            raise unknown("backend_missing", "The server offers no PodGroup and Queue in scheduling.run.ai.")
        self.resource = found
        self._queue = self._choose({_name(item): item for item in self._run.items(queues)})

    def _choose(self, queues: Mapping[str, Json]) -> str:
        wanted = self._run.settings.gang.queue
        if wanted is not None:
            if wanted in queues:
                return wanted
            raise unknown("queue_missing", f"KAI has no queue {wanted}, which the probe settings name.")
        parents = {str((item.get("spec") or {}).get("parentQueue")) for item in queues.values()}
        # Only a queue without children takes workloads.
        leaves = sorted(
            (name for name in queues if name not in parents), key=lambda name: ("default" not in name, name)
        )
        if not leaves:
            raise unknown("queue_missing", "KAI has no queue for workloads; name one under `gang.queue`.")
        return leaves[0]

    def _group_spec(self, size: int) -> Json:
        return {"minMember": size, "queue": self._queue}

    def _join(self, body: Json, group: str) -> None:
        body["spec"]["schedulerName"] = "kai-scheduler"
        body["metadata"]["labels"]["kai.scheduler/queue"] = self._queue
        # A pod without owner that names its group is taken as it is; no group is derived for it.
        body["metadata"]["annotations"] = {"pod-group-name": group}

    def submit_job(self, name: str, size: int, template: Json) -> None:
        # For what has an owner the group is derived, whatever the pods name; the owner says how large.
        job = self._indexed(name, size, template)
        template["spec"]["schedulerName"] = "kai-scheduler"
        template["metadata"]["labels"]["kai.scheduler/queue"] = self._queue
        job["metadata"]["labels"]["kai.scheduler/queue"] = self._queue
        job["metadata"]["annotations"] = {"kai.scheduler/batch-min-member": str(size)}
        self._run.create(JOBS, name, job)


class Kueue(Backend):
    """Kueue admits whole jobs against a quota; its places are the queue's, not the nodes'."""

    name = "kueue"
    title = "Kueue"
    LOCAL = "certportal"
    _MOST_PLACES = 64

    def __init__(self, run: Run, allocation: Allocation) -> None:
        super().__init__(run, allocation)
        self._cluster_queue: Json = {}
        self._free = 0
        self._workloads: Resource | None = None
        self._local: Resource | None = None

    def prepare(self) -> None:
        local = _served(self._run, "kueue.x-k8s.io", "localqueues")
        cluster = _served(self._run, "kueue.x-k8s.io", "clusterqueues")
        self._workloads = _served(self._run, "kueue.x-k8s.io", "workloads")
        if local is None or cluster is None:
            raise unknown("backend_missing", "The server offers no queues in kueue.x-k8s.io.")
        if self._allocation.request.resource is None:
            raise unknown(
                "queue_covers_no_claims",
                "Devices are handed out by claims here, which Kueue does not count as the checks need it; "
                "name another backend under `gang.backend`.",
            )
        self._cluster_queue = self._choose(self._run.items(cluster))
        self._free = self._free_quota(self._allocation.request.resource)
        self._run.evidence.observe(
            "kueue", {"cluster_queue": _name(self._cluster_queue), "free_quota": self._free}
        )
        self._local = local
        self._run.create(local, self.LOCAL, {"spec": {"clusterQueue": _name(self._cluster_queue)}})

    def _choose(self, queues: Iterable[Json]) -> Json:
        wanted = self._run.settings.gang.queue
        fitting = [
            queue
            for queue in queues
            if (wanted is None or _name(queue) == wanted) and self._covers(queue, self._allocation.name)
        ]
        if not fitting:
            raise unknown(
                "queue_missing",
                f"No ClusterQueue{f' {wanted}' if wanted else ''} covers {self._allocation.name}; name one "
                "that does under `gang.queue`.",
            )
        return min(fitting, key=lambda queue: (bool(_cohort(queue)), _name(queue)))

    def _covers(self, queue: Json, resource: str) -> bool:
        groups = (queue.get("spec") or {}).get("resourceGroups") or []
        return any(resource in (group.get("coveredResources") or []) for group in groups)

    def _free_quota(self, resource: str) -> int:
        spec, status = self._cluster_queue.get("spec") or {}, self._cluster_queue.get("status") or {}
        entries = [
            entry
            for group in spec.get("resourceGroups") or []
            for flavor in group.get("flavors") or []
            for entry in flavor.get("resources") or []
            if entry.get("name") == resource
        ]
        if _cohort(self._cluster_queue) and any(str(entry.get("borrowingLimit")) != "0" for entry in entries):
            raise unknown(
                "queue_borrows",
                f"ClusterQueue {_name(self._cluster_queue)} may borrow from its cohort, so its free places "
                "cannot be counted; name one without a cohort under `gang.queue`.",
            )
        used = [
            entry
            for flavor in status.get("flavorsUsage") or []
            for entry in flavor.get("resources") or []
            if entry.get("name") == resource
        ]
        return sum(_count(entry.get("nominalQuota")) for entry in entries) - sum(
            _count(entry.get("total")) for entry in used
        )

    def places(self, placement_total: int) -> int:
        if self._free > self._MOST_PLACES:
            raise unknown(
                "queue_too_large",
                f"ClusterQueue {_name(self._cluster_queue)} has {self._free} free places, too many to "
                "occupy; name a smaller one under `gang.queue`.",
            )
        return self._free

    def pinned(self) -> bool:
        # The quota counts the whole cluster: on chosen nodes there are fewer places than it knows.
        return False

    def submit(self, name: str, size: int, placement: Placement, *, lasting: bool = False) -> None:
        self._job(name, size, placement, _OCCUPY_SECONDS if lasting else _HOLD_SECONDS)

    def fill(self, name: str, placement: Placement) -> None:
        self._job(name, 1, placement, _OCCUPY_SECONDS)

    def remove(self, *names: str) -> None:
        self._run.remove(*((JOBS, name) for name in names))
        self._await_no_pods(names)

    def withdraw(self, name: str, size: int) -> None:
        self.remove(name)

    def attribution(self, name: str) -> str | None:
        job = self._run.find(JOBS, name)
        if job is None or (job.get("spec") or {}).get("suspend") is not False:
            return "the job was not released by Kueue"
        if self._workloads is not None:
            for workload in self._run.items(self._workloads):
                owners = (workload.get("metadata") or {}).get("ownerReferences") or []
                if any(owner.get("name") == name for owner in owners) and _is_admitted(workload):
                    return None
        return "no admitted Workload belongs to the job"

    def restrict(self, template: Json) -> None:
        """Take out of a pod template what the queue knows nothing of: it would keep the job out."""
        for container in template["spec"]["containers"]:
            for amounts in ("requests", "limits"):
                container["resources"][amounts] = {
                    resource: amount
                    for resource, amount in container["resources"][amounts].items()
                    if self._covers(self._cluster_queue, resource)
                }

    def local_queue(self) -> Json:
        """Return the queue made in the run's namespace."""
        if self._local is None:
            raise unknown("queue_missing", "No LocalQueue was made.")
        return self._run.get(self._local, self.LOCAL)

    def submit_job(self, name: str, size: int, template: Json) -> None:
        self.restrict(template)
        job = self._indexed(name, size, template, suspend=True)
        job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = self.LOCAL
        self._run.create(JOBS, name, job)

    def _job(self, name: str, size: int, placement: Placement, seconds: str) -> None:
        body = self._pod(
            name, placement, seconds, covered=lambda resource: self._covers(self._cluster_queue, resource)
        )
        body["metadata"]["labels"].update(self._run.labels())
        self._run.create(
            JOBS,
            name,
            {
                "metadata": {"labels": {"kueue.x-k8s.io/queue-name": self.LOCAL, GANG_LABEL: name}},
                "spec": {
                    # Only Kueue releases a suspended job, which shows that it was Kueue.
                    "suspend": True,
                    "parallelism": size,
                    "completions": size,
                    "backoffLimit": 0,
                    "template": body,
                },
            },
        )

    def _await_no_pods(self, names: Iterable[str]) -> None:
        selector = f"{GANG_LABEL} in ({','.join(names)})"
        self._run.wait(PODS, lambda found: None if found else True, seconds=60, selector=selector)


BACKENDS: tuple[type[Backend], ...] = (InTree, Kai, Volcano, Kueue)
_GROUPS = {
    "podgroup": "scheduling.k8s.io",
    "kai": "scheduling.run.ai",
    "volcano": "scheduling.volcano.sh",
    "kueue": "kueue.x-k8s.io",
}


def choose(run: Run, allocation: Allocation) -> Backend:
    """Return the vendor's backend, or the first one here that can be used; conclude as unknown if none."""
    wanted = run.settings.gang.backend
    doubts: dict[str, Concluded] = {}
    offered = run.groups()
    for kind in BACKENDS:
        if wanted not in (None, kind.name) or _GROUPS[kind.name] not in offered:
            continue
        if kind is InTree and wanted is None and _served(run, _GROUPS["podgroup"], "podgroups") is None:
            continue
        run.require(kind.name)
        backend = kind(run, allocation)
        try:
            backend.prepare()
        except Concluded as conclusion:
            if conclusion.verdict.status is not Status.UNKNOWN:
                raise
            doubts[kind.title] = conclusion
            continue
        run.evidence.observe("backend", kind.title)
        return backend
    if len(doubts) == 1:
        raise next(iter(doubts.values()))
    if wanted is not None:
        raise unknown("backend_missing", f"The backend {wanted} of the probe settings is not installed.")
    raise unknown(
        "backend_not_attributable",
        " ".join(f"{title}: {doubt}" for title, doubt in doubts.items())
        or "No gang scheduler was found (in-tree PodGroup, KAI, Volcano, Kueue).",
    )


def _served(run: Run, group: str, plural: str) -> Resource | None:
    """Return a kind in the version the server prefers among those that have it."""
    entry = run.groups().get(group)
    if entry is None:
        return None
    preferred = (entry.get("preferredVersion") or {}).get("version")
    versions = [str(version.get("version")) for version in entry.get("versions") or []]
    for version in sorted(versions, key=lambda version: version != preferred):
        try:
            answer = run.connection.get(f"/apis/{group}/{version}", patience=run.patience())
        except errors.NotFound:
            continue
        for offered in answer.get("resources") or []:
            if offered.get("name") == plural and "create" in (offered.get("verbs") or []):
                return Resource(
                    group,
                    version,
                    plural,
                    str(offered.get("kind")),
                    namespaced=offered.get("namespaced") is True,
                )
    return None


def _name(item: Json) -> str:
    return str((item.get("metadata") or {}).get("name"))


def _cohort(queue: Json) -> str:
    spec = queue.get("spec") or {}
    # v1beta2 renamed the field.
    return str(spec.get("cohortName") or spec.get("cohort") or "")


def _count(amount: Any) -> int:
    text = str(amount or "0")
    return int(text) if text.isdigit() else 0


def _is_admitted(workload: Json) -> bool:
    return any(
        condition.get("type") == "Admitted" and condition.get("status") == "True"
        for condition in (workload.get("status") or {}).get("conditions") or []
    )

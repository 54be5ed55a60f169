"""Jobs: plain and indexed, suspended and resumed, counted through the finalizer on their pods."""

from __future__ import annotations

from conformance.simulator.clock import now, parsed, stamp
from conformance.simulator.errors import ApiError
from conformance.simulator.machinery import Deletion
from conformance.simulator.objects import (
    Json,
    annotations_of,
    clone,
    controller_of,
    dig,
    is_condition_true,
    is_controlled_by,
    is_deleting,
    is_pod_finished,
    is_pod_ready,
    owner_reference,
    set_condition,
)
from conformance.simulator.store import DELETED, Change
from conformance.simulator.world import Controller

JOBS = "jobs.batch"
TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
REACTION_SECONDS = 0.1
MAX_CREATED_AT_ONCE = 500
RETRY_CREATE_SECONDS = 5.0


class JobController(Controller):
    name = "job-controller"

    def notice(self, change: Change) -> None:
        if change.key == JOBS and change.kind != DELETED:
            self.enqueue((change.namespace, change.name), REACTION_SECONDS)
        elif change.key == "pods":
            owner = controller_of(change.obj)
            if owner is not None and owner["kind"] == "Job":
                self.enqueue((change.namespace, owner["name"]), REACTION_SECONDS)
            if change.kind != DELETED and TRACKING in (change.obj["metadata"].get("finalizers") or ()):
                self.enqueue(("orphan", change.namespace, change.name), REACTION_SECONDS)

    def reconcile(self, key: tuple[str, ...]) -> None:
        if len(key) > len(("namespace", "name")):
            self._free_orphan(key[1], key[2])
            return
        job = self.store.get(JOBS, key[0], key[1])
        if job is None:
            return
        pods = [pod for pod in self.store.all("pods", key[0]) if is_controlled_by(pod, job)]
        if is_deleting(job):
            for pod in pods:
                self._untrack(pod)
            return
        if _is_over(job):
            self._expire(job)
            return
        self._sync(job, pods)

    def _free_orphan(self, namespace: str, name: str) -> None:
        """Take the finalizer off a pod whose job is gone; nobody will count it any more."""
        pod = self.store.get("pods", namespace, name)
        owner = controller_of(pod) if pod is not None else None
        if pod is None or TRACKING not in (pod["metadata"].get("finalizers") or ()):
            return
        if owner is None or self.store.located(owner["uid"]) is None:
            self._untrack(pod)

    def _untrack(self, pod: Json) -> None:
        metadata = pod["metadata"]
        if TRACKING not in (metadata.get("finalizers") or ()):
            return

        def change(obj: Json) -> None:
            kept = [entry for entry in obj["metadata"]["finalizers"] if entry != TRACKING]
            if kept:
                obj["metadata"]["finalizers"] = kept
            else:
                obj["metadata"].pop("finalizers")

        self.api.edit("pods", metadata["namespace"], metadata["name"], change)

    def _sync(self, job: Json, pods: list[Json]) -> None:
        spec, status = job["spec"], dict(job.get("status") or {})
        tally = _Tally(status)
        counted = tally.count(job, pods)
        active = [pod for pod in pods if not is_pod_finished(pod) and not is_deleting(pod)]
        conditions: list[Json] = clone(status.get("conditions") or [])
        suspended = bool(spec.get("suspend"))
        if suspended:
            for pod in active:
                self._delete_pod(pod)
            active = []
        elif not status.get("startTime"):
            status["startTime"] = stamp()
        self._note_suspension(job, conditions, suspended=suspended)
        outcome = self._outcome(spec, status, tally)
        if outcome is not None:
            self._finish(job, status, conditions, outcome, active)
            active = []
        elif not suspended:
            active += self._create_missing(job, active, pods, tally)
        status |= {
            "active": len(active),
            "ready": len([pod for pod in active if is_pod_ready(pod)]),
            "terminating": len([pod for pod in pods if is_deleting(pod) and not is_pod_finished(pod)]),
            "succeeded": tally.succeeded,
            "failed": tally.failed,
            "uncountedTerminatedPods": {},
            "conditions": conditions,
        }
        if spec["completionMode"] == "Indexed":
            status["completedIndexes"] = _ranges(tally.indexes)
        for field in ("active", "succeeded", "failed", "conditions"):
            if not status[field]:
                del status[field]
        metadata = job["metadata"]
        self.api.edit(JOBS, metadata["namespace"], metadata["name"], lambda obj: obj.update(status=status))
        for pod in counted:
            self._untrack(pod)

    def _outcome(self, spec: Json, status: Json, tally: _Tally) -> tuple[str, str, str] | None:
        """Return type, reason and message of the condition that ends the job, if it is over."""
        # Without a number of completions the first success ends the job.
        if tally.succeeded >= spec.get("completions", 1):
            return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
        if tally.failed > spec["backoffLimit"]:
            return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is not None and status.get("startTime"):
            age = (now() - parsed(status["startTime"])).total_seconds() * self.world.clock.speed
            if age >= deadline:
                return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
        return None

    def _finish(
        self,
        job: Json,
        status: Json,
        conditions: list[Json],
        outcome: tuple[str, str, str],
        active: list[Json],
    ) -> None:
        kind, reason, message = outcome
        for pod in active:
            self._delete_pod(pod)
        interim = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
        set_condition(conditions, interim, "True", reason=reason, message=message, lastProbeTime=stamp())
        set_condition(conditions, kind, "True", reason=reason, message=message, lastProbeTime=stamp())
        if kind == "Complete":
            status["completionTime"] = stamp()
            self.event(job, "Normal", "Completed", "Job completed")
        else:
            self.event(job, "Warning", reason, message)

    def _note_suspension(self, job: Json, conditions: list[Json], *, suspended: bool) -> None:
        known = any(entry["type"] == "Suspended" and entry["status"] == "True" for entry in conditions)
        if suspended and not known:
            set_condition(conditions, "Suspended", "True", reason="JobSuspended", message="Job suspended")
            self.event(job, "Normal", "Suspended", "Job suspended")
        elif known and not suspended:
            set_condition(conditions, "Suspended", "False", reason="JobResumed", message="Job resumed")
            self.event(job, "Normal", "Resumed", "Job resumed")

    def _create_missing(self, job: Json, active: list[Json], pods: list[Json], tally: _Tally) -> list[Json]:
        spec = job["spec"]
        wanted = spec["parallelism"]
        if spec.get("completions") is not None:
            wanted = min(wanted, spec["completions"] - tally.succeeded)
        elif tally.succeeded:
            wanted = len(active)
        # A pod on its way out still holds its place where replacements wait for the end.
        leaving = [pod for pod in pods if is_deleting(pod) and not is_pod_finished(pod)]
        occupied = active + (leaving if spec["podReplacementPolicy"] == "Failed" else [])
        missing = min(wanted - len(occupied), MAX_CREATED_AT_ONCE)
        if "job-never-replaces" in self.world.faults and tally.failed:
            missing = 0
        indexes: list[int | None] = [None] * max(missing, 0)
        if spec["completionMode"] == "Indexed":
            used = tally.indexes | {index for pod in occupied if (index := _index(pod)) is not None}
            free = [index for index in range(spec["completions"]) if index not in used]
            indexes = [*free[: max(missing, 0)]]
        created = []
        for index in indexes:
            try:
                pod = self.api.create(self.api.kind("pods"), _pod(job, index), job["metadata"]["namespace"])
            except ApiError as error:
                self.event(job, "Warning", "FailedCreate", f"Error creating: {error.message}")
                self.enqueue((job["metadata"]["namespace"], job["metadata"]["name"]), RETRY_CREATE_SECONDS)
                break
            created.append(pod)
            self.event(job, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        return created

    def _delete_pod(self, pod: Json) -> None:
        """Delete a pod the job needs no more; it does not count as failed."""
        self._untrack(pod)
        metadata = pod["metadata"]
        self.api.delete(
            self.api.kind("pods"), metadata["namespace"], metadata["name"], Deletion(uid=metadata["uid"])
        )

    def _expire(self, job: Json) -> None:
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is None:
            return
        metadata = job["metadata"]
        ended = max(entry["lastTransitionTime"] for entry in job["status"]["conditions"])
        left = seconds - (now() - parsed(ended)).total_seconds() * self.world.clock.speed
        if left > 0:
            self.enqueue((metadata["namespace"], metadata["name"]), left)
            return
        deletion = Deletion(propagation="Foreground", uid=metadata["uid"])
        self.api.delete(self.api.kind(JOBS), metadata["namespace"], metadata["name"], deletion)


class _Tally:
    """The successes and failures counted so far; a pod counts once, while it carries the finalizer."""

    def __init__(self, status: Json) -> None:
        self.succeeded = int(status.get("succeeded", 0))
        self.failed = int(status.get("failed", 0))
        self.indexes = _indexes(status.get("completedIndexes", ""))

    def count(self, job: Json, pods: list[Json]) -> list[Json]:
        """Count the pods that have ended and return them."""
        counted: list[Json] = []
        for pod in pods:
            if TRACKING not in (pod["metadata"].get("finalizers") or ()):
                continue
            if dig(pod, "status", "phase") == "Succeeded":
                counted.append(pod)
                self._succeed(_index(pod))
            elif _has_failed(job, pod):
                counted.append(pod)
                self.failed += 1
        return counted

    def _succeed(self, index: int | None) -> None:
        if index is None or index not in self.indexes:
            self.succeeded += 1
        if index is not None:
            self.indexes.add(index)


def _has_failed(job: Json, pod: Json) -> bool:
    if dig(pod, "status", "phase") == "Failed":
        return True
    # A pod being deleted counts at once, unless replacements wait until it has really ended.
    waits = job["spec"]["podReplacementPolicy"] == "Failed" and pod["spec"].get("nodeName")
    return is_deleting(pod) and not waits


def _is_over(job: Json) -> bool:
    return is_condition_true(job, "Complete") or is_condition_true(job, "Failed")


def _index(pod: Json) -> int | None:
    text = annotations_of(pod).get(INDEX)
    return int(text) if text is not None else None


def _indexes(text: str) -> set[int]:
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def _ranges(indexes: set[int]) -> str:
    """Return indexes the way the status lists them: ``0-2,5``."""
    parts: list[list[int]] = []
    for index in sorted(indexes):
        if parts and parts[-1][1] == index - 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def _pod(job: Json, index: int | None) -> Json:
    template = clone(job["spec"]["template"])
    metadata = template.get("metadata") or {}
    name = job["metadata"]["name"]
    metadata["generateName"] = f"{name}-" if index is None else f"{name}-{index}-"
    metadata["ownerReferences"] = [owner_reference(job)]
    metadata["finalizers"] = [*(metadata.get("finalizers") or ()), TRACKING]
    if index is not None:
        metadata["annotations"] = {**(metadata.get("annotations") or {}), INDEX: str(index)}
        metadata["labels"] = {**(metadata.get("labels") or {}), INDEX: str(index)}
        template["spec"].setdefault("hostname", f"{name}-{index}")
        for container in template["spec"]["containers"]:
            variables = container.setdefault("env", [])
            if not any(entry.get("name") == "JOB_COMPLETION_INDEX" for entry in variables):
                variables.append({"name": "JOB_COMPLETION_INDEX", "value": str(index)})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}

"""Queues with a quota for which jobs compete: Kueue's where it can be used, else a namespace's own."""

from __future__ import annotations

import abc
from typing import Any

from conformance import devices, gang
from conformance.conclusions import Concluded, failed, unknown
from conformance.gang import Kueue
from conformance.resources import JOBS, RESOURCE_QUOTAS
from conformance.rights import Right, on
from conformance.run import SHORTEST_WAIT, Run
from conformance.verdicts import Status

Json = dict[str, Any]

RIGHTS: tuple[Right, ...] = (
    *on("resourcequotas", "create get delete"),
    *on("jobs", "create get delete", group="batch"),
    *(right for right in gang.RIGHTS if right.option == "kueue"),
)
QUOTA = "pipelines"
READY_SECONDS = 60.0
ROLE_LABEL = "certportal.dev/role"
_GROUP = "kueue.x-k8s.io"
# A quota that has room for one of the large jobs and, beside it, for the small ones.
_HARD, _LARGE = "300m", "200m"


class Queue(abc.ABC):
    """Takes jobs; the quota has room for one large job at a time."""

    title: str

    def __init__(self, run: Run) -> None:
        self._run = run

    @abc.abstractmethod
    def prepare(self) -> None:
        """Set the queue up; conclude where it does not come to work."""

    @abc.abstractmethod
    def submit(self, name: str, body: Json, *, is_large: bool) -> None:
        """Submit a job; a large one takes so much of the quota that no second one fits."""

    @abc.abstractmethod
    def owner(self) -> Json:
        """Return a reference to what the queue is, so that other things go with it."""

    @abc.abstractmethod
    def retire(self) -> None:
        """Take the quota away, so that it stands in nobody's way."""

    def _job(self, name: str, body: Json, **spec: Any) -> Json:
        labels = {ROLE_LABEL: name, **self._run.labels()}
        template = {**body, "metadata": {"labels": labels}}
        return {"spec": {"backoffLimit": 0, "template": template, **spec}}


class NamespaceQuota(Queue):
    """Every cluster has these: a Job's pods beyond the quota are made once there is room for them."""

    title = "ResourceQuota"

    def prepare(self) -> None:
        if self._run.context.namespace is not None:
            raise unknown(
                "needs_own_namespace",
                "A quota in the prepared namespace would also hold for what else is in it; let the run "
                "make its own namespaces to see this.",
            )
        self._run.create(RESOURCE_QUOTAS, QUOTA, {"spec": {"hard": {"requests.cpu": _HARD}}})
        patience = self._run.patience(max(self._run.scaled(READY_SECONDS), SHORTEST_WAIT))
        while "requests.cpu" not in ((self._quota().get("status") or {}).get("hard") or {}):
            if self._run.is_over(patience, 1):
                raise failed("quota_not_tracked", "A new ResourceQuota never tells what is used of it.")
            self._run.pause(1)

    def _quota(self) -> Json:
        return self._run.get(RESOURCE_QUOTAS, QUOTA)

    def submit(self, name: str, body: Json, *, is_large: bool) -> None:
        if is_large:
            for container in body["spec"]["containers"]:
                container["resources"]["requests"]["cpu"] = _LARGE
                container["resources"]["limits"]["cpu"] = _LARGE
        self._run.create(JOBS, name, self._job(name, body))

    def owner(self) -> Json:
        return _reference(self._quota())

    def retire(self) -> None:
        self._run.remove((RESOURCE_QUOTAS, QUOTA))


class KueueQueue(Queue):
    """A LocalQueue in front of a ClusterQueue, whose quota of accelerators a large job takes whole."""

    title = "Kueue"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        run.require("kueue")
        self._allocation = devices.detect(run)
        self._kueue = Kueue(run, self._allocation)
        self._size = 0

    def prepare(self) -> None:
        self._kueue.prepare()
        self._size = self._kueue.places(0)
        offered = sum(self._allocation.per_node.values())
        if not 0 < self._size <= offered:
            raise unknown(
                "quota_beyond_devices",
                f"The queue has room for {self._size} accelerators, and there are {offered}: a job that "
                "takes all of it would never run.",
            )

    def submit(self, name: str, body: Json, *, is_large: bool) -> None:
        self._kueue.restrict(body)
        size = 1
        if is_large:
            # Each of its pods does the same; together they take every place.
            size = self._size
            for container in body["spec"]["containers"]:
                for amounts in ("requests", "limits"):
                    container["resources"][amounts][self._allocation.name] = "1"
        job = self._job(name, body, suspend=True, parallelism=size, completions=size)
        job["metadata"] = {"labels": {f"{_GROUP}/queue-name": self._kueue.LOCAL}}
        self._run.create(JOBS, name, job)

    def owner(self) -> Json:
        return _reference(self._kueue.local_queue())

    def retire(self) -> None:
        """Nothing stands in the way of what names no queue."""


def choose(run: Run) -> Queue:
    """Return Kueue's queue where it is offered and fits, else a quota of the namespace; set it up."""
    if _GROUP in run.groups() and run.settings.gang.backend in (None, "kueue"):
        try:
            queue = KueueQueue(run)
            queue.prepare()
        except Concluded as conclusion:
            if conclusion.verdict.status is not Status.UNKNOWN:
                raise
            run.evidence.observe("why not Kueue", str(conclusion))
        else:
            return queue
    quota = NamespaceQuota(run)
    quota.prepare()
    return quota


def _reference(item: Json) -> Json:
    metadata = item["metadata"]
    return {
        "apiVersion": item["apiVersion"],
        "kind": item["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }

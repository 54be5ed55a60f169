"""Two pipelines that compete for a quota, hand artefacts on, and use an operator."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from conformance import artifacts, pods, queueing, reconciliation, volumes
from conformance.artifacts import Artifacts
from conformance.catalogue import WorkloadKind
from conformance.cluster import errors
from conformance.conclusions import Concluded, failed, unknown
from conformance.markers import Marker, Report
from conformance.pods import Container, Placement
from conformance.queueing import ROLE_LABEL, Queue
from conformance.reading import hear
from conformance.resources import JOBS, PODS
from conformance.rights import BASE
from conformance.run import Run
from conformance.scenarios import scenario, step
from conformance.verdicts import Status, Verdict

Json = dict[str, Any]

FIRST, SECOND = "a", "b"
LINES = 2000
STEP_SECONDS = 300.0
# A Job whose pod was refused tries again within a minute at the latest.
RELEASE_SECONDS = 300.0
WINDOW_SECONDS = 20.0
# What an API server says where an object's webhook is down.
_WEBHOOK = "failed calling webhook"
# Long enough for the second to be submitted and watched while the first goes on.
HOLD_SECONDS = 180

_UNUSED = "get validatingwebhookconfigurations.admissionregistration.k8s.io"


@scenario(
    "mlops",
    title="MLOps pipelines",
    kind=WorkloadKind.MLOPS,
    deadline=1800,
    rights=(
        *BASE,
        *queueing.RIGHTS,
        *artifacts.RIGHTS,
        # Webhooks are listed where no operator is known; none is looked at by itself.
        *(right for right in reconciliation.RIGHTS if str(right) != _UNUSED),
    ),
)
class Pipelines:
    """Two pipelines prepare data, train a model and register it, competing for one quota.

    The second waits with its training until the first one's is over. Artefacts pass through an object
    store the vendor names, else through volumes, and arrive unchanged; an operator reconciles a custom
    resource.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._queue: Queue | None = None
        self._artifacts = Artifacts(run)
        self._said: dict[str, list[Marker]] = {}

    # Steps ------------------------------------------------------------------------------------------

    @step("A queue with a quota is ready")
    def queue(self) -> Verdict:
        """A quota is set up that has room for one training at a time, and a place for artefacts."""
        queue = self._queue = queueing.choose(self._run)
        self._run.evidence.observe("queue", queue.title)
        self._artifacts.prepare(queue.owner())
        return Verdict(
            Status.PASS,
            "queue_ready",
            f"{queue.title} has room for one training; artefacts go through {self._artifacts.place}.",
        )

    @step("Both pipelines prepare their data")
    def prepare(self) -> Verdict:
        """The first step of each pipeline leaves its data for the next one."""
        for pipeline in (FIRST, SECOND):
            self._submit(pipeline, "prepare")
        for pipeline in (FIRST, SECOND):
            self._complete(pipeline, "prepare")
        return Verdict(Status.PASS, "prepared", f"The data of both pipelines are in {self._artifacts.place}.")

    @step("The second training waits while the first one has the quota")
    def contend(self) -> Verdict:
        """As long as the first training runs no pod of the second one comes to be."""
        self._submit(FIRST, "train", is_large=True, seconds=HOLD_SECONDS)
        first = self._pod_of(FIRST, "train")
        began = hear(
            self._run,
            first,
            "step",
            lambda report: _first(report, "training") or _first(report, "end"),
            seconds=STEP_SECONDS,
        )
        if began is None or began.word == "end":
            raise self._broke_off(FIRST, "train", began)
        self._submit(SECOND, "train", is_large=True)
        selector = f"{ROLE_LABEL}={_job(SECOND, 'train')}"

        def judge(found: Mapping[str, Json]) -> bool | None:
            return True if any(pods.node_of(pod) for pod in found.values()) else None

        if self._run.watch_window(PODS, judge, seconds=WINDOW_SECONDS, selector=selector):
            if pods.is_over(self._run.get(PODS, first)):
                raise unknown("window_missed", "The first training was over before the second one was seen.")
            raise failed("quota_exceeded", "The second training ran while the first one had the whole quota.")
        return Verdict(
            Status.PASS, "waited", "No pod of the second training ran while the first one had the quota."
        )

    @step("The second training runs once the quota is free")
    def release(self) -> Verdict:
        """The first training comes to its end, and the second one starts and does so, too."""
        self._complete(FIRST, "train")
        self._pod_of(SECOND, "train", reason="never_released")
        self._complete(SECOND, "train")
        return Verdict(Status.PASS, "released", "The second training ran as soon as the first one was over.")

    @step("Both pipelines register their model")
    def register(self) -> Verdict:
        """The last step of each finds the model and enters it."""
        for pipeline in (FIRST, SECOND):
            self._submit(pipeline, "register")
        for pipeline in (FIRST, SECOND):
            self._complete(pipeline, "register")
        return Verdict(Status.PASS, "registered", "Both models are found and registered.")

    @step("All checksums agree")
    def checksums(self) -> Verdict:
        """Every step took exactly what the one before it gave."""
        for pipeline in (FIRST, SECOND):
            expected = checksums(pipeline)
            for name in ("prepare", "train", "register"):
                for marker in self._said[_job(pipeline, name)]:
                    artefact, found = marker.get("artefact"), marker.get("sha256")
                    if found != expected.get(artefact):
                        raise failed(
                            "artefact_changed",
                            f"Pipeline {pipeline}, step {name}: it {marker.word} {artefact} with checksum "
                            f"{found[:12]}…, which is not what was made.",
                        )
        self._run.evidence.observe("checksums", {name: checksums(name) for name in (FIRST, SECOND)})
        return Verdict(
            Status.PASS, "checksums_agree", "Data, models and entries arrived as they were sent off."
        )

    @step("The object store removes what it is told to", needs=("queue",))
    def discard(self) -> Verdict:
        """Nothing of the run stays in a store that is not the run's own, however far it came."""
        if not self._artifacts.is_object_store:
            return Verdict(
                Status.NOT_APPLICABLE,
                "no_object_store",
                "The probe settings name no object store; volumes go with the run.",
            )
        for pipeline in (FIRST, SECOND):
            self._submit(pipeline, "discard")
        for pipeline in (FIRST, SECOND):
            self._complete(pipeline, "discard")
        return Verdict(Status.PASS, "discarded", "Every artefact of the run is gone from the store.")

    @step("An operator reconciles a custom resource", needs=("queue",))
    def operator(self) -> Verdict:
        """What many pipelines leave to an operator is done by it."""
        self._retire_jobs()
        operator, definition = reconciliation.installed_operator(self._run)
        resource = reconciliation.resource_of(operator, definition)
        try:
            children = reconciliation.expect_reconciliation(self._run, operator, resource)
        except errors.ServerError as error:
            if _WEBHOOK not in str(error):
                raise
            raise failed(
                "webhook_unreachable", f"A {resource.kind} cannot be created: its webhook does not answer."
            ) from error
        return Verdict(Status.PASS, "reconciled", f"{resource.kind}: the operator made {children}.")

    # Jobs -------------------------------------------------------------------------------------------

    def _submit(self, pipeline: str, name: str, *, is_large: bool = False, seconds: int = 0) -> None:
        environment = {"PROBE_STEP": name, "PROBE_PIPELINE": pipeline, "PROBE_HOLD": str(seconds)}
        container = Container("step", "pipeline", None, environment)
        body = pods.pod([container], self._run.image(), Placement())
        volumes.mount(body, "state", "/tmp")  # noqa: S108 - a volume of the pod's own
        self._artifacts.equip(body, pipeline)
        self._need_queue().submit(_job(pipeline, name), body, is_large=is_large)

    def _pod_of(self, pipeline: str, name: str, *, reason: str = "step_never_ran") -> str:
        """Return a pod of a step once it has started; conclude where none does in time."""

        def judge(found: Mapping[str, Json]) -> str | None:
            if any(pods.lacks_image(pod) for pod in found.values()):
                raise unknown("image_unpullable", f"The cluster cannot pull the image {self._run.image()}.")
            started = [pod_name for pod_name, pod in found.items() if _has_started(pod)]
            return min(started, default=None)

        selector = f"{ROLE_LABEL}={_job(pipeline, name)}"
        found = self._run.wait(PODS, judge, seconds=RELEASE_SECONDS, selector=selector)
        if found is None:
            job = self._run.get(JOBS, _job(pipeline, name))
            self._run.evidence.add_object(f"waiting/{_job(pipeline, name)}", job)
            if unbound := self._artifacts.unbound():
                raise failed(
                    "claim_not_bound",
                    f"The claim {unbound[0]} of the default StorageClass gets no volume.",
                )
            if any(pods.is_unschedulable(pod) for pod in self._run.items(PODS, selector=selector)):
                raise unknown("no_capacity", f"No node has room for the step {name} of a pipeline.")
            raise failed(reason, f"Pipeline {pipeline}: no pod of the step {name} ran in time.")
        return found

    def _complete(self, pipeline: str, name: str) -> None:
        """Wait for the end of a step and keep what it said of artefacts."""
        pod = self._pod_of(pipeline, name)
        said: list[Marker] = []

        def ended(report: Report) -> Marker | None:
            said[:] = [*report.all("gave"), *report.all("took")]
            return _first(report, "end")

        end = hear(self._run, pod, "step", ended, seconds=STEP_SECONDS)
        if end is None or end.get("done") != "yes":
            raise self._broke_off(pipeline, name, end)
        self._said[_job(pipeline, name)] = said

    def _broke_off(self, pipeline: str, name: str, end: Marker | None) -> Concluded:
        if end is None:
            return failed("step_never_ended", f"Pipeline {pipeline}: the step {name} did not come to an end.")
        verb = {"put": "leave", "get": "find", "remove": "remove"}.get(end.get("failed"), "handle")
        return failed(
            "artefact_lost",
            f"Pipeline {pipeline}: the step {name} could not {verb} {end.get('artefact')} in "
            f"{self._artifacts.place}.",
        )

    def _retire_jobs(self) -> None:
        """Take away the quota: what the operator makes may ask for more."""
        self._need_queue().retire()

    def _need_queue(self) -> Queue:
        if self._queue is None:
            raise unknown("queue_missing", "No queue was set up.")
        return self._queue


def checksums(pipeline: str) -> dict[str, str]:
    """Return the checksum of each artefact of a pipeline, as pipeline.sh makes them."""
    data = _sha256("\n".join(f"{pipeline} {number}" for number in range(1, LINES + 1)))
    model = _sha256(f"model of {data}")
    return {"data": data, "model": model, "entry": _sha256(f"entry of {model}")}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _job(pipeline: str, name: str) -> str:
    return f"{pipeline}-{name}"


def _first(report: Report, word: str) -> Marker | None:
    return next(iter(report.all(word)), None)


def _has_started(pod: Json) -> bool:
    return pods.phase(pod) in {"Running", "Succeeded", "Failed"}

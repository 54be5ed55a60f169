"""A training job: started whole, talking among its workers, and surviving the loss of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance import devices, gang, pods, volumes
from conformance.catalogue import WorkloadKind
from conformance.cluster import errors
from conformance.conclusions import failed, unknown
from conformance.devices import Allocation
from conformance.gang import GANG_LABEL, Backend
from conformance.markers import Marker, Report
from conformance.pods import Container, Placement
from conformance.reading import hear
from conformance.removal import Created, delete
from conformance.resources import JOBS, PODS, RESOURCE_CLAIMS, SERVICES, VOLUME_CLAIMS
from conformance.rights import BASE, DEVICES, on
from conformance.run import Run
from conformance.scenarios import scenario, step
from conformance.verdicts import Status, Verdict

Json = dict[str, Any]

FEWEST, MOST = 2, 4
STEPS, EVERY, HANG = 12, 4, 6
BYTES = 32768
BIND_SECONDS = 300.0
RUN_SECONDS = 300.0
# Workers wait so long for each other's names; those of a new Service take their time to spread.
MEET_SECONDS = 180.0
EXCHANGE_SECONDS = 240.0
REPLACE_SECONDS = 300.0
COMPLETE_SECONDS = 300.0
RELEASE_SECONDS = 120.0
FILL_SECONDS = 120.0
# A gang that starts whole may be seen between two of its pods.
SETTLE_SECONDS = 5.0

# Servers of clusters whose clock runs fast are not asked more often than this.
_SHORTEST_PAUSE = 0.1

JOB, RING, STORE, CLAIM = "train", "ring", "store", "checkpoints"
ROLE_LABEL = "certportal.dev/role"
_RING_PORT, _STORE_PORT = 29500, 8080
_INDEX = "batch.kubernetes.io/job-completion-index"
_MODULUS = 1_000_003


@scenario(
    "training",
    title="Distributed training",
    kind=WorkloadKind.TRAINING,
    deadline=1800,
    rights=(
        *BASE,
        *DEVICES,
        *gang.RIGHTS,
        *volumes.RIGHTS,
        *on("jobs", "create get delete", group="batch"),
        *on("services", "create get delete"),
    ),
)
class Training:
    """An indexed Job of workers with a device each starts as a gang and trains.

    The workers meet by name, pass numbers round a ring and keep checkpoints; what they compute is
    known beforehand. One is killed midway, and the job goes on from its last checkpoint.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._claimed: str | None = None
        self._workers: dict[int, str] = {}
        self._killed = ""
        self._backend: Backend | None = None
        self._placement = Placement()
        self._expected: list[list[int]] = []

    # Start ------------------------------------------------------------------------------------------

    @step("The workers start together")
    def start_together(self) -> Verdict:
        """Every worker is bound before the first one has run for long."""
        run = self._run
        allocation = devices.detect(run)
        backend = self._backend = gang.choose(run, allocation)
        request = devices.prepare(run, allocation)
        self._placement = _placement(allocation, backend)
        size = self._free_places(allocation)
        self._expected = numbers(size, STEPS)
        self._prepare_store()
        run.create(
            SERVICES,
            RING,
            {
                "spec": {
                    "clusterIP": "None",
                    "selector": {GANG_LABEL: JOB, **run.labels()},
                    # Workers look for each other before they are all up.
                    "publishNotReadyAddresses": True,
                    "ports": [{"name": "ring", "port": _RING_PORT}],
                }
            },
        )
        worker = Container("worker", "train", request, self._environment(size))
        template = pods.pod([worker], run.image(), self._placement)
        template["spec"]["subdomain"] = RING
        volumes.mount(template, "state", "/tmp")  # noqa: S108 - a volume of the pod's own
        backend.submit_job(JOB, size, template)
        self._await_start(size, backend)
        return Verdict(
            Status.PASS,
            "started_together",
            f"{backend.title}: all {size} workers were bound before any went on alone.",
        )

    def _free_places(self, allocation: Allocation) -> int:
        """Occupy places to learn how many are free, free them again, and return their number."""
        backend = self._gang()
        most = min(MOST, backend.places(sum(allocation.per_node.values())))
        bound = self._fill([f"place-{number}" for number in range(most)]) if most >= FEWEST else set()
        found = len(bound) if most >= FEWEST else most
        self._run.evidence.observe("free places", found)
        if found < FEWEST:
            raise unknown(
                "too_few_devices", f"Free accelerators where pods can go: {found}; training needs {FEWEST}."
            )
        return found

    def _fill(self, names: list[str]) -> set[str]:
        """Occupy a device per name, see which could, and give all of them back."""
        backend = self._gang()
        for name in names:
            backend.fill(name, self._placement)
        wanted = set(names)

        def settled(found: Mapping[str, Json]) -> set[str] | None:
            _look_for_trouble(self._run, found)
            bound = {_gang_of(pod) for pod in found.values() if pods.node_of(pod)} & wanted
            without = {_gang_of(pod) for pod in found.values() if pods.is_unschedulable(pod)} & wanted
            return bound if bound | without == wanted else None

        selector = f"{GANG_LABEL} in ({','.join(names)})"
        bound = self._run.wait(PODS, settled, seconds=FILL_SECONDS, selector=selector)
        if bound is None:
            present = self._run.items(PODS, selector=selector)
            bound = {_gang_of(pod) for pod in present if pods.node_of(pod)}
        backend.remove(*names)
        return bound

    def _prepare_store(self) -> None:
        """Start what keeps the checkpoints, on a claimed volume where one can be had."""
        if volumes.default_class(self._run) is not None:
            volumes.claim(self._run, CLAIM)
            self._claimed = CLAIM
        self._run.evidence.observe("checkpoints", "claimed volume" if self._claimed else "volume of a pod")
        self._run.create(
            SERVICES,
            STORE,
            {
                "spec": {
                    "selector": {ROLE_LABEL: STORE, **self._run.labels()},
                    "ports": [{"name": "http", "port": _STORE_PORT}],
                }
            },
        )
        self._start_store()

    def _start_store(self) -> None:
        environment = {"PROBE_FOLDER": "/kept", "PROBE_PORT": str(_STORE_PORT)}
        body = pods.pod([Container("store", "store", None, environment)], self._run.image(), Placement())
        volumes.mount(body, "state", "/tmp")  # noqa: S108 - a volume of the pod's own
        volumes.mount(body, "kept", "/kept", claimed=self._claimed)
        self._run.create(PODS, STORE, {**body, "metadata": {"labels": {ROLE_LABEL: STORE}}})

    def _environment(self, size: int) -> dict[str, str]:
        return {
            "PROBE_WORKERS": str(size),
            "PROBE_PEERS": f"{JOB}-@.{RING}:{_RING_PORT}",
            "PROBE_PORT": str(_RING_PORT),
            "PROBE_STEPS": str(STEPS),
            "PROBE_EVERY": str(EVERY),
            "PROBE_STORE": f"http://{STORE}:{_STORE_PORT}",
            "PROBE_BYTES": str(BYTES),
            "PROBE_HANG": f"{size - 1}:{HANG}",
        }

    def _await_start(self, size: int, backend: Backend) -> None:
        def judge(found: Mapping[str, Json]) -> str | None:
            _look_for_trouble(self._run, found)
            bound = sum(1 for pod in found.values() if pods.node_of(pod))
            running = sum(1 for pod in found.values() if pods.phase(pod) == "Running")
            if bound >= size and running >= size:
                return "running"
            return "apart" if running and bound < size else None

        seen = self._run.wait(PODS, judge, seconds=BIND_SECONDS, selector=_selector(JOB))
        if seen == "apart":
            self._run.pause(SETTLE_SECONDS)
            bound = sum(1 for pod in self._pods() if pods.node_of(pod))
            if bound < size:
                raise failed(
                    "started_apart",
                    f"{backend.title}: a worker ran while only {bound} of {size} were bound.",
                )
            seen = self._run.wait(PODS, judge, seconds=BIND_SECONDS, selector=_selector(JOB))
        if seen != "running":
            bound = sum(1 for pod in self._pods() if pods.node_of(pod))
            raise failed(
                "never_started",
                f"{backend.title}: of {size} workers, each with a free device, {bound} were bound in time "
                "and not all of them ran.",
            )
        self._workers = {_index(pod): _name(pod) for pod in self._pods()}
        self._run.evidence.observe("workers", {_name(pod): pods.node_of(pod) for pod in self._pods()})

    # Training ---------------------------------------------------------------------------------------

    @step("The workers find each other by name")
    def rendezvous(self) -> Verdict:
        """Each worker reaches every other one by the name a headless Service gives it."""

        def met(report: Report) -> Marker | None:
            return _first(report, "met") or _first(report, "end")

        for index, pod in self._workers.items():
            found = hear(self._run, pod, "worker", met, seconds=MEET_SECONDS)
            if found is None or found.word == "end":
                missing = f" It never reached worker {found.get('missing')}." if found else ""
                raise failed(
                    "no_rendezvous", f"Worker {index} did not meet the others by their names.{missing}"
                )
        return Verdict(
            Status.PASS, "met", f"Each of {len(self._workers)} workers reached all by name: {JOB}-0.{RING} …"
        )

    @step("Data goes round the ring")
    def exchange(self) -> Verdict:
        """Up to the step at which one worker hangs all have computed what they should have."""
        for index, pod in self._workers.items():
            reached = hear(self._run, pod, "worker", _arrived(HANG), seconds=EXCHANGE_SECONDS)
            if reached is None or reached.word == "end":
                raise failed(
                    "exchange_stalled",
                    f"Worker {index} did not come to step {HANG}: what its neighbour sends does not arrive.",
                )
            self._expect(index, HANG, reached.get("value"))
        return Verdict(
            Status.PASS,
            "exchanged",
            f"{HANG} times {BYTES // 1024} KiB went round, and every worker has the number it should have.",
        )

    def _expect(self, index: int, number: int, value: str) -> None:
        expected = self._expected[index][number]
        if value != str(expected):
            raise failed(
                "exchange_wrong",
                f"After step {number} worker {index} has {value} where {expected} is right.",
            )

    @step("Checkpoints are kept")
    def checkpoint(self) -> Verdict:
        """Each worker wrote a checkpoint and read the same back."""
        place = "a volume of the store's pod"
        if self._claimed:
            phase = (self._run.get(VOLUME_CLAIMS, self._claimed).get("status") or {}).get("phase")
            if phase != "Bound":
                raise failed(
                    "claim_not_bound", f"The claim of the default StorageClass is {phase}, not Bound."
                )
            place = "a claimed volume"
        for index, pod in self._workers.items():
            kept = hear(
                self._run, pod, "worker", lambda report: _first(report, "checkpoint"), seconds=RUN_SECONDS
            )
            if kept is None or kept.get("stored") != "yes":
                raise failed(
                    "checkpoint_not_kept",
                    f"The checkpoint of worker {index} could not be read back from {place}.",
                )
        return Verdict(
            Status.PASS, "checkpoints_kept", f"Every worker's checkpoint of step {EVERY} is kept on {place}."
        )

    # Recovery ---------------------------------------------------------------------------------------

    @step("The job recovers from the loss of a worker")
    def recovery(self) -> Verdict:
        """A killed worker comes back with the same index and goes on from its last checkpoint."""
        victim = max(self._workers)
        before = self._workers[victim]
        if self._claimed:
            # The volume must outlive whoever wrote to it, not just the worker.
            self._run.remove((PODS, STORE))
            self._start_store()
        self._kill(before)
        after = self._replacement(victim, before)
        resumed = hear(
            self._run,
            after,
            "worker",
            lambda report: _first(report, "resumed") or _first(report, "fresh") or _first(report, "end"),
            seconds=RUN_SECONDS,
        )
        if resumed is None or resumed.word != "resumed":
            raise failed(
                "not_resumed",
                f"Worker {victim} came back but did not find its checkpoint and began anew.",
            )
        at = resumed.get("n")
        if at != str(EVERY) or resumed.get("value") != str(self._expected[victim][EVERY]):
            raise failed(
                "not_resumed", f"Worker {victim} resumed at step {at} with something else than it had kept."
            )
        self._workers[victim] = after
        self._await_completion()
        return Verdict(
            Status.PASS,
            "recovered",
            f"Worker {victim} was killed at step {HANG} and resumed at step {EVERY}; the job came to its end "
            f"at step {STEPS} with every number right.",
        )

    def _kill(self, pod: str) -> None:
        """Remove a worker the job still needs; what it said is kept."""
        handle = Created(PODS, self._run.namespace, pod)
        self._run.capture(handle)
        delete(self._run.connection, handle, self._run.patience())
        self._killed = pod

    def _replacement(self, index: int, before: str) -> str:
        """Wait until the worker's replacement runs and return its name."""

        def judge(found: Mapping[str, Json]) -> str | None:
            for name, pod in found.items():
                if name != before and _index(pod) == index and pods.phase(pod) in {"Running", "Succeeded"}:
                    return name
            return None

        found = self._run.wait(PODS, judge, seconds=REPLACE_SECONDS, selector=_selector(JOB))
        if found is None:
            made = [pod for pod in self._pods() if _index(pod) == index and _name(pod) != before]
            why = "no pod took its place" if not made else "the pod in its place does not get to run"
            raise failed("not_replaced", f"Worker {index} was killed, and {why}.")
        return found

    def _await_completion(self) -> None:
        for index, pod in self._workers.items():
            end = hear(
                self._run, pod, "worker", lambda report: _first(report, "end"), seconds=COMPLETE_SECONDS
            )
            if end is None or end.get("done") != "yes":
                raise failed("not_completed", f"After the loss worker {index} did not come to its end.")
            self._expect(index, STEPS, end.get("value"))
        patience = self._run.patience(max(self._run.scaled(RELEASE_SECONDS), 5.0))
        while not _is_complete(self._run.get(JOBS, JOB)):
            if self._run.is_over(patience, 1):
                raise failed("not_completed", "All workers ended well, but the Job is not Complete.")
            self._run.patience().sleep(max(_SHORTEST_PAUSE, self._run.scaled(1)))

    # Release ----------------------------------------------------------------------------------------

    @step("The devices are free again", needs=("start_together", "recovery"))
    def release(self) -> Verdict:
        """As soon as the job is complete others get as many devices as it had."""
        size = len(self._workers)
        if held := self._await_no_claims():
            raise failed(
                "devices_not_released", f"The job is complete, but {held} of its claims hold devices."
            )
        bound = self._fill([f"next-{number}" for number in range(size)])
        if len(bound) < size:
            raise unknown(
                "capacity_changed",
                f"Only {len(bound)} of {size} pods got a device after the job; others may use the rest.",
            )
        return Verdict(Status.PASS, "released", f"With the job complete, {size} others got a device at once.")

    def _await_no_claims(self) -> int:
        """Wait until no claim of the job holds a device; return how many do in the end."""
        patience = self._run.patience(max(self._run.scaled(RELEASE_SECONDS), 5.0))
        while True:
            try:
                claims = self._run.items(RESOURCE_CLAIMS)
            except errors.NotFound:
                return 0
            held = [claim for claim in claims if (claim.get("status") or {}).get("allocation")]
            mine = [claim for claim in held if _owners(claim) & self._made()]
            if not mine or self._run.is_over(patience, 1):
                for claim in mine:
                    self._run.evidence.add_object(f"held/{_name(claim)}", claim)
                return len(mine)
            self._run.patience().sleep(max(_SHORTEST_PAUSE, self._run.scaled(1)))

    def _made(self) -> set[str]:
        return {self._killed, *(_name(pod) for pod in self._pods())}

    def _pods(self) -> list[Json]:
        return self._run.items(PODS, selector=_selector(JOB))

    def _gang(self) -> Backend:
        if self._backend is None:
            raise unknown("backend_missing", "No gang scheduler was chosen.")
        return self._backend


def numbers(workers: int, steps: int) -> list[list[int]]:
    """Return every worker's number after each step, as train.sh computes them."""
    found = [[index + 1] for index in range(workers)]
    for number in range(1, steps + 1):
        before = [row[-1] for row in found]
        for index, row in enumerate(found):
            row.append((before[index] * 31 + before[index - 1] + number) % _MODULUS)
    return found


def _placement(allocation: Allocation, backend: Backend) -> Placement:
    """Return a placement on a few nodes that together have devices for all workers."""
    chosen: list[str] = []
    for node in allocation.by_devices():
        if sum(allocation.per_node[name] for name in chosen) < MOST:
            chosen.append(node)
    whole = allocation.placement(*chosen)
    return whole if backend.pinned() else Placement((), whole.tolerations)


def _look_for_trouble(run: Run, found: Mapping[str, Json]) -> None:
    if any(pods.lacks_image(pod) for pod in found.values()):
        raise unknown("image_unpullable", f"The cluster cannot pull the image {run.image()}.")


def _arrived(number: int) -> Any:
    def judge(report: Report) -> Marker | None:
        for marker in report.all("step"):
            if marker.get("n") == str(number):
                return marker
        return _first(report, "end")

    return judge


def _first(report: Report, word: str) -> Marker | None:
    return next(iter(report.all(word)), None)


def _is_complete(job: Json) -> bool:
    return any(
        entry.get("type") == "Complete" and entry.get("status") == "True"
        for entry in (job.get("status") or {}).get("conditions") or []
    )


def _selector(name: str) -> str:
    return f"{GANG_LABEL}={name}"


def _gang_of(pod: Json) -> str:
    return str(((pod.get("metadata") or {}).get("labels") or {}).get(GANG_LABEL))


def _index(pod: Json) -> int:
    text = str(((pod.get("metadata") or {}).get("annotations") or {}).get(_INDEX, ""))
    return int(text) if text.isdigit() else -1


def _owners(claim: Json) -> set[str]:
    owners = (claim.get("metadata") or {}).get("ownerReferences") or []
    return {str(owner.get("name")) for owner in owners}


def _name(item: Json) -> str:
    return str((item.get("metadata") or {}).get("name"))

"""The life of one pod on its node: images, containers, conditions, the end."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Protocol

from conformance.simulator import programs, runtimes
from conformance.simulator.clock import micro_stamp, stamp
from conformance.simulator.hardware import (
    CLAIMS,
    EXTENDED_RESOURCE,
    DeviceShortageError,
    Hardware,
    claim_name,
)
from conformance.simulator.machinery import Deletion
from conformance.simulator.objects import Json, dig, is_deleting, set_condition, short_hash
from conformance.simulator.store import MissingError
from conformance.simulator.world import World

MAX_LOG_LINES = 10_000
ADMIT_SECONDS, PREPARE_SECONDS, PULL_SECONDS, CREATE_SECONDS = 0.1, 0.3, 1.2, 0.3
STOP_SECONDS, CLEANUP_SECONDS = 0.3, 0.3
FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 10.0, 300.0
_INVALID_HOST = re.compile(r"^[^/]+\.invalid(:\d+)?/")
_REFERENCE = re.compile(r"^[a-z0-9]+([._:/@-]+[A-Za-z0-9_]+)*$")
_DEFAULT_REGISTRY = "docker.io"


class NodeServices(Protocol):
    """What a pod's life needs of its node."""

    world: World
    hardware: Hardware

    def is_present(self, node: str, image: str) -> bool: ...
    def pulled(self, node: str, image: str) -> None: ...
    def is_pullable(self, image: str) -> bool: ...
    def crashes(self, image: str) -> bool: ...
    def stays_unready(self, pod: Json) -> bool: ...
    def refusal(self, pod: Json) -> tuple[str, str] | None: ...
    def network_problem(self, pod: Json) -> str | None: ...
    def address(self, node: str) -> str: ...
    def new_pod_address(self, node: str) -> str: ...


@dataclasses.dataclass(slots=True)
class Container:
    """One container as the kubelet knows it."""

    spec: Json
    state: Json
    is_init: bool = False
    restarts: int = 0
    ready: bool = False
    started: bool = False
    last_state: Json = dataclasses.field(default_factory=dict)
    image_id: str = ""
    container_id: str = ""
    lines: collections.deque[tuple[str, str]] = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=MAX_LOG_LINES)
    )
    previous_lines: tuple[tuple[str, str], ...] | None = None

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def terminated(self) -> Json | None:
        found = self.state.get("terminated")
        return dict(found) if found is not None else None

    def status(self) -> Json:
        status: Json = {
            "name": self.name,
            "state": self.state,
            "lastState": self.last_state,
            "ready": self.ready,
            "restartCount": self.restarts,
            "image": self.spec["image"],
            "imageID": self.image_id,
            "started": self.started,
        }
        if self.container_id:
            status["containerID"] = self.container_id
        return status


class PodLife:
    """Runs one pod from the moment it is bound to the moment it may be removed."""

    def __init__(self, node: NodeServices, pod: Json) -> None:
        self._node = node
        self._world = node.world
        self._clock = node.world.clock
        self.pod = pod
        self.uid = str(pod["metadata"]["uid"])
        self.node_name = str(pod["spec"]["nodeName"])
        self._start_time = stamp()
        self._address = ""
        self._phase = "Pending"
        self._reason, self._message = "", ""
        self._terminating = asyncio.Event()
        self._deleted = asyncio.Event()
        self._output = asyncio.Event()
        waiting = "PodInitializing" if pod["spec"].get("initContainers") else "ContainerCreating"
        self.inits = [
            Container(spec, {"waiting": {"reason": "PodInitializing"}}, is_init=True)
            for spec in pod["spec"].get("initContainers") or ()
        ]
        self.containers = [
            Container(spec, {"waiting": {"reason": waiting}}) for spec in pod["spec"]["containers"]
        ]

    @property
    def finished(self) -> bool:
        return self._phase in {"Succeeded", "Failed"}

    @property
    def output(self) -> asyncio.Event:
        """Set at the next line of output or change of state; replaced each time."""
        return self._output

    def find(self, name: str) -> Container | None:
        return next((entry for entry in (*self.inits, *self.containers) if entry.name == name), None)

    def terminate(self) -> None:
        """End the pod because it is being deleted; it goes when its containers have ended."""
        self._deleted.set()
        self._terminating.set()

    async def run(self) -> None:
        try:
            await self._live()
        finally:
            self._node.hardware.release(self.uid)
        await self._deleted.wait()
        await self._clock.sleep(CLEANUP_SECONDS)
        self._remove()

    async def _live(self) -> None:
        await self._pause(ADMIT_SECONDS)
        self._publish()
        refusal = self._node.refusal(self.pod)
        try:
            self._node.hardware.hold(self.pod, self.node_name)
        except DeviceShortageError as error:
            refusal = (f"OutOf{EXTENDED_RESOURCE}", str(error))
        if refusal is not None:
            self._phase, (self._reason, self._message) = "Failed", refusal
            self._publish()
            return
        deadline = self.pod["spec"].get("activeDeadlineSeconds")
        timer = self._clock.call_later(deadline, self._expire) if deadline else None
        try:
            await self._work()
        finally:
            if timer is not None:
                timer.cancel()

    def _expire(self) -> None:
        """End a pod that has been active for longer than it may."""
        if not self.finished and not self._terminating.is_set():
            self._reason = "DeadlineExceeded"
            self._message = "Pod was active on the node longer than the specified deadline"
            self._terminating.set()

    async def _work(self) -> None:
        await self._pause(PREPARE_SECONDS)
        await self._prepare_claims()
        if self._terminating.is_set():
            self._end_waiting()
            self._finish()
            return
        await self._make_sandbox()
        if self._terminating.is_set():
            self._end_waiting()
            self._finish()
            return
        self._address = self._node.new_pod_address(self.node_name)
        for entry in self.inits:
            await self._container(entry)
            if self._terminating.is_set() or _failed(entry):
                break
        else:
            await asyncio.gather(*(self._container(entry) for entry in self.containers))
        if self._terminating.is_set():
            self._end_waiting()
        self._finish()

    async def _prepare_claims(self) -> None:
        """Wait until every claim is allocated and reserved for the pod.

        A pod the scheduler placed has that behind it; one put on its node by hand waits for ever.
        """
        backoff = ADMIT_SECONDS
        while not self._terminating.is_set():
            problem = self._claim_problem()
            if problem is None:
                return
            self._event("Warning", "FailedPrepareDynamicResources", problem)
            await self._pause(backoff)
            backoff = min(backoff * 2, MAX_BACKOFF_SECONDS)

    async def _make_sandbox(self) -> None:
        """Wait until the runtime can make a place for the containers, for ever where it never can."""
        while not self._terminating.is_set():
            problem = runtimes.problem(self._world, self.pod) or self._node.network_problem(self.pod)
            if problem is None:
                return
            self._event("Warning", "FailedCreatePodSandBox", problem)
            await self._pause(FIRST_BACKOFF_SECONDS)

    def _claim_problem(self) -> str | None:
        pod = self._stored() or self.pod
        namespace = pod["metadata"]["namespace"]
        for entry in pod["spec"].get("resourceClaims") or ():
            name = claim_name(pod, entry["name"])
            claim = self._world.store.get(CLAIMS, namespace, name or "")
            reserved = dig(claim, "status", "reservedFor", default=())
            if not any(consumer["uid"] == self.uid for consumer in reserved):
                who = f"pod {pod['metadata']['name']} ({self.uid}) is not allowed to use"
                return f"Failed to prepare dynamic resources: {who} resource claim {name}"
        return None

    def _finish(self) -> None:
        entries = [*self.inits, *self.containers]
        succeeded = all(entry.terminated and entry.terminated["exitCode"] == 0 for entry in entries)
        self._phase = "Succeeded" if succeeded and not self._reason else "Failed"
        self._publish()

    def _end_waiting(self) -> None:
        """Give containers that never ran the end the kubelet reports for them."""
        for entry in (*self.inits, *self.containers):
            entry.ready = False
            if entry.terminated is None:
                message = "The container could not be located when the pod was terminated"
                terminated = {
                    "exitCode": programs.KILLED,
                    "reason": "ContainerStatusUnknown",
                    "message": message,
                }
                entry.state = {"terminated": {**terminated, "startedAt": None, "finishedAt": None}}

    async def _container(self, entry: Container) -> None:
        """Run a container until it needs no restart any more, or the pod ends."""
        policy = self.pod["spec"]["restartPolicy"]
        backoff = FIRST_BACKOFF_SECONDS
        while not self._terminating.is_set():
            if not await self._pull(entry):
                return
            await self._execute(entry)
            code = (entry.terminated or {}).get("exitCode", 0)
            again = (policy == "OnFailure" and code != 0) or (
                policy == "Always" and (not entry.is_init or code != 0)
            )
            if self._terminating.is_set() or not again:
                return
            self._event(
                "Warning",
                "BackOff",
                f"Back-off restarting failed container {entry.name} in pod {self._name()}",
            )
            entry.last_state = entry.state
            entry.ready = entry.started = False
            message = f"back-off {backoff:.0f}s restarting failed container={entry.name} pod={self._name()}"
            entry.state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
            self._publish()
            await self._pause(backoff)
            backoff = min(backoff * 2, MAX_BACKOFF_SECONDS)
            entry.restarts += 1
            entry.previous_lines = tuple(entry.lines)
            entry.lines.clear()

    def _name(self) -> str:
        metadata = self.pod["metadata"]
        return f"{metadata['name']}_{metadata['namespace']}({self.uid})"

    async def _pull(self, entry: Container) -> bool:
        """Bring the image to the node; returns whether it is there in the end."""
        image, policy = str(entry.spec["image"]), entry.spec.get("imagePullPolicy")
        backoff = FIRST_BACKOFF_SECONDS
        if self._node.is_present(self.node_name, image) and policy != "Always":
            message = f'Container image "{image}" already present on machine'
            self._event("Normal", "Pulled", message)
            return True
        while not self._terminating.is_set():
            problem = self._image_problem(image, policy)
            if problem is None:
                await self._pull_once(entry, image)
                return not self._terminating.is_set()
            reason, message = problem
            if reason == "ErrImagePull":
                self._event("Normal", "Pulling", f'Pulling image "{image}"')
                await self._pause(PULL_SECONDS)
            self._event("Warning", "Failed", f'Failed to pull image "{image}": {message}')
            self._event("Warning", "Failed", f"Error: {reason}")
            self._wait(entry, reason, message)
            await self._pause(FIRST_BACKOFF_SECONDS / 5)
            if reason == "ErrImagePull" and not self._terminating.is_set():
                self._event("Normal", "BackOff", f'Back-off pulling image "{image}"')
                self._event("Warning", "Failed", "Error: ImagePullBackOff")
                self._wait(
                    entry, "ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {message}'
                )
            await self._pause(backoff)
            backoff = min(backoff * 2, MAX_BACKOFF_SECONDS)
        return False

    async def _pull_once(self, entry: Container, image: str) -> None:
        self._event("Normal", "Pulling", f'Pulling image "{image}"')
        seconds = 0.0 if self._node.is_present(self.node_name, image) else PULL_SECONDS
        await self._pause(seconds)
        self._node.pulled(self.node_name, image)
        size = programs.image(image).size
        taken = f"{seconds:.3f}s ({seconds:.3f}s including waiting)"
        message = f'Successfully pulled image "{image}" in {taken}. Image size: {size} bytes.'
        self._event("Normal", "Pulled", message)

    def _image_problem(self, image: str, policy: str | None) -> tuple[str, str] | None:
        if not _REFERENCE.match(image):
            problem = f'couldn\'t parse image name "{image}": invalid reference format'
            return "InvalidImageName", f'Failed to apply default image tag "{image}": {problem}'
        present = self._node.is_present(self.node_name, image)
        if policy == "Never" and not present:
            return "ErrImageNeverPull", f'Container image "{image}" is not present with pull policy of Never'
        if present or (self._node.is_pullable(image) and not _INVALID_HOST.match(image)):
            return None
        host = image.partition("/")[0]
        reference = image
        if "." not in host:
            host, reference = _DEFAULT_REGISTRY, f"{_DEFAULT_REGISTRY}/library/{image}"
        return "ErrImagePull", (
            f'rpc error: code = Unknown desc = failed to pull and unpack image "{reference}": '
            f'failed to resolve reference "{reference}": failed to do request: '
            f'Head "https://{host}/v2/": dial tcp: lookup {host}: no such host'
        )

    def _wait(self, entry: Container, reason: str, message: str) -> None:
        entry.state = {"waiting": {"reason": reason, "message": message}}
        self._publish()

    async def _execute(self, entry: Container) -> None:
        """Run a container's program once."""
        entry.container_id = f"containerd://{short_hash([self.uid, entry.name, entry.restarts]) * 6}"
        entry.image_id = f"{entry.spec['image']}@sha256:{short_hash(entry.spec['image']) * 6}"
        self._event("Normal", "Created", f"Created container: {entry.name}")
        await self._pause(CREATE_SECONDS)
        view = self._node.hardware.view(self.pod, entry.name)
        try:
            run = programs.run(
                self.pod,
                entry.spec,
                view,
                crashes=self._node.crashes(entry.spec["image"]),
                address=self._address,
                world=self._world,
            )
        except programs.StartError as error:
            self._event("Warning", "Failed", f"Error: {error}")
            self._stop(entry, programs.CANNOT_START, "StartError", str(error), None)
            return
        started = stamp()
        entry.state = {"running": {"startedAt": started}}
        entry.started = True
        entry.ready = run.gets_ready and not self._node.stays_unready(self.pod)
        self._event("Normal", "Started", f"Started container {entry.name}")
        for line in run.first:
            self._print(entry, line)
        if run.seconds or run.work or not run.first:
            self._publish()
        with self._working(entry, run):
            was_stopped, code = await self._work_through(entry, run)
            if not was_stopped and code is None:
                was_stopped = await self._wait_for_end(run.seconds)
            grace = int(self.pod["metadata"].get("deletionGracePeriodSeconds") or 0)
            if was_stopped and run.drains:
                await self._clock.sleep(min(run.drains, grace))
        if was_stopped:
            await self._clock.sleep(STOP_SECONDS if run.on_term is not None else grace)
            code = programs.KILLED if run.on_term is None else run.on_term
        else:
            code = run.code if code is None else code
            for line in run.last:
                self._print(entry, line)
        self._stop(entry, code, "Completed" if code == 0 else "Error", "", started)

    @contextlib.contextmanager
    def _working(self, entry: Container, run: programs.Run) -> Iterator[None]:
        """Let the program's ports answer and its repeated work go on for as long as it runs."""
        network = self._world.network
        for port, handler in run.listens.items():
            network.listen(self._address, port, handler)
        task = None
        if run.repeats is not None:
            repeated = self._repeat(run.repeats, run.every)
            task = self._world.spawn(repeated, f"container {entry.name} of {self._name()}")
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
            for port in run.listens:
                network.close(self._address, port)

    async def _repeat(self, work: Callable[[], object], every: float) -> None:
        while True:
            work()
            await self._clock.sleep(every)

    async def _work_through(self, entry: Container, run: programs.Run) -> tuple[bool, int | None]:
        """Let the program do its work; returns whether the pod's end came first, and an exit code."""
        if run.work is None:
            return False, None
        work = asyncio.ensure_future(run.work(lambda line: self._print(entry, line)))
        end = asyncio.ensure_future(self._terminating.wait())
        try:
            await asyncio.wait({work, end}, return_when=asyncio.FIRST_COMPLETED)
            return (False, work.result()) if work.done() else (True, None)
        finally:
            work.cancel()
            end.cancel()

    async def _wait_for_end(self, seconds: float) -> bool:
        """Wait until the program is through; returns whether the pod's end came first."""
        timeout = None if seconds == float("inf") else self._clock.scaled(seconds)
        if timeout == 0:
            return False
        try:
            await asyncio.wait_for(self._terminating.wait(), timeout)
        except TimeoutError:
            return False
        return True

    def _stop(self, entry: Container, code: int, reason: str, message: str, started: str | None) -> None:
        terminated: Json = {"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": stamp()}
        message = message or self._termination_message(entry, code)
        if message:
            terminated["message"] = message
        terminated["containerID"] = entry.container_id
        entry.state = {"terminated": terminated}
        entry.ready = entry.started = False
        self._publish()

    @staticmethod
    def _termination_message(entry: Container, code: int) -> str:
        if entry.spec.get("terminationMessagePolicy") != "FallbackToLogsOnError" or code == 0:
            return ""
        return "".join(f"{text}\n" for _, text in list(entry.lines)[-80:])[-2048:]

    def _print(self, entry: Container, line: str) -> None:
        entry.lines.append((micro_stamp(), line))
        self._stir()

    def _stir(self) -> None:
        self._output.set()
        self._output = asyncio.Event()

    async def _pause(self, seconds: float) -> None:
        """Sleep, but wake at once when the pod is to end."""
        if seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._terminating.wait(), self._clock.scaled(seconds))

    def _event(self, kind: str, reason: str, message: str) -> None:
        pod = self._stored()
        if pod is not None:
            self._world.recorder.record(pod, kind, reason, message, component="kubelet", host=self.node_name)

    def _stored(self) -> Json | None:
        metadata = self.pod["metadata"]
        pod = self._world.store.get("pods", metadata["namespace"], metadata["name"])
        return pod if pod is not None and pod["metadata"]["uid"] == self.uid else None

    def _publish(self) -> None:
        """Write the pod's status as it stands now."""
        self._stir()
        if self._stored() is None:
            return
        metadata = self.pod["metadata"]
        self._world.api.edit("pods", metadata["namespace"], metadata["name"], self._fill)

    def _fill(self, pod: Json) -> None:
        status = pod["status"]
        running = any(
            entry.started or "terminated" in entry.state or entry.restarts for entry in self.containers
        )
        if not self.finished:
            self._phase = "Running" if running else "Pending"
        status["phase"] = self._phase
        status["startTime"] = self._start_time
        host = self._node.address(self.node_name)
        status["hostIP"], status["hostIPs"] = host, [{"ip": host}]
        if self._address:
            status["podIP"], status["podIPs"] = self._address, [{"ip": self._address}]
        if self._reason:
            status["reason"], status["message"] = self._reason, self._message
        status["containerStatuses"] = [entry.status() for entry in self.containers]
        if self.inits:
            status["initContainerStatuses"] = [entry.status() for entry in self.inits]
        self._conditions(status.setdefault("conditions", []))

    def _conditions(self, conditions: list[Json]) -> None:
        initialized = all(entry.terminated and entry.terminated["exitCode"] == 0 for entry in self.inits)
        sandboxed = bool(self._address) and not self.finished
        set_condition(conditions, "PodReadyToStartContainers", str(sandboxed), lastProbeTime=None)
        if initialized:
            reason = "PodCompleted" if self._phase == "Succeeded" else None
            set_condition(conditions, "Initialized", "True", reason=reason)
        else:
            names = " ".join(entry.name for entry in self.inits if entry.terminated is None)
            message = f"containers with incomplete status: [{names}]"
            set_condition(
                conditions, "Initialized", "False", reason="ContainersNotInitialized", message=message
            )
        unready = [entry.name for entry in self.containers if not entry.ready]
        for kind in ("Ready", "ContainersReady"):
            if self.finished:
                reason = "PodCompleted" if self._phase == "Succeeded" else "PodFailed"
                set_condition(conditions, kind, "False", reason=reason)
            elif unready:
                message = f"containers with unready status: [{' '.join(unready)}]"
                set_condition(conditions, kind, "False", reason="ContainersNotReady", message=message)
            else:
                set_condition(conditions, kind, "True")

    def _remove(self) -> None:
        pod = self._stored()
        if pod is None or not is_deleting(pod):
            return
        metadata = pod["metadata"]
        kind = self._world.types.get("pods")
        with contextlib.suppress(MissingError):
            self._world.api.delete(
                kind, metadata["namespace"], metadata["name"], Deletion(grace_seconds=0, uid=self.uid)
            )


def _failed(entry: Container) -> bool:
    return entry.terminated is None or dig(entry.state, "terminated", "exitCode") != 0

"""A simulated cluster in a thread of its own."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import contextlib
import dataclasses
import logging
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import yaml
from aiohttp import web

from conformance.cluster import rbac
from conformance.simulator import certificates, custom_metrics, fleet, platform, roughness, vendor
from conformance.simulator.admission import has_ready_endpoint
from conformance.simulator.authorization import ADMIN, service_account
from conformance.simulator.certificates import Identity
from conformance.simulator.clock import Clock, stamp
from conformance.simulator.controllers import autoscaler, ray, volumes
from conformance.simulator.controllers.autoscaler import NodeAutoscaler
from conformance.simulator.controllers.claims import ClaimController
from conformance.simulator.controllers.gateways import GatewayController
from conformance.simulator.controllers.hpa import PodAutoscaler
from conformance.simulator.controllers.jobs import JobController
from conformance.simulator.controllers.kubelet import Kubelet, NodeHeartbeat
from conformance.simulator.controllers.kueue import Kueue
from conformance.simulator.controllers.lifecycle import (
    DEFINITIONS,
    DefinitionController,
    GarbageCollector,
    NamespaceController,
)
from conformance.simulator.controllers.network import NetworkDriver
from conformance.simulator.controllers.nodes import NodeGarbageCollector
from conformance.simulator.controllers.podgroups import PodGroupBackend
from conformance.simulator.controllers.queues import GroupedBackend, Kai, Volcano
from conformance.simulator.controllers.quotas import QuotaController
from conformance.simulator.controllers.ray import RayOperator
from conformance.simulator.controllers.sandboxes import SandboxController
from conformance.simulator.controllers.scheduler import Scheduler
from conformance.simulator.controllers.volumes import VolumeController
from conformance.simulator.controllers.workloads import (
    DaemonSetController,
    DeploymentController,
    EndpointSliceController,
    ReplicaSetController,
)
from conformance.simulator.custom_metrics import MetricsAdapter
from conformance.simulator.fabric import Fabric
from conformance.simulator.hardware import Hardware
from conformance.simulator.kinds import ResourceType, Types, builtin_types, group_types, resource_types
from conformance.simulator.machinery import Deletion
from conformance.simulator.objects import Json, dig, is_condition_true
from conformance.simulator.profiles import IN_TREE, KAI, KUEUE, VOLCANO, Profile, profile
from conformance.simulator.server import ApiServer
from conformance.simulator.world import Controller, Faults, World

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
START_SECONDS = 30.0
CALL_SECONDS = 30.0
SHUTDOWN_SECONDS = 0.5
SETTLE_SECONDS, SETTLE_POLL_SECONDS, SETTLE_SPEED = 5.0, 0.01, 200.0

Result = TypeVar("Result")


class SimulatedCluster:
    """A running simulated cluster; a context manager that stops it."""

    def __init__(self, chosen: Profile, *, port: int, speed: float, identity: Identity) -> None:
        self.profile = chosen
        self.speed = speed
        self._port = port
        self._identity = identity
        self._loop = asyncio.new_event_loop()
        self._stopping: asyncio.Event | None = None
        self._ready: concurrent.futures.Future[int] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._main, name=f"simulated {chosen.name}", daemon=True)
        self._world: World | None = None
        self._thread.start()
        try:
            self.port = self._ready.result(START_SECONDS)
        except BaseException:
            self.stop()
            raise
        self.store = StoreView(self)

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    @property
    def kubeconfig(self) -> str:
        """The kubeconfig a vendor would hand over: the verifier's token and nothing more."""
        return self._kubeconfig(rbac.ACCOUNT, self._identity.verifier_token)

    @property
    def admin_kubeconfig(self) -> str:
        return self._kubeconfig("kubernetes-admin", self._identity.admin_token)

    @property
    def settings(self) -> str:
        """The probe settings a vendor would hand over with it."""
        return yaml.safe_dump(vendor.settings(self.profile), sort_keys=False)

    def _kubeconfig(self, user: str, token: str) -> str:
        name = f"simulated-{self.profile.name}"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": name,
                    "cluster": {
                        "server": self.url,
                        "certificate-authority-data": base64.b64encode(self._identity.ca).decode(),
                    },
                }
            ],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
            "current-context": name,
        }
        return yaml.safe_dump(document, sort_keys=False)

    def requests(self) -> Counter[str]:
        """Return how often clients asked for what so far: by verb and resource, as in ``list pods``."""
        return self.call(lambda world: Counter(world.requests))

    def call(self, action: Callable[[World], Result]) -> Result:
        """Run `action` on the cluster's own loop and return what it returns."""

        async def run() -> Result:
            if self._world is None:
                raise RuntimeError("the simulated cluster is not running")
            return action(self._world)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(CALL_SECONDS)

    def stop(self) -> None:
        """Stop the cluster and wait until its port is free; more than once does no harm."""
        if not self._thread.is_alive():
            return
        stopping = self._stopping
        if stopping is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(stopping.set)
        self._thread.join(START_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._run())
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            else:
                logger.exception("the simulated cluster failed")
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _run(self) -> None:
        self._stopping = asyncio.Event()
        built = build(self.profile, self.speed)
        self._world = built.world
        await settle(built.world)
        server = ApiServer(built.world, self.profile, version(self.profile, self.speed), built.kubelet)
        if server.roughness.watch_seconds is not None:
            built.world.spawn(server.roughness.forget(), "forgetting")
        server.tokens.issue(ADMIN, self._identity.admin_token)
        account = built.world.store.get("serviceaccounts", rbac.HOME, rbac.ACCOUNT)
        uid = account["metadata"]["uid"] if account is not None else ""
        server.tokens.issue(service_account(rbac.HOME, rbac.ACCOUNT, uid), self._identity.verifier_token)
        runner = web.AppRunner(
            server.application(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        await runner.setup()
        try:
            site = web.TCPSite(
                runner,
                HOST,
                self._port,
                ssl_context=certificates.server_context(self._identity),
                reuse_address=True,
            )
            await site.start()
            self._ready.set_result(int(runner.addresses[0][1]))
            await self._stopping.wait()
        finally:
            for controller in built.controllers:
                controller.stop()
            await _hang_up(runner)
            await built.world.close()
            await _end_tasks()


async def _hang_up(runner: web.AppRunner) -> None:
    """Close the server and its connections; a client that is slow to say goodbye is cut off."""
    handlers = runner.server.connections if runner.server is not None else []
    transports = [handler.transport for handler in handlers]
    await runner.cleanup()
    for transport in transports:
        if transport is not None:
            transport.abort()
    # The sockets close in the next rounds of the loop.
    await asyncio.sleep(SETTLE_POLL_SECONDS)


async def _end_tasks() -> None:
    """End what is left of requests whose clients never went away by themselves."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Built:
    world: World
    kubelet: Kubelet
    controllers: list[Controller]


def build(chosen: Profile, speed: float) -> Built:
    """Make a cluster's world with its controllers and everything its platform brings along."""
    world = World(Types(_served(chosen)), Clock(speed), Faults(chosen.faults))
    roughness.furnish(world, chosen.manners)
    hardware = world.hardware = Hardware(fleet.accelerators(chosen), world.store, world.faults)
    kubelet = Kubelet(world, hardware)
    kinds: list[type[Controller]] = [
        NamespaceController,
        GarbageCollector,
        DefinitionController,
        NodeHeartbeat,
        NodeGarbageCollector,
        ReplicaSetController,
        DeploymentController,
        DaemonSetController,
        JobController,
        EndpointSliceController,
        RayOperator,
        SandboxController,
        VolumeController,
        QuotaController,
        GatewayController,
    ]
    if chosen.has_dra:
        kinds.append(ClaimController)
    if chosen.gang == KUEUE:
        kinds.append(Kueue)
    adapter = None
    if "metrics-adapter-missing" not in chosen.faults:
        adapter = world.types.extensions[custom_metrics.GROUP] = MetricsAdapter(world)
    controllers = [kind(world) for kind in kinds]
    controllers.append(PodAutoscaler(world, adapter))
    backends: list[PodGroupBackend | GroupedBackend] = []
    if chosen.gang in _BACKENDS:
        backends.append(_BACKENDS[chosen.gang](world))
    controllers += [kubelet, *backends, Scheduler(world, backends)]
    if chosen.has_fast_network:
        world.fabric = Fabric(world, chosen)
        controllers.append(NetworkDriver(world, world.fabric))
    if chosen.is_autoscaled:
        controllers.append(NodeAutoscaler(world, chosen, hardware))
    platform.seed(world, chosen, hardware)
    further = [*autoscaler.tenant_objects(chosen), *volumes.objects(chosen)]
    further += roughness.objects(chosen.manners)
    for obj in (*further, *(custom_metrics.api_services() if adapter else ())):
        platform.create(world, obj)
    roughness.finish(world, chosen.manners)
    custom_metrics.mark_available(world)
    kubelet.preloaded = platform.preloaded_images(world)
    for obj in platform.verifier_objects(chosen):
        platform.create(world, obj)
    return Built(world, kubelet, controllers)


_BACKENDS: dict[str, type[PodGroupBackend | GroupedBackend]] = {
    IN_TREE: PodGroupBackend,
    VOLCANO: Volcano,
    KAI: Kai,
}


async def settle(world: World) -> None:
    """Let the platform come up in quick motion: its first user finds it running."""
    loop = asyncio.get_running_loop()
    speed, deadline = world.clock.speed, loop.time() + SETTLE_SECONDS
    world.clock.speed = max(speed, SETTLE_SPEED)
    try:
        # A few rounds at the start only; four kinds would have to be listened to otherwise.
        while not _is_settled(world) and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(SETTLE_POLL_SECONDS)
    finally:
        world.clock.speed = speed


def _is_settled(world: World) -> bool:
    """Whether everything installed runs, but for the operator where that is the profile's defect."""
    awaited = [
        entry
        for entry in world.store.each("deployments.apps")
        if not ("operator-pods-down" in world.faults and entry["metadata"]["namespace"] == ray.HOME)
        and vendor.comes_up(entry, world.faults)
    ]
    return (
        all(is_condition_true(entry, "Available") for entry in awaited)
        and all(
            dig(entry, "status", "conditions")
            if "operator-definition-conflict" in world.faults
            else is_condition_true(entry, "Established")
            for entry in world.store.each(DEFINITIONS)
        )
        and all(
            dig(entry, "status", "numberReady") == dig(entry, "status", "desiredNumberScheduled", default=-1)
            for entry in world.store.each("daemonsets.apps")
        )
        and all(
            has_ready_endpoint(world.store, entry["metadata"]["namespace"], entry["metadata"]["name"])
            for entry in world.store.each("services")
            if entry["metadata"]["namespace"] != ray.HOME or "operator-pods-down" not in world.faults
        )
    )


def _served(chosen: Profile) -> list[ResourceType]:
    """Return what the API server itself serves."""
    served = [
        *builtin_types(),
        *(resource_types(chosen.resource_versions) if chosen.resource_versions else ()),
        *(group_types(chosen.group_versions) if chosen.group_versions else ()),
    ]
    if "dra-verb-missing" in chosen.faults:
        served = [_without_patch(kind) if kind.kind == "ResourceClaimTemplate" else kind for kind in served]
    if "dra-slices-missing" in chosen.faults:
        served = [kind for kind in served if kind.kind != "ResourceSlice"]
    return served


def _without_patch(kind: ResourceType) -> ResourceType:
    return dataclasses.replace(kind, verbs=tuple(verb for verb in kind.verbs if verb != "patch"))


def version(chosen: Profile, speed: float) -> Json:
    """Return the answer to ``/version``; `simulated` is what no real server says."""
    major, minor = chosen.version.split(".")
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "gitVersion": chosen.git_version,
        "gitCommit": "0" * 40,
        "gitTreeState": "clean",
        "buildDate": stamp(),
        "goVersion": "go1.25.4",
        "compiler": "gc",
        "platform": "linux/amd64",
        "simulated": {"profile": chosen.name, "speed": speed},
    }


class StoreView:
    """Looks into a running cluster's storage from another thread, past the API and its rights."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster

    def list(self, key: str, namespace: str = "") -> list[Json]:
        """Return all objects of a resource, named as in ``jobs.batch``."""
        return self._cluster.call(lambda world: world.store.all(key, namespace))

    def get(self, key: str, namespace: str, name: str) -> Json | None:
        return self._cluster.call(lambda world: world.store.get(key, namespace, name))

    def create(self, obj: Json) -> Json:
        return self._cluster.call(lambda world: platform.create(world, obj))

    def edit(self, key: str, namespace: str, name: str, change: Callable[[Json], None]) -> Json | None:
        return self._cluster.call(lambda world: world.api.edit(key, namespace, name, change))

    def delete(self, key: str, namespace: str, name: str) -> None:
        deletion = Deletion(grace_seconds=0, propagation="Background")
        self._cluster.call(lambda world: world.api.delete(world.types.get(key), namespace, name, deletion))

    def compact(self) -> None:
        """Make every older resourceVersion expire."""
        self._cluster.call(lambda world: world.store.compact())


def start(name: str, *, port: int = 0, speed: float = 1.0, ca_dir: Path | None = None) -> SimulatedCluster:
    """Start the simulated cluster of a profile on the loopback address and return it running.

    With `ca_dir` its authority and tokens outlive it, so that it can come back at the same address.
    Raises UnknownProfileError.
    """
    chosen = profile(name)
    identity = certificates.kept_identity(ca_dir) if ca_dir is not None else certificates.new_identity()
    return SimulatedCluster(chosen, port=port, speed=speed, identity=identity)

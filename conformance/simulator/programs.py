"""What containers do: models of the programs that run in a simulated pod.

A model is chosen by what the container is told to run, and prints what the real program would for
the devices that container was given.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import importlib
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from conformance import probes
from conformance.simulator import models
from conformance.simulator.hardware import View
from conformance.simulator.network import Handler
from conformance.simulator.objects import Json, dig
from conformance.simulator.world import World

COMMAND_NOT_FOUND = 127
CANNOT_START = 128
TERMINATED = 143
KILLED = 137

FOREVER = float("inf")
_ID = re.compile(r"^c:\d+:\d+$")
_SHELL_ARGUMENTS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """The life of a container: lines at its start, a wait, lines at its end, an exit code.

    `seconds` is how long it runs by itself. `on_term` is the exit code after a TERM signal; None
    stands for a program that ignores it and is killed when its grace period is over. While it runs
    it answers requests to the ports it `listens` at, and does what it `repeats` `every` so many seconds.
    `work` is what it does before the wait; it is handed a function that prints a line, and where it
    returns an exit code the program ends with that at once. After a TERM signal it goes on for `drains`
    seconds, as far as its grace period allows.
    """

    first: tuple[str, ...] = ()
    seconds: float = 0.0
    last: tuple[str, ...] = ()
    code: int = 0
    on_term: int | None = TERMINATED
    gets_ready: bool = True
    listens: Mapping[int, Handler] = dataclasses.field(default_factory=dict)
    repeats: Callable[[], object] | None = None
    every: float = 1.0
    work: Callable[[Callable[[str], None]], Coroutine[Any, Any, int | None]] | None = None
    drains: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """What a program finds when it starts.

    `address` is the pod's. `world` is None where a program is tried outside of any cluster.
    """

    pod: Json
    container: Json
    variables: Mapping[str, str]
    view: View
    address: str = ""
    world: World | None = None


Model = Callable[[Process], Run]
_models: dict[str, Model] = {}
_services: dict[str, Model] = {}


def models_program(name: str) -> Callable[[Model], Model]:
    """Register the model of the probe program `name`."""

    def register(model: Model) -> Model:
        if name in _models:
            raise ValueError(f"two models of {name}")
        _models[name] = model
        return model

    return register


def models_image(name: str) -> Callable[[Model], Model]:
    """Register the model of what images called `name` run when no command is given."""

    def register(model: Model) -> Model:
        if name in _services:
            raise ValueError(f"two models of the image {name}")
        _services[name] = model
        return model

    return register


@functools.cache
def _known_models() -> Mapping[str, Model]:
    """Import every module of models and return what they and this one register."""
    for name in models.names():
        importlib.import_module(f"{models.__name__}.{name}")
    return _models


class StartError(Exception):
    """The runtime cannot start the container's process."""


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """What the simulation knows of an image: its shells, and what it runs when told nothing."""

    shells: frozenset[str]
    serves: bool
    size: int


_BUSYBOX = Image(frozenset({"/bin/sh", "sh"}), serves=False, size=2_223_659)
_RAY = Image(frozenset({"/bin/sh", "sh", "/bin/bash", "bash"}), serves=True, size=903_114_212)
_SERVICE = Image(frozenset(), serves=True, size=48_217_601)


def image(reference: str) -> Image:
    """Return the image behind a reference; one nobody knows is a service without a shell."""
    name = _name_of(reference)
    if name in {"busybox", "alpine"}:
        return _BUSYBOX
    if name in {"ray", "ray-ml"}:
        return _RAY
    return _SERVICE


def _name_of(reference: str) -> str:
    return re.sub(r"(@sha256:.*|:[^/:]*)$", "", reference).rpartition("/")[2]


def run(
    pod: Json,
    container: Json,
    view: View,
    *,
    crashes: bool = False,
    address: str = "",
    world: World | None = None,
) -> Run:
    """Return what `container` does; raises StartError where its command is not in the image."""
    if crashes:
        line = "panic: unable to start manager: context deadline exceeded"
        return Run(first=(line,), seconds=1.0, code=2, gets_ready=False)
    known = image(container["image"])
    command = [*(container.get("command") or ()), *(container.get("args") or ())]
    process = Process(pod, container, variables(pod, container, address, world), view, address, world)
    if not container.get("command"):
        _known_models()
        if service := _services.get(_name_of(container["image"])):
            return service(process)
        return Run(seconds=FOREVER, on_term=0) if known.serves else Run()
    executable = command[0]
    if executable in {"sleep", "/bin/sleep"} and known is _BUSYBOX:
        return Run(seconds=seconds_of(command[1] if len(command) > 1 else "0"), on_term=None)
    if executable.rpartition("/")[2] in {"sh", "bash"}:
        if executable not in known.shells:
            missing = f'exec: "{executable}": stat {executable}: no such file or directory'
            raise StartError(
                "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
                "runc create failed: unable to start container process: error during container init: "
                f"{missing}: unknown"
            )
        return _shell(process, command, known)
    return Run(seconds=FOREVER, on_term=0)


def variables(pod: Json, container: Json, address: str = "", world: World | None = None) -> dict[str, str]:
    """Return the environment of a container; of the pod's own fields those that programs ask for."""
    metadata = pod.get("metadata") or {}
    fields = {
        "metadata.name": metadata.get("name"),
        "metadata.namespace": metadata.get("namespace"),
        "metadata.uid": metadata.get("uid"),
        "spec.nodeName": pod["spec"].get("nodeName"),
        "status.podIP": address or dig(pod, "status", "podIP"),
    }
    return {
        str(entry["name"]): str(
            entry.get("value")
            or fields.get(dig(entry, "valueFrom", "fieldRef", "fieldPath", default=""))
            or _secret(pod, dig(entry, "valueFrom", "secretKeyRef"), world)
            or ""
        )
        for entry in container.get("env") or ()
        if "name" in entry
    }


def _secret(pod: Json, reference: Json | None, world: World | None) -> str:
    """Return what a key of a Secret holds, nothing where there is none."""
    if reference is None or world is None:
        return ""
    secret = world.store.get("secrets", pod["metadata"]["namespace"], str(reference["name"]))
    return base64.b64decode(dig(secret, "data", reference["key"], default="")).decode()


def _shell(process: Process, command: list[str], known: Image) -> Run:
    text = command[2] if len(command) > 2 else ""  # noqa: PLR2004 - sh -c TEXT
    if known is _RAY and "ray start" in " ".join(command):
        return Run(first=("Ray runtime started.",), seconds=FOREVER, on_term=0)
    if known is _RAY and "ray health-check" in " ".join(command):
        return Run(first=("GCS is ready.",), seconds=1.0)
    name = command[3] if len(command) == _SHELL_ARGUMENTS else ""
    model = _known_models().get(name)
    if model is None or command[1] != "-c" or text != probes.script(name):
        return Run(first=("sh: the simulated shell does not know this script",), code=COMMAND_NOT_FOUND)
    return model(process)


def seconds_of(text: str) -> float:
    if text == "infinity":
        return FOREVER
    try:
        return max(float(text), 0.0)
    except ValueError:
        return 0.0


def _may_make_nodes(pod: Json, container: Json) -> bool:
    """Whether mknod works: it takes root and a capability that is granted unless dropped."""
    own: Mapping[str, Any] = container.get("securityContext") or {}
    shared: Mapping[str, Any] = pod["spec"].get("securityContext") or {}
    account = own.get("runAsUser", shared.get("runAsUser", 0))
    is_unprivileged = own.get("runAsNonRoot", shared.get("runAsNonRoot", False)) or account != 0
    added = dig(own, "capabilities", "add", default=())
    dropped = dig(own, "capabilities", "drop", default=())
    has_capability = "MKNOD" in added or not {"ALL", "MKNOD"} & set(dropped)
    return not is_unprivileged and has_capability


def encoded(text: str) -> str:
    return text.replace("%", "%25").replace(" ", "%20").replace("=", "%3D")


@models_program("accelerators")
def _accelerators(process: Process) -> Run:
    variables, view = process.variables, process.view
    may_make_nodes = _may_make_nodes(process.pod, process.container)
    devices = () if variables.get("PROBE_ROOT") else view.visible
    lines = ["::probe begin program=accelerators"]
    for device in devices:
        opens = "yes" if device.id in view.openable else "no"
        lines.append(f"::probe device path={encoded(device.path)} id={device.id} open={opens}")
    lines.extend(
        f"::probe try id={wanted} {_attempt(wanted, view, may_make_nodes=may_make_nodes)}"
        for wanted in variables.get("PROBE_TRY", "").split()
    )
    lines.append(f"::probe end devices={len(devices)}")
    return Run(first=tuple(lines), seconds=seconds_of(variables.get("PROBE_HOLD", "0")))


def _attempt(wanted: str, view: View, *, may_make_nodes: bool) -> str:
    if not may_make_nodes or not _ID.match(wanted):
        return "result=denied step=mknod"
    if wanted in view.openable:
        return "result=opened step=open"
    # The device rules speak before the driver does: what they forbid looks alike, there or not.
    is_unguarded = view.openable >= view.existing and bool(view.existing)
    return f"result={'absent' if is_unguarded and wanted not in view.existing else 'denied'} step=open"


@models_program("hold")
def _hold(process: Process) -> Run:
    held = process.variables.get("PROBE_HOLD") or "0"
    return Run(
        first=("::probe begin program=hold",),
        seconds=seconds_of(held),
        last=(f"::probe end held={held}",),
    )

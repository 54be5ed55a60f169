"""Models of what reports how busy accelerators are, and of what keeps them busy.

The exporter runs on every node with accelerators and tells of that node's alone; its Service leads to
any of them, as on a real cluster.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.simulator.hardware import DRIVER_VERSION, Accelerator
from conformance.simulator.network import Handler, Request, Response
from conformance.simulator.programs import FOREVER, Process, Run, models_image
from conformance.simulator.world import World

PORT = 9400
WORK_SECONDS = 2.0
_BUSY, _IDLE, _CONTEXT_MIB, _RESERVED_MIB = 97, 0, 21_504, 4
_OK, _NOT_FOUND = 200, 404
# DCGM writes the domain of a bus address with eight digits, the kernel with four.
_DOMAIN = "0000"


@models_image("dcgm-exporter")
def _exporter(process: Process) -> Run:
    node = str(process.pod["spec"].get("nodeName", ""))
    world = process.world
    listens: dict[int, Handler] = {}
    if world is not None:
        listens[PORT] = lambda request: _answer(world, node, request)
    return Run(first=('level=info msg="Starting webserver"',), seconds=FOREVER, on_term=0, listens=listens)


@models_image("cuda-sample")
def _sample(process: Process) -> Run:
    """A computation on every device the container was given, where it was told to repeat it."""
    world, devices = process.world, process.view.visible
    if not devices:
        return Run(first=("Error: only 0 Devices available, 1 requested.  Exiting.",), code=1)
    if "-benchmark" not in (process.container.get("args") or ()):
        return Run(first=("Test PASSED",))

    def work() -> None:
        if world is not None and world.hardware is not None:
            world.hardware.work(devices, world.clock.scaled(2 * WORK_SECONDS))

    return Run(first=("> Compute 9.0 CUDA device",), seconds=FOREVER, repeats=work, every=WORK_SECONDS)


def _answer(world: World, node: str, request: Request) -> Response:
    if request.path.partition("?")[0] != "/metrics":
        return Response(_NOT_FOUND, b"404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})
    devices = world.hardware.of(node) if world.hardware is not None else ()
    if "metrics-empty" in world.faults:
        devices = ()
    shown = [device for device in devices if device.advertised]
    if "metrics-device-missing" in world.faults:
        shown = [device for device in shown if device.minor != len(shown) - 1]
    # An exporter leaves out families it has no samples of.
    text = "".join(f"{line}\n" for line in _series(world, shown)) if shown else ""
    return Response(_OK, text.encode(), {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def _series(world: World, devices: list[Accelerator]) -> Iterator[str]:
    faults = world.faults
    families = {
        "DCGM_FI_DEV_GPU_UTIL": ("GPU utilization (in %).", _utilization),
        "DCGM_FI_DEV_GPU_TEMP": ("GPU temperature (in C).", lambda *_: "34"),
        "DCGM_FI_DEV_POWER_USAGE": ("Power draw (in W).", lambda *_: "71.3"),
        "DCGM_FI_DEV_FB_FREE": ("Framebuffer memory free (in MiB).", _free),
        "DCGM_FI_DEV_FB_USED": ("Framebuffer memory used (in MiB).", _used),
    }
    if "metrics-utilization-missing" in faults:
        del families["DCGM_FI_DEV_GPU_UTIL"]
    if "metrics-memory-missing" in faults:
        del families["DCGM_FI_DEV_FB_FREE"], families["DCGM_FI_DEV_FB_USED"]
    partial = {"DCGM_FI_DEV_FB_USED"} if "metrics-device-memory-missing" in faults else set()
    for name, (meaning, value) in families.items():
        shown = name.replace("DCGM_FI_DEV", "acme_gizmo") if "metrics-foreign-names" in faults else name
        yield f"# HELP {shown} {meaning}"
        yield f"# TYPE {shown} gauge"
        for device in devices[1:] if name in partial else devices:
            yield f"{shown}{{{_labels(device)}}} {value(world, device)}"


def _labels(device: Accelerator) -> str:
    labels = {
        "gpu": str(device.minor),
        "UUID": device.uuid,
        "pci_bus_id": f"{_DOMAIN}{device.bus}".upper(),
        "device": f"nvidia{device.minor}",
        "modelName": device.product,
        "Hostname": device.node,
        "DCGM_FI_DRIVER_VERSION": DRIVER_VERSION,
    }
    return ",".join(f'{name}="{value}"' for name, value in labels.items())


def _is_busy(world: World, device: Accelerator) -> bool:
    return world.hardware is not None and world.hardware.is_busy(device)


def _utilization(world: World, device: Accelerator) -> str:
    if "metrics-not-finite" in world.faults:
        return "NaN"
    if "metrics-misattributed" in world.faults and world.hardware is not None:
        others = world.hardware.of(device.node)
        device = others[(device.minor + 1) % len(others)]
    is_shown = "metrics-frozen" not in world.faults and _is_busy(world, device)
    return str(_BUSY if is_shown else _IDLE)


def _used_mib(world: World, device: Accelerator) -> int:
    return _RESERVED_MIB + (_CONTEXT_MIB if _is_busy(world, device) else 0)


def _used(world: World, device: Accelerator) -> str:
    if "metrics-memory-not-finite" in world.faults:
        return "+Inf"
    return str(_used_mib(world, device))


def _free(world: World, device: Accelerator) -> str:
    return str(device.memory - _used_mib(world, device))

"""Models of the programs that look at the machine below: its driver, its kernel, its neighbours."""

from __future__ import annotations

from conformance.simulator import runtimes
from conformance.simulator.hardware import Accelerator
from conformance.simulator.programs import Process, Run, encoded, models_program, seconds_of

_SMI = "/usr/bin/nvidia-smi"


@models_program("driver")
def _driver(process: Process) -> Run:
    view, variables = process.view, process.variables
    devices = () if variables.get("PROBE_ROOT") else view.visible
    lines = ["::probe begin program=driver"]
    lines += [_device(device, is_openable=device.id in view.openable) for device in devices]
    stack = view.stack
    if stack is not None and devices and devices[0].path.startswith("/dev/nvidia"):
        if stack.has_tools:
            lines += [
                f"::probe tool name=nvidia-smi path={_SMI} runs=yes",
                f"::probe version vendor=nvidia source=tool driver={stack.tool} runtime={stack.runtime}",
                f"::probe version vendor=nvidia source=library driver={stack.library} runtime=",
            ]
        lines.append(f"::probe version vendor=nvidia source=kernel driver={stack.kernel} runtime=")
    lines.append(f"::probe end devices={len(devices)}")
    return Run(first=tuple(lines), seconds=seconds_of(variables.get("PROBE_HOLD", "0")))


def _device(device: Accelerator, *, is_openable: bool) -> str:
    opens = "yes" if is_openable else "no"
    facts = "uuid= bus= model="
    if device.path.startswith("/dev/nvidia"):
        facts = f"uuid={device.uuid} bus={device.bus} model={encoded(device.product)}"
    return f"::probe device path={encoded(device.path)} id={device.id} open={opens} {facts}"


@models_program("sandbox")
def _sandbox(process: Process) -> Run:
    machine = runtimes.surroundings(process.world, process.pod, process.address)
    kernel = machine.kernel
    identity = f"release={encoded(kernel.release)} boot={encoded(kernel.boot)}"
    lines = ["::probe begin program=sandbox"]
    lines.append(f"::probe kernel {identity} version={encoded(kernel.version)}")
    lines += [f"::probe process pid={pid} name={encoded(name)}" for pid, name in machine.processes]
    lines += [f"::probe memory path={path} open=no" for path in machine.memory]
    lines += [
        f"::probe mount target={mount.target} type={mount.type} device={mount.device} "
        f"root={encoded(mount.root)} source={encoded(mount.source)} layers={encoded(mount.layers)}"
        for mount in machine.mounts
    ]
    lines += [f"::probe interface name={name}" for name in sorted(machine.interfaces)]
    lines += [f"::probe address ip={address}" for address in sorted(machine.addresses)]
    lines.append("::probe end")
    return Run(first=tuple(lines), seconds=seconds_of(process.variables.get("PROBE_HOLD", "0")))

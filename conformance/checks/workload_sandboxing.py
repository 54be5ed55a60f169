"""A sandboxed pod runs on a kernel of its own and sees nothing of its node."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from conformance import devices, pods
from conformance.checks import check
from conformance.cluster import errors
from conformance.conclusions import failed, unknown
from conformance.markers import Marker, Report
from conformance.pods import Container, Placement
from conformance.resources import NODES, PODS, RUNTIME_CLASSES, Resource
from conformance.rights import BASE, on
from conformance.run import Run
from conformance.starting import await_start
from conformance.verdicts import Status, Verdict

Json = dict[str, Any]

AGENTS = "agents.x-k8s.io"
_CONTAINER = "probe"
_SANDBOXED, _PLAIN = "sandboxed", "plain"
_HOLD_SECONDS = 300
_POD_SECONDS = 60.0
_MOST_SHOWN = 20
# Runtimes that put a kernel of their own below the container.
_SANDBOXES = re.compile(r"runsc|gvisor|kata|firecracker|krun|quark|urunc|sandbox(?!.*wasm)", re.IGNORECASE)
# Runtimes that do not, though they have a class: they add devices, or run something else than Linux programs.
_NO_SANDBOXES = re.compile(r"runc|crun|youki|nvidia|amd|habana|ascend|wasm|spin|slight", re.IGNORECASE)
# What runs on machines and never in a container of its own accord.
_HOST_PROCESSES = frozenset(
    {
        "kthreadd",
        "systemd",
        "kubelet",
        "containerd",
        "containerd-shim",
        "dockerd",
        "crio",
        "cri-dockerd",
        "kube-proxy",
        "k3s-server",
        "k3s-agent",
        "rke2",
        "systemd-journal",
        "systemd-udevd",
    }
)
# Where the kubelet and container runtimes keep what belongs to containers.
_HOST_FOLDERS = re.compile(
    r"(/var/lib/(kubelet|containerd|containers|docker|rancher|k0s|cri-o)|/run/containerd|/run/k3s)(/|$)"
    r"|/kubelet/pods/"
)
# How the network of a node names its ends of the pods' links, its bridges and its tunnels.
_HOST_INTERFACES = re.compile(
    r"(veth|cali|lxc|cni|cbr|docker|br-|virbr|flannel|cilium|kube-|nodelocaldns|vxlan|genev|ovn|ovs|weave|antrea"
    r"|azv|eni|gke|nerdctl|podman).*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a pod takes for the kernel it runs on; empty where it cannot tell."""

    release: str
    boot: str
    version: str

    @classmethod
    def of(cls, report: Report) -> Kernel:
        """Read a probe's markers."""
        marker = next(iter(report.all("kernel")), Marker("kernel", {}))
        return cls(marker.get("release"), marker.get("boot"), marker.get("version"))

    def is_same(self, other: Kernel) -> bool | None:
        """Tell whether both are one kernel, None where nothing can be compared.

        The identity of a boot says more than any name.
        """
        if self.boot and other.boot:
            return self.boot == other.boot
        names = [(self.release, other.release), (self.version, other.version)]
        told = [one == another for one, another in names if one and another]
        return all(told) if told else None


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How a pod gets into the sandbox: by a RuntimeClass, or as what an API of its own makes."""

    runtime_class: str | None = None
    resource: Resource | None = None

    @property
    def title(self) -> str:
        """The mechanism as a person would name it."""
        if self.resource is None:
            return f"RuntimeClass {self.runtime_class}"
        return f"a {self.resource.kind} of {self.resource.group}"


@check(
    "workload_sandboxing",
    since="1.37",
    deadline=600,
    rights=(*BASE, *on("sandboxes", "create get delete", group=AGENTS, option=AGENTS)),
)
def workload_sandboxing(run: Run) -> Verdict:
    """A pod in the offered sandbox has another kernel than its node, and sees nothing of the node.

    The same probe runs sandboxed and plain on one node. The kernels' identities differ; in the
    sandbox there are no processes, memory, mounts or interfaces of the node.

    KAR-0020. The sandbox is a RuntimeClass, the vendor's choice or one whose handler is known here, or
    else what the API of agents' sandboxes makes.
    """
    sandbox = _find(run)
    if sandbox is None:
        return Verdict(
            Status.NOT_APPLICABLE,
            "not_offered",
            "Neither a RuntimeClass that could be a sandbox nor the API of agents' sandboxes is offered.",
        )
    sandboxed, node = _look(run, _SANDBOXED, Placement(), sandbox)
    nodes = {node: run.get(NODES, node)}
    plain, _ = _look(run, _PLAIN, devices.placement_on(nodes, node))
    within, below = Kernel.of(sandboxed), Kernel.of(plain)
    run.evidence.observe(
        "kernels",
        {
            where: {"release": kernel.release, "boot": kernel.boot}
            for where, kernel in ((_SANDBOXED, within), (_PLAIN, below))
        },
    )
    same = within.is_same(below)
    if same is None:
        raise unknown(
            "kernel_unreadable", "Sandboxed and plain pod tell nothing of their kernels to compare."
        )
    if same:
        raise failed(
            "kernel_shared",
            f"The pod in {sandbox.title} runs on the same kernel as a plain one on node {node}: "
            f"{within.release}, boot {within.boot or 'not told'}.",
        )
    _expect_nothing_of_host(run, sandboxed, nodes[node])
    return Verdict(
        Status.PASS,
        "isolated",
        f"In {sandbox.title} a pod on node {node} runs on kernel {within.release or 'of its own'} "
        f"where a plain one finds {below.release}, and sees no processes, memory, mounts or interfaces of "
        "the node.",
    )


def _find(run: Run) -> Sandbox | None:
    """Return the sandbox the platform offers, None where there is none; conclude where it is unclear."""
    wanted = run.settings.sandbox.runtime_class
    classes = {str((item.get("metadata") or {}).get("name")): item for item in run.items(RUNTIME_CLASSES)}
    handlers = {name: str(item.get("handler") or "") for name, item in classes.items()}
    run.evidence.observe("runtime classes", dict(sorted(handlers.items())[:_MOST_SHOWN]))
    if wanted is not None:
        if wanted not in classes:
            raise unknown("class_missing", f"The RuntimeClass {wanted} of the probe settings does not exist.")
        return Sandbox(wanted)
    known = [name for name, handler in sorted(handlers.items()) if _SANDBOXES.search(handler)]
    if known:
        return Sandbox(known[0])
    group: Mapping[str, Any] = run.groups().get(AGENTS) or {}
    version = (group.get("preferredVersion") or {}).get("version")
    if version:
        run.require(AGENTS)
        return Sandbox(resource=Resource(AGENTS, str(version), "sandboxes", "Sandbox"))
    strange = [name for name, handler in sorted(handlers.items()) if not _NO_SANDBOXES.search(handler)]
    if strange:
        raise unknown(
            "mechanism_not_recognised",
            f"Whether a RuntimeClass is a sandbox cannot be told from its handler: {', '.join(strange[:5])}. "
            "Name it under `sandbox.runtimeClass` in the probe settings if one is.",
        )
    return None


def _look(run: Run, name: str, placement: Placement, sandbox: Sandbox | None = None) -> tuple[Report, str]:
    """Run the probe in a pod and return what it says and the pod's node; conclude where it never runs."""
    container = Container(_CONTAINER, "sandbox", environment={"PROBE_HOLD": str(_HOLD_SECONDS)})
    body = pods.pod([container], run.image(), placement)
    resource = PODS
    if sandbox is not None and sandbox.resource is not None:
        resource = sandbox.resource
        body = {"spec": {"podTemplate": {"metadata": {"labels": run.labels()}, **body}}}
    elif sandbox is not None:
        body["spec"]["runtimeClassName"] = sandbox.runtime_class
    try:
        made = run.create(resource, name, body)
    except errors.StatusError as error:
        if isinstance(error, errors.Unauthorized | errors.Throttled | errors.ServerError):
            raise
        raise failed("pod_rejected", f"Pod {name} is refused: {error}") from error
    if resource != PODS:
        name = _made_pod(run, made)
    pod = await_start(run, name)
    if pod is None:
        raise unknown("no_place", f"The scheduler found no place for pod {name}.")
    return run.markers(name, _CONTAINER), pods.node_of(pod) or ""


def _made_pod(run: Run, sandbox: Json) -> str:
    """Wait until there is a pod for a sandbox and return its name; conclude where none comes."""
    uid = (sandbox.get("metadata") or {}).get("uid")

    def judge(found: Mapping[str, Json]) -> str | None:
        for name, pod in found.items():
            owners = (pod.get("metadata") or {}).get("ownerReferences") or []
            if any(owner.get("uid") == uid for owner in owners):
                return name
        return None

    name = run.wait(PODS, judge, seconds=_POD_SECONDS, selector=run.selector)
    if name is None:
        raise failed("pod_never_made", "No pod was made for the sandbox in time.")
    return name


def _expect_nothing_of_host(run: Run, report: Report, node: Json) -> None:
    """Conclude where anything of the node shows in the sandbox."""
    processes = [
        marker.get("name") for marker in report.all("process") if marker.get("name") in _HOST_PROCESSES
    ]
    memory = [marker.get("path") for marker in report.all("memory")]
    mounts = [marker.get("target") for marker in report.all("mount") if _is_of_host(marker)]
    interfaces = [
        marker.get("name")
        for marker in report.all("interface")
        if _HOST_INTERFACES.fullmatch(marker.get("name"))
    ]
    own = _addresses(node)
    interfaces += [marker.get("ip") for marker in report.all("address") if marker.get("ip") in own]
    found: Mapping[str, list[str]] = {
        "processes": processes,
        "memory": memory,
        "mounts": mounts,
        "interfaces": interfaces,
    }
    run.evidence.observe("visible of the node", {what: seen[:_MOST_SHOWN] for what, seen in found.items()})
    for what, seen in found.items():
        if seen:
            raise failed(f"host_{what}_visible", f"The sandbox shows {what} of the node: {_listed(seen)}.")


def _is_of_host(mount: Marker) -> bool:
    """Tell whether what is mounted lies in a folder of the node."""
    return any(_HOST_FOLDERS.match(mount.get(key)) for key in ("root", "source", "layers"))


def _addresses(node: Json) -> frozenset[str]:
    entries = (node.get("status") or {}).get("addresses") or []
    return frozenset(
        str(entry.get("address")) for entry in entries if entry.get("type") in {"InternalIP", "ExternalIP"}
    )


def _listed(seen: Iterable[str]) -> str:
    return ", ".join(sorted(set(seen))[:_MOST_SHOWN])

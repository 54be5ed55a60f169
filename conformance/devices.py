"""How a cluster hands out accelerators, and where there are some to be had."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from conformance.cluster import errors
from conformance.conclusions import unknown
from conformance.pods import TEMPLATE, Placement, Request
from conformance.resources import CLAIM_TEMPLATES, DEVICE_CLASSES, NODES, RESOURCE_SLICES
from conformance.run import Run

Json = dict[str, Any]

# Extended resources that stand for a whole accelerator.
KNOWN_RESOURCES = (
    "nvidia.com/gpu",
    "amd.com/gpu",
    "gpu.intel.com/i915",
    "gpu.intel.com/xe",
    "habana.ai/gaudi",
    "google.com/tpu",
    "aws.amazon.com/neuron",
    "aws.amazon.com/neurondevice",
    "huawei.com/Ascend910",
    "huawei.com/Ascend310P",
    "cambricon.com/mlu",
    "hygon.com/dcu",
    "metax-tech.com/gpu",
    "mthreads.com/gpu",
    "iluvatar.com/gpu",
    "iluvatar.ai/gpu",
    "enflame.com/gcu",
    "kunlunxin.com/xpu",
    "baidu.com/kunlunxin",
    "rebellions.ai/ATOM",
    "furiosa.ai/rngd",
)
# Device classes that stand for a whole accelerator.
KNOWN_CLASSES = (
    "gpu.nvidia.com",
    "gpu.amd.com",
    "gpu.intel.com",
    "gaudi.intel.com",
    "tpu.google.com",
    "neuron.aws.com",
    "npu.huawei.com",
    "gpu.example.com",
)
_NO_ACCELERATOR = re.compile(
    r"(^|[.-])(net|dranet|rdma|nic|sriov|imex|compute-domain|cpu|memory|mig|vfio|sgx|qat)"
)
_DRIVER = re.compile(r"""\s*device\.driver\s*==\s*(?P<quote>["'])(?P<value>[^"']+)(?P=quote)\s*""")
_ATTRIBUTE = re.compile(
    r"""\s*device\.attributes\[(?P<q1>["'])(?P<domain>[^"']+)(?P=q1)\](?:\.(?P<field>\w+)|\[(?P<q2>["'])(?P<name>[^"']+)(?P=q2)\])
    \s*==\s*(?:(?P<q3>["'])(?P<text>[^"']*)(?P=q3)|(?P<bool>true|false)|(?P<int>\d+))\s*""",
    re.VERBOSE,
)
_MOST_SHOWN = 50
_KEEPING_OUT = frozenset({"NoSchedule", "NoExecute"})
# Taints by which a node's life is told, not its hardware.
_TROUBLE = (
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/",
)
_ANY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Allocation:
    """How one accelerator is asked for, and how many each usable node offers.

    The numbers are what is advertised; who else holds some of them is found out by trying.
    """

    request: Request
    name: str
    per_node: Mapping[str, int]
    tolerations: Mapping[str, tuple[Mapping[str, str], ...]] = field(default_factory=dict)
    is_partitioned: bool = False

    def placement(self, *nodes: str) -> Placement:
        """Return a placement on these nodes that tolerates just their taints."""
        found = {
            tuple(sorted(toleration.items())): toleration
            for node in nodes
            for toleration in self.tolerations.get(node, ())
        }
        return Placement(tuple(nodes), tuple(found.values()))

    def by_devices(self) -> list[str]:
        """Return the nodes, those with most devices first."""
        return sorted(self.per_node, key=lambda node: (-self.per_node[node], node))


def detect(run: Run, labels: Mapping[str, str] = _ANY) -> Allocation:
    """Find out how this cluster hands out accelerators; conclude as unknown where that cannot be told.

    With `labels` only the nodes that carry them count.
    """
    nodes = usable_nodes(run, labels)
    classes = device_classes(run)
    allocation = _by_claims(run, nodes, classes) or _by_resource(run, nodes, classes)
    if allocation is None:
        raise unknown(
            "no_accelerators",
            "Neither a DeviceClass with devices nor a known extended resource was found on a Ready node. "
            "Name one under `accelerators` in the probe settings if there is.",
        )
    run.evidence.observe(
        "allocation",
        {
            "mode": "claim" if allocation.request.is_claim else "extended resource",
            "name": allocation.name,
            "devices_per_node": dict(allocation.per_node),
        },
    )
    return allocation


def usable_nodes(run: Run, labels: Mapping[str, str] = _ANY) -> dict[str, Json]:
    """Return the nodes pods can go to, by name; conclude as unknown where there are none."""
    wanted = {**run.settings.accelerators.node_labels, **labels}
    nodes = {_name(node): node for node in run.items(NODES) if _is_usable(node, wanted)}
    run.evidence.observe("usable nodes", sorted(nodes)[:_MOST_SHOWN])
    if not nodes:
        raise unknown("no_usable_node", "No node is Ready and open for pods.")
    return nodes


def is_open(node: Json) -> bool:
    """Tell whether ordinary pods can go to a node, as far as its hardware does not keep them out."""
    roles = [taint for taint in _taints(node) if str(taint.get("key")).startswith("node-role.kubernetes.io/")]
    return _is_usable(node, _ANY) and not roles


def placement_on(nodes: Mapping[str, Json], *names: str) -> Placement:
    """Return a placement on some of these nodes that tolerates just their taints."""
    found = {
        tuple(sorted(toleration.items())): toleration
        for name in names
        for toleration in _tolerations(nodes[name])
    }
    return Placement(tuple(names), tuple(found.values()))


def prepare(run: Run, allocation: Allocation, count: int = 1) -> Request:
    """Create what pods need to ask for so many devices, a claim template or nothing; return the request."""
    if not allocation.request.is_claim:
        return Request(allocation.request.resource, count)
    template = TEMPLATE if count == 1 else f"devices-{count}"
    exactly: Json = {"deviceClassName": allocation.name}
    if count > 1:
        exactly["count"] = count
    device_request = {"name": "accelerator", "exactly": exactly}
    run.create(
        CLAIM_TEMPLATES,
        template,
        {
            "spec": {
                "metadata": {"labels": run.labels()},
                "spec": {"devices": {"requests": [device_request]}},
            }
        },
    )
    return Request(count=count, template=template)


def has_device(pod: Json, allocation: Allocation) -> bool:
    """Tell whether a pod was made with what it needs to get a device."""
    resource = allocation.request.resource
    for container in (pod.get("spec") or {}).get("containers") or []:
        resources = container.get("resources") or {}
        if resource is None and resources.get("claims"):
            return True
        if resource is not None and resource in (resources.get("limits") or {}):
            return True
    return False


# Nodes --------------------------------------------------------------------------------------------


def _name(item: Json) -> str:
    return str((item.get("metadata") or {}).get("name"))


def _labels(item: Json) -> dict[str, str]:
    return (item.get("metadata") or {}).get("labels") or {}


def _taints(node: Json) -> list[Json]:
    return [
        taint for taint in (node.get("spec") or {}).get("taints") or [] if taint.get("effect") in _KEEPING_OUT
    ]


def _is_usable(node: Json, wanted: Mapping[str, str]) -> bool:
    """Tell whether pods are meant to go there; taints of hardware may be tolerated, those of trouble not."""
    conditions = (node.get("status") or {}).get("conditions") or []
    ready = any(entry.get("type") == "Ready" and entry.get("status") == "True" for entry in conditions)
    closed = (node.get("spec") or {}).get("unschedulable") is True
    troubled = any(str(taint.get("key", "")).startswith(_TROUBLE) for taint in _taints(node))
    return ready and not closed and not troubled and wanted.items() <= _labels(node).items()


def _tolerations(node: Json) -> tuple[Mapping[str, str], ...]:
    return tuple(
        {"key": str(taint.get("key")), "operator": "Exists", "effect": str(taint.get("effect"))}
        for taint in _taints(node)
    )


# Extended resources -------------------------------------------------------------------------------


def _by_resource(run: Run, nodes: Mapping[str, Json], classes: Mapping[str, Json]) -> Allocation | None:
    wanted = run.settings.accelerators.resource
    # What a class maps to a resource is handed out by claims, whatever the nodes still say of it.
    mapped = {(item.get("spec") or {}).get("extendedResourceName") for item in classes.values()}
    offered: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for name, node in nodes.items():
        for resource, amount in ((node.get("status") or {}).get("allocatable") or {}).items():
            if resource == wanted or (
                wanted is None and resource in KNOWN_RESOURCES and resource not in mapped
            ):
                count = int(amount) if str(amount).isdigit() else 0
                if count > 0:
                    offered[resource][name] = count
    if not offered:
        return None
    chosen = max(offered, key=lambda resource: (sum(offered[resource].values()), resource))
    return Allocation(
        request=Request(chosen),
        name=chosen,
        per_node=offered[chosen],
        tolerations={name: _tolerations(nodes[name]) for name in offered[chosen]},
        is_partitioned="mig-" in chosen or chosen.endswith(".shared"),
    )


# Dynamic resource allocation ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Device:
    """An advertised device and the nodes it can be reached from."""

    driver: str
    pool: str
    name: str
    attributes: Mapping[str, Any]
    nodes: frozenset[str]
    is_shareable: bool = False


def device_classes(run: Run) -> dict[str, Json]:
    """Return the device classes by name; none where the stable API is not served."""
    try:
        return {_name(item): item for item in run.items(DEVICE_CLASSES)}
    except errors.NotFound:
        return {}


def _by_claims(run: Run, nodes: Mapping[str, Json], classes: Mapping[str, Json]) -> Allocation | None:
    wanted = run.settings.accelerators.device_class
    if run.settings.accelerators.resource is not None and wanted is None:
        return None
    devices = advertised(run, nodes) if classes else []
    matching = {
        name: found
        for name, device_class in classes.items()
        if wanted in (None, name) and (found := [entry for entry in devices if matches(device_class, entry)])
    }
    chosen = _choose(matching) if wanted is None else wanted
    if wanted is not None and wanted not in matching:
        raise unknown(
            "device_class_empty",
            f"The DeviceClass {wanted} of the probe settings matches no device of a Ready node.",
        )
    if chosen is None:
        return None
    counted = Counter(node for device in matching[chosen] for node in device.nodes)
    return Allocation(
        request=Request(),
        name=chosen,
        per_node=dict(counted),
        tolerations={name: _tolerations(nodes[name]) for name in counted},
        is_partitioned=any(device.is_shareable or _type_of(device) == "mig" for device in matching[chosen]),
    )


def _choose(matching: Mapping[str, list[Device]]) -> str | None:
    """Return the class that stands for accelerators; conclude as unknown where several might."""
    for known in KNOWN_CLASSES:
        if known in matching:
            return known
    others = sorted(name for name in matching if not _NO_ACCELERATOR.search(name))
    if len(others) > 1:
        raise unknown(
            "device_class_ambiguous",
            f"Several DeviceClasses match devices ({', '.join(others[:5])}); name that of the accelerators "
            "under `accelerators.deviceClass` in the probe settings.",
        )
    return others[0] if others else None


def _type_of(device: Device) -> str:
    for name, value in device.attributes.items():
        if name.rpartition("/")[2] == "type":
            return str(value)
    return ""


def advertised(run: Run, nodes: Mapping[str, Json]) -> list[Device]:
    """Return what the slices offer on these nodes."""
    return list(usable_devices(slices(run), nodes))


def slices(run: Run) -> list[Json]:
    """Return the slices in which drivers tell of devices; none where the stable API is not served."""
    try:
        return run.items(RESOURCE_SLICES)
    except errors.NotFound:
        return []


def usable_devices(
    published: Iterable[Json], nodes: Mapping[str, Json], *, tainted: bool = False
) -> Iterator[Device]:
    """Yield the devices of complete pools in their newest generation, with their nodes.

    What a taint keeps from being allocated is left out unless it is asked for.
    """
    pools: defaultdict[tuple[str, str], list[Json]] = defaultdict(list)
    for entry in published:
        spec = entry.get("spec") or {}
        pools[str(spec.get("driver")), str((spec.get("pool") or {}).get("name"))].append(spec)
    for (driver, pool), specs in pools.items():
        newest = max(int((spec.get("pool") or {}).get("generation") or 0) for spec in specs)
        current = [spec for spec in specs if int((spec.get("pool") or {}).get("generation") or 0) == newest]
        if len(current) != int((current[0].get("pool") or {}).get("resourceSliceCount") or 0):
            continue
        for spec in current:
            for device in spec.get("devices") or []:
                if not tainted and _is_tainted(device):
                    continue
                where = device if spec.get("perDeviceNodeSelection") else spec
                reachable = frozenset(_reachable(where, nodes))
                if reachable:
                    attributes = _attributes(driver, device.get("attributes") or {})
                    shareable = device.get("allowMultipleAllocations") is True
                    yield Device(driver, pool, str(device.get("name")), attributes, reachable, shareable)


def _is_tainted(device: Json) -> bool:
    return any(taint.get("effect") in _KEEPING_OUT for taint in device.get("taints") or [])


def _attributes(driver: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes by full name; a name without a domain belongs to the driver's."""
    return {
        (name if "/" in name else f"{driver}/{name}"): next(iter(value.values()), None)
        for name, value in given.items()
        if isinstance(value, dict)
    }


def _reachable(where: Json, nodes: Mapping[str, Json]) -> Iterator[str]:
    if where.get("nodeName"):
        yield from [where["nodeName"]] if where["nodeName"] in nodes else []
    elif where.get("allNodes"):
        yield from nodes
    elif where.get("nodeSelector"):
        for name, node in nodes.items():
            if _selects(where["nodeSelector"], node):
                yield name


def _selects(selector: Json, node: Json) -> bool:
    fields = {"metadata.name": _name(node)}
    return any(
        (term.get("matchExpressions") or term.get("matchFields"))
        and all(_holds(entry, _labels(node)) for entry in term.get("matchExpressions") or [])
        and all(_holds(entry, fields) for entry in term.get("matchFields") or [])
        for term in selector.get("nodeSelectorTerms") or []
    )


def _holds(requirement: Json, values: Mapping[str, str]) -> bool:
    key, wanted = str(requirement.get("key")), [str(value) for value in requirement.get("values") or []]
    value = values.get(key)
    held = {
        "In": value in wanted,
        "NotIn": value not in wanted,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }
    operator = str(requirement.get("operator"))
    if operator in held:
        return held[operator]
    try:
        difference = int(value or "") - int(wanted[0])
    except (ValueError, IndexError):
        return False
    return (operator == "Gt" and difference > 0) or (operator == "Lt" and difference < 0)


def matches(device_class: Json, device: Device) -> bool:
    """Tell whether a class can select a device.

    Of the expressions only conjunctions of simple comparisons are understood. What is not understood
    does not rule a device out, as long as the class names the driver.
    """
    names_driver = False
    for selector in (device_class.get("spec") or {}).get("selectors") or []:
        expression = str((selector.get("cel") or {}).get("expression") or "")
        for clause in expression.split("&&"):
            bare = clause.strip().strip("()")
            if driver := _DRIVER.fullmatch(bare):
                if driver["value"] != device.driver:
                    return False
                names_driver = True
            elif (attribute := _ATTRIBUTE.fullmatch(bare)) and not _equals(attribute, device):
                return False
    return names_driver


def _equals(attribute: re.Match[str], device: Device) -> bool:
    name = f"{attribute['domain']}/{attribute['field'] or attribute['name']}"
    value = device.attributes.get(name)
    if attribute["bool"]:
        return value is (attribute["bool"] == "true")
    if attribute["int"]:
        return bool(value == int(attribute["int"]))
    return bool(value == attribute["text"])

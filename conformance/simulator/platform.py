"""What a platform brings along: nodes, namespaces, the device driver, and the verifier's rights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from conformance import probe_settings
from conformance.cluster import rbac
from conformance.simulator import definitions, exporters, fabric, fleet, runtimes
from conformance.simulator.allocation import SLICES
from conformance.simulator.authorization import bootstrap_objects
from conformance.simulator.clock import stamp
from conformance.simulator.controllers import kueue, ray, sandboxes
from conformance.simulator.controllers.lifecycle import custom_type
from conformance.simulator.controllers.queues import Kai, Volcano
from conformance.simulator.hardware import EXTENDED_RESOURCE, Accelerator, Hardware
from conformance.simulator.objects import Json, clone
from conformance.simulator.profiles import KAI, KUEUE, POOL, POOL_LABEL, VOLCANO, Profile
from conformance.simulator.vendor import services, settings
from conformance.simulator.world import World

CONTROL_PLANE = "control-plane-0"
SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
DRIVER_NAMESPACE = "nvidia-dra-driver"
_OS_IMAGE, _KERNEL = "Ubuntu 24.04.3 LTS", "6.8.0-71-generic"
_RUNTIME = "containerd://2.1.4"

DRA_DRIVER_IMAGE = "nvcr.io/nvidia/k8s-dra-driver-gpu:v25.8.0"
DEVICE_PLUGIN_IMAGE = "nvcr.io/nvidia/k8s-device-plugin:v0.17.4"


def node(profile: Profile, name: str, index: int, devices: int) -> Json:
    """Return a Ready node with so many whole devices, be they there yet or not."""
    resource = "" if profile.has_dra else EXTENDED_RESOURCE
    return equipped_node(
        profile, name, index, [Accelerator(name, minor, resource=resource) for minor in range(devices)]
    )


def equipped_node(profile: Profile, name: str, index: int, devices: Sequence[Accelerator]) -> Json:
    """Return a Ready node. Devices are capacity only where no driver publishes slices for them."""
    is_control_plane = name == CONTROL_PLANE
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": "zone-a",
    }
    spec: Json = {"podCIDR": f"10.244.{index}.0/24", "podCIDRs": [f"10.244.{index}.0/24"]}
    if is_control_plane:
        labels["node-role.kubernetes.io/control-plane"] = ""
        spec["taints"] = [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
    labels |= fleet.labels(profile, devices)
    if devices and not any(device.is_whole for device in devices):
        # Nobody is to land by chance on what was set up for those who ask for it.
        spec["taints"] = [{"key": "nvidia.com/gpu", "value": "fractional", "effect": "NoSchedule"}]
    if profile.is_autoscaled and any(device.is_whole for device in devices):
        labels[POOL_LABEL] = POOL
    capacity = {
        "cpu": "32",
        "memory": "131072Mi",
        "ephemeral-storage": "500Gi",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "pods": "110",
    }
    capacity |= fleet.capacity(profile, devices)
    moment = stamp()
    identity = f"{index:032x}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {
            "capacity": capacity,
            "allocatable": dict(capacity),
            "conditions": [
                _node_condition("MemoryPressure", "False", "KubeletHasSufficientMemory", moment),
                _node_condition("DiskPressure", "False", "KubeletHasNoDiskPressure", moment),
                _node_condition("PIDPressure", "False", "KubeletHasSufficientPID", moment),
                _node_condition("Ready", "True", "KubeletReady", moment),
            ],
            "addresses": [
                {"type": "InternalIP", "address": f"172.18.0.{index + 2}"},
                {"type": "Hostname", "address": name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "machineID": identity,
                "systemUUID": identity,
                "bootID": identity,
                "kernelVersion": _KERNEL,
                "osImage": _OS_IMAGE,
                "containerRuntimeVersion": (
                    "" if "container-runtime-unnamed" in profile.faults else _RUNTIME
                ),
                "kubeletVersion": profile.git_version,
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        },
    }


def _node_condition(kind: str, status: str, reason: str, moment: str) -> Json:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "kubelet is posting ready status" if kind == "Ready" else "kubelet has no pressure",
        "lastHeartbeatTime": moment,
        "lastTransitionTime": moment,
    }


def _place(profile: Profile, name: str, index: int) -> Json:
    """Return how a slice says where it is: the usual way, on newer bases the others as well."""
    if profile.version == "1.37" and index == 1:
        requirement = {"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}
        return {"nodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}}
    return {"nodeName": name}


def resource_slice(api_version: str, name: str, devices: tuple[Accelerator, ...], place: Json) -> Json:
    """Return what the driver publishes for the devices of one node without defects."""
    return fleet.resource_slice(api_version, name, devices, place)


def driver_daemon_set(profile: Profile) -> Json:
    """Return the driver's part on each node with accelerators."""
    name = "nvidia-dra-driver-gpu-kubelet-plugin" if profile.has_dra else "nvidia-device-plugin"
    image = DRA_DRIVER_IMAGE if profile.has_dra else DEVICE_PLUGIN_IMAGE
    labels = {"app.kubernetes.io/name": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": DRIVER_NAMESPACE, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {"nvidia.com/gpu.present": "true"},
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [{"name": "driver", "image": image}],
                },
            },
        },
    }


def seed(world: World, profile: Profile, hardware: Hardware) -> None:
    """Create what every platform has before its first user."""
    for obj in bootstrap_objects():
        create(world, obj)
    for name in SYSTEM_NAMESPACES:
        create(world, definitions.namespace(name))
    workers = fleet.accelerators(profile)
    for index, (name, devices) in enumerate({CONTROL_PLANE: (), **workers}.items()):
        world.store.create("nodes", equipped_node(profile, name, index, devices))
    if profile.has_dra:
        _offer_devices(world, profile, hardware, workers)
    create(world, definitions.namespace(DRIVER_NAMESPACE))
    create(world, driver_daemon_set(profile))
    installed = [
        *gang_objects(profile),
        *runtimes.objects(profile),
        *sandboxes.objects(profile),
        *exporters.objects(profile),
        *ray.objects(profile.faults),
    ]
    for obj in [*installed, *services(profile)]:
        install(world, obj)
    if "sandbox-refused" in profile.faults:
        world.api.admission.append(runtimes.refuse_sandboxed)
    world.api.webhooks.serve(kueue.HOME, kueue.WEBHOOK_SERVICE, kueue.WEBHOOK_PATH, kueue.suspend_managed_job)
    answers = ray.answers(profile.faults)
    world.api.webhooks.serve(ray.HOME, ray.WEBHOOK_SERVICE, ray.WEBHOOK_PATH, answers)


def _offer_devices(world: World, profile: Profile, hardware: Hardware, workers: Iterable[str]) -> None:
    """Let the drivers tell of their devices, and install what pods ask for them by."""
    api_version = world.types.get("deviceclasses.resource.k8s.io").api_version()
    for entry in fleet.device_classes(profile, api_version):
        create(world, entry)
    for index, name in enumerate(workers):
        if fleet.published(hardware.of(name)) and SLICES in world.types:
            place = _place(profile, name, index)
            create(world, fleet.resource_slice(api_version, name, hardware.of(name), place, profile.faults))
    for entry in fabric.objects(profile, api_version):
        install(world, entry)
    fabric.equip(world, profile)


def gang_objects(profile: Profile) -> list[Json]:
    """Return what the installation of the profile's gang scheduler brings along."""
    if profile.gang == KUEUE:
        return kueue.objects(sum(profile.nodes_devices))
    if profile.gang == VOLCANO:
        return Volcano.objects()
    if profile.gang == KAI:
        return Kai.objects()
    return []


def install(world: World, obj: Json) -> None:
    """Create an object; what it defines can be used by the next one already."""
    made = create(world, obj)
    is_definition = made["kind"] == "CustomResourceDefinition"
    if is_definition and any(version["served"] for version in made["spec"]["versions"]):
        world.types.add(custom_type(made))


def preloaded_images(world: World) -> frozenset[str]:
    """Return the images of everything installed: they have been on the nodes for long."""
    found: set[str] = set()
    for key in ("deployments.apps", "daemonsets.apps"):
        for obj in world.store.each(key):
            found |= {container["image"] for container in obj["spec"]["template"]["spec"]["containers"]}
    return frozenset(found)


def verifier_objects(profile: Profile) -> list[Json]:
    """Return what a vendor applies for the verifier, short of the rights the profile withholds."""
    told = probe_settings.from_plain(settings(profile))
    objects = clone(rbac.manifest(profile.version, settings=told))
    for obj in objects:
        if obj["kind"] in {"ClusterRole", "Role"}:
            for verb, resource in profile.withheld:
                obj["rules"] = [part for rule in obj["rules"] for part in withheld_rule(rule, verb, resource)]
    return list(objects)


def withheld_rule(rule: Json, verb: str, resource: str) -> list[Json]:
    """Return `rule` split so that only `verb` on `resource` is gone."""
    resources = rule.get("resources") or []
    if resource not in resources or verb not in rule["verbs"]:
        return [rule]
    parts = [
        {**rule, "resources": [entry for entry in resources if entry != resource]},
        {**rule, "resources": [resource], "verbs": [entry for entry in rule["verbs"] if entry != verb]},
    ]
    return [part for part in parts if part["resources"] and part["verbs"]]


def create(world: World, obj: Json) -> Json:
    """Create an object of any served kind in the namespace it names."""
    kind = world.types.of_kind(obj["apiVersion"], obj["kind"])
    if kind is None:
        raise LookupError(f"{obj['apiVersion']} {obj['kind']} is not served")
    namespace = str(obj["metadata"].get("namespace", "")) if kind.namespaced else ""
    return world.api.create(kind, clone(obj), namespace)

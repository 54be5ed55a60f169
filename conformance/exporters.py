"""Exporters of accelerator metrics: where they usually are, and what their series are called."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from conformance import advertised
from conformance.devices import Device
from conformance.endpoints import ServiceEndpoint
from conformance.exposition import Sample
from conformance.rights import CLUSTER, Right, on

# Services that the usual installations of exporters make.
KNOWN = (
    ServiceEndpoint("gpu-operator", "nvidia-dcgm-exporter", "9400"),
    ServiceEndpoint("nvidia-gpu-operator", "nvidia-dcgm-exporter", "9400"),
    ServiceEndpoint("gpu-operator-resources", "nvidia-dcgm-exporter", "9400"),
    ServiceEndpoint("kube-system", "dcgm-exporter", "9400"),
    ServiceEndpoint("monitoring", "dcgm-exporter", "9400"),
    ServiceEndpoint("default", "dcgm-exporter", "9400"),
    ServiceEndpoint("kube-amd-gpu", "default-metrics-exporter", "5000"),
)
# Series of utilisation, with the value that stands for all of the device.
UTILIZATION: Mapping[str, float] = {
    "DCGM_FI_DEV_GPU_UTIL": 100,
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": 1,
    "nvidia_smi_utilization_gpu_ratio": 1,
    "nvidia_gpu_duty_cycle": 100,
    "container_accelerator_duty_cycle": 100,
    "gpu_gfx_activity": 100,
    "amd_gpu_gfx_activity": 100,
    "habanalabs_utilization": 100,
    "neuroncore_utilization_ratio": 1,
    "npu_chip_info_utilization": 100,
    "hw_gpu_utilization": 1,
    "hw_gpu_utilization_ratio": 1,
}
MEMORY = frozenset(
    {
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_DEV_FB_USED_PERCENT",
        "nvidia_smi_memory_used_bytes",
        "nvidia_gpu_memory_used_bytes",
        "container_accelerator_memory_used",
        "gpu_used_vram",
        "amd_gpu_used_vram",
        "habanalabs_memory_used_bytes",
        "neuron_runtime_memory_used_bytes",
        "npu_chip_info_hbm_used_memory",
        "hw_gpu_memory_usage",
        "hw_gpu_memory_usage_bytes",
    }
)
_IDS = ("UUID", "uuid", "gpu_uuid", "hw_id", "serial_number", "make_serial")
_BUSES = ("pci_bus_id", "pcie_bus_id", "bus_id")
_INDICES = ("gpu", "gpu_id", "device", "device_id", "neuron_device_index", "id", "minor_number", "card")
_HOSTS = ("Hostname", "hostname", "node", "node_name", "kubernetes_node", "instance", "exported_instance")
_BUS = re.compile(r"([0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f])$")


def known_rights(option: str) -> tuple[Right, ...]:
    """Return the rights to read the metrics of the usual services, wherever they are."""
    return tuple(
        right
        for name in sorted({endpoint.name for endpoint in KNOWN})
        for right in on("services/proxy", "get", scope=CLUSTER, option=option, name=name)
    )


@dataclass(frozen=True, slots=True)
class Names:
    """What the series are called; a scale of 100 says that a full device reads 100."""

    utilization: Mapping[str, float] = field(default_factory=lambda: UTILIZATION)
    memory: frozenset[str] = MEMORY


@dataclass(frozen=True, slots=True)
class Key:
    """A device as a series names it; empty where it does not."""

    host: str
    id: str
    bus: str
    index: str

    @classmethod
    def of(cls, sample: Sample) -> Key | None:
        """Return whose value a sample is; None where it names no device."""
        labels = sample.labels
        key = cls(
            host=_first(labels, _HOSTS),
            id=_first(labels, _IDS).casefold(),
            bus=_short_bus(_first(labels, _BUSES)),
            index=_first(labels, _INDICES),
        )
        return key if key.id or key.bus or key.index else None

    def is_of(self, device: Device) -> bool:
        """Tell whether an advertised device is the one meant."""
        own = advertised.attribute(device, "uuid").casefold()
        parent = advertised.attribute(device, "parentUUID").casefold()
        if self.id and own:
            return self.id in {own, parent}
        bus = _short_bus(advertised.attribute(device, "pciBusID", "pciAddr", "pciAddress"))
        return bool(self.bus) and self.bus == bus and self.host in {"", *device.nodes}


@dataclass(slots=True)
class Readings:
    """The values read so far, the latest of each device."""

    utilization: dict[Key, float] = field(default_factory=dict)
    memory: dict[Key, float] = field(default_factory=dict)
    scales: dict[Key, float] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    samples: int = 0

    def add(self, samples: Iterable[Sample], names: Names) -> None:
        """Take in what one scrape brought."""
        for sample in samples:
            self.samples += 1
            is_utilization, is_memory = sample.name in names.utilization, sample.name in names.memory
            key = Key.of(sample) if is_utilization or is_memory else None
            if key is None:
                continue
            self.names.add(sample.name)
            if is_memory:
                self.memory[key] = sample.value
            # A driver may count one device in several ways; the first that is a number is kept to.
            elif key not in self.utilization or self.scales[key] == names.utilization[sample.name]:
                self.utilization[key] = sample.value
                self.scales[key] = names.utilization[sample.name]

    def share(self, key: Key) -> float:
        """Return a device's utilisation, 1 standing for all of it."""
        return self.utilization[key] / self.scales[key]


def finite(values: Mapping[Key, float], keys: Iterable[Key]) -> bool:
    """Tell whether all of these are numbers."""
    return all(math.isfinite(values[key]) for key in keys)


def _first(labels: Mapping[str, str], names: Iterable[str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _short_bus(text: str) -> str:
    """Return bus, device and function of an address; the domain is written in many ways."""
    match = _BUS.search(text.strip().casefold())
    return match[1] if match else ""

"""What only the vendor knows of a cluster: a small document handed over with it.

Everything is optional; what is absent is found out from the cluster where that is possible.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance import yaml_reader
from conformance.endpoints import ServiceEndpoint
from conformance.operators import Operator
from conformance.rights import Right, on
from conformance.yaml_values import has_shared_nodes, plain

BACKENDS = ("podgroup", "kueue", "volcano", "kai")
WIRINGS = ("ServiceMonitor", "PodMonitor", "annotations")
MAX_BYTES = 64 * 1024

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_METRIC = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SERIES = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_IMAGE = re.compile(r"[a-z0-9_]+([.:/@-]+[A-Za-z0-9_]+)*")
_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")
_ORIGIN = re.compile(r"https?://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?")
_CREDENTIAL = re.compile(r"[!-~]{3,128}")
_LONGEST_NAME = 253
_LAST_PORT = 65535
_LONGEST_WAIT = 7200


class SettingsError(Exception):
    """The document cannot be used; every problem is a pair of path and sentence."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path}: {text}" if path else text for path, text in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class AcceleratorSettings:
    """How a workload asks for one accelerator: a DeviceClass or an extended resource."""

    device_class: str | None = None
    resource: str | None = None
    node_labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GangSettings:
    """Which gang scheduler to observe and the queue it should use."""

    backend: str | None = None
    queue: str | None = None


@dataclass(frozen=True, slots=True)
class AutoscalingSettings:
    """The pool of nodes with accelerators the platform scales, and the metric its pods are scaled by.

    The two times, in seconds, are how long the platform may take to bring a node and to take it away.
    """

    pool: Mapping[str, str] = field(default_factory=dict)
    scale_up_seconds: int = 900
    scale_down_seconds: int = 1800
    metric: str | None = None


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """The DeviceClass of the network interfaces that pods can claim."""

    device_class: str | None = None


@dataclass(frozen=True, slots=True)
class InferenceSettings:
    """The GatewayClass of inference traffic, that of model pools where it is another, and the picker.

    `picker_tls` tells whether the gateway speaks TLS with the endpoint picker.
    """

    gateway_class: str | None = None
    pool_gateway_class: str | None = None
    picker_image: str | None = None
    picker_tls: bool = True


@dataclass(frozen=True, slots=True)
class MonitoringSettings:
    """Where collected metrics are queried, and what makes the monitoring system notice a workload.

    `labels` are those it wants to see on a ServiceMonitor or PodMonitor.
    """

    endpoint: ServiceEndpoint | None = None
    wiring: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """What keeps an accelerator busy: an image, and the arguments of what it runs."""

    image: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where metrics of accelerators are read, what the series are called, and what puts load on one.

    `full` is what the series of utilisation reads on a device that does nothing but work.
    """

    endpoint: ServiceEndpoint | None = None
    utilization: str | None = None
    memory: str | None = None
    full: int = 100
    load: LoadSettings | None = None


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """The RuntimeClass that keeps untrusted workloads apart."""

    runtime_class: str | None = None


@dataclass(frozen=True, slots=True)
class DisaggregatedSettings:
    """A serving stack that runs prefill and decode apart, found by the labels of its pods.

    `endpoint` takes requests in OpenAI's style; `model` is the name to ask for.
    """

    endpoint: ServiceEndpoint
    prefill: Mapping[str, str]
    decode: Mapping[str, str]
    model: str | None = None

    @property
    def namespace(self) -> str:
        """Where the stack runs."""
        return self.endpoint.namespace

    def rights(self) -> tuple[Right, ...]:
        """Return the rights needed to observe the stack."""
        return (
            *on("pods", "list", namespace=self.namespace),
            *on("pods/log", "get", namespace=self.namespace),
            *self.endpoint.rights("create"),
        )


@dataclass(frozen=True, slots=True)
class ArtifactSettings:
    """An S3-compatible store that pods can reach, and credentials that may write to the bucket."""

    endpoint: str
    bucket: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    region: str = "us-east-1"


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """The settings of one cluster."""

    accelerators: AcceleratorSettings = field(default_factory=AcceleratorSettings)
    gang: GangSettings = field(default_factory=GangSettings)
    autoscaling: AutoscalingSettings = field(default_factory=AutoscalingSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    inference: InferenceSettings = field(default_factory=InferenceSettings)
    monitoring: MonitoringSettings = field(default_factory=MonitoringSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    sandbox: SandboxSettings = field(default_factory=SandboxSettings)
    disaggregated: DisaggregatedSettings | None = None
    artifacts: ArtifactSettings | None = None
    operator: Operator | None = None

    def rights(self) -> tuple[Right, ...]:
        """Return the rights needed to observe what these settings name."""
        needed = self.operator.rights() if self.operator is not None else ()
        if self.autoscaling.metric is not None:
            needed += metric_rights(self.autoscaling.metric)
        if self.monitoring.endpoint is not None:
            needed += self.monitoring.endpoint.rights("get")
        if self.metrics.endpoint is not None:
            needed += self.metrics.endpoint.rights("get")
        if self.disaggregated is not None:
            needed += self.disaggregated.rights()
        if self.artifacts is not None:
            needed += ARTIFACT_RIGHTS
        return needed

    def secrets(self) -> frozenset[str]:
        """Return what must not show in anything that is kept."""
        if self.artifacts is None:
            return frozenset()
        return frozenset({self.artifacts.access_key, self.artifacts.secret_key})


# Secrets are made and never read; they go with what owns them.
ARTIFACT_RIGHTS = on("secrets", "create", option="artifacts")


def metric_rights(metric: str) -> tuple[Right, ...]:
    """Return the right to read a metric of pods, which the API takes for a part of the pods."""
    return on(f"pods/{metric}", "get", group="custom.metrics.k8s.io")


def parse(data: bytes) -> ProbeSettings:
    """Read a settings document (YAML or JSON) and raise SettingsError with all its problems."""
    if len(data) > MAX_BYTES:
        raise SettingsError([("", f"the document has {len(data)} bytes; {MAX_BYTES} are enough")])
    parsed = yaml_reader.parse(data)
    errors = [entry for entry in parsed.problems if entry.severity is yaml_reader.Severity.ERROR]
    if errors and errors[0].code == "empty_document":
        return ProbeSettings()
    if errors:
        raise SettingsError([(f"line {entry.line}", entry.message) for entry in errors])
    if has_shared_nodes(parsed.root):
        raise SettingsError([("", "aliases are not read here; write the values out")])
    return from_plain(plain(parsed.root))


def from_plain(document: Any) -> ProbeSettings:
    """Check a document already read, such as one stored as JSON; raise SettingsError."""
    reader = _Reader()
    settings = reader.settings(document)
    if reader.problems:
        raise SettingsError(reader.problems)
    return settings


_SECTIONS = {
    "accelerators",
    "gang",
    "autoscaling",
    "network",
    "inference",
    "monitoring",
    "metrics",
    "sandbox",
    "disaggregated",
    "artifacts",
    "operator",
}


class _Reader:
    """Collects every problem instead of stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[tuple[str, str]] = []

    def settings(self, document: Any) -> ProbeSettings:
        top = self._mapping(document, "", _SECTIONS)
        accelerators = self._mapping(
            top.get("accelerators"), "accelerators", {"deviceClass", "resource", "nodeLabels"}
        )
        gang = self._mapping(top.get("gang"), "gang", {"backend", "queue"})
        backend = self._text(gang, "gang", "backend", BACKENDS.__contains__, f"one of {', '.join(BACKENDS)}")
        return ProbeSettings(
            accelerators=AcceleratorSettings(
                device_class=self._text(
                    accelerators, "accelerators", "deviceClass", _is_name, "the name of a DeviceClass"
                ),
                resource=self._text(
                    accelerators,
                    "accelerators",
                    "resource",
                    _is_qualified,
                    "a resource such as nvidia.com/gpu",
                ),
                node_labels=self._labels(accelerators.get("nodeLabels"), "accelerators.nodeLabels"),
            ),
            gang=GangSettings(
                backend=backend, queue=self._text(gang, "gang", "queue", _is_name, "the name of a queue")
            ),
            autoscaling=self._autoscaling(top.get("autoscaling")),
            network=self._network(top.get("network")),
            inference=self._inference(top.get("inference")),
            monitoring=self._monitoring(top.get("monitoring")),
            metrics=self._metrics(top.get("metrics")),
            sandbox=self._sandbox(top.get("sandbox")),
            disaggregated=self._disaggregated(top.get("disaggregated")),
            artifacts=self._artifacts(top.get("artifacts")),
            operator=self._operator(top["operator"]) if top.get("operator") is not None else None,
        )

    def _autoscaling(self, value: Any) -> AutoscalingSettings:
        path = "autoscaling"
        entry = self._mapping(value, path, {"pool", "scaleUpSeconds", "scaleDownSeconds", "metric"})
        usual = AutoscalingSettings()
        return AutoscalingSettings(
            pool=self._labels(entry.get("pool"), f"{path}.pool"),
            scale_up_seconds=self._seconds(entry, path, "scaleUpSeconds", usual.scale_up_seconds),
            scale_down_seconds=self._seconds(entry, path, "scaleDownSeconds", usual.scale_down_seconds),
            metric=self._text(entry, path, "metric", _is_metric, "a name such as http_requests_in_flight"),
        )

    def _network(self, value: Any) -> NetworkSettings:
        entry = self._mapping(value, "network", {"deviceClass"})
        return NetworkSettings(
            device_class=self._text(entry, "network", "deviceClass", _is_name, "the name of a DeviceClass")
        )

    def _inference(self, value: Any) -> InferenceSettings:
        path = "inference"
        entry = self._mapping(value, path, {"gatewayClass", "poolGatewayClass", "picker"})
        picker = self._mapping(entry.get("picker"), f"{path}.picker", {"image", "tls"})
        tls = picker.get("tls", True)
        if not isinstance(tls, bool):
            self._report(f"{path}.picker.tls", "must be true or false")
            tls = True
        wanted = "the name of a GatewayClass"
        return InferenceSettings(
            gateway_class=self._text(entry, path, "gatewayClass", _is_name, wanted),
            pool_gateway_class=self._text(entry, path, "poolGatewayClass", _is_name, wanted),
            picker_image=self._text(picker, f"{path}.picker", "image", _is_image, "a container image"),
            picker_tls=tls,
        )

    def _monitoring(self, value: Any) -> MonitoringSettings:
        path = "monitoring"
        entry = self._mapping(value, path, {"endpoint", "wiring", "labels"})
        endpoint = entry.get("endpoint")
        return MonitoringSettings(
            endpoint=self._endpoint(endpoint, f"{path}.endpoint") if endpoint is not None else None,
            wiring=self._text(entry, path, "wiring", WIRINGS.__contains__, f"one of {', '.join(WIRINGS)}"),
            labels=self._labels(entry.get("labels"), f"{path}.labels"),
        )

    def _metrics(self, value: Any) -> MetricsSettings:
        path = "metrics"
        entry = self._mapping(value, path, {"endpoint", "utilization", "memory", "full", "load"})
        endpoint = entry.get("endpoint")
        full = entry.get("full", MetricsSettings().full)
        if full not in {1, 100} or isinstance(full, bool):
            self._report(f"{path}.full", "must be 1 or 100, what the utilisation of a full device reads")
            full = MetricsSettings().full
        wanted = "the name of a series such as DCGM_FI_DEV_GPU_UTIL"
        return MetricsSettings(
            endpoint=self._endpoint(endpoint, f"{path}.endpoint") if endpoint is not None else None,
            utilization=self._text(entry, path, "utilization", _is_series, wanted),
            memory=self._text(entry, path, "memory", _is_series, wanted),
            full=full,
            load=self._load(entry.get("load"), f"{path}.load"),
        )

    def _load(self, value: Any, path: str) -> LoadSettings | None:
        if value is None:
            return None
        entry = self._mapping(value, path, {"image", "args"})
        image = self._text(entry, path, "image", _is_image, "a container image")
        if entry.get("image") is None:
            self._report(f"{path}.image", "is missing: name a container image")
        args = entry.get("args", [])
        if not isinstance(args, list) or not all(isinstance(item, str) for item in args):
            self._report(f"{path}.args", "must be a list of texts; put numbers in quotes")
            args = []
        return LoadSettings(image, tuple(args)) if image is not None else None

    def _sandbox(self, value: Any) -> SandboxSettings:
        entry = self._mapping(value, "sandbox", {"runtimeClass"})
        wanted = "the name of a RuntimeClass"
        return SandboxSettings(self._text(entry, "sandbox", "runtimeClass", _is_name, wanted))

    def _disaggregated(self, value: Any) -> DisaggregatedSettings | None:
        if value is None:
            return None
        path = "disaggregated"
        entry = self._mapping(value, path, {"endpoint", "prefill", "decode", "model"})
        endpoint = self._endpoint(entry.get("endpoint"), f"{path}.endpoint")
        phases = {}
        for phase in ("prefill", "decode"):
            phases[phase] = self._labels(entry.get(phase), f"{path}.{phase}")
            if entry.get(phase) in (None, {}):
                self._report(f"{path}.{phase}", f"is missing: name the labels of the {phase} pods")
        model = self._text(entry, path, "model", str.isprintable, "the name of a model")
        if endpoint is None:
            return None
        return DisaggregatedSettings(endpoint, phases["prefill"], phases["decode"], model)

    def _artifacts(self, value: Any) -> ArtifactSettings | None:
        if value is None:
            return None
        path = "artifacts"
        entry = self._mapping(value, path, {"endpoint", "bucket", "region", "accessKey", "secretKey"})
        found = {
            "endpoint": self._text(entry, path, "endpoint", _is_origin, "http:// or https:// and a host"),
            "bucket": self._text(entry, path, "bucket", _is_name, "the name of a bucket"),
            "accessKey": self._text(entry, path, "accessKey", _is_credential, "the id of an access key"),
            "secretKey": self._text(entry, path, "secretKey", _is_credential, "a secret access key"),
        }
        region = self._text(entry, path, "region", _is_name, "a region such as eu-central-1")
        for key in found:
            if entry.get(key) is None:
                self._report(f"{path}.{key}", "is missing")
        complete = {key: text for key, text in found.items() if text is not None}
        if len(complete) < len(found):
            return None
        return ArtifactSettings(
            complete["endpoint"],
            complete["bucket"],
            complete["accessKey"],
            complete["secretKey"],
            region or "us-east-1",
        )

    def _endpoint(self, value: Any, path: str) -> ServiceEndpoint | None:
        """Read a port of a Service; its namespace, name and port must be there."""
        entry = self._mapping(value, path, {"namespace", "service", "port", "scheme", "path"})
        found = {}
        for key in ("namespace", "service"):
            found[key] = self._text(entry, path, key, _is_name, f"the name of a {key}")
            if entry.get(key) is None:
                self._report(f"{path}.{key}", "is missing")
        port = entry.get("port")
        is_number = isinstance(port, int) and not isinstance(port, bool) and 1 <= port <= _LAST_PORT
        if not is_number and not (isinstance(port, str) and _is_name(port)):
            self._report(f"{path}.port", "must be the number or the name of the service's port")
        scheme = self._text(entry, path, "scheme", {"http", "https"}.__contains__, "http or https")
        below = self._text(entry, path, "path", _is_path, "a path such as /prometheus")
        if found["namespace"] is None or found["service"] is None:
            return None
        return ServiceEndpoint(found["namespace"], found["service"], str(port), scheme or "http", below or "")

    def _seconds(self, entry: dict[str, Any], path: str, key: str, usual: int) -> int:
        value = entry.get(key, usual)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LONGEST_WAIT:
            return value
        self._report(f"{path}.{key}", f"must be a number of seconds from 1 to {_LONGEST_WAIT}")
        return usual

    def _operator(self, value: Any) -> Operator | None:
        path = "operator"
        entry = self._mapping(value, path, {"crd", "valid", "invalid", "children"})
        crd = self._text(
            entry,
            path,
            "crd",
            lambda text: _is_name(text) and "." in text,
            "the name of a CustomResourceDefinition, such as rayclusters.ray.io",
        )
        samples = {}
        for name in ("valid", "invalid"):
            sample = entry.get(name)
            if not isinstance(sample, dict) or not isinstance(sample.get("spec"), dict):
                self._report(f"{path}.{name}", "must be an object with a spec, without name and namespace")
            else:
                samples[name] = sample
        children = entry.get("children", ["pods"])
        if not isinstance(children, list) or not all(
            isinstance(item, str) and _is_name(item) for item in children
        ):
            self._report(f"{path}.children", "must be a list of resources such as pods or jobs.batch")
            children = []
        if crd is None:
            if not any(where == f"{path}.crd" for where, _ in self.problems):
                self._report(f"{path}.crd", "is missing: name the CustomResourceDefinition")
            return None
        return Operator(crd, samples.get("valid", {}), samples.get("invalid", {}), tuple(children))

    def _mapping(self, value: Any, path: str, known: set[str]) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._report(path, "must be a mapping of fields")
            return {}
        for key in value:
            if key not in known:
                where = f"{path}.{key}" if path else str(key)
                self._report(where, f"is not known here; known are {', '.join(sorted(known))}")
        return value

    def _text(
        self, entry: dict[str, Any], path: str, key: str, accepts: Callable[[str], bool], wanted: str
    ) -> str | None:
        value = entry.get(key)
        if value is None:
            return None
        if isinstance(value, str) and len(value) <= _LONGEST_NAME and accepts(value):
            return value
        self._report(f"{path}.{key}", f"must be {wanted}")
        return None

    def _labels(self, value: Any, path: str) -> dict[str, str]:
        if value is None:
            return {}
        if isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
            return dict(value)
        self._report(path, "must be a mapping of label names to text; put numbers and booleans in quotes")
        return {}

    def _report(self, path: str, text: str) -> None:
        self.problems.append((path, text))


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def _is_qualified(text: str) -> bool:
    return _QUALIFIED.fullmatch(text) is not None


def _is_image(text: str) -> bool:
    return _IMAGE.fullmatch(text) is not None


def _is_path(text: str) -> bool:
    return _PATH.fullmatch(text) is not None and ".." not in text


def _is_series(text: str) -> bool:
    return _SERIES.fullmatch(text) is not None


def _is_origin(text: str) -> bool:
    return _ORIGIN.fullmatch(text) is not None


def _is_credential(text: str) -> bool:
    return _CREDENTIAL.fullmatch(text) is not None


def _is_metric(text: str) -> bool:
    return _METRIC.fullmatch(text) is not None

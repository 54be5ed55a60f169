"""The monitoring system of a simulated platform: a Prometheus, and on newer ones its operator's kinds."""

from __future__ import annotations

from conformance.simulator.definitions import (
    INT32,
    OPEN,
    STRING,
    array,
    definition,
    deployment,
    namespace,
    service,
    structure,
)
from conformance.simulator.objects import Json
from conformance.simulator.profiles import Profile

HOME, SERVICE, PORT = "monitoring", "prometheus-k8s", 9090
GROUP = "monitoring.coreos.com"
SERVICE_MONITORS, POD_MONITORS = f"servicemonitors.{GROUP}", f"podmonitors.{GROUP}"
PROMETHEUSES = f"prometheuses.{GROUP}"
IMAGE = "quay.io/prometheus/prometheus:v3.5.0"
OPERATOR_IMAGE = "quay.io/prometheus-operator/prometheus-operator:v0.85.0"
# What it wants to see on a monitor before it takes notice of it.
SELECTOR = {"release": "monitoring"}


def has_operator(profile: Profile) -> bool:
    """Whether targets are named by monitors; everywhere they are by annotations."""
    return profile.version != "1.33"


def objects(profile: Profile) -> list[Json]:
    """Return what the profile's installation brings along."""
    if "monitoring-missing" in profile.faults:
        return []
    found = [
        namespace(HOME),
        deployment(HOME, "prometheus", IMAGE, port=PORT),
        service(HOME, SERVICE, "prometheus", port=PORT, target=PORT),
    ]
    if has_operator(profile):
        found += [*_definitions(), deployment(HOME, "prometheus-operator", OPERATOR_IMAGE, port=8080)]
        selector = {"matchLabels": SELECTOR}
        everywhere: Json = {}
        found.append(
            {
                "apiVersion": f"{GROUP}/v1",
                "kind": "Prometheus",
                "metadata": {"name": "k8s", "namespace": HOME},
                "spec": {
                    "replicas": 1,
                    "serviceMonitorSelector": selector,
                    "serviceMonitorNamespaceSelector": everywhere,
                    "podMonitorSelector": selector,
                    "podMonitorNamespaceSelector": everywhere,
                },
            }
        )
    return found


def _definitions() -> list[Json]:
    endpoint = structure(
        {
            "port": STRING,
            "portNumber": INT32,
            "path": STRING,
            "scheme": STRING,
            "interval": STRING,
            "scrapeTimeout": STRING,
            "relabelings": array(OPEN),
            "metricRelabelings": array(OPEN),
        }
    )
    common = {"selector": OPEN, "namespaceSelector": OPEN, "jobLabel": STRING}

    def monitor(endpoints: str) -> Json:
        spec = structure({**common, endpoints: array(endpoint)}, ["selector"])
        return structure({"spec": spec}, ["spec"])

    prometheus = structure({"spec": OPEN, "status": OPEN}, ["spec"])
    return [
        definition(SERVICE_MONITORS, "ServiceMonitor", {"v1": monitor("endpoints")}, short_names=["smon"]),
        definition(POD_MONITORS, "PodMonitor", {"v1": monitor("podMetricsEndpoints")}, short_names=["pmon"]),
        definition(PROMETHEUSES, "Prometheus", {"v1": prometheus}, short_names=["prom"]),
    ]

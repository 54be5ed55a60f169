"""What the vendor of a simulated platform ships with it, and tells about it in the probe settings."""

from __future__ import annotations

from conformance.simulator import disaggregation, gatewayapi, monitoring, objectstore
from conformance.simulator.objects import Json
from conformance.simulator.profiles import Profile
from conformance.simulator.world import Faults


def services(profile: Profile) -> list[Json]:
    """Return what runs beside the cluster itself: gateways, monitoring, a serving stack, a store."""
    return [
        *gatewayapi.objects(profile),
        *monitoring.objects(profile),
        *disaggregation.objects(profile),
        *objectstore.installed(profile),
    ]


def settings(profile: Profile) -> Json:
    """Return the probe settings as a plain document; what can be found out is mostly left out."""
    document: Json = {**disaggregation.settings(profile), **objectstore.settings(profile)}
    if profile.version == "1.37" and "monitoring-missing" not in profile.faults:
        endpoint = {"namespace": monitoring.HOME, "service": monitoring.SERVICE, "port": monitoring.PORT}
        document["monitoring"] = {"endpoint": endpoint, "labels": dict(monitoring.SELECTOR)}
    return document


def comes_up(deployment: Json, faults: Faults) -> bool:
    """Whether a Deployment gets ready, which some defects keep it from."""
    is_broken = "disaggregation-never-ready" in faults
    return not (is_broken and deployment["metadata"]["namespace"] == disaggregation.HOME)

"""Waiting for a pod of a check to run, and telling what keeps it from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance import pods
from conformance.conclusions import failed, unknown
from conformance.resources import PODS
from conformance.run import Run

Json = dict[str, Any]

START_SECONDS = 180.0


def await_start(run: Run, name: str, *, seconds: float = START_SECONDS) -> Json | None:
    """Wait until a pod runs or has run and return it; None where the scheduler has no place for it.

    Concludes as unknown where its image cannot be had or a gate holds it back, and as failed where it
    has a place and does not start there in time.
    """

    def judge(found: Mapping[str, Json]) -> Json | None:
        pod = found.get(name)
        if pod is None:
            return None
        if pods.lacks_image(pod):
            images = sorted({container["image"] for container in pod["spec"]["containers"]})
            raise unknown("image_unpullable", f"The cluster cannot pull the image {', '.join(images)}.")
        return pod if pods.phase(pod) in {"Running", "Succeeded", "Failed"} else None

    pod = run.wait(PODS, judge, seconds=seconds, selector=run.selector)
    if pod is None:
        pending = run.find(PODS, name)
        if pending is not None and pods.is_unschedulable(pending):
            return None
        expect_ungated(pending)
        raise failed("pod_never_ran", f"Pod {name} did not start although a node has room for it.")
    if pods.phase(pod) == "Failed" and not _has_run(pod):
        status = pod.get("status") or {}
        why = status.get("message") or status.get("reason") or "no reason is given"
        raise failed("pod_rejected", f"Pod {name} was placed on a node that then refused it: {why}")
    return pod


def expect_ungated(pod: Json | None) -> None:
    """Conclude as unknown where something else than the scheduler holds a pod back, such as a queue."""
    if pod is not None and (gates := pods.gates_of(pod)):
        name = (pod.get("metadata") or {}).get("name")
        raise unknown(
            "pod_gated",
            f"Pod {name} is held back by the scheduling gate {gates[0]}; exempt the namespaces of the checks "
            "from what sets it.",
        )


def _has_run(pod: Json) -> bool:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return any("waiting" not in (status.get("state") or {}) for status in statuses)

"""Collecting what pods expose, as a monitoring system does that heeds the usual annotations."""

from __future__ import annotations

import re
from collections.abc import Mapping

from conformance.simulator.network import Request
from conformance.simulator.objects import Json, annotations_of, dig, is_deleting, is_pod_ready
from conformance.simulator.world import World

_PREFIX = "prometheus.io/"
_OK = 200
_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{[^}]*\})?\s+(\S+)(?:\s+\d+)?$")


def exposed(world: World, pod: Json) -> Mapping[str, float]:
    """Return the samples a pod exposes by name, those without a number of their own left out.

    Nothing, where the pod does not ask to be scraped or does not answer.
    """
    wishes = annotations_of(pod)
    address = dig(pod, "status", "podIP")
    if wishes.get(f"{_PREFIX}scrape") != "true" or not address or is_deleting(pod) or not is_pod_ready(pod):
        return {}
    port = wishes.get(f"{_PREFIX}port", "80")
    path = wishes.get(f"{_PREFIX}path", "/metrics")
    answer = world.network.request(str(address), int(port), Request(path=path)) if port.isdigit() else None
    if answer is None or answer.status != _OK:
        return {}
    return samples(answer.body.decode("utf-8", "replace"))


def samples(text: str) -> dict[str, float]:
    """Read the text format; of several series of one name the last counts."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match is None:
            continue
        try:
            found[match[1]] = float(match[2])
        except ValueError:
            continue
    return found

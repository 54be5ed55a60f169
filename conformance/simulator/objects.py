"""Small helpers for Kubernetes objects held as plain JSON."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Mapping
from typing import Any

from conformance.simulator.clock import stamp

Json = dict[str, Any]

# The server's own alphabet: no vowels and no look-alikes, so that no words appear.
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
SUFFIX_LENGTH = 5
MAX_GENERATED_BASE = 58

_random = random.SystemRandom()


def suffix(length: int = SUFFIX_LENGTH) -> str:
    return "".join(_random.choice(SUFFIX_ALPHABET) for _ in range(length))


def generated(base: str) -> str:
    """Return a name as ``metadata.generateName`` makes it."""
    return base[:MAX_GENERATED_BASE] + suffix()


def clone(value: Any) -> Any:
    """Return a deep copy of a JSON value; several times quicker than `copy.deepcopy`."""
    if isinstance(value, dict):
        return {key: clone(member) for key, member in value.items()}
    if isinstance(value, list):
        return [clone(member) for member in value]
    return value


def dig(value: Any, *path: str | int, default: Any = None) -> Any:
    """Return the member at `path`, or `default` where any step is missing."""
    for step in path:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return default
        elif not isinstance(value, list) or not -len(value) <= step < len(value):
            return default
        value = value[step]
    return default if value is None else value


def uid_of(obj: Json) -> str:
    return str(obj["metadata"].get("uid", ""))


def labels_of(obj: Json) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Json) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def is_deleting(obj: Json) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def owner_reference(owner: Json, *, controller: bool = True) -> Json:
    reference: Json = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    if controller:
        reference["controller"] = True
        reference["blockOwnerDeletion"] = True
    return reference


def controller_of(obj: Json) -> Json | None:
    """Return the managing owner reference of `obj`, if any."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return dict(reference)
    return None


def is_controlled_by(obj: Json, owner: Json) -> bool:
    reference = controller_of(obj)
    return reference is not None and reference["uid"] == owner["metadata"]["uid"]


def condition(obj: Json, kind: str) -> Json | None:
    for entry in dig(obj, "status", "conditions", default=()):
        if entry.get("type") == kind:
            return dict(entry)
    return None


def is_condition_true(obj: Json, kind: str) -> bool:
    entry = condition(obj, kind)
    return entry is not None and entry.get("status") == "True"


def set_condition(conditions: list[Json], kind: str, status: str, **fields: Any) -> bool:
    """Set a condition in place; the transition time moves only when the status does.

    Returns whether anything changed.
    """
    fields = {key: value for key, value in fields.items() if value is not None}
    for entry in conditions:
        if entry["type"] != kind:
            continue
        if entry["status"] == status and all(entry.get(key) == value for key, value in fields.items()):
            return False
        if entry["status"] != status:
            entry["lastTransitionTime"] = stamp()
        entry["status"] = status
        for key in ("reason", "message"):
            if key not in fields:
                entry.pop(key, None)
        entry.update(fields)
        return True
    conditions.append({"type": kind, "status": status, "lastTransitionTime": stamp(), **fields})
    return True


def is_pod_finished(pod: Json) -> bool:
    return dig(pod, "status", "phase") in {"Succeeded", "Failed"}


def is_pod_ready(pod: Json) -> bool:
    return is_condition_true(pod, "Ready") and not is_deleting(pod)


def short_hash(value: Any) -> str:
    """Return a label-safe hash of a JSON value, in the alphabet of generated names."""
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return "".join(SUFFIX_ALPHABET[byte % len(SUFFIX_ALPHABET)] for byte in digest[:10])


def without_empty(value: Mapping[str, Any]) -> Json:
    """Return `value` without members that are None or empty."""
    return {key: member for key, member in value.items() if member is not None and member not in ({}, [])}


def by_name(entries: Iterable[Json]) -> dict[str, Json]:
    return {entry["name"]: entry for entry in entries}

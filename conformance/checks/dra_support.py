"""Dynamic resource allocation is there, in its stable version and whole."""

from __future__ import annotations

from typing import Any

from conformance.catalogue import Level
from conformance.checks import check
from conformance.cluster import errors
from conformance.conclusions import Concluded, failed
from conformance.resources import CLAIM_TEMPLATES, DEVICE_CLASSES, RESOURCE_CLAIMS, Resource
from conformance.rights import Scope, on
from conformance.run import Run
from conformance.verdicts import Status, Verdict

GROUP = "resource.k8s.io"
KINDS = {
    "DeviceClass": "deviceclasses",
    "ResourceClaim": "resourceclaims",
    "ResourceClaimTemplate": "resourceclaimtemplates",
    "ResourceSlice": "resourceslices",
}
VERBS = frozenset({"create", "get", "list", "patch", "update", "delete"})
STABLE_SINCE = (1, 34)

_DEVICES = {"devices": {"requests": [{"name": "any", "exactly": {"deviceClassName": "certportal-probe"}}]}}
_SAMPLES: tuple[tuple[Resource, dict[str, Any]], ...] = (
    (DEVICE_CLASSES, {"spec": {"selectors": [{"cel": {"expression": 'device.driver == "certportal.dev"'}}]}}),
    (RESOURCE_CLAIMS, {"spec": _DEVICES}),
    (CLAIM_TEMPLATES, {"spec": {"spec": _DEVICES}}),
)


@check(
    "dra_support",
    until="1.35",
    deadline=120,
    rights=(
        *on("deviceclasses", "create", group=GROUP, scope=Scope.CLUSTER),
        *on("resourceclaims resourceclaimtemplates", "create", group=GROUP),
    ),
)
def dra_support(run: Run) -> Verdict:
    """The stable API of dynamic resource allocation is served and whole.

    Its four kinds are offered with every verb, and a dry-run creation of the three kinds a user
    writes is accepted.

    KAR-0051. A server older than 1.34 cannot have the stable version, which is excused only where the
    requirement is a SHOULD.
    """
    offered = _discovered(run)
    run.evidence.observe("discovery", offered)
    if not offered:
        if run.context.server_version < STABLE_SINCE and run.level is Level.SHOULD:
            return Verdict(
                Status.NOT_APPLICABLE,
                "server_too_old",
                f"The server is older than {_dotted(STABLE_SINCE)}, the first with {GROUP}/v1.",
            )
        return Verdict(Status.FAIL, "api_missing", f"The server does not offer {GROUP}/v1.")
    for kind, plural in KINDS.items():
        if offered.get(plural, {}).get("kind") != kind:
            return Verdict(Status.FAIL, "kind_missing", f"{GROUP}/v1 lacks {kind}.")
        if missing := sorted(VERBS - set(offered[plural]["verbs"])):
            return Verdict(
                Status.FAIL, "verb_missing", f"{kind} in {GROUP}/v1 cannot be used to {', '.join(missing)}."
            )
    for resource, sample in _SAMPLES:
        _try(run, resource, sample)
    return Verdict(
        Status.PASS,
        "api_complete",
        f"{GROUP}/v1 offers {', '.join(KINDS)} with every verb, and accepts new objects.",
    )


def _discovered(run: Run) -> dict[str, dict[str, Any]]:
    """Return kinds and verbs by plural, empty where the group's stable version is not served."""
    try:
        answer = run.connection.get(f"/apis/{GROUP}/v1", patience=run.patience())
    except errors.NotFound:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for entry in answer.get("resources") or []:
        name = str(entry.get("name"))
        if "/" not in name:
            verbs = sorted(str(verb) for verb in entry.get("verbs") or [])
            found[name] = {"kind": str(entry.get("kind")), "verbs": verbs}
    return found


def _try(run: Run, resource: Resource, sample: dict[str, Any]) -> None:
    """Let the server go through the whole creation without storing anything."""
    try:
        created = run.create(resource, f"certportal-{run.context.short}", sample, dry_run=True)
    except (errors.Unauthorized, errors.Throttled, errors.ServerError):
        raise
    except errors.Forbidden as error:
        # The right was confirmed beforehand; what refuses now is admission.
        raise Concluded(
            Status.ERROR, "forbidden", f"Creating a {resource.kind} is refused: {error}"
        ) from error
    except errors.StatusError as error:
        raise failed(
            "creation_refused", f"The server refuses a valid {resource.kind} ({error.status}): {error}"
        ) from error
    run.evidence.add_object(f"dry-run/{resource.plural}", created)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"

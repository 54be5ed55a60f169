"""Finding an AI operator, and seeing whether it does what a custom resource asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from conformance.cluster import errors
from conformance.conclusions import Concluded, failed, unknown
from conformance.operators import Operator, known_operators
from conformance.resources import CRDS, VALIDATING_WEBHOOKS, Resource
from conformance.rights import CLUSTER, Right, on
from conformance.run import SHORTEST_WAIT, Run

Json = dict[str, Any]

RIGHTS: tuple[Right, ...] = (
    *on("customresourcedefinitions", "get list", group="apiextensions.k8s.io", scope=CLUSTER),
    *on(
        "validatingwebhookconfigurations",
        "get list",
        group="admissionregistration.k8s.io",
        scope=CLUSTER,
    ),
    *(right for operator in known_operators() for right in operator.rights()),
)
RECONCILE_SECONDS = 120.0
_SHORTEST_PAUSE = 0.1


def installed_operator(run: Run) -> tuple[Operator, Json]:
    """Return the vendor's operator, or an installed one known here, with its established definition."""
    candidates: Iterable[Operator] = known_operators(run.image())
    if run.settings.operator is not None:
        candidates = (run.settings.operator,)
        run.require_rights(run.settings.operator.rights())
    for operator in candidates:
        definition = run.find(CRDS, operator.crd)
        if definition is None:
            continue
        run.evidence.observe("operator", operator.crd)
        run.evidence.add_object(f"crd/{operator.crd}", _without_schema(definition))
        if not _has_condition(definition, "Established"):
            raise failed("crd_not_established", f"The definition {operator.crd} is not established.")
        run.require(operator.crd)
        return operator, definition
    if run.settings.operator is not None:
        run.evidence.observe("looked for", [run.settings.operator.crd])
        raise failed("no_operator", f"The definition {run.settings.operator.crd} is not installed.")
    raise _without_operator(run)


def _without_operator(run: Run) -> Concluded:
    """Return the conclusion where nothing known here is installed: another operator may still be."""
    groups = {str((item.get("spec") or {}).get("group")) for item in run.items(CRDS)}
    guarded = {
        group
        for configuration in run.items(VALIDATING_WEBHOOKS)
        for hook in configuration.get("webhooks") or []
        for rule in hook.get("rules") or []
        for group in rule.get("apiGroups") or []
    }
    others = sorted(groups & guarded)
    run.evidence.observe("looked for", [operator.crd for operator in known_operators()])
    run.evidence.observe("other groups with a webhook", others)
    if others:
        return unknown(
            "operator_not_recognised",
            f"No AI operator known here is installed, but there are kinds of {', '.join(others[:5])}; "
            "describe the operator under `operator` in the probe settings.",
        )
    return failed("no_operator", "No operator with a custom resource and a webhook is installed.")


def _without_schema(definition: Json) -> Json:
    """Leave the schema out of the evidence: it fills hundreds of kilobytes and says nothing here."""
    spec = definition.get("spec") or {}
    versions = [
        {key: value for key, value in version.items() if key != "schema"}
        for version in spec.get("versions") or []
    ]
    return {**definition, "spec": {**spec, "versions": versions}}


def _has_condition(item: Json, kind: str) -> bool:
    return any(
        condition.get("type") == kind and condition.get("status") == "True"
        for condition in (item.get("status") or {}).get("conditions") or []
    )


def resource_of(operator: Operator, definition: Json) -> Resource:
    """Return the operator's kind in the version it works with itself."""
    spec = definition.get("spec") or {}
    names = spec.get("names") or {}
    versions = spec.get("versions") or []
    served = [version for version in versions if version.get("served")]
    # That is the stored version.
    served.sort(key=lambda version: not version.get("storage"))
    if not served:
        raise failed("crd_not_served", f"No version of {operator.crd} is served.")
    return Resource(
        operator.group,
        str(served[0].get("name")),
        str(names.get("plural")),
        str(names.get("kind")),
        namespaced=spec.get("scope") == "Namespaced",
    )


def expect_reconciliation(run: Run, operator: Operator, resource: Resource) -> str:
    """Create a valid object and return the children made for it; conclude where none are in time."""
    name = "certportal-valid"
    try:
        created = run.create(resource, name, dict(operator.valid))
    except errors.StatusError as error:
        if isinstance(error, errors.Unauthorized | errors.Throttled | errors.ServerError):
            raise
        raise failed("valid_rejected", f"A valid {resource.kind} was rejected: {error}") from error
    uid = str((created.get("metadata") or {}).get("uid"))
    patience = run.patience(max(run.scaled(RECONCILE_SECONDS), SHORTEST_WAIT))
    while True:
        # Custom resources and their children may be listed but not watched.
        current = run.get(resource, name)
        children = _children(run, operator, uid)
        if _is_reconciled(current) and children:
            run.evidence.observe("children", children)
            return ", ".join(f"{kind} ({count})" for kind, count in children.items())
        if run.is_over(patience, 2):
            break
        # However fast the cluster's clock runs, its server is not to be asked without a pause.
        run.patience().sleep(max(_SHORTEST_PAUSE, run.scaled(2)))
    run.evidence.observe("children", children)
    what = "made no children" if not children else "did not report the object's generation as observed"
    raise failed("not_reconciled", f"The operator {what} for a valid {resource.kind} in time.")


def _is_reconciled(item: Json) -> bool:
    """Tell whether the status speaks of the present generation, as far as the kind tells generations."""
    generation = (item.get("metadata") or {}).get("generation")
    status = item.get("status") or {}
    observed = [status.get("observedGeneration")]
    observed += [condition.get("observedGeneration") for condition in status.get("conditions") or []]
    told = [number for number in observed if isinstance(number, int)]
    if told and isinstance(generation, int):
        return max(told) >= generation
    return bool(status)


def _children(run: Run, operator: Operator, uid: str) -> dict[str, int]:
    """Count the objects of the operator's child kinds that the custom resource owns."""
    found: dict[str, int] = {}
    for child in operator.children:
        plural, _, group = child.partition(".")
        version = _version(run, group)
        if version is None:
            continue
        owned = [item for item in run.items(Resource(group, version, plural, plural)) if _is_owned(item, uid)]
        for item in owned:
            run.evidence.add_object(f"{child}/{_name(item)}", item)
        if owned:
            found[child] = len(owned)
    return found


def _version(run: Run, group: str) -> str | None:
    if not group:
        return "v1"
    entry: Mapping[str, Any] = run.groups().get(group) or {}
    return (entry.get("preferredVersion") or {}).get("version")


def _is_owned(item: Json, uid: str) -> bool:
    owners = (item.get("metadata") or {}).get("ownerReferences") or []
    return any(owner.get("uid") == uid for owner in owners)


def _name(item: Json) -> str:
    return str((item.get("metadata") or {}).get("name"))

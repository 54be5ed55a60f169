"""What the server refuses about objects of built-in kinds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from conformance.simulator.errors import Cause, duplicate, invalid_value, required, unsupported_value
from conformance.simulator.objects import Json, dig, labels_of
from conformance.simulator.quantities import quantity
from conformance.simulator.selectors import matches_label_selector

Causes = Iterator[Cause]

LABEL_LENGTH = 63
NAME_LENGTH = 253
MAX_CLAIM_REQUESTS = 32

_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_QUALIFIED = re.compile(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")

_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_LABEL_NAMED = {"namespaces", "services"}
# Names of roles and bindings are path segments only, so that they may hold colons.
_PATH_NAMED = "rbac.authorization.k8s.io"


def metadata_problems(key: str, obj: Json) -> Causes:
    """Yield what is wrong with the name and the labels of an object."""
    metadata = obj["metadata"]
    name = str(metadata.get("name", ""))
    if key.endswith(_PATH_NAMED):
        if "/" in name or "%" in name:
            yield invalid_value("metadata.name", name, "may not contain '/' or '%'")
    elif key in _LABEL_NAMED:
        if len(name) > LABEL_LENGTH or not _LABEL.match(name):
            yield invalid_value("metadata.name", name, _LABEL_RULE)
    elif len(name) > NAME_LENGTH or not _SUBDOMAIN.match(name):
        yield invalid_value("metadata.name", name, _SUBDOMAIN_RULE)
    for field, value in labels_of(obj).items():
        yield from _label_problems(field, value)


def _label_problems(field: str, value: Any) -> Causes:
    if not isinstance(value, str):
        yield invalid_value("metadata.labels", value, "must be a string")
    elif len(value) > LABEL_LENGTH:
        yield invalid_value("metadata.labels", value, "must be no more than 63 characters")
    elif value and not _QUALIFIED.match(value):
        rule = "must consist of alphanumeric characters, '-', '_' or '.', or be empty"
        yield invalid_value("metadata.labels", value, rule)
    prefix, _, bare = field.rpartition("/")
    if len(bare) > LABEL_LENGTH or not _QUALIFIED.match(bare) or (prefix and not _SUBDOMAIN.match(prefix)):
        yield invalid_value("metadata.labels", field, "name part must consist of alphanumeric characters")


def pod_spec_problems(spec: Json, path: str = "spec") -> Causes:
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    claims = {str(claim.get("name")): claim for claim in spec.get("resourceClaims") or ()}
    for index, claim in enumerate(spec.get("resourceClaims") or ()):
        where = f"{path}.resourceClaims[{index}]"
        if not claim.get("name"):
            yield required(f"{where}.name")
        sources = [key for key in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(key)]
        if len(sources) != 1:
            rule = "must specify exactly one of: `resourceClaimName`, `resourceClaimTemplateName`"
            yield invalid_value(where, claim, rule)
    seen: set[str] = set()
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or ()):
            where = f"{path}.{kind}[{index}]"
            yield from _container_problems(container, where, claims)
            name = str(container.get("name", ""))
            if name in seen:
                yield duplicate(f"{where}.name", name)
            seen.add(name)
    policies = ("Always", "OnFailure", "Never")
    if spec.get("restartPolicy") not in policies:
        yield unsupported_value(f"{path}.restartPolicy", spec.get("restartPolicy"), policies)


def _container_problems(container: Json, path: str, claims: dict[str, Json]) -> Causes:
    name = str(container.get("name", ""))
    if not name:
        yield required(f"{path}.name")
    elif len(name) > LABEL_LENGTH or not _LABEL.match(name):
        yield invalid_value(f"{path}.name", name, _LABEL_RULE)
    if not container.get("image"):
        yield required(f"{path}.image")
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for field, values in (("limits", limits), ("requests", requests)):
        for resource, value in values.items():
            yield from _quantity_problems(f"{path}.resources.{field}[{resource}]", resource, value)
    yield from _extended_problems(requests, limits, path)
    for index, claim in enumerate(resources.get("claims") or ()):
        if claim.get("name") not in claims:
            yield invalid_value(
                f"{path}.resources.claims[{index}]",
                claim,
                "must be one of the names in pod.spec.resourceClaims",
            )


def _extended_problems(requests: Json, limits: Json, path: str) -> Causes:
    for resource, value in requests.items():
        if not _is_extended(resource):
            continue
        if resource not in limits:
            yield required(f"{path}.resources.limits", "Limit must be set for non overcommitable resources")
        elif str(limits[resource]) != str(value):
            rule = f"must be equal to {resource} limit of {limits[resource]}"
            yield invalid_value(f"{path}.resources.requests", str(value), rule)


def _is_extended(resource: str) -> bool:
    return "/" in resource and "kubernetes.io/" not in resource


def _quantity_problems(path: str, resource: str, value: Any) -> Causes:
    try:
        parsed = quantity(value)
    except ValueError:
        rule = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        yield invalid_value(path, str(value), rule)
        return
    if parsed < 0:
        yield invalid_value(path, str(value), "must be greater than or equal to 0")
    if _is_extended(resource) and parsed.denominator != 1:
        yield invalid_value(path, str(value), "must be an integer")


def _pod(obj: Json) -> Causes:
    yield from pod_spec_problems(obj["spec"])


def _template_owner(obj: Json) -> Causes:
    spec = obj["spec"]
    yield from pod_spec_problems(spec["template"]["spec"], "spec.template.spec")
    selector = spec.get("selector")
    labels = dig(spec, "template", "metadata", "labels", default={})
    if not selector:
        yield required("spec.selector")
    elif not matches_label_selector(selector, labels):
        rule = "`selector` does not match template `labels`"
        yield invalid_value("spec.template.metadata.labels", labels, rule)


def _deployment(obj: Json) -> Causes:
    yield from _template_owner(obj)
    policy = obj["spec"]["template"]["spec"].get("restartPolicy")
    if policy != "Always":
        yield unsupported_value("spec.template.spec.restartPolicy", policy, ["Always"])


def _job(obj: Json) -> Causes:
    yield from _template_owner(obj)
    spec = obj["spec"]
    policy = spec["template"]["spec"].get("restartPolicy")
    if policy not in {"Never", "OnFailure"}:
        # The job has been defaulted by now; a missing policy shows as Always.
        rule = '"spec.template.spec.restartPolicy": valid values: "OnFailure", "Never"'
        yield Cause("FieldValueRequired", f"Required value: {rule}", "spec.template.spec.restartPolicy")
    if spec.get("completionMode") == "Indexed" and spec.get("completions") is None:
        yield required("spec.completions", "when completion mode is Indexed")
    for field in ("parallelism", "completions", "backoffLimit"):
        if spec.get(field) is not None and spec[field] < 0:
            yield invalid_value(f"spec.{field}", spec[field], "must be greater than or equal to 0")


def _claim_spec_problems(spec: Json, path: str) -> Causes:
    requests = dig(spec, "devices", "requests", default=[])
    if len(requests) > MAX_CLAIM_REQUESTS:
        rule = f"Too many: {len(requests)}: must have at most {MAX_CLAIM_REQUESTS} items"
        yield Cause("FieldValueTooMany", rule, f"{path}.devices.requests")
    seen: set[str] = set()
    for index, request in enumerate(requests):
        where = f"{path}.devices.requests[{index}]"
        name = str(request.get("name", ""))
        if not name:
            yield required(f"{where}.name")
        elif name in seen:
            yield duplicate(f"{where}.name", name)
        seen.add(name)
        exact, options = request.get("exactly"), request.get("firstAvailable")
        if bool(exact) == bool(options):
            yield required(where, "exactly one of `exactly` or `firstAvailable` is required")
            continue
        entries = (
            [("exactly", exact)] if exact else [(f"firstAvailable[{n}]", o) for n, o in enumerate(options)]
        )
        for field, entry in entries:
            yield from _device_request_problems(entry, f"{where}.{field}")


def _device_request_problems(entry: Json, path: str) -> Causes:
    if not entry.get("deviceClassName"):
        yield required(f"{path}.deviceClassName")
    modes = ("All", "ExactCount")
    if entry.get("allocationMode") not in modes:
        yield unsupported_value(f"{path}.allocationMode", entry.get("allocationMode"), modes)
    elif entry["allocationMode"] == "ExactCount" and entry.get("count", 0) < 1:
        yield invalid_value(f"{path}.count", entry.get("count", 0), "must be greater than zero")


def _claim(obj: Json) -> Causes:
    yield from _claim_spec_problems(obj["spec"], "spec")


def _claim_template(obj: Json) -> Causes:
    yield from _claim_spec_problems(obj["spec"]["spec"], "spec.spec")


def _slice(obj: Json) -> Causes:
    spec = obj.get("spec") or {}
    if not spec.get("driver"):
        yield required("spec.driver")
    if not dig(spec, "pool", "name"):
        yield required("spec.pool.name")
    places = [
        key for key in ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection") if spec.get(key)
    ]
    if len(places) != 1:
        one_of = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
        yield required("spec", one_of)


def _pod_group(obj: Json) -> Causes:
    policy = dig(obj, "spec", "schedulingPolicy", default={})
    chosen = [kind for kind in ("basic", "gang") if kind in policy]
    if len(chosen) != 1:
        rule = "must specify exactly one of: `basic`, `gang`"
        yield invalid_value("spec.schedulingPolicy", policy, rule)
    elif chosen == ["gang"] and (dig(policy, "gang", "minCount", default=0) or 0) < 1:
        count = dig(policy, "gang", "minCount", default=0)
        yield invalid_value("spec.schedulingPolicy.gang.minCount", count, "must be greater than 0")


def _service(obj: Json) -> Causes:
    spec = obj["spec"]
    if not spec.get("ports") and spec.get("clusterIP") != "None" and spec["type"] != "ExternalName":
        yield required("spec.ports")
    if len(spec.get("ports") or ()) > 1 and any(not port.get("name") for port in spec["ports"]):
        yield required("spec.ports[0].name")


def _definition(obj: Json) -> Causes:
    spec = obj["spec"]
    names = spec.get("names") or {}
    wanted = f"{names.get('plural', '')}.{spec.get('group', '')}"
    if obj["metadata"]["name"] != wanted:
        rule = 'must be spec.names.plural+"."+spec.group'
        yield invalid_value("metadata.name", obj["metadata"]["name"], rule)
    if not spec.get("versions"):
        yield required("spec.versions")
    elif sum(bool(version.get("storage")) for version in spec["versions"]) != 1:
        rule = "must have exactly one version marked as storage version"
        yield invalid_value("spec.versions", "", rule)
    if spec.get("scope") not in {"Cluster", "Namespaced"}:
        yield unsupported_value("spec.scope", spec.get("scope"), ["Cluster", "Namespaced"])


VALIDATORS: dict[str, Callable[[Json], Causes]] = {
    "customresourcedefinitions.apiextensions.k8s.io": _definition,
    "daemonsets.apps": _deployment,
    "deployments.apps": _deployment,
    "jobs.batch": _job,
    "podgroups.scheduling.k8s.io": _pod_group,
    "pods": _pod,
    "replicasets.apps": _template_owner,
    "resourceclaims.resource.k8s.io": _claim,
    "resourceclaimtemplates.resource.k8s.io": _claim_template,
    "resourceslices.resource.k8s.io": _slice,
    "services": _service,
}


def creation_problems(key: str, obj: Json) -> list[Cause]:
    """Return every fault of a new or changed object of a built-in kind."""
    found = list(metadata_problems(key, obj))
    validator = VALIDATORS.get(key)
    if validator is not None:
        found.extend(validator(obj))
    return found


# A pod's containers may change their image, a job may be suspended and resumed; nothing else.
_MUTABLE_POD_FIELDS = {
    "activeDeadlineSeconds",
    "tolerations",
    "schedulingGates",
    "terminationGracePeriodSeconds",
}
_IMMUTABLE: dict[str, tuple[tuple[str, ...], ...]] = {
    "jobs.batch": (("spec", "selector"), ("spec", "completionMode")),
    "deployments.apps": (("spec", "selector"),),
    "daemonsets.apps": (("spec", "selector"),),
    "replicasets.apps": (("spec", "selector"),),
    "resourceclaims.resource.k8s.io": (("spec",),),
    "resourceclaimtemplates.resource.k8s.io": (("spec",),),
    "podgroups.scheduling.k8s.io": (("spec",),),
    "rolebindings.rbac.authorization.k8s.io": (("roleRef",),),
    "clusterrolebindings.rbac.authorization.k8s.io": (("roleRef",),),
}


def update_problems(key: str, obj: Json, before: Json) -> list[Cause]:
    """Return every fault of a change of a built-in object, immutable fields included."""
    found = creation_problems(key, obj)
    for path in _IMMUTABLE.get(key, ()):
        if dig(obj, *path) != dig(before, *path):
            found.append(invalid_value(".".join(path), dig(obj, *path), "field is immutable"))
    if key == "pods" and _fixed_part(obj) != _fixed_part(before):
        rule = (
            "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions "
            "to existing tolerations),`spec.terminationGracePeriodSeconds`"
        )
        found.append(Cause("FieldValueForbidden", rule, "spec"))
    if key == "jobs.batch" and _fixed_template(obj) != _fixed_template(before) and not _may_change(before):
        found.append(invalid_value("spec.template", "", "field is immutable"))
    return found


def _fixed_part(pod: Json) -> Json:
    spec = {name: value for name, value in pod["spec"].items() if name not in _MUTABLE_POD_FIELDS}
    for kind in ("containers", "initContainers"):
        if kind in spec:
            spec[kind] = [{**container, "image": ""} for container in spec[kind]]
    return spec


def _fixed_template(job: Json) -> Any:
    return dig(job, "spec", "template")


def _may_change(job: Json) -> bool:
    """A suspended job that has not started yet may get other scheduling directives."""
    return bool(dig(job, "spec", "suspend")) and not dig(job, "status", "startTime")

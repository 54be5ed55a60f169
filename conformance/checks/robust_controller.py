"""An AI operator works: its pods, its webhook, and the reconciliation of its custom resource."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from conformance import reconciliation
from conformance.checks import check
from conformance.cluster import errors
from conformance.conclusions import Concluded, failed, unknown
from conformance.operators import Operator
from conformance.resources import ENDPOINT_SLICES, VALIDATING_WEBHOOKS, Resource
from conformance.rights import CLUSTER, on
from conformance.run import Run
from conformance.verdicts import Status, Verdict

Json = dict[str, Any]

_SERVICE_NAME = "kubernetes.io/service-name"


@check(
    "robust_controller",
    deadline=420,
    rights=(
        *reconciliation.RIGHTS,
        *on("endpointslices", "list", group="discovery.k8s.io", scope=CLUSTER),
        *on("events", "list"),
        *on("pods", "list"),
    ),
)
def robust_controller(run: Run) -> Verdict:
    """An AI operator rejects what makes no sense and reconciles what does.

    Its custom resource is established and its webhook has Ready endpoints. An object that satisfies
    the schema but makes no sense is rejected by that webhook; a valid one is reconciled at its
    generation, with children the operator owns.

    KAR-0063. The operator is the vendor's choice, or one known here that is installed.
    """
    operator, definition = reconciliation.installed_operator(run)
    resource = reconciliation.resource_of(operator, definition)
    hooks = _webhooks(run, resource)
    _expect_ready(run, hooks)
    rejection = _expect_rejection(run, operator, resource, hooks)
    children = reconciliation.expect_reconciliation(run, operator, resource)
    return Verdict(
        Status.PASS,
        "reconciled",
        f"{resource.kind}: webhook {rejection} rejected an object without sense, and the operator made "
        f"{children} for a valid one.",
    )


@dataclass(frozen=True, slots=True)
class Webhook:
    """A validating webhook; `service` is namespace and name, None where it runs outside the cluster."""

    name: str
    service: tuple[str, str] | None


# The webhook --------------------------------------------------------------------------------------


def _webhooks(run: Run, resource: Resource) -> list[Webhook]:
    """Return the validating webhooks that see a new object of the kind."""
    found = []
    for configuration in run.items(VALIDATING_WEBHOOKS):
        for hook in configuration.get("webhooks") or []:
            is_exact = hook.get("matchPolicy") == "Exact"
            if any(_covers(rule, resource, is_exact=is_exact) for rule in hook.get("rules") or []):
                service = (hook.get("clientConfig") or {}).get("service")
                place = (str(service.get("namespace")), str(service.get("name"))) if service else None
                found.append(Webhook(str(hook.get("name")), place))
                run.evidence.add_object(f"webhook/{_name(configuration)}", configuration)
    if not found:
        raise failed("no_webhook", f"No validating webhook looks at new {resource.qualified}.")
    return found


def _covers(rule: Json, resource: Resource, *, is_exact: bool) -> bool:
    """Tell whether a webhook's rule applies to new objects, be it for another version of them."""

    def has(key: str, *wanted: str) -> bool:
        return bool({"*", *wanted} & {str(value) for value in rule.get(key) or []})

    # A rule for everything belongs to a policy engine, not to the operator.
    names_group = resource.group in (rule.get("apiGroups") or [])
    return (
        names_group
        and (not is_exact or has("apiVersions", resource.version))
        and has("resources", resource.plural, "*/*")
        and has("operations", "CREATE")
    )


def _expect_ready(run: Run, hooks: Iterable[Webhook]) -> None:
    """Conclude unless the pods behind each webhook are Ready, which its endpoints tell."""
    for namespace, service in sorted({hook.service for hook in hooks if hook.service}):
        slices = run.items(ENDPOINT_SLICES, namespace=namespace, selector=f"{_SERVICE_NAME}={service}")
        endpoints = [endpoint for entry in slices for endpoint in entry.get("endpoints") or []]
        ready = [
            endpoint for endpoint in endpoints if (endpoint.get("conditions") or {}).get("ready") is not False
        ]
        run.evidence.observe(
            f"endpoints of {namespace}/{service}", {"all": len(endpoints), "ready": len(ready)}
        )
        if not ready:
            raise failed(
                "operator_not_ready", f"The webhook's service {namespace}/{service} has no Ready endpoint."
            )


def _expect_rejection(run: Run, operator: Operator, resource: Resource, hooks: Iterable[Webhook]) -> str:
    """Create an object without sense and return the webhook that rejected it; conclude otherwise."""
    name = "certportal-invalid"
    try:
        run.create(resource, name, dict(operator.invalid))
    except errors.StatusError as error:
        run.evidence.observe("rejection", {"status": error.status, "message": str(error)})
        if isinstance(error, errors.Unauthorized | errors.Throttled | errors.ServerError):
            raise Concluded(
                Status.ERROR,
                error.reason,
                f"Whether the webhook rejects cannot be seen, the server answers {error.status}: {error}",
            ) from error
        named = [hook.name for hook in hooks if f'"{hook.name}"' in str(error)]
        if named:
            return named[0]
        raise unknown(
            "rejected_by_schema",
            f"An object without sense was rejected, but not by the operator's webhook: {error}",
        ) from error
    raise failed("invalid_accepted", f"The webhook let an object without sense pass: {resource.kind} {name}.")


def _name(item: Json) -> str:
    return str((item.get("metadata") or {}).get("name"))

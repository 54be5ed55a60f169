"""The rights a check declares, as data that needs no Kubernetes client.

The engine asks for each of them before anything is created; ``conformance rbac`` prints their union.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Scope(enum.StrEnum):
    """Where a right must hold."""

    CLUSTER = "cluster"
    RUN = "run"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource (``pods`` or ``pods/log``).

    A right with an `option` is needed only when the check takes that way, such as one gang back end
    of four; the check asks for it before it goes there. `name` narrows it to the object of that name,
    `namespace` to one the vendor named in the probe settings, whatever the scope says.
    """

    verb: str
    resource: str
    group: str = ""
    scope: Scope = Scope.RUN
    option: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        """Read as in a sentence: ``create pods`` or ``list resourceslices.resource.k8s.io``."""
        kind, slash, subresource = self.resource.partition("/")
        kind = f"{kind}.{self.group}" if self.group else kind
        named = f" {self.name}" if self.name else ""
        return f"{self.verb} {kind}{slash}{subresource}{named}"


def on(
    resources: str,
    verbs: str,
    *,
    group: str = "",
    scope: Scope = Scope.RUN,
    option: str = "",
    namespace: str = "",
    name: str = "",
) -> tuple[Right, ...]:
    """Return a right for every verb on every resource, both given as words."""
    return tuple(
        Right(verb, resource, group, scope, option, namespace, name)
        for resource in resources.split()
        for verb in verbs.split()
    )


CLUSTER = Scope.CLUSTER

# Every run. Namespaces are read because their removal is waited for, and because the identity of a
# cluster is, by convention, the uid of kube-system.
BASE: tuple[Right, ...] = (
    *on("nodes", "get list", scope=CLUSTER),
    *on("runtimeclasses", "get list", group="node.k8s.io", scope=CLUSTER),
    *on("deviceclasses resourceslices", "get list", group="resource.k8s.io", scope=CLUSTER),
    *on("pods", "create get list watch delete"),
    *on("pods/log", "get"),
    *on("events", "list"),
)

# Only where the run makes its own namespaces instead of living in one the vendor prepared.
OWN_NAMESPACES: tuple[Right, ...] = on("namespaces", "create get list watch delete", scope=CLUSTER)

# Checks that occupy devices reach them through claims where the cluster offers that.
DEVICES: tuple[Right, ...] = (
    *on("resourceclaims", "get list create delete", group="resource.k8s.io"),
    *on("resourceclaimtemplates", "create get delete", group="resource.k8s.io"),
)

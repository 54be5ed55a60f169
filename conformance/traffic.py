"""Stand-in model servers, a client that asks them, and a gateway between the two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from conformance import pods
from conformance.conclusions import failed, unknown
from conformance.pods import Container, Placement, Request
from conformance.resources import CRDS, PODS, SERVICES, Resource
from conformance.rights import CLUSTER, Right, on
from conformance.run import Run
from conformance.starting import expect_ungated

Json = dict[str, Any]
T = TypeVar("T")

GROUP = "gateway.networking.k8s.io"
GATEWAY_CLASSES = Resource(GROUP, "v1", "gatewayclasses", "GatewayClass", namespaced=False)
GATEWAYS = Resource(GROUP, "v1", "gateways", "Gateway")
HTTP_ROUTES = Resource(GROUP, "v1", "httproutes", "HTTPRoute")

RIGHTS: tuple[Right, ...] = (
    *on("gateways httproutes", "create get delete", group=GROUP),
    *on("gatewayclasses", "list", group=GROUP, scope=CLUSTER),
    *on("customresourcedefinitions", "get", group="apiextensions.k8s.io", scope=CLUSTER),
    *on("services", "create get delete"),
)

PORT, GATEWAY_PORT = 8080, 80
APP_LABEL = "certportal.dev/app"
START_SECONDS = 180.0
# A gateway may stand for a load balancer that has to be ordered first.
GATEWAY_SECONDS = 300.0
ROUTE_SECONDS = 120.0
PATH_SECONDS = 120.0
REQUESTS_SECONDS = 180.0
# Between looks at one object, of the cluster's time.
GROWTH, LONGEST_PAUSE = 1.3, 5.0

# Classes that stand for the inside of a mesh or for other clusters, not for a way in.
_NO_WAY_IN = ("waypoint", "remote", "mesh", "-mc")


# Pods ---------------------------------------------------------------------------------------------


def serve(
    run: Run,
    name: str,
    app: str,
    environment: Mapping[str, str],
    *,
    annotations: Mapping[str, str] | None = None,
) -> None:
    """Create a stand-in model server; `app` is the value of the label its Service selects."""
    body = server(run, {"PROBE_NAME": name, **environment})
    metadata: Json = {"labels": {APP_LABEL: app}}
    if annotations:
        metadata["annotations"] = dict(annotations)
    run.create(PODS, name, {**body, "metadata": metadata})


def server(
    run: Run,
    environment: Mapping[str, str],
    request: Request | None = None,
    placement: Placement | None = None,
) -> Json:
    """Return the pod of a stand-in model server, without metadata."""
    told = {"PROBE_PORT": str(PORT), "PROBE_STATE": "/tmp", **environment}  # noqa: S108
    body = pods.pod([Container("server", "serve", request, told)], run.image(), placement or Placement())
    container = body["spec"]["containers"][0]
    container["ports"] = [{"name": "http", "containerPort": PORT, "protocol": "TCP"}]
    container["readinessProbe"] = {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 2}
    container["volumeMounts"] = [{"name": "state", "mountPath": told["PROBE_STATE"]}]
    body["spec"]["volumes"] = [{"name": "state", "emptyDir": {}}]
    return body


def expose(run: Run, name: str, app: str) -> None:
    """Create the Service of the servers of an app."""
    port = {"name": "http", "port": PORT, "targetPort": PORT, "protocol": "TCP"}
    spec = {"selector": {APP_LABEL: app}, "ports": [port]}
    run.create(SERVICES, name, {"metadata": {"labels": {APP_LABEL: app}}, "spec": spec})


def await_ready(run: Run, *names: str) -> None:
    """Wait until the pods run and are Ready; conclude where one never is."""

    def judge(found: Mapping[str, Json]) -> bool | None:
        for name in names:
            _look_for_trouble(run, found.get(name))
        ready = [name for name in names if name in found and is_ready(found[name])]
        return True if len(ready) == len(names) else None

    if run.wait(PODS, judge, seconds=START_SECONDS, selector=run.selector):
        return
    for name in names:
        pod = run.find(PODS, name)
        if pod is not None and pods.is_unschedulable(pod):
            raise unknown("no_room", f"The scheduler found no node for pod {name}.")
        expect_ungated(pod)
        if pod is None or not is_ready(pod):
            raise failed("pod_never_ran", f"Pod {name} did not become Ready in time.")


def _look_for_trouble(run: Run, pod: Json | None) -> None:
    if pod is None:
        return
    if pods.lacks_image(pod):
        raise unknown("image_unpullable", f"The cluster cannot pull the image {run.image()}.")
    if pods.is_over(pod):
        name = (pod.get("metadata") or {}).get("name")
        raise unknown("server_ended", f"The stand-in server in pod {name} ended by itself.")


def is_ready(pod: Json) -> bool:
    """Tell whether a pod is Ready."""
    return _is_true((pod.get("status") or {}).get("conditions") or [], "Ready")


def _is_true(conditions: Sequence[Json], kind: str) -> bool:
    return any(entry.get("type") == kind and entry.get("status") == "True" for entry in conditions)


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back of a round of requests: how many by status, and of the good ones by server.

    `reached` tells whether anything answered at all; where not, `status` is the last one seen, 0 for
    no answer.
    """

    reached: bool
    status: int
    sent: int
    statuses: Mapping[int, int]
    servers: Mapping[str, int]

    @property
    def failures(self) -> int:
        """How many requests were not answered well."""
        return self.sent - self.statuses.get(200, 0)


def ask(run: Run, name: str, environment: Mapping[str, str]) -> Answers:
    """Run a client that sends a round of requests, and return what came back when it has ended.

    Concludes where the client does not start or does not report. Two clients at a time may fall into
    step with a gateway that takes its backends in turn, and see each another half of the truth.
    """
    told = {"PROBE_PATIENCE": str(int(PATH_SECONDS)), **environment}
    container = Container("client", "ask", None, told)
    run.create(PODS, name, pods.pod([container], run.image(), Placement()))

    def judge(found: Mapping[str, Json]) -> bool | None:
        pod = found.get(name)
        if pod is not None and pods.lacks_image(pod):
            raise unknown("image_unpullable", f"The cluster cannot pull the image {run.image()}.")
        return True if pod is not None and pods.phase(pod) not in {"", "Pending"} else None

    if not run.wait(PODS, judge, seconds=START_SECONDS, selector=run.selector):
        pending = run.find(PODS, name)
        if pending is not None and pods.is_unschedulable(pending):
            raise unknown("no_room", f"The scheduler found no node for pod {name}.")
        expect_ungated(pending)
        raise failed("pod_never_ran", f"Pod {name} did not start in time.")
    found = _answers(run, name, container.name)
    run.evidence.observe(
        f"answers to {name}",
        {
            "reached": found.reached,
            "sent": found.sent,
            "statuses": {str(status): count for status, count in found.statuses.items()},
            "servers": dict(found.servers),
        },
    )
    return found


def _answers(run: Run, pod: str, container: str) -> Answers:
    report = run.markers(pod, container, seconds=PATH_SECONDS + REQUESTS_SECONDS)
    end = report.markers[-1]
    answers = [(_number(marker.get("status")), marker.get("by")) for marker in report.all("answer")]
    return Answers(
        reached=end.get("reached") == "yes",
        status=_number(end.get("status")),
        sent=len(answers),
        statuses=Counter(status for status, _ in answers),
        servers=Counter(by for status, by in answers if status == 200),  # noqa: PLR2004
    )


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


# Gateways -----------------------------------------------------------------------------------------


def serves(run: Run, definition: str, version: str) -> bool:
    """Tell whether a CustomResourceDefinition is there and serves a version; keep it as evidence."""
    found = run.find(CRDS, definition)
    if found is None:
        run.evidence.observe(f"definition {definition}", "absent")
        return False
    versions = [
        str(entry.get("name"))
        for entry in (found.get("spec") or {}).get("versions") or []
        if entry.get("served")
    ]
    run.evidence.observe(f"definition {definition}", {"served": versions})
    return version in versions


def gateway_class(run: Run, wanted: str | None) -> str:
    """Return the accepted GatewayClass to use; conclude where there is none, or no telling which."""
    classes = {str((item.get("metadata") or {}).get("name")): item for item in run.items(GATEWAY_CLASSES)}
    accepted = sorted(
        name
        for name, item in classes.items()
        if holds(item, (item.get("status") or {}).get("conditions"), "Accepted")
    )
    run.evidence.observe("gateway classes", {"all": sorted(classes)[:50], "accepted": accepted[:50]})
    if wanted is not None:
        if wanted not in accepted:
            what = "is not accepted" if wanted in classes else "does not exist"
            raise failed("no_class", f"The GatewayClass {wanted} of the probe settings {what}.")
        return wanted
    usable = [name for name in accepted if not any(word in name for word in _NO_WAY_IN)]
    if len(usable) > 1:
        raise unknown(
            "gateway_class_ambiguous",
            f"Several GatewayClasses are accepted ({', '.join(usable[:5])}); name that of inference "
            "traffic under `inference.gatewayClass` in the probe settings.",
        )
    if not usable:
        what = "None of the GatewayClasses is accepted" if classes else "There is no GatewayClass"
        raise failed("no_class", f"{what}, so no gateway can be made.")
    return usable[0]


def make_gateway(run: Run, name: str, class_name: str) -> None:
    """Create a gateway with one plain HTTP listener."""
    listener = {
        "name": "http",
        "port": GATEWAY_PORT,
        "protocol": "HTTP",
        "allowedRoutes": {"namespaces": {"from": "Same"}},
    }
    run.create(GATEWAYS, name, {"spec": {"gatewayClassName": class_name, "listeners": [listener]}})


def make_route(run: Run, name: str, gateway: str, rules: Sequence[Json]) -> None:
    """Create a route that belongs to a gateway."""
    run.create(HTTP_ROUTES, name, {"spec": {"parentRefs": [{"name": gateway}], "rules": list(rules)}})


def await_programmed(run: Run, name: str) -> str:
    """Wait until a gateway is programmed and return its address; conclude where it never is."""

    def judge(gateway: Json) -> str | None:
        status = gateway.get("status") or {}
        addresses = [str(entry.get("value")) for entry in status.get("addresses") or [] if entry.get("value")]
        holding = all(holds(gateway, status.get("conditions"), kind) for kind in ("Accepted", "Programmed"))
        return addresses[0] if holding and addresses else None

    address = poll(run, GATEWAYS, name, judge, seconds=GATEWAY_SECONDS)
    if address is None:
        gateway = run.get(GATEWAYS, name)
        conditions = (gateway.get("status") or {}).get("conditions")
        for kind in ("Accepted", "Programmed"):
            if not holds(gateway, conditions, kind):
                why = described(gateway, conditions, kind)
                raise failed("gateway_not_programmed", f"The Gateway is not {kind}: {why}.")
        raise failed("gateway_without_address", "The Gateway is Programmed but has no address.")
    return f"[{address}]" if ":" in address else address


def await_parents(run: Run, resource: Resource, name: str, gateway: str, code: str) -> None:
    """Wait until a gateway accepts a route or pool and resolves what it refers to; conclude otherwise.

    `code` is the beginning of the reason where it does not.
    """

    def conditions(item: Json) -> list[Json]:
        parents = (item.get("status") or {}).get("parents") or []
        return [
            entry
            for parent in parents
            if (parent.get("parentRef") or {}).get("name") == gateway
            for entry in parent.get("conditions") or []
        ]

    def judge(item: Json) -> bool | None:
        found = conditions(item)
        return True if all(holds(item, found, kind) for kind in ("Accepted", "ResolvedRefs")) else None

    if poll(run, resource, name, judge, seconds=ROUTE_SECONDS):
        return
    item = run.get(resource, name)
    for kind, reason in (("Accepted", f"{code}_not_accepted"), ("ResolvedRefs", f"{code}_refs_unresolved")):
        if not holds(item, conditions(item), kind):
            why = described(item, conditions(item), kind)
            raise failed(reason, f"{resource.kind} {name} is not {kind}: {why}.")


def poll(
    run: Run, resource: Resource, name: str, judge: Callable[[Json], T | None], *, seconds: float
) -> T | None:
    """Look at one object until `judge` finds what it looks for; None where `seconds` pass without it.

    The rights the checks are given let them read these kinds, not watch them. What comes usually comes
    soon, so that the looks grow rarer: what never comes is asked for some thirty times, not every second.
    """
    patience = run.awhile(seconds)
    pause = 1.0
    while True:
        is_last = patience.remaining() <= run.scaled(pause)
        if (found := judge(run.get(resource, name))) is not None:
            return found
        if is_last:
            run.blame_engine(patience)
            return None
        run.pause(pause)
        pause = min(pause * GROWTH, LONGEST_PAUSE)


def holds(item: Json, conditions: Sequence[Json] | None, kind: str) -> bool:
    """Tell whether a condition is true and speaks of the object as it is now."""
    generation = (item.get("metadata") or {}).get("generation")
    return any(
        entry.get("type") == kind
        and entry.get("status") == "True"
        and isinstance(entry.get("observedGeneration"), int)
        and entry["observedGeneration"] == generation
        for entry in conditions or []
    )


def described(item: Json, conditions: Sequence[Json] | None, kind: str) -> str:
    """Return in words why a condition does not hold."""
    for entry in conditions or []:
        if entry.get("type") == kind:
            if entry.get("status") == "True":
                generation = (item.get("metadata") or {}).get("generation")
                observed = entry.get("observedGeneration")
                return f"the condition speaks of generation {observed}, the object is at {generation}"
            return f"{entry.get('reason')}: {entry.get('message')}"
    return "the controller has not said anything about it"

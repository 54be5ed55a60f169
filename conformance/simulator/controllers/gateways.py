"""A Gateway API implementation: it gives gateways an address, judges routes and pools, and forwards."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from conformance.simulator.forwarding import Forwarder
from conformance.simulator.gatewayapi import (
    CLASSES,
    CONTROLLER_NAME,
    GATEWAYS,
    GROUP,
    POOL_GROUP,
    POOLS,
    ROUTES,
)
from conformance.simulator.network import Request, Response
from conformance.simulator.objects import Json, clone, dig, is_deleting, set_condition
from conformance.simulator.store import DELETED, Change
from conformance.simulator.world import Controller, World

REACTION_SECONDS = 0.3
_NETWORK = "172.19.255"
_OWN = frozenset({CLASSES, GATEWAYS, ROUTES, POOLS})
# The defects in which the conditions of a kind speak of no generation.
_STALE = {
    "GatewayClass": "gateway-class-stale",
    "Gateway": "gateway-status-stale",
    "HTTPRoute": "route-status-stale",
    "InferencePool": "pool-status-stale",
}


class GatewayController(Controller):
    """Serves every GatewayClass that names its controller."""

    name = "gateway-controller"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._forwarder = Forwarder(world)
        self._numbers = itertools.count(1)
        self._addresses: dict[str, str] = {}
        self._open: dict[str, list[tuple[str, int]]] = {}

    def notice(self, change: Change) -> None:
        if change.key == "services" and (change.before is None or change.kind == DELETED):
            self._wake(ROUTES, change.namespace)
            self._wake(POOLS, change.namespace)
        if change.key not in _OWN:
            return
        if change.kind == DELETED:
            if change.key == GATEWAYS:
                self._hang_up(str(change.obj["metadata"]["uid"]))
        else:
            self.enqueue((change.key, change.namespace, change.name), REACTION_SECONDS)
        if change.key in {CLASSES, GATEWAYS}:
            self._wake(GATEWAYS if change.key == CLASSES else ROUTES)
        if change.key == ROUTES:
            self._wake(POOLS, change.namespace)
            self._wake(GATEWAYS)

    def _wake(self, key: str, namespace: str = "") -> None:
        for obj in self.store.all(key, namespace):
            metadata = obj["metadata"]
            self.enqueue((key, str(metadata.get("namespace", "")), metadata["name"]), REACTION_SECONDS)

    def reconcile(self, key: tuple[str, str, str]) -> None:
        obj = self.store.get(*key)
        if obj is None or is_deleting(obj):
            return
        if key[0] == CLASSES:
            self._judge_class(obj)
        elif key[0] == GATEWAYS:
            self._program(obj)
        elif key[0] == ROUTES:
            self._judge_route(obj)
        else:
            self._judge_pool(obj)

    def _set(self, obj: Json, conditions: list[Json], kind: str, problem: tuple[str, str] | None) -> None:
        """Set a condition of `obj`: true under its usual reason, or false with reason and message."""
        reason, message = problem or (kind, f"The resource is {kind}")
        is_stale = _STALE[obj["kind"]] in self.world.faults
        set_condition(
            conditions,
            kind,
            "False" if problem else "True",
            reason=reason,
            message=message,
            observedGeneration=0 if is_stale else obj["metadata"].get("generation", 1),
        )

    def _problem(self, fault: str, reason: str, message: str) -> tuple[str, str] | None:
        return (reason, message) if fault in self.world.faults else None

    def _write(self, key: str, obj: Json, status: Json) -> None:
        metadata = obj["metadata"]
        namespace = str(metadata.get("namespace", ""))
        self.api.edit(key, namespace, metadata["name"], lambda stored: stored.update(status=status))

    # Classes and gateways

    def _judge_class(self, obj: Json) -> None:
        if obj["spec"]["controllerName"] != CONTROLLER_NAME:
            return
        conditions: list[Json] = clone(dig(obj, "status", "conditions", default=[]))
        refused = self._problem("gateway-class-rejected", "InvalidParameters", "the parameters are invalid")
        self._set(obj, conditions, "Accepted", refused)
        features = [{"name": name} for name in ("Gateway", "HTTPRoute")]
        self._write(CLASSES, obj, {"conditions": conditions, "supportedFeatures": features})

    def _is_served(self, gateway: Json) -> bool:
        found = self.store.get(CLASSES, "", gateway["spec"]["gatewayClassName"])
        return found is not None and found["spec"]["controllerName"] == CONTROLLER_NAME

    def _program(self, obj: Json) -> None:
        if not self._is_served(obj):
            return
        uid = str(obj["metadata"]["uid"])
        if uid not in self._addresses:
            number = next(self._numbers)
            self._addresses[uid] = f"{_NETWORK}.{number % 250 + 1}"
        failure = self._problem(
            "gateway-never-programmed", "AddressNotAssigned", "no address can be assigned"
        )
        conditions: list[Json] = clone(dig(obj, "status", "conditions", default=[]))
        self._set(obj, conditions, "Accepted", None)
        self._set(obj, conditions, "Programmed", failure)
        status: Json = {
            "conditions": conditions,
            "listeners": [self._listener(obj, entry) for entry in obj["spec"]["listeners"]],
        }
        if failure is None:
            self._listen(obj)
            if "gateway-without-address" not in self.world.faults:
                status["addresses"] = [{"type": "IPAddress", "value": self._addresses[uid]}]
        self._write(GATEWAYS, obj, status)

    def _listener(self, gateway: Json, listener: Json) -> Json:
        known = {entry["name"]: entry for entry in dig(gateway, "status", "listeners", default=())}
        conditions: list[Json] = clone(dig(known.get(listener["name"]), "conditions", default=[]))
        for kind in ("Accepted", "Programmed", "ResolvedRefs"):
            self._set(gateway, conditions, kind, None)
        attached = [
            route
            for route in self.store.all(ROUTES)
            for reference in _references(route)
            if _names(reference, route, gateway)
            and reference.get("sectionName", listener["name"]) == listener["name"]
        ]
        return {
            "name": listener["name"],
            "attachedRoutes": len(attached),
            "supportedKinds": [{"group": GROUP, "kind": "HTTPRoute"}],
            "conditions": conditions,
        }

    # The data path

    def _listen(self, gateway: Json) -> None:
        metadata = gateway["metadata"]
        uid = str(metadata["uid"])
        if uid in self._open or "gateway-unreachable" in self.world.faults:
            return
        self._open[uid] = []
        for listener in gateway["spec"]["listeners"]:
            place = (self._addresses[uid], int(listener["port"]))
            self._open[uid].append(place)

            def answer(request: Request, listener: str = listener["name"]) -> Response:
                return self._forwarder.answer(metadata["namespace"], metadata["name"], listener, request)

            self.world.network.listen(*place, answer)

    def _hang_up(self, uid: str) -> None:
        self._addresses.pop(uid, None)
        for place in self._open.pop(uid, ()):
            self.world.network.close(*place)

    # Routes and pools

    def _judge_route(self, obj: Json) -> None:
        parents = []
        for reference in _references(obj):
            gateway = self._gateway(reference, obj)
            if gateway is None or not self._is_served(gateway):
                continue
            conditions = _known_conditions(obj, reference)
            listeners = {entry["name"] for entry in gateway["spec"]["listeners"]}
            refused = self._problem("route-not-accepted", "NotAllowedByListeners", "no listener admits it")
            if reference.get("sectionName", next(iter(listeners))) not in listeners:
                refused = ("NoMatchingParent", "the gateway has no such listener")
            self._set(obj, conditions, "Accepted", refused)
            self._set(obj, conditions, "ResolvedRefs", self._unresolved(obj))
            parents.append(
                {"parentRef": reference, "controllerName": CONTROLLER_NAME, "conditions": conditions}
            )
        self._write(ROUTES, obj, {"parents": parents})

    def _gateway(self, reference: Json, route: Json) -> Json | None:
        home = reference.get("namespace", route["metadata"]["namespace"])
        return self.store.get(GATEWAYS, home, reference["name"])

    def _unresolved(self, route: Json) -> tuple[str, str] | None:
        if problem := self._problem("route-refs-unresolved", "RefNotPermitted", "the reference is refused"):
            return problem
        for rule in route["spec"].get("rules") or ():
            for backend in rule.get("backendRefs") or ():
                home = backend.get("namespace", route["metadata"]["namespace"])
                kinds = {("", "Service"): "services", (POOL_GROUP, "InferencePool"): POOLS}
                key = kinds.get((backend["group"], backend["kind"]))
                if key is None or key not in self.world.types:
                    return "InvalidKind", f"{backend['kind']} is no kind of backend here"
                if self.store.get(key, home, backend["name"]) is None:
                    return "BackendNotFound", f"{backend['kind']} {backend['name']} not found"
        return None

    def _judge_pool(self, obj: Json) -> None:
        parents = []
        for route in self.store.all(ROUTES, obj["metadata"]["namespace"]):
            if not _leads_to(route, obj):
                continue
            for reference in _references(route):
                gateway = self._gateway(reference, route)
                if gateway is None or not self._is_served(gateway):
                    continue
                home = gateway["metadata"]["namespace"]
                parent = {"group": GROUP, "kind": "Gateway", "name": reference["name"], "namespace": home}
                conditions = _known_conditions(obj, parent)
                refused = self._problem(
                    "pool-not-accepted", "NotSupportedByParent", "the gateway does not know pools"
                )
                self._set(obj, conditions, "Accepted", refused)
                self._set(obj, conditions, "ResolvedRefs", self._pickerless(obj))
                parents.append(
                    {"parentRef": parent, "controllerName": CONTROLLER_NAME, "conditions": conditions}
                )
        self._write(POOLS, obj, {"parents": parents} if parents else {})

    def _pickerless(self, pool: Json) -> tuple[str, str] | None:
        reference = pool["spec"]["endpointPickerRef"]
        found = self.store.get("services", pool["metadata"]["namespace"], reference["name"])
        if "pool-refs-unresolved" in self.world.faults or found is None:
            return "InvalidExtensionRef", f"service {reference['name']} not found"
        return None


def _references(route: Json) -> list[Json]:
    return list(dig(route, "spec", "parentRefs", default=()))


def _names(reference: Json, route: Json, gateway: Json) -> bool:
    home = reference.get("namespace", route["metadata"]["namespace"])
    return (home, reference["name"]) == (gateway["metadata"]["namespace"], gateway["metadata"]["name"])


def _known_conditions(obj: Json, parent: Json) -> list[Json]:
    for entry in dig(obj, "status", "parents", default=()):
        if entry["parentRef"] == parent:
            return list(clone(entry["conditions"]))
    return []


def _leads_to(route: Json, pool: Json) -> bool:
    return any(
        backend["kind"] == "InferencePool" and backend["name"] == pool["metadata"]["name"]
        for backend in _backends(route)
    )


def _backends(route: Json) -> Iterator[Json]:
    for rule in route["spec"].get("rules") or ():
        yield from rule.get("backendRefs") or ()

"""Dynamic resource allocation: which devices there are, and which a claim gets on a node."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Container, Iterator, Mapping
from typing import Any

from conformance.simulator import cel
from conformance.simulator.clock import stamp
from conformance.simulator.objects import Json, dig
from conformance.simulator.quantities import quantity
from conformance.simulator.selectors import matches_node_selector
from conformance.simulator.store import Store

GROUP = "resource.k8s.io"
CLAIMS, SLICES, CLASSES = f"resourceclaims.{GROUP}", f"resourceslices.{GROUP}", f"deviceclasses.{GROUP}"
MAX_RESERVATIONS = 256

DeviceKey = tuple[str, str, str]


class AllocationError(Exception):
    """No node can satisfy the claim as it stands, and why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """A device some slice offers, with the place it can be used from."""

    driver: str
    pool: str
    name: str
    entry: Json
    place: Json

    @property
    def key(self) -> DeviceKey:
        return (self.driver, self.pool, self.name)

    @property
    def is_shareable(self) -> bool:
        """Whether several claims may have it at a time."""
        return bool(self.entry.get("allowMultipleAllocations"))

    def reachable(self, node: Json) -> bool:
        if self.place.get("nodeName"):
            return bool(self.place["nodeName"] == node["metadata"]["name"])
        if self.place.get("nodeSelector"):
            return matches_node_selector(self.place["nodeSelector"], node)
        return bool(self.place.get("allNodes"))

    def node_selector(self) -> Json | None:
        """Return the nodes the device can be used from; None where all can."""
        name = self.place.get("nodeName")
        if name:
            field = {"key": "metadata.name", "operator": "In", "values": [name]}
            return {"nodeSelectorTerms": [{"matchFields": [field]}]}
        return self.place.get("nodeSelector")

    def scope(self) -> Json:
        """Return the variable ``device`` of a selector."""
        attributes: dict[str, dict[str, Any]] = {}
        for name, value in (self.entry.get("attributes") or {}).items():
            domain, _, bare = name.rpartition("/")
            attributes.setdefault(domain or self.driver, {})[bare] = _attribute(value)
        capacity: dict[str, dict[str, Any]] = {}
        for name, value in (self.entry.get("capacity") or {}).items():
            domain, _, bare = name.rpartition("/")
            capacity.setdefault(domain or self.driver, {})[bare] = cel.Quantity(quantity(value["value"]))
        return {
            "driver": self.driver,
            "attributes": _Domains(attributes),
            "capacity": _Domains(capacity),
            "allowMultipleAllocations": self.is_shareable,
        }


class _Domains(dict[str, dict[str, Any]]):
    """A domain no device speaks of is an empty map, as selectors find it."""

    def __missing__(self, _domain: str) -> dict[str, Any]:
        return {}


def _attribute(value: Json) -> Any:
    if "version" in value:
        return cel.version(value["version"])
    return next((value[kind] for kind in ("string", "int", "bool") if kind in value), None)


class Inventory:
    """All devices of complete pools in their newest generation, with those in use.

    By a defect the devices of a driver may be handed out `astray`, to nodes that cannot reach them, or
    be `withheld` altogether.
    """

    def __init__(self, store: Store, astray: Container[str] = (), withheld: Container[str] = ()) -> None:
        self._store = store
        self._astray, self._withheld = astray, withheld
        self.devices = list(_devices(store))
        self.taken: set[DeviceKey] = set()
        for claim in store.each(CLAIMS):
            for result in dig(claim, "status", "allocation", "devices", "results", default=()):
                if not result.get("adminAccess") and not result.get("shareID"):
                    self.taken.add((result["driver"], result["pool"], result["device"]))

    def allocate(self, claim: Json, node: Json, taken: set[DeviceKey]) -> Json | None:
        """Return an allocation for `claim` on `node` that avoids `taken`, or None where it has none.

        Raises AllocationError for a claim that no node could satisfy.
        """
        here = [
            device
            for device in self.devices
            if device.reachable(node) is not (device.driver in self._astray)
            and device.driver not in self._withheld
        ]
        search = _Search(self, here, _requests(claim), _constraints(claim))
        if not search.fill(0, taken):
            return None
        chosen = search.chosen
        results = []
        for request, device, entry in chosen:
            result: Json = {
                "request": request["name"],
                "driver": device.driver,
                "pool": device.pool,
                "device": device.name,
            }
            for field in ("adminAccess", "tolerations"):
                if entry.get(field):
                    result[field] = entry[field]
            if device.is_shareable:
                result["shareID"] = str(uuid.uuid4())
            results.append(result)
        allocation: Json = {"devices": {"results": results}}
        configuration = self._configuration(claim)
        if configuration:
            allocation["devices"]["config"] = configuration
        selector = next((s for _, device, _ in chosen if (s := device.node_selector()) is not None), None)
        if selector is not None:
            allocation["nodeSelector"] = selector
        allocation["allocationTimestamp"] = stamp()
        return allocation

    def matches(self, device: Device, entry: Json) -> bool:
        name = entry["deviceClassName"]
        device_class = self._store.get(CLASSES, "", name)
        if device_class is None:
            raise AllocationError(f"device class {name} does not exist")
        if not _tolerates(device, entry):
            return False
        scope = {"device": device.scope()}
        selectors = [*dig(device_class, "spec", "selectors", default=()), *(entry.get("selectors") or ())]
        for selector in selectors:
            expression = dig(selector, "cel", "expression", default="true")
            try:
                if cel.compiled(expression)(scope) is not True:
                    return False
            except cel.CelError as error:
                raise AllocationError(f"selector: CEL runtime error: {error}") from error
        return True

    def _configuration(self, claim: Json) -> list[Json]:
        """Return the configuration of the classes and of the claim, as the driver gets it."""
        found: list[Json] = []
        for request in _requests(claim):
            for name, entry in _alternatives(request):
                device_class = self._store.get(CLASSES, "", entry["deviceClassName"])
                found.extend(
                    {"source": "FromClass", "requests": [name], **configuration}
                    for configuration in dig(device_class, "spec", "config", default=())
                )
        found.extend(
            {"source": "FromClaim", **configuration}
            for configuration in dig(claim, "spec", "devices", "config", default=())
        )
        return found


class _Search:
    """Looks for devices for all requests of a claim, going back where a choice leads nowhere."""

    def __init__(
        self, inventory: Inventory, here: list[Device], requests: list[Json], constraints: list[Json]
    ) -> None:
        self._inventory = inventory
        self._here = here
        self._requests = requests
        self._constraints = constraints
        self.chosen: list[tuple[Json, Device, Json]] = []

    def fill(self, index: int, taken: set[DeviceKey]) -> bool:
        """Add devices to `chosen` for the requests from `index` on; returns whether all have theirs."""
        if index == len(self._requests):
            return True
        request = self._requests[index]
        for name, entry in _alternatives(request):
            named = {**request, "name": name}
            for option in self._options(entry, taken):
                added = [(named, device, entry) for device in option]
                if not _agree([*self.chosen, *added], self._constraints):
                    continue
                self.chosen.extend(added)
                if self.fill(index + 1, taken | {device.key for device in option if not device.is_shareable}):
                    return True
                del self.chosen[len(self.chosen) - len(added) :]
        return False

    def _options(self, entry: Json, taken: set[DeviceKey]) -> Iterator[list[Device]]:
        matching = [device for device in self._here if self._inventory.matches(device, entry)]
        if entry.get("allocationMode") == "All":
            whole = matching and not any(device.key in taken for device in matching)
            return iter([matching] if whole else [])
        shared = bool(entry.get("adminAccess"))
        free = [device for device in matching if shared or device.key not in taken]
        return _combinations(free, int(entry.get("count", 1)))


def _requests(claim: Json) -> list[Json]:
    return list(dig(claim, "spec", "devices", "requests", default=()))


def _constraints(claim: Json) -> list[Json]:
    return list(dig(claim, "spec", "devices", "constraints", default=()))


def _alternatives(request: Json) -> list[tuple[str, Json]]:
    if request.get("exactly"):
        return [(request["name"], request["exactly"])]
    return [(f"{request['name']}/{entry['name']}", entry) for entry in request.get("firstAvailable") or ()]


def _combinations(devices: list[Device], count: int) -> Iterator[list[Device]]:
    if count == 0:
        yield []
        return
    for index, device in enumerate(devices):
        for rest in _combinations(devices[index + 1 :], count - 1):
            yield [device, *rest]


def _agree(chosen: list[tuple[Json, Device, Json]], constraints: list[Json]) -> bool:
    for constraint in constraints:
        wanted = constraint.get("matchAttribute")
        if not wanted:
            continue
        names = constraint.get("requests") or ()
        domain, _, bare = wanted.rpartition("/")
        values = [
            device.scope()["attributes"].get(domain, {}).get(bare)
            for request, device, _ in chosen
            if not names or request["name"].partition("/")[0] in names
        ]
        if None in values or any(value != values[0] for value in values):
            return False
    return True


def _tolerates(device: Device, entry: Json) -> bool:
    return all(
        taint.get("effect") not in {"NoSchedule", "NoExecute"}
        or tolerated(taint, entry.get("tolerations") or ())
        for taint in device.entry.get("taints") or ()
    )


def tolerated(taint: Json, tolerations: Any) -> bool:
    """Return whether any toleration covers a taint, of a node or of a device."""
    for toleration in tolerations:
        if toleration.get("effect") not in {None, "", taint.get("effect")}:
            continue
        key, operator = toleration.get("key"), toleration.get("operator", "Equal")
        if operator == "Exists" and key in {None, "", taint["key"]}:
            return True
        if (
            operator == "Equal"
            and key == taint["key"]
            and toleration.get("value", "") == taint.get("value", "")
        ):
            return True
    return False


def _devices(store: Store) -> Iterator[Device]:
    pools: dict[tuple[str, str], list[Json]] = {}
    for entry in store.all(SLICES):
        spec = entry["spec"]
        pools.setdefault((spec["driver"], spec["pool"]["name"]), []).append(spec)
    for (driver, pool), specs in sorted(pools.items()):
        newest = max(int(spec["pool"].get("generation", 0)) for spec in specs)
        current = [spec for spec in specs if int(spec["pool"].get("generation", 0)) == newest]
        if len(current) != int(current[0]["pool"].get("resourceSliceCount", 1)):
            # The driver is still publishing: what is missing could contradict what is there.
            continue
        for spec in current:
            for entry in spec.get("devices") or ():
                place: Mapping[str, Any] = entry if spec.get("perDeviceNodeSelection") else spec
                yield Device(driver, pool, entry["name"], entry, dict(place))

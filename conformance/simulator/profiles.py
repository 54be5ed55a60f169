"""The clusters that can be simulated: a good one per checklist version, and one per defect."""

from __future__ import annotations

import dataclasses
import re

from conformance.simulator import defects, manners

VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")
KUEUE, VOLCANO, KAI, IN_TREE = "kueue", "volcano", "kai", "in-tree"
_GANG = {"1.33": KUEUE, "1.34": VOLCANO, "1.35": KAI, "1.36": IN_TREE, "1.37": IN_TREE}
# Where nodes with accelerators are scaled, and how their pool is marked.
POOL_LABEL, POOL = "karpenter.sh/nodepool", "accelerators"
_FAST_NETWORK = {"1.36", "1.37"}
_AUTOSCALED = {"1.33", "1.35", "1.36", "1.37"}
# How one accelerator is shared among pods, and how a virtual one is offered, where they are.
MIG, TIME_SLICING, SHAREABLE = "mig", "time-slicing", "shareable"
_SHARING = {"1.35": MIG, "1.36": TIME_SLICING, "1.37": SHAREABLE}
_VIRTUAL = {"1.36": "dra", "1.37": "labels"}
_PATCH = {"1.33": 6, "1.34": 4, "1.35": 3, "1.36": 2, "1.37": 0}


ROUGH = "rough"


class UnknownProfileError(LookupError):
    """No profile has that name."""


@dataclasses.dataclass(frozen=True, slots=True)
class Interception:
    """Requests that fail with `code`, or that are never answered where it is None."""

    code: int | None
    verb: str = "*"
    resource: str = "*"

    def concerns(self, verb: str, resource: str) -> bool:
        return self.verb in {"*", verb} and self.resource in {"*", resource}


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """What one simulated cluster is made of.

    `withheld` holds the rights, as verb and resource, the verifier's role lacks. `nodes_devices`
    counts the accelerators of each worker node. `manners` are what its API server does besides.
    """

    name: str
    version: str
    faults: frozenset[str] = frozenset()
    interceptions: tuple[Interception, ...] = ()
    withheld: tuple[tuple[str, str], ...] = ()
    nodes_devices: tuple[int, ...] = (2, 2)
    manners: frozenset[str] = frozenset()

    @property
    def gang(self) -> str:
        return _GANG[self.version]

    @property
    def has_dra(self) -> bool:
        """Whether devices are offered by dynamic resource allocation, else as an extended resource."""
        return self.version != "1.33"

    @property
    def is_autoscaled(self) -> bool:
        """Whether nodes with accelerators are added and removed as pods need them."""
        return self.version in _AUTOSCALED and any(self.nodes_devices)

    @property
    def has_fast_network(self) -> bool:
        """Whether claims can get a pod an interface to a network beside the pods' own."""
        return (
            self.version in _FAST_NETWORK
            and any(self.nodes_devices)
            and self.faults.isdisjoint({"nic-not-offered", "nic-other-mechanism"})
        )

    @property
    def sharing(self) -> str:
        """How one accelerator serves several pods; empty where none does."""
        return "" if self._is_plain("sharing-not-offered") else _SHARING.get(self.version, "")

    @property
    def virtual(self) -> str:
        """How a virtual accelerator is offered: by claims or by labels; empty where none is."""
        return "" if self._is_plain("vgpu-not-offered") else _VIRTUAL.get(self.version, "")

    def _is_plain(self, fault: str) -> bool:
        """Whether there is nothing but whole accelerators, be it by the defect named."""
        return sum(self.nodes_devices) <= 1 or not self.faults.isdisjoint({fault, "unrecognised-vendor"})

    @property
    def resource_versions(self) -> tuple[str, ...]:
        """The served versions of resource.k8s.io."""
        if not self.has_dra:
            return ()
        return ("v1beta2",) if "dra-v1-missing" in self.faults else ("v1",)

    @property
    def group_versions(self) -> tuple[str, ...]:
        """The served versions of the in-tree gang kinds in scheduling.k8s.io."""
        if self.gang != IN_TREE:
            return ()
        return ("v1alpha2",) if self.version == "1.36" else ("v1beta1", "v1alpha3")

    @property
    def git_version(self) -> str:
        return f"v{self.version}.{_PATCH[self.version]}"


_SUMMARIES = {
    "1.33": "extended resource nvidia.com/gpu, Kueue",
    "1.34": "dynamic resource allocation, Volcano",
    "1.35": "dynamic resource allocation, KAI scheduler",
    "1.36": "dynamic resource allocation, in-tree PodGroup v1alpha2",
    "1.37": "dynamic resource allocation, in-tree PodGroup v1beta1",
}
_PARAMETRIC = {
    "forbidden:VERB:RESOURCE": "the verifier's role lacks a right, such as forbidden:create:pods",
    "errors:CODE:VERB:RESOURCE": "matching requests fail, such as errors:503:list:pods; * matches all",
    "stalls:VERB:RESOURCE": "matching requests are never answered",
    "PROFILE+MANNER": f"another profile, rougher by one or more of: {', '.join(manners.MANNERS)}; or rough",
}
_WORD = r"([a-z*]+)"
_RESOURCE = r"([a-z_/*]+)"
_FORBIDDEN = re.compile(rf"^forbidden[:\-]{_WORD}[:\-]{_RESOURCE}$")
_ERRORS = re.compile(rf"^errors:([45]\d\d):{_WORD}:{_RESOURCE}$")
_STALLS = re.compile(rf"^stalls:{_WORD}:{_RESOURCE}$")
_INTERNAL_ERROR = 500


def descriptions() -> dict[str, str]:
    """Return every profile's name, or its form where it takes parameters, with what it stands for."""
    listed = {f"conformant-{version}": f"conformant: {_SUMMARIES[version]}" for version in VERSIONS}
    listed |= {
        f"rough-{version}": f"conformant-{version} with every manner of real servers" for version in VERSIONS
    }
    listed |= {name: f"{text} (on {version})" for name, (version, text) in sorted(defects.table().items())}
    return listed | _PARAMETRIC


def profile(name: str) -> Profile:
    """Return a profile by name.

    ``defect@1.34`` puts a defect on another version's base, ``defect+rough`` on a rougher server.
    """
    bare, wanted_manners = _parted(name)
    if wanted_manners:
        return dataclasses.replace(profile(bare), name=name, manners=_manners(name, wanted_manners))
    defect, _, wanted = name.partition("@")
    if wanted and wanted not in VERSIONS:
        raise UnknownProfileError(f"no profile {name!r}: the versions are {', '.join(VERSIONS)}")
    if defect.startswith("conformant-") and not wanted:
        version = defect.removeprefix("conformant-")
        if version in VERSIONS:
            return Profile(name, version)
    base = Profile(name, wanted or defects.table().get(defect, ("1.36", ""))[0])
    found = _defective(base, defect)
    if found is None:
        raise UnknownProfileError(f"no profile {name!r}; `conformance simulate --list` names them all")
    return found


def plain(name: str) -> str:
    """Return the name of the profile that differs in nothing but the manners of its server."""
    return _parted(name)[0]


def _parted(name: str) -> tuple[str, str]:
    """Return a profile's plain name and the words for its manners."""
    if name.startswith("rough-"):
        return f"conformant-{name.removeprefix('rough-')}", ROUGH
    bare, _, words = name.partition("+")
    return bare, words


def _manners(name: str, words: str) -> frozenset[str]:
    chosen = frozenset(words.split("+"))
    if chosen == {ROUGH}:
        return frozenset(manners.MANNERS)
    if unknown := chosen - manners.MANNERS.keys():
        raise UnknownProfileError(f"no profile {name!r}: no manner is called {', '.join(sorted(unknown))}")
    return chosen


def _defective(base: Profile, defect: str) -> Profile | None:
    if match := _FORBIDDEN.match(defect):
        return dataclasses.replace(base, withheld=((match[1], match[2]),))
    if match := _ERRORS.match(defect):
        interception = Interception(int(match[1]), match[2], match[3])
        return dataclasses.replace(base, interceptions=(interception,))
    if match := _STALLS.match(defect):
        return dataclasses.replace(base, interceptions=(Interception(None, match[1], match[2]),))
    if defect not in defects.table():
        return None
    base = dataclasses.replace(base, faults=frozenset({defect}))
    special = {
        "api-errors-500": {"interceptions": (Interception(_INTERNAL_ERROR),)},
        "api-stalls": {"interceptions": (Interception(None),)},
        "no-accelerators": {"nodes_devices": (0, 0)},
        "single-device": {"nodes_devices": (1, 0)},
    }
    return dataclasses.replace(base, **special.get(defect, {}))  # type: ignore[arg-type]

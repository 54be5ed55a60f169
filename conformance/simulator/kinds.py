"""Which kinds the simulated server has, and under which group, versions and names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from conformance.simulator.errors import qualified

if TYPE_CHECKING:
    from conformance.simulator.aggregation import Extension

Json = dict[str, Any]

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
REVIEW_VERBS = ("create",)


@dataclasses.dataclass(frozen=True, slots=True)
class ResourceType:
    """A resource of the API. `versions` are the served ones, the preferred first.

    `generation` says whether changes outside metadata and status count up metadata.generation.
    `returns_deleted` tells kinds whose deletion answers with the object from those with a Status.
    """

    group: str
    plural: str
    kind: str
    versions: tuple[str, ...]
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    has_status: bool = False
    generation: bool = False
    returns_deleted: bool = False
    field_labels: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    schemas: dict[str, Json] = dataclasses.field(default_factory=dict, hash=False, compare=False)
    columns: dict[str, list[Json]] = dataclasses.field(default_factory=dict, hash=False, compare=False)
    singular_name: str = ""
    list_kind_name: str = ""
    custom: bool = False

    @property
    def key(self) -> str:
        """The storage key and the name in messages: ``jobs.batch``."""
        return qualified(self.group, self.plural)

    @property
    def singular(self) -> str:
        return self.singular_name or self.kind.lower()

    @property
    def list_kind(self) -> str:
        return self.list_kind_name or f"{self.kind}List"

    def api_version(self, version: str | None = None) -> str:
        version = version or self.versions[0]
        return f"{self.group}/{version}" if self.group else version


class UnknownTypeError(LookupError):
    """No resource of that group, version and name is served."""


class Types:
    """The registry of served resources; custom ones come and go with their definitions."""

    def __init__(self, types: Iterable[ResourceType] = ()) -> None:
        self._by_key: dict[str, ResourceType] = {}
        self._by_kind: dict[tuple[str, str], ResourceType] = {}
        self.extensions: dict[str, Extension] = {}
        for entry in types:
            self.add(entry)

    def add(self, entry: ResourceType) -> None:
        self._by_key[entry.key] = entry
        self._by_kind[entry.group, entry.kind] = entry

    def remove(self, key: str) -> None:
        entry = self._by_key.pop(key, None)
        if entry is not None:
            self._by_kind.pop((entry.group, entry.kind), None)

    def __iter__(self) -> Iterator[ResourceType]:
        return iter(list(self._by_key.values()))

    def __contains__(self, key: object) -> bool:
        return key in self._by_key

    def get(self, key: str) -> ResourceType:
        try:
            return self._by_key[key]
        except KeyError:
            raise UnknownTypeError(key) from None

    def find(self, group: str, version: str, plural: str) -> ResourceType | None:
        entry = self._by_key.get(qualified(group, plural))
        return entry if entry is not None and version in entry.versions else None

    def of_kind(self, api_version: str, kind: str) -> ResourceType | None:
        """Return the resource an object or an owner reference names by apiVersion and kind."""
        group = api_version.rpartition("/")[0]
        return self._by_kind.get((group, kind))

    def group_versions(self) -> dict[str, list[str]]:
        """Return the served versions per group, the core group first, preferred versions first."""
        found: dict[str, list[str]] = {}
        for entry in self._by_key.values():
            versions = found.setdefault(entry.group, [])
            versions.extend(version for version in entry.versions if version not in versions)
        return found | {group: list(entry.versions) for group, entry in self.extensions.items()}


def _core() -> list[ResourceType]:
    v1 = ("v1",)
    event_labels = (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    )
    pod_labels = (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    )
    return [
        ResourceType("", "bindings", "Binding", v1, verbs=REVIEW_VERBS),
        ResourceType("", "configmaps", "ConfigMap", v1, short_names=("cm",)),
        ResourceType("", "events", "Event", v1, short_names=("ev",), field_labels=event_labels),
        ResourceType(
            "",
            "namespaces",
            "Namespace",
            v1,
            namespaced=False,
            short_names=("ns",),
            has_status=True,
            verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
            field_labels=("status.phase",),
            subresources=("finalize",),
        ),
        ResourceType(
            "",
            "nodes",
            "Node",
            v1,
            namespaced=False,
            short_names=("no",),
            has_status=True,
            field_labels=("spec.unschedulable",),
        ),
        ResourceType(
            "",
            "persistentvolumeclaims",
            "PersistentVolumeClaim",
            v1,
            short_names=("pvc",),
            has_status=True,
            returns_deleted=True,
        ),
        ResourceType(
            "",
            "pods",
            "Pod",
            v1,
            short_names=("po",),
            categories=("all",),
            has_status=True,
            generation=True,
            returns_deleted=True,
            field_labels=pod_labels,
            subresources=("binding", "eviction", "log"),
        ),
        ResourceType("", "secrets", "Secret", v1, field_labels=("type",)),
        ResourceType(
            "",
            "serviceaccounts",
            "ServiceAccount",
            v1,
            short_names=("sa",),
            returns_deleted=True,
            subresources=("token",),
        ),
        ResourceType(
            "",
            "services",
            "Service",
            v1,
            short_names=("svc",),
            categories=("all",),
            has_status=True,
            returns_deleted=True,
            field_labels=("spec.clusterIP", "spec.type"),
            subresources=("proxy",),
        ),
    ]


def _workloads() -> list[ResourceType]:
    v1 = ("v1",)
    common: dict[str, Any] = {"has_status": True, "generation": True, "categories": ("all",)}
    return [
        ResourceType("apps", "daemonsets", "DaemonSet", v1, short_names=("ds",), **common),
        ResourceType(
            "apps",
            "deployments",
            "Deployment",
            v1,
            short_names=("deploy",),
            subresources=("scale",),
            **common,
        ),
        ResourceType(
            "apps", "replicasets", "ReplicaSet", v1, short_names=("rs",), subresources=("scale",), **common
        ),
        ResourceType("batch", "jobs", "Job", v1, field_labels=("status.successful",), **common),
        ResourceType(
            "autoscaling",
            "horizontalpodautoscalers",
            "HorizontalPodAutoscaler",
            ("v2", "v1"),
            short_names=("hpa",),
            categories=("all",),
            has_status=True,
        ),
        ResourceType("discovery.k8s.io", "endpointslices", "EndpointSlice", v1, generation=True),
        ResourceType("coordination.k8s.io", "leases", "Lease", v1),
        ResourceType(
            "policy", "poddisruptionbudgets", "PodDisruptionBudget", v1, short_names=("pdb",), has_status=True
        ),
    ]


def _stored() -> list[ResourceType]:
    """Return kinds that are kept for those who ask, though nothing in the cluster acts on them."""
    v1 = ("v1",)
    network = "networking.k8s.io"
    return [
        ResourceType("", "limitranges", "LimitRange", v1, short_names=("limits",)),
        ResourceType(
            "",
            "persistentvolumes",
            "PersistentVolume",
            v1,
            namespaced=False,
            short_names=("pv",),
            has_status=True,
            returns_deleted=True,
        ),
        ResourceType(
            "",
            "resourcequotas",
            "ResourceQuota",
            v1,
            short_names=("quota",),
            has_status=True,
            returns_deleted=True,
        ),
        ResourceType("apps", "controllerrevisions", "ControllerRevision", v1),
        ResourceType(
            "batch",
            "cronjobs",
            "CronJob",
            v1,
            short_names=("cj",),
            categories=("all",),
            has_status=True,
            generation=True,
        ),
        ResourceType(
            network, "ingresses", "Ingress", v1, short_names=("ing",), has_status=True, generation=True
        ),
        ResourceType(network, "ingressclasses", "IngressClass", v1, namespaced=False, generation=True),
        ResourceType(
            network, "networkpolicies", "NetworkPolicy", v1, short_names=("netpol",), generation=True
        ),
        ResourceType(
            "storage.k8s.io",
            "storageclasses",
            "StorageClass",
            v1,
            namespaced=False,
            short_names=("sc",),
            returns_deleted=True,
        ),
    ]


def _cluster() -> list[ResourceType]:
    v1 = ("v1",)
    rbac = "rbac.authorization.k8s.io"
    return [
        ResourceType(
            "admissionregistration.k8s.io",
            "mutatingwebhookconfigurations",
            "MutatingWebhookConfiguration",
            v1,
            namespaced=False,
            categories=("api-extensions",),
            generation=True,
        ),
        ResourceType(
            "admissionregistration.k8s.io",
            "validatingwebhookconfigurations",
            "ValidatingWebhookConfiguration",
            v1,
            namespaced=False,
            categories=("api-extensions",),
            generation=True,
        ),
        ResourceType(
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            "CustomResourceDefinition",
            v1,
            namespaced=False,
            short_names=("crd", "crds"),
            categories=("api-extensions",),
            has_status=True,
            generation=True,
        ),
        ResourceType(
            "apiregistration.k8s.io",
            "apiservices",
            "APIService",
            v1,
            namespaced=False,
            categories=("api-extensions",),
            has_status=True,
        ),
        ResourceType(rbac, "clusterroles", "ClusterRole", v1, namespaced=False),
        ResourceType(rbac, "clusterrolebindings", "ClusterRoleBinding", v1, namespaced=False),
        ResourceType(rbac, "roles", "Role", v1),
        ResourceType(rbac, "rolebindings", "RoleBinding", v1),
        ResourceType("node.k8s.io", "runtimeclasses", "RuntimeClass", v1, namespaced=False),
        ResourceType(
            "scheduling.k8s.io",
            "priorityclasses",
            "PriorityClass",
            v1,
            namespaced=False,
            short_names=("pc",),
            generation=True,
        ),
    ]


def _reviews() -> list[ResourceType]:
    v1 = ("v1",)
    authorization = "authorization.k8s.io"
    cluster: dict[str, Any] = {"namespaced": False, "verbs": REVIEW_VERBS}
    return [
        ResourceType("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview", v1, **cluster),
        ResourceType(
            authorization, "localsubjectaccessreviews", "LocalSubjectAccessReview", v1, verbs=REVIEW_VERBS
        ),
        ResourceType(authorization, "selfsubjectaccessreviews", "SelfSubjectAccessReview", v1, **cluster),
        ResourceType(authorization, "selfsubjectrulesreviews", "SelfSubjectRulesReview", v1, **cluster),
        ResourceType(authorization, "subjectaccessreviews", "SubjectAccessReview", v1, **cluster),
    ]


def resource_types(versions: tuple[str, ...]) -> list[ResourceType]:
    """Return the kinds of dynamic resource allocation, served under `versions`."""
    group = "resource.k8s.io"
    return [
        ResourceType(
            group,
            "deviceclasses",
            "DeviceClass",
            versions,
            namespaced=False,
            generation=True,
            returns_deleted=True,
        ),
        ResourceType(
            group, "resourceclaims", "ResourceClaim", versions, has_status=True, returns_deleted=True
        ),
        ResourceType(
            group, "resourceclaimtemplates", "ResourceClaimTemplate", versions, returns_deleted=True
        ),
        ResourceType(
            group,
            "resourceslices",
            "ResourceSlice",
            versions,
            namespaced=False,
            generation=True,
            returns_deleted=True,
            field_labels=("spec.driver", "spec.nodeName"),
        ),
    ]


def group_types(versions: tuple[str, ...]) -> list[ResourceType]:
    """Return the in-tree kinds of gang scheduling, served under `versions`."""
    group = "scheduling.k8s.io"
    return [
        ResourceType(group, "podgroups", "PodGroup", versions, has_status=True, generation=True),
        ResourceType(group, "workloads", "Workload", versions, generation=True),
    ]


def builtin_types() -> list[ResourceType]:
    """Return the kinds every supported server version has."""
    return [*_core(), *_workloads(), *_stored(), *_cluster(), *_reviews()]

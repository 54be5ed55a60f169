"""The requirements of the programme and the checklists that select them.

Sixteen requirement ids exist so far. A checklist, one per Kubernetes minor version, names a subset
with a level each; it is frozen once published.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conformance import yaml_reader
from conformance.yaml_reader import Mapping as MappingNode
from conformance.yaml_reader import Node, Scalar, Sequence


class Level(enum.StrEnum):
    """How binding a requirement is in one checklist."""

    MUST = "MUST"
    SHOULD = "SHOULD"


class WorkloadKind(enum.StrEnum):
    """A kind of AI workload a requirement serves."""

    TRAINING = "training"
    INFERENCE = "inference"
    MLOPS = "mlops"
    AGENTIC = "agentic"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A requirement as one checklist words it."""

    id: str
    description: str
    level: Level


@dataclass(frozen=True, slots=True)
class Category:
    """A group of requirements; `key` is its name in the YAML (``schedulingOrchestration``)."""

    key: str
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class Checklist:
    """A frozen checklist. `version` is a Kubernetes minor version without the v, such as ``1.36``.

    `digest` is the SHA-256 of the canonical content, so that a corrected checklist is told apart.
    `published_wording` is False where the descriptions are not the programme's own text: a
    submission's descriptions are then not compared with them.
    """

    version: str
    categories: tuple[Category, ...]
    digest: str
    published_wording: bool = True

    def requirements(self) -> Iterator[tuple[Category, Requirement]]:
        """Every requirement with its category, in the order of the checklist."""
        for category in self.categories:
            for requirement in category.requirements:
                yield category, requirement


@dataclass(frozen=True, slots=True)
class RequirementInfo:
    """What holds for a requirement in every checklist.

    `kar` is the number of the programme's test plan, None where it has none. `conditional` says that
    its text starts from an "if": where the condition does not hold, N/A can be justified.
    `mapped_test` is the test whose result may serve as its evidence, `words` a pattern that
    recognises text about its subject.
    """

    id: str
    title: str
    kar: int | None
    kinds: frozenset[WorkloadKind]
    conditional: bool
    words: str
    mapped_test: str = ""


def _info(  # noqa: PLR0917 - one row of the table below
    id_: str,
    title: str,
    kar: int | None,
    kinds: str,
    conditional: str,
    words: str,
    mapped_test: str = "",
) -> RequirementInfo:
    members = frozenset(WorkloadKind(kind) for kind in kinds.split())
    return RequirementInfo(id_, title, kar, members, bool(conditional), words, mapped_test)


REQUIREMENTS: Final[Mapping[str, RequirementInfo]] = {
    info.id: info
    for info in (
        _info(
            "dra_support",
            "Dynamic resource allocation",
            51,
            "training inference",
            "",
            r"\bDRA\b|dynamic resource",
        ),
        _info(
            "driver_runtime_management",
            "Driver and runtime management",
            1,
            "training inference",
            "",
            r"driver|runtime",
        ),
        _info(
            "gpu_sharing",
            "Accelerator sharing",
            3,
            "inference mlops",
            "if",
            r"shar|\bMIG\b|time.?slic|fraction",
        ),
        _info(
            "virtualized_accelerator",
            "Virtualised accelerators",
            4,
            "inference mlops",
            "if",
            r"v-?GPU|virtuali",
        ),
        _info(
            "ai_inference",
            "Traffic management for inference",
            None,
            "inference",
            "",
            r"gateway|routing|traffic|service mesh",
        ),
        _info(
            "advanced_inference_ingress",
            "Model-aware inference ingress",
            11,
            "inference",
            "",
            r"gateway|\bGAIE\b|inference ?pool|inference extension",
        ),
        _info(
            "high_performance_networking",
            "High-performance pod networking",
            10,
            "training inference",
            "if",
            r"network|\bRDMA\b|DRANET|interface|multus|InfiniBand",
        ),
        _info(
            "disaggregated_inference",
            "Disaggregated inference",
            41,
            "inference",
            "",
            r"disaggregat|prefill|decode|llm-d|dynamo",
        ),
        _info(
            "gang_scheduling",
            "Gang scheduling",
            53,
            "training mlops",
            "",
            r"gang|all.or.nothing|kueue|volcano|co-?schedul|schedul",
            "TestGangScheduling",
        ),
        _info(
            "cluster_autoscaling",
            "Cluster autoscaling for accelerators",
            55,
            "training inference",
            "if",
            r"auto-?scal|karpenter|scale",
            "TestAcceleratorClusterAutoscaling",
        ),
        _info(
            "pod_autoscaling",
            "Pod autoscaling for accelerators",
            57,
            "inference",
            "if",
            r"auto-?scal|\bHPA\b|keda",
        ),
        _info(
            "accelerator_metrics",
            "Accelerator metrics",
            59,
            "training inference mlops",
            "if",
            r"metric|monitor|telemetry|dcgm|observab",
        ),
        _info(
            "ai_service_metrics",
            "Metrics of AI services",
            61,
            "inference mlops",
            "",
            r"metric|monitor|prometheus|scrap|observab",
        ),
        _info(
            "secure_accelerator_access",
            "Isolated accelerator access",
            49,
            "training inference mlops agentic",
            "",
            r"isolat|accelerator access|mediat",
            "TestSecureAcceleratorAccess",
        ),
        _info(
            "workload_sandboxing",
            "Workload sandboxing",
            20,
            "agentic",
            "",
            r"sandbox|gvisor|kata",
            "TestWorkloadSandboxing",
        ),
        _info(
            "robust_controller",
            "AI operators with CRDs",
            63,
            "training inference mlops agentic",
            "",
            r"operator|\bCRDs?\b|controller|kubeflow|\bray\b",
            "TestRobustCRDControllerOperation",
        ),
    )
}
MAPPED_TESTS: Final[Mapping[str, str]] = {
    info.mapped_test: info.id for info in REQUIREMENTS.values() if info.mapped_test
}

_BUILTIN_FOLDER: Final = Path(__file__).with_name("checklists")
VERSION: Final = re.compile(r"[vV]?([0-9]{1,3}\.[0-9]{1,4})(?:\.[0-9]{1,5})?(?:[-+][0-9A-Za-z.+_-]{1,64})?")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


class ChecklistError(ValueError):
    """A checklist that cannot be used. The message names what is wrong and where."""


def minor_version(text: str) -> str | None:
    """``1.35`` for ``v1.35.3``, None where `text` is no Kubernetes version."""
    match = VERSION.fullmatch(text.strip())
    return match[1] if match else None


def version_key(version: str) -> tuple[int, int]:
    """Sorts ``1.9`` before ``1.33``."""
    major, _, minor = version.partition(".")
    return int(major), int(minor)


def load_checklist(data: bytes) -> Checklist:
    """Read a checklist in the programme's own format. Raises ChecklistError.

    A top-level ``wording: own`` marks descriptions that are not the published ones.
    """
    parsed = yaml_reader.parse(data)
    if parsed.problems:
        first = parsed.problems[0]
        raise ChecklistError(f"line {first.line}: {first.message}")
    root = parsed.root
    if not isinstance(root, MappingNode):
        raise ChecklistError("a checklist is a mapping with metadata and spec")
    metadata = root.get("metadata")
    version_node = metadata.get("kubernetesVersion") if isinstance(metadata, MappingNode) else None
    version = minor_version(_text(version_node, "metadata.kubernetesVersion"))
    if version is None:
        raise ChecklistError("metadata.kubernetesVersion is not a version such as v1.36")
    spec = root.get("spec")
    if not isinstance(spec, MappingNode) or not spec.entries:
        raise ChecklistError("spec is not a mapping of categories")
    categories = tuple(_category(key, value) for key, value in spec.items())
    ids = [requirement.id for category in categories for requirement in category.requirements]
    if twice := sorted({id_ for id_ in ids if ids.count(id_) > 1}):
        raise ChecklistError(f"requirement {twice[0]} stands in the checklist more than once")
    wording = root.get("wording")
    published = not (isinstance(wording, Scalar) and wording.text == "own")
    return Checklist(version, categories, _digest(version, categories), published)


def _text(node: Node | None, where: str) -> str:
    if not isinstance(node, Scalar) or node.is_blank:
        raise ChecklistError(f"{where} is missing or not text")
    return " ".join(node.text.split())


def _category(key: Scalar, value: Node) -> Category:
    where = f"spec.{key.text}"
    if not _NAME.fullmatch(key.text):
        raise ChecklistError(f"line {key.line}: {key.text!r} is no name of a category")
    if not isinstance(value, Sequence) or not value.items:
        raise ChecklistError(f"line {key.line}: {where} is not a list of requirements")
    return Category(key.text, tuple(_requirement(item, where) for item in value.items))


def _requirement(item: Node, where: str) -> Requirement:
    if not isinstance(item, MappingNode):
        raise ChecklistError(f"line {item.line}: {where} holds an entry that is not a requirement")
    id_ = _text(item.get("id"), f"line {item.line}: {where}: id")
    if not _NAME.fullmatch(id_):
        raise ChecklistError(f"line {item.line}: {id_!r} is no requirement id")
    where = f"line {item.line}: {where}.{id_}"
    level = _text(item.get("level"), f"{where}: level")
    if level not in Level.__members__:
        raise ChecklistError(f"{where}: level {level!r} is neither MUST nor SHOULD")
    return Requirement(id_, _text(item.get("description"), f"{where}: description"), Level(level))


def _digest(version: str, categories: tuple[Category, ...]) -> str:
    content = [
        version,
        [
            [category.key, [[item.id, item.description, item.level.value] for item in category.requirements]]
            for category in categories
        ],
    ]
    canonical = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def load_checklists(folder: Path) -> dict[str, Checklist]:
    """Every checklist in the YAML files of `folder`, by version in ascending order. Raises ChecklistError."""
    files = sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"} and path.is_file())
    found: dict[str, Checklist] = {}
    for path in files:
        try:
            checklist = load_checklist(path.read_bytes())
        except (ChecklistError, OSError) as error:
            raise ChecklistError(f"{path.name}: {error}") from error
        if checklist.version in found:
            raise ChecklistError(f"{path.name}: a second checklist for {checklist.version}")
        found[checklist.version] = checklist
    if not found:
        raise ChecklistError(f"{folder} holds no checklist")
    return dict(sorted(found.items(), key=lambda item: version_key(item[0])))


@functools.cache
def builtin_checklists() -> dict[str, Checklist]:
    """The checklists the engine brings, with the published ids and levels and descriptions of its own."""
    return load_checklists(_BUILTIN_FOLDER)

"""The rules: what a submission must say, and how what is wrong is told to the vendor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from conformance.catalogue import Checklist, minor_version
from conformance.document import Product, parse, product
from conformance.rules.codes import RULES, Rule
from conformance.rules.files import EvidenceFiles, EvidenceReader, EvidenceRefused, FolderFiles
from conformance.rules.findings import Case, Findings, kind_words, meant
from conformance.rules.metadata import judge_metadata, judge_misplaced, looks_like_metadata
from conformance.rules.requirements import judge_spec
from conformance.yaml_reader import Mapping as MappingNode
from conformance.yaml_reader import Node, Problem, Scalar, Severity, quoted

__all__ = [
    "RULES",
    "EvidenceFiles",
    "EvidenceRefused",
    "FolderFiles",
    "Judgement",
    "Rule",
    "judge",
]

_SECTIONS = ("metadata", "spec")


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement of one document.

    `checklist` is the version it was judged by, None where there is none for it; `valid` means no
    error; `waiver_requests` names the MUSTs answered with a justified N/A.
    """

    checklist: str | None
    valid: bool
    problems: tuple[Problem, ...]
    product: Product
    waiver_requests: tuple[str, ...]


def judge(
    data: bytes,
    checklists: Mapping[str, Checklist],
    *,
    folder_version: str | None = None,
    files: EvidenceFiles | None = None,
) -> Judgement:
    """Judge a PRODUCT.yaml. Never raises, whatever the bytes are; all problems come at once.

    `folder_version` is the ``vX.Y`` folder the submission lies in. Without `files` the evidence's
    files are judged by the form of their names only.
    """
    parsed = parse(data)
    read = product(parsed)
    said = minor_version(read.metadata.get("kubernetesVersion", ""))
    folder = minor_version(folder_version or "")
    # A document without a readable version is judged by its folder's, so that the rest is told as well.
    checklist = checklists.get(said or folder or "")
    findings = Findings(list(parsed.problems))
    case = Case(parsed, checklists, checklist, findings, EvidenceReader(files))
    waivers: tuple[str, ...] = ()
    if isinstance(parsed.root, MappingNode):
        waivers = _judge_root(case, parsed.root, read)
        if said and folder and said != folder:
            _report_folder(case, parsed.root, said, folder)
    elif parsed.root is not None:
        message = (
            f"The document is {kind_words(parsed.root)}; a submission has the sections metadata and spec."
        )
        findings.add("not_a_mapping", message, "", parsed.root)
    problems = findings.in_order()
    valid = not any(problem.severity is Severity.ERROR for problem in problems)
    return Judgement(checklist.version if checklist else None, valid, problems, read, waivers)


def _report_folder(case: Case, root: MappingNode, said: str, folder: str) -> None:
    at: Node = root
    for section in (root, root.get("metadata")):
        if isinstance(section, MappingNode):
            at = section.get("kubernetesVersion") or section.get("kubernetes_version") or at
    message = (
        f"kubernetesVersion says {said}, and the submission lies in the folder v{folder}; "
        "correct the version, or move the submission."
    )
    case.findings.add("folder_version_mismatch", message, "metadata.kubernetesVersion", at)


def _judge_root(case: Case, root: MappingNode, read: Product) -> tuple[str, ...]:
    sections = {name: _section(case, root, name) for name in _SECTIONS}
    for name, node in root.items():
        if name.text in _SECTIONS:
            continue
        if known := looks_like_metadata(name.text):
            judge_misplaced(case, known, name, node)
        else:
            _report_unknown(case, name)
    if metadata := sections["metadata"]:
        judge_metadata(case, root, *metadata)
    if spec := sections["spec"]:
        return judge_spec(case, *spec, platform=read.metadata.get("platformName", ""))
    return ()


def _section(case: Case, root: MappingNode, name: str) -> tuple[Scalar, MappingNode] | None:
    entry = root.entries.get(name)
    if entry is None or (isinstance(entry[1], Scalar) and entry[1].is_blank):
        if case.parsed.complete:
            state = "is empty" if entry else "is missing"
            message = f"The section {name} {state}; start from the checklist and fill it in."
            case.findings.add("missing_section", message, name, entry[0] if entry else root)
        return None
    key, node = entry
    if not isinstance(node, MappingNode):
        message = (
            f"{name} is {kind_words(node)}, and a mapping of named fields is wanted, as in the checklist."
        )
        case.findings.add("wrong_type", message, name, node)
        return None
    return key, node


def _report_unknown(case: Case, name: Scalar) -> None:
    hint = ""
    if section := meant(name.text, _SECTIONS):
        hint = f" Did you mean {section}?"
    elif case.checklist and name.text in {category.key for category in case.checklist.categories}:
        hint = " It is a category: indent it, with what is below it, under spec."
    message = f"The programme knows no section {quoted(name.text, 60)}; it is ignored.{hint}"
    case.findings.add("unknown_section", message, name.text[:80], name)

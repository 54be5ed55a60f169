"""The metadata section."""

from __future__ import annotations

import re
from typing import Final

from conformance.catalogue import minor_version
from conformance.document import METADATA, MetadataField, field_text, metadata_field
from conformance.rules.findings import Case, not_text, squeezed, suggestion
from conformance.rules.links import email_fault, host_of, is_placeholder, is_sample_host, url_fault
from conformance.rules.notes import says_nothing
from conformance.yaml_reader import Mapping, Node, Scalar, ScalarKind, Sequence, quoted

_BASE_URL: Final = re.compile(
    r"https://github\.com/cncf/k8s-conformance/tree/(?:master|main)/v([0-9]+\.[0-9]+)/[^/\s?#]+/?"
)
_LOGO: Final = METADATA["productLogoUrl"].name


def judge_metadata(case: Case, root: Mapping, key: Scalar, section: Mapping) -> None:
    for known in METADATA.values():
        _judge_field(case, known, root, key, section)
    for name, _ in section.entries.values():
        if metadata_field(name.text) is None:
            hint = suggestion(name.text, METADATA)
            if name.text == "spec":
                hint = " The section spec stands beside metadata: begin its line without spaces."
            message = f"metadata has no field {quoted(name.text, 60)}; it is ignored.{hint}"
            case.findings.add("unknown_metadata", message, f"metadata.{name.text[:80]}", name)


def _judge_field(case: Case, known: MetadataField, root: Mapping, key: Scalar, section: Mapping) -> None:
    path = f"metadata.{known.name}"
    given = [section.entries[name] for name in (known.name, known.snake) if name in section.entries]
    if known.name == known.snake:
        given = given[:1]
    if len(given) > 1:
        first, second = sorted((name for name, _ in given), key=lambda name: (name.line, name.column))
        message = (
            f"{second.text} is {first.text} (line {first.line}) in another spelling; keep one of them, "
            "so that it is certain which value counts."
        )
        case.findings.add("both_spellings", message, path, second)
    value = next((node for _, node in given if not _is_blank(node)), given[0][1] if given else None)
    if value is None or _is_blank(value):
        if not _is_misplaced(root, known) and (value is not None or case.parsed.complete):
            _report_missing(case, known, path, value or key, is_there=value is not None)
        return
    judge_value(case, known, path, value)


def _is_blank(node: Node) -> bool:
    return isinstance(node, Scalar) and node.is_blank


def _is_misplaced(root: Mapping, known: MetadataField) -> bool:
    return any(name in root.entries for name in (known.name, known.snake))


def _report_missing(case: Case, known: MetadataField, path: str, at: Node, *, is_there: bool) -> None:
    state = "is empty" if is_there else "is missing"
    if known.required:
        message = f"{known.name} ({known.meaning}) {state}; add it to metadata."
        if known.kind == "base_url":
            message = (
                f"{known.name} {state}. Base conformance comes first: link the product's folder, "
                f"{_form(case)}."
            )
        case.findings.add("missing_metadata", message, path, at)
    elif known.name == _LOGO:
        message = (
            f"{known.name} {state}; the vendor's logo is shown instead. Add a link to the platform's own."
        )
        case.findings.add("missing_logo", message, path, at)


def _form(case: Case) -> str:
    version = case.checklist.version if case.checklist else "X.Y"
    return f"https://github.com/cncf/k8s-conformance/tree/master/v{version}/<product>"


def judge_misplaced(case: Case, known: MetadataField, name: Scalar, node: Node) -> None:
    """A metadata field that stands at the top level of the document."""
    message = (
        f"{name.text} stands outside the metadata section, where nobody looks for it; "
        f"move the line under metadata and indent it like the fields there."
    )
    path = f"metadata.{known.name}"
    case.findings.add("misplaced_metadata", message, path, name)
    if not _is_blank(node):
        judge_value(case, known, path, node)


def judge_value(case: Case, known: MetadataField, path: str, node: Node) -> None:
    """Type first, then form; a value of the wrong type is still read as the text it was written as."""
    add = case.findings.add
    if isinstance(node, Sequence) and len(node.items) == 1 and field_text(node):
        template = f"[{field_text(node)}]"
        message = (
            f"{known.name} is the list {quoted(template)}, it seems the template's; write text in quotes."
        )
        add("placeholder", message, path, node)
        return
    if fault := not_text(node, known.name):
        add("wrong_type", fault, path, node)
        if not isinstance(node, Scalar) or (node.kind is ScalarKind.BOOLEAN):
            return
    text = field_text(node)
    if not known.required and says_nothing(text):
        message = f"{known.name} is optional and says {quoted(text)}; delete the line."
        add("optional_not_given", message, path, node)
    elif is_placeholder(text):
        message = f"{known.name} still holds the template's text {quoted(text)}; write the real value"
        message += "." if known.required else " or delete the line."
        add("placeholder", message, path, node)
    elif known.kind == "version":
        judge_version(case, path, node, text)
    elif known.kind == "email":
        if fault := email_fault(text):
            add("bad_email", f"{known.name} ({quoted(text, 80)}) {fault}.", path, node)
    elif known.kind in {"url", "base_url"}:
        _judge_link(case, known, path, node, text)


def judge_version(case: Case, path: str, node: Node, text: str) -> None:
    version = minor_version(text)
    if version is None:
        message = f"kubernetesVersion {quoted(text, 60)} is no Kubernetes version; write for example v1.36."
        case.findings.add("bad_version", message, path, node)
    elif version not in case.checklists:
        known = ", ".join(case.checklists) or "none"
        message = f"There is no checklist for Kubernetes {version}; known are: {known}."
        case.findings.add("unknown_checklist", message, path, node)


def _judge_link(case: Case, known: MetadataField, path: str, node: Node, text: str) -> None:
    add = case.findings.add
    if fault := url_fault(text):
        add("bad_url", f"{known.name} ({quoted(text)}) {fault}.", path, node)
        return
    if is_sample_host(host_of(text)):
        message = f"{known.name} ({quoted(text)}) is a sample from a guide; link your own page."
        add("sample_value", message, path, node)
    if known.kind != "base_url":
        return
    match = _BASE_URL.fullmatch(text)
    if match is None:
        message = (
            f"{known.name} ({quoted(text)}) does not point at a base certification; "
            f"the form is {_form(case)}."
        )
        add("bad_base_url", message, path, node)
    elif case.checklist is not None and match[1] != case.checklist.version:
        message = (
            f"{known.name} is the base certification for {match[1]}, and this submission is for "
            f"{case.checklist.version}; link {_form(case)}, or explain it to the reviewers."
        )
        add("base_version_mismatch", message, path, node)


def looks_like_metadata(name: str) -> MetadataField | None:
    """The field a top-level key is, in either spelling or nearly."""
    exact = metadata_field(name)
    if exact is not None:
        return exact
    return next((known for known in METADATA.values() if squeezed(known.name) == squeezed(name)), None)

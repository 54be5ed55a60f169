"""A PRODUCT.yaml: reading it tolerantly, and writing one.

``parse`` and the node tree come from :mod:`conformance.yaml_reader`. ``product`` takes from a tree
whatever can sensibly be read, so that a form can be filled from a faulty document; judging what is
wrong with it is the work of :mod:`conformance.rules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from conformance.catalogue import Checklist
from conformance.yaml_reader import (
    MAX_BYTES,
    Node,
    Parsed,
    Problem,
    Scalar,
    ScalarKind,
    Sequence,
    Severity,
    parse,
)
from conformance.yaml_reader import Mapping as MappingNode

__all__ = [
    "MAX_BYTES",
    "METADATA",
    "STATUSES",
    "Claim",
    "MetadataField",
    "Parsed",
    "Problem",
    "Product",
    "Severity",
    "field_text",
    "metadata_field",
    "parse",
    "product",
    "read_status",
    "render",
]

IMPLEMENTED: Final = "Implemented"
NOT_IMPLEMENTED: Final = "Not Implemented"
PARTIALLY_IMPLEMENTED: Final = "Partially Implemented"
NOT_APPLICABLE: Final = "N/A"
STATUSES: Final = (IMPLEMENTED, NOT_IMPLEMENTED, PARTIALLY_IMPLEMENTED, NOT_APPLICABLE)


@dataclass(frozen=True, slots=True)
class MetadataField:
    """A field of the metadata section.

    `kind` is text, version, url, email or base_url; `meaning` completes a sentence such as
    "platformName (the platform's name) is missing".
    """

    name: str
    snake: str
    kind: str
    required: bool
    meaning: str


_REQUIRED, _OPTIONAL = True, False
METADATA: Final = {
    entry.name: entry
    for entry in (
        MetadataField(
            "kubernetesVersion", "kubernetes_version", "version", _REQUIRED, "the version of its Kubernetes"
        ),
        MetadataField("platformName", "platform_name", "text", _REQUIRED, "the platform's name"),
        MetadataField("platformVersion", "platform_version", "text", _REQUIRED, "the platform's version"),
        MetadataField("vendorName", "vendor_name", "text", _REQUIRED, "the vendor's name"),
        MetadataField("websiteUrl", "website_url", "url", _REQUIRED, "the platform's website"),
        MetadataField("repoUrl", "repo_url", "url", _OPTIONAL, "the source repository"),
        MetadataField("documentationUrl", "documentation_url", "url", _REQUIRED, "the documentation"),
        MetadataField("productLogoUrl", "product_logo_url", "url", _OPTIONAL, "the platform's logo"),
        MetadataField("description", "description", "text", _REQUIRED, "what the platform is"),
        MetadataField("contactEmailAddress", "contact_email_address", "email", _REQUIRED, "whom to ask"),
        MetadataField(
            "k8sConformanceUrl", "k8s_conformance_url", "base_url", _REQUIRED, "the base certification"
        ),
        MetadataField("configuration", "configuration", "text", _OPTIONAL, "the certified configuration"),
        MetadataField("basePlatform", "base_platform", "text", _OPTIONAL, "the platform it is built on"),
    )
}
_BY_SPELLING: Final = {
    spelling: entry for entry in METADATA.values() for spelling in (entry.name, entry.snake)
}


@dataclass(frozen=True, slots=True)
class Claim:
    """What a vendor says of one requirement. `met_by` names the layer that meets it, if said.

    `status` is one of STATUSES, "" or, where it could not be recognised, the vendor's own word.
    """

    id: str
    category: str
    status: str = ""
    evidence: tuple[str, ...] = ()
    notes: str = ""
    met_by: str = ""


@dataclass(frozen=True, slots=True)
class Product:
    """A submission as read: metadata by camelCase name, claims by requirement id."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, Claim] = field(default_factory=dict)


def metadata_field(key: str) -> MetadataField | None:
    """The metadata field `key` spells, in camelCase or snake_case."""
    return _BY_SPELLING.get(key)


# Reading ------------------------------------------------------------------------------------------


def field_text(node: Node | None) -> str:
    """The text of a field, without surrounding white space; "" where there is none to read."""
    if isinstance(node, Scalar):
        return "" if node.kind is ScalarKind.NULL else node.text.strip()
    if isinstance(node, Sequence):
        texts = [field_text(item) for item in node.items if isinstance(item, Scalar)]
        return ", ".join(text for text in texts if text)
    return ""


_STATUS_WORDS = {
    "implemented": IMPLEMENTED,
    "implement": IMPLEMENTED,
    "fullyimplemented": IMPLEMENTED,
    "yes": IMPLEMENTED,
    "true": IMPLEMENTED,
    "done": IMPLEMENTED,
    "supported": IMPLEMENTED,
    "pass": IMPLEMENTED,
    "passed": IMPLEMENTED,
    "notimplemented": NOT_IMPLEMENTED,
    "unimplemented": NOT_IMPLEMENTED,
    "notsupported": NOT_IMPLEMENTED,
    "unsupported": NOT_IMPLEMENTED,
    "no": NOT_IMPLEMENTED,
    "false": NOT_IMPLEMENTED,
    "partiallyimplemented": PARTIALLY_IMPLEMENTED,
    "partialimplemented": PARTIALLY_IMPLEMENTED,
    "partialyimplemented": PARTIALLY_IMPLEMENTED,
    "partial": PARTIALLY_IMPLEMENTED,
    "partially": PARTIALLY_IMPLEMENTED,
    "na": NOT_APPLICABLE,
    "notapplicable": NOT_APPLICABLE,
    "nonapplicable": NOT_APPLICABLE,
    "notrelevant": NOT_APPLICABLE,
}
_CERTAIN_WORDS = frozenset({"implemented", "notimplemented", "partiallyimplemented", "na", "notapplicable"})
_NOT_LETTERS = re.compile(r"[^a-z]+")


def read_status(text: str) -> tuple[str, str]:
    """The status `text` says beyond doubt (else the text itself), and the one it probably means (or "")."""
    text = text.strip()
    if text in STATUSES or not text:
        return text, text
    word = _NOT_LETTERS.sub("", text.lower())
    meant = _STATUS_WORDS.get(word, "")
    return (meant if word in _CERTAIN_WORDS else text), meant


def evidence_texts(node: Node | None) -> Iterator[tuple[str, Node]]:
    """The evidence entries a node can be read as, each with the node it stands in.

    A plain string is one entry; a mapping gives its texts (``- url: https://…``), a nested list its items.
    """
    pending = [node] if node is not None else []
    while pending:
        current = pending.pop()
        if isinstance(current, Scalar):
            if text := field_text(current):
                yield text, current
        elif isinstance(current, Sequence):
            pending.extend(reversed(current.items))
        else:
            pending.extend(value for _, value in reversed(list(current.items())))


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands below a category: the node, its place in the category and, in a mapping, its key."""

    category: str
    node: Node
    index: int
    key: str = ""

    @property
    def id(self) -> str:
        """The requirement id it gives; where the category is a mapping, at least the key."""
        own = self.node.get("id") if isinstance(self.node, MappingNode) else None
        return field_text(own) or self.key


def requirement_entries(spec: Node | None) -> Iterator[Entry]:
    """Every entry below `spec`, whether its category holds a list or not.

    A category given as a mapping is read by its values: vendors write ``dra_support: {status: …}``.
    """
    if not isinstance(spec, MappingNode):
        return
    for key, value in spec.items():
        if isinstance(value, Sequence):
            for index, item in enumerate(value.items):
                yield Entry(key.text, item, index)
        elif isinstance(value, MappingNode) and "id" in value.entries:
            yield Entry(key.text, value, 0)
        elif isinstance(value, MappingNode):
            for index, (name, item) in enumerate(value.items()):
                if isinstance(item, MappingNode):
                    yield Entry(key.text, item, index, name.text.strip())


MET_BY_KEYS: Final = ("metBy", "met_by")


def product(parsed: Parsed) -> Product:
    """Read what can be read.

    Of a metadata field in both spellings the camelCase one counts, of a requirement given twice the
    first entry.
    """
    root = parsed.root
    if not isinstance(root, MappingNode):
        return Product()
    metadata: dict[str, str] = {}
    for section in (root.get("metadata"), root):
        if isinstance(section, MappingNode):
            for known in METADATA.values():
                text = field_text(section.get(known.name)) or field_text(section.get(known.snake))
                if text:
                    metadata.setdefault(known.name, text)
    claims: dict[str, Claim] = {}
    for entry in requirement_entries(root.get("spec")):
        if isinstance(entry.node, MappingNode) and entry.id and entry.id not in claims:
            claims[entry.id] = _claim(entry.id, entry.category, entry.node)
    return Product(metadata, claims)


def _claim(id_: str, category: str, entry: MappingNode) -> Claim:
    return Claim(
        id=id_,
        category=category,
        status=read_status(field_text(entry.get("status")))[0],
        evidence=tuple(text for text, _ in evidence_texts(entry.get("evidence"))),
        notes=field_text(entry.get("notes")),
        met_by=next((text for key in MET_BY_KEYS if (text := field_text(entry.get(key)))), ""),
    )


# Writing ------------------------------------------------------------------------------------------

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_TO_ESCAPE = re.compile('["\\\\\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]')


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return _ESCAPES.get(character) or f"\\u{ord(character):04x}"


def _yaml_text(text: str) -> str:
    return '"' + _TO_ESCAPE.sub(_escape, text) + '"'


def render(product: Product, checklist: Checklist) -> str:
    """A PRODUCT.yaml for `product` with the checklist's own ids, descriptions and levels.

    Reading it back gives an equal product, provided its texts carry no surrounding white space and
    its claims are those of the checklist; claims of other requirements are left out.
    """
    lines = ["metadata:"]
    for entry in METADATA.values():
        text = product.metadata.get(entry.name, "")
        if text or entry.required:
            lines.append(f"  {entry.name}: {_yaml_text(text)}")
    lines.append("")
    lines.append("spec:")
    for category in checklist.categories:
        lines.append(f"  {category.key}:")
        for requirement in category.requirements:
            claim = product.claims.get(requirement.id) or Claim(requirement.id, category.key)
            lines.append(f"    - id: {requirement.id}")
            lines.append(f"      description: {_yaml_text(requirement.description)}")
            lines.append(f"      level: {requirement.level}")
            lines.append(f"      status: {_yaml_text(claim.status)}")
            if claim.evidence:
                lines.append("      evidence:")
                lines.extend(f"        - {_yaml_text(reference)}" for reference in claim.evidence)
            else:
                lines.append("      evidence: []")
            lines.append(f"      notes: {_yaml_text(claim.notes)}")
            if claim.met_by:
                lines.append(f"      metBy: {_yaml_text(claim.met_by)}")
    return "\n".join(lines) + "\n"

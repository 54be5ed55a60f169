"""The spec section: categories, requirements and what is claimed of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from conformance.catalogue import REQUIREMENTS, Checklist, Level, Requirement
from conformance.document import (
    IMPLEMENTED,
    MET_BY_KEYS,
    NOT_APPLICABLE,
    NOT_IMPLEMENTED,
    PARTIALLY_IMPLEMENTED,
    STATUSES,
    Entry,
    field_text,
    read_status,
    requirement_entries,
)
from conformance.rules.evidence import judge_evidence
from conformance.rules.findings import Case, kind_words, meant, not_text, suggestion
from conformance.rules.notes import contradiction, is_mere_refusal, says_nothing
from conformance.yaml_reader import Mapping, Node, Scalar, ScalarKind, Sequence, quoted

_FIELDS: Final = ("id", "description", "level", "status", "evidence", "notes", *MET_BY_KEYS)
_MAX_SHOWN: Final = 2_000
_CHOICES: Final = ", ".join(STATUSES)


@dataclass(slots=True)
class _Answers:
    """What the document answers: the first entry of each requirement, and the categories it has."""

    entries: dict[str, Mapping] = field(default_factory=dict)
    categories: set[str] = field(default_factory=set)
    waivers: list[str] = field(default_factory=list)


def judge_spec(case: Case, key: Scalar, spec: Mapping, platform: str) -> tuple[str, ...]:
    """Judge every category and requirement; the ids for which a waiver is asked come back."""
    answers = _Answers()
    expected = _expected(case.checklist)
    for name, node in spec.items():
        _judge_category(case, name, node, answers)
    for entry in requirement_entries(spec):
        node = entry.node
        if not isinstance(node, Mapping):
            _report_no_entry(case, entry)
            continue
        if not (id_ := _judge_id(case, entry, node, answers)):
            continue
        if case.checklist is None:
            own = field_text(node.get("level"))
            level = Level(own) if own in Level.__members__ else Level.SHOULD
            home, requirement = entry.category[:80], Requirement(id_[:80], "", level)
        else:
            home, requirement = expected[id_]
            _judge_place(case, entry.category, home, id_, node)
        _Claimed(case, requirement, f"spec.{home}.{requirement.id}", node, platform, answers).judge()
    if case.checklist is not None and case.parsed.complete:
        _report_missing(case, case.checklist, key, spec, answers)
    return tuple(answers.waivers)


def _expected(checklist: Checklist | None) -> dict[str, tuple[str, Requirement]]:
    if checklist is None:
        return {}
    return {requirement.id: (category.key, requirement) for category, requirement in checklist.requirements()}


def _judge_category(case: Case, name: Scalar, node: Node, answers: _Answers) -> None:
    path = f"spec.{name.text[:80]}"
    if case.checklist is not None:
        known = [category.key for category in case.checklist.categories]
        if name.text in known:
            answers.categories.add(name.text)
        else:
            intended = meant(name.text, known)
            answers.categories.add(intended)
            hint = f" Did you mean {intended}?" if intended else f" It has: {', '.join(known)}."
            message = (
                f"The checklist for {case.checklist.version} has no category {quoted(name.text, 60)}.{hint}"
            )
            case.findings.add("unknown_category", message, path, name)
    if isinstance(node, Sequence) or (isinstance(node, Scalar) and node.is_blank):
        return
    message = (
        f"{name.text[:60]} is {kind_words(node)}, and a list of requirements is wanted: "
        "each begins with a dash, as in the checklist."
    )
    case.findings.add("wrong_type", message, path, node)


def _place(entry: Entry) -> str:
    return f"spec.{entry.category[:80]}[{entry.index}]"


def _report_no_entry(case: Case, entry: Entry) -> None:
    node = entry.node
    if isinstance(node, Scalar) and node.is_blank:
        return
    message = (
        f"An entry of {entry.category[:60]} is {kind_words(node)}; "
        "an entry is a mapping with id, status, evidence and notes."
    )
    case.findings.add("wrong_type", message, _place(entry), node)


def _judge_id(case: Case, entry: Entry, node: Mapping, answers: _Answers) -> str:
    """The requirement the entry answers, "" where it cannot be judged further."""
    id_node, id_, where = node.get("id"), entry.id, _place(entry)
    add = case.findings.add
    if isinstance(id_node, Mapping | Sequence):
        message = f"id is {kind_words(id_node)}; write the requirement's id as text."
        add("wrong_type", message, f"{where}.id", id_node)
        return ""
    if not id_:
        if node.closed:
            add("missing_id", "This entry has no id; copy it from the checklist.", where, node)
        return ""
    if id_ in answers.entries:
        first = answers.entries[id_]
        message = f"{id_[:80]} is answered a second time (first at line {first.line}); keep one of the two."
        add("duplicate_requirement", message, where, id_node or node)
        return ""
    if case.checklist is not None and all(item.id != id_ for _, item in case.checklist.requirements()):
        add("unknown_requirement", _unknown_requirement(case, case.checklist, id_), where, id_node or node)
        return ""
    answers.entries[id_] = node
    if id_node is None:
        add("missing_id", f"This entry has no id; add the line id: {id_[:80]}.", where, node)
    return id_


def _unknown_requirement(case: Case, checklist: Checklist, id_: str) -> str:
    elsewhere = [
        version
        for version, other in case.checklists.items()
        if any(requirement.id == id_ for _, requirement in other.requirements())
    ]
    message = f"The checklist for {checklist.version} has no requirement {quoted(id_, 60)}."
    if elsewhere:
        return f"{message} It belongs to {', '.join(elsewhere)}; delete the entry."
    return message + suggestion(id_, [requirement.id for _, requirement in checklist.requirements()])


def _judge_place(case: Case, category: str, home: str, id_: str, entry: Mapping) -> None:
    if category == home or meant(category, [home]):
        return
    message = f"{id_} stands in {category[:60]}; in the checklist it belongs to {home}. Move it there."
    case.findings.add("misplaced_requirement", message, f"spec.{home}.{id_}", entry)


def _report_missing(case: Case, checklist: Checklist, key: Scalar, spec: Mapping, answers: _Answers) -> None:
    add = case.findings.add
    for category in checklist.categories:
        missing = [item for item in category.requirements if item.id not in answers.entries]
        if category.key not in answers.categories and len(missing) == len(category.requirements):
            ids = ", ".join(item.id for item in missing)
            message = f"The category {category.key} with {ids} is missing; copy it from the checklist."
            add("missing_category", message, f"spec.{category.key}", key)
            continue
        at = spec.entries[category.key][0] if category.key in spec.entries else key
        for item in missing:
            path = f"spec.{category.key}.{item.id}"
            message = f"{item.id} ({item.level}) is missing from {category.key}; copy it from the checklist"
            if item.level is Level.MUST:
                add("missing_requirement", f"{message} and answer it.", path, at)
            else:
                add("missing_optional_requirement", f"{message}. Its status may stay empty.", path, at)


@dataclass(frozen=True, slots=True)
class _Claimed:
    """What is claimed of one requirement, judged against the checklist's requirement."""

    _case: Case
    _requirement: Requirement
    _path: str
    _entry: Mapping
    _platform: str
    _answers: _Answers

    def _add(self, code: str, message: str, path: str, at: Node | None) -> None:
        self._case.findings.add(code, message, path, at)

    def judge(self) -> None:
        self._judge_fields()
        if self._case.checklist is not None:
            self._judge_wording(self._case.checklist)
        status_node = self._entry.get("status")
        status = self._judge_status(status_node)
        notes = self._judge_notes()
        references = judge_evidence(self._case, self._requirement.id, self._path, self._entry.get("evidence"))
        if self._entry.closed and status is not None:
            self._judge_claim(status, status_node or self._entry, notes, references)

    def _judge_fields(self) -> None:
        for name, node in self._entry.items():
            if name.text not in _FIELDS:
                hint = suggestion(name.text, _FIELDS[:6])
                message = f"A requirement has no field {quoted(name.text, 60)}; it is ignored.{hint}"
                self._add("unknown_field", message, f"{self._path}.{name.text[:80]}", name)
            elif name.text in MET_BY_KEYS and (fault := not_text(node, name.text)):
                self._add("wrong_type", fault, f"{self._path}.metBy", node)

    def _text_of(self, name: str) -> tuple[str, Node] | None:
        """The field's text and place; None where it is missing and the entry is not read to its end."""
        node = self._entry.get(name)
        if node is None and not self._entry.closed:
            return None
        if node is not None and not isinstance(node, Scalar):
            self._add("wrong_type", not_text(node, name) or "", f"{self._path}.{name}", node)
            return None
        return field_text(node), node or self._entry

    def _judge_wording(self, checklist: Checklist) -> None:
        published = self._requirement
        if checklist.published_wording and (found := self._text_of("description")):
            text = " ".join(found[0].split())
            if text != published.description:
                state = f"reads {quoted(text, _MAX_SHOWN)}" if text else "is missing"
                message = (
                    f"The description of {published.id} {state}. Published is: "
                    f"{quoted(published.description, _MAX_SHOWN)}. Restore the published text."
                )
                self._add("altered_description", message, f"{self._path}.description", found[1])
        if (level := self._text_of("level")) and level[0] != published.level:
            state = f"is {quoted(level[0], 40)}" if level[0] else "is missing"
            message = (
                f"The level of {published.id} {state}; published for {checklist.version} is "
                f"{published.level}, and it is judged as that."
            )
            self._add("altered_level", message, f"{self._path}.level", level[1])

    def _judge_status(self, node: Node | None) -> str | None:
        """The status as far as it is certain, "" for an empty one, None where it cannot be told."""
        path = f"{self._path}.status"
        if node is None or (isinstance(node, Scalar) and node.is_blank):
            return ""
        if not isinstance(node, Scalar):
            self._add("wrong_type", f"status is {kind_words(node)}; write one of: {_CHOICES}.", path, node)
            return None
        certain, probable = read_status(node.text)
        if node.kind is ScalarKind.TEXT and certain == node.text.strip():
            if certain in STATUSES:
                return certain
            hint = f"did you mean {probable}?" if probable else f"write one of: {_CHOICES}."
            message = f"The status {quoted(node.text, 60)} is none the programme knows; {hint}"
            self._add("bad_status", message, path, node)
            return None
        if node.kind is ScalarKind.TEXT:
            message = f"The status {quoted(node.text, 60)} must be written exactly as {probable}."
            self._add("bad_status", message, path, node)
            return certain
        hint = f'did you mean status: "{probable}"?' if probable else f"write one of: {_CHOICES}."
        self._add("wrong_type", f"status is {kind_words(node)}, and text is wanted; {hint}", path, node)
        return None

    def _judge_notes(self) -> str:
        node = self._entry.get("notes")
        if node is not None and (fault := not_text(node, "notes")):
            self._add("wrong_type", fault, f"{self._path}.notes", node)
        return field_text(node)

    def _judge_claim(self, status: str, at: Node, notes: str, references: int) -> None:
        if status == NOT_APPLICABLE:
            self._judge_not_applicable(at, notes)
        elif self._requirement.level is Level.MUST:
            self._judge_must(status, at, references)
        else:
            self._judge_should(status, at, notes, references)
        if status == IMPLEMENTED and (sentence := contradiction(self._requirement.id, notes, self._platform)):
            message = (
                f"The status says Implemented, and the notes say {quoted(sentence)}. If the requirement does "
                "not apply to this platform, N/A with the reason is the honest answer; else make the "
                "notes clear."
            )
            self._add("notes_contradict", message, f"{self._path}.notes", self._entry.get("notes"))

    def _judge_not_applicable(self, at: Node, notes: str) -> None:
        id_, level = self._requirement.id, self._requirement.level
        if says_nothing(notes):
            message = f"{id_} is N/A without a reason; say in notes why it cannot apply to this platform."
            self._add("na_without_notes", message, f"{self._path}.notes", self._entry.get("notes") or at)
            return
        if level is Level.MUST:
            self._answers.waivers.append(id_)
            info = REQUIREMENTS.get(id_)
            message = (
                f"N/A on {id_}, a MUST, is a request for a waiver: reviewers accept it with a reason and an "
                "expiry, or refuse it."
            )
            if info is not None and not info.conditional:
                message += " This requirement knows no condition under which it would not apply."
            self._add("waiver_request", message, f"{self._path}.status", at)
        if is_mere_refusal(notes):
            message = (
                f"The notes of {id_} only say that it is not supported, which is no justification for N/A; "
                "say what about the platform makes it not apply."
            )
            self._add("weak_justification", message, f"{self._path}.notes", self._entry.get("notes"))

    def _judge_must(self, status: str, at: Node, references: int) -> None:
        id_ = self._requirement.id
        if not status:
            message = (
                f"{id_} is a MUST and has no status; "
                "write Implemented with evidence, or N/A with the reason in notes."
            )
            self._add("must_unanswered", message, f"{self._path}.status", at)
        elif status in {NOT_IMPLEMENTED, PARTIALLY_IMPLEMENTED}:
            message = (
                f"{id_} is a MUST and its status is {status}; a platform is certified only when it is "
                "Implemented. Where it cannot apply, write N/A with the reason in notes."
            )
            self._add("must_not_met", message, f"{self._path}.status", at)
        elif not references:
            message = (
                f"{id_} is a MUST and claimed as Implemented without evidence; "
                "list a link or a file that shows it."
            )
            self._add(
                "evidence_missing", message, f"{self._path}.evidence", self._entry.get("evidence") or at
            )

    def _judge_should(self, status: str, at: Node, notes: str, references: int) -> None:
        id_ = self._requirement.id
        if not status:
            if references or not says_nothing(notes):
                message = (
                    f"{id_} has evidence or notes and no status; without one it counts as not answered. "
                    f"Write one of: {_CHOICES}."
                )
                self._add("status_missing", message, f"{self._path}.status", at)
        elif status in {IMPLEMENTED, PARTIALLY_IMPLEMENTED} and not references:
            message = f"{id_} is claimed as {status} without evidence; list a link or a file that shows it."
            self._add(
                "should_evidence_missing",
                message,
                f"{self._path}.evidence",
                self._entry.get("evidence") or at,
            )

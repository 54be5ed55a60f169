"""Every code a judgement can carry, with its severity and what it means in a line.

The codes are part of the command's and the API's contract: they are added to, never renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from conformance.yaml_reader import Severity


@dataclass(frozen=True, slots=True)
class Rule:
    severity: Severity
    meaning: str


def _error(meaning: str) -> Rule:
    return Rule(Severity.ERROR, meaning)


def _warning(meaning: str) -> Rule:
    return Rule(Severity.WARNING, meaning)


RULES: Final[Mapping[str, Rule]] = {
    # The file
    "unreadable_file": _error("The file cannot be opened."),
    "document_too_large": _error("The document is larger than 1 MiB."),
    "not_utf8": _error("The document is not UTF-8 text."),
    "byte_order_mark": _warning("The document starts with a byte order mark."),
    "control_character": _error("A control character stands in the document."),
    "yaml_syntax": _error("The document is not valid YAML."),
    "empty_document": _error("The document is empty."),
    "several_documents": _error("The file holds more than one YAML document."),
    "too_deep": _error("The document is nested too deeply."),
    "too_many_nodes": _error("The document has too many values."),
    "too_many_aliases": _error("The document has too many aliases."),
    "recursive_alias": _error("An alias stands for something it is part of."),
    "custom_tag": _error("A value carries a YAML tag that is not allowed."),
    "duplicate_key": _error("A field stands twice in the same mapping."),
    "unsupported_key": _error("The name of a field is not text."),
    "merge_key": _error("A merge key (<<) is used."),
    "too_many_problems": _error("More problems than are listed."),
    # Its shape
    "not_a_mapping": _error("The document is not made of named sections."),
    "missing_section": _error("The section metadata or spec is missing."),
    "unknown_section": _warning("A top-level section the programme does not know."),
    "wrong_type": _error("A value has another type than its field wants."),
    # Metadata
    "missing_metadata": _error("A required metadata field is missing or empty."),
    "missing_logo": _warning("productLogoUrl is missing; the vendor's logo is shown instead."),
    "misplaced_metadata": _error("A metadata field stands outside the metadata section."),
    "both_spellings": _error("A metadata field is given in camelCase and in snake_case."),
    "unknown_metadata": _warning("A metadata field the programme does not know."),
    "placeholder": _error("The text of the template was left in place."),
    "optional_not_given": _warning("An optional field says N/A instead of being left out."),
    "sample_value": _warning("A sample value of a guide was left in place."),
    "bad_url": _error("A link is malformed."),
    "bad_email": _error("The contact address is no e-mail address."),
    "bad_version": _error("kubernetesVersion is no Kubernetes version."),
    "unknown_checklist": _error("There is no checklist for this Kubernetes version."),
    "folder_version_mismatch": _error("kubernetesVersion and the folder name different versions."),
    "bad_base_url": _error("k8sConformanceUrl does not point at a base certification."),
    "base_version_mismatch": _warning("The base certification is of another Kubernetes version."),
    # Categories and requirements
    "missing_category": _error("A category of the checklist is missing."),
    "unknown_category": _error("A category the checklist does not have."),
    "missing_requirement": _error("A MUST of the checklist is missing."),
    "missing_optional_requirement": _warning("A SHOULD of the checklist is missing."),
    "duplicate_requirement": _error("A requirement is answered twice."),
    "unknown_requirement": _error("A requirement the checklist does not have."),
    "misplaced_requirement": _warning("A requirement stands in another category than published."),
    "missing_id": _error("An entry does not say which requirement it answers."),
    "unknown_field": _warning("A field of a requirement the programme does not know."),
    "altered_description": _warning("A requirement's description differs from the published one."),
    "altered_level": _warning("A requirement's level differs from the published one."),
    # Status and notes
    "bad_status": _error("The status is none of the four."),
    "must_unanswered": _error("A MUST has no status."),
    "must_not_met": _error("A MUST is not or only partially implemented."),
    "na_without_notes": _error("N/A without a justification in the notes."),
    "waiver_request": _warning("N/A on a MUST: reviewers accept or refuse it."),
    "weak_justification": _warning("N/A justified only by not supporting it."),
    "status_missing": _warning("A SHOULD has evidence or notes and no status."),
    "notes_contradict": _warning("Implemented, and the notes say the opposite."),
    # Evidence
    "evidence_missing": _error("A MUST is claimed Implemented without evidence."),
    "should_evidence_missing": _warning("A SHOULD is claimed Implemented without evidence."),
    "evidence_not_list": _error("Evidence is not a list of texts."),
    "evidence_null": _warning("Evidence is left blank where a list belongs."),
    "evidence_blank_entry": _warning("An entry of the evidence is blank or says nothing."),
    "evidence_duplicate": _warning("The same evidence is listed twice."),
    "evidence_not_a_reference": _warning("An entry of the evidence names neither a link nor a file alone."),
    "bad_evidence_link": _error("A link in the evidence is malformed."),
    "evidence_outside": _error("A file of the evidence lies outside the submission's folder."),
    "evidence_file_missing": _error("A file of the evidence is not in the submission's folder."),
    "evidence_file_refused": _error("A file of the evidence cannot be read."),
    "evidence_file_empty": _error("A file of the evidence is empty."),
    "evidence_heading_missing": _warning("A file of the evidence has no such heading."),
    "evidence_not_test_output": _error("A test is named in a file that is no test output."),
    "evidence_test_missing": _error("The named test is not in the test output."),
    "evidence_test_failed": _error("The named test failed."),
    "evidence_test_not_run": _error("The named test was skipped or did not run."),
    "evidence_wrong_test": _warning("The named test belongs to another requirement."),
    "evidence_nothing_ran": _error("The test output shows that nothing was executed."),
    "evidence_has_failures": _warning("The test output holds failed tests."),
    "evidence_truncated": _warning("The test output breaks off."),
    "evidence_inconsistent": _error("The test output contradicts itself."),
    "evidence_unreadable": _error("The test output cannot be read."),
}

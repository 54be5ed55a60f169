import dataclasses
from collections.abc import Callable

import pytest

from conformance.catalogue import REQUIREMENTS, Checklist, Level, builtin_checklists
from conformance.document import Claim, Product, render
from conformance.rules import RULES, EvidenceRefused, Judgement, judge
from conformance.rules.findings import MAX_PROBLEMS
from conformance.yaml_reader import MAX_ALIASES, MAX_BYTES, MAX_NODES, Problem, Severity

VERSION = "1.36"
CHECKLISTS = {
    version: dataclasses.replace(checklist, published_wording=True)
    for version, checklist in builtin_checklists().items()
}
CHECKLIST = CHECKLISTS[VERSION]

METADATA = {
    "kubernetesVersion": "v1.36",
    "platformName": "Harbour",
    "platformVersion": "4.2",
    "vendorName": "Harbour Works",
    "websiteUrl": "https://harbour.works/platform",
    "documentationUrl": "https://docs.harbour.works/",
    "productLogoUrl": "https://harbour.works/logo.svg",
    "description": "A platform.",
    "contactEmailAddress": "conformance@harbour.works",
    "k8sConformanceUrl": "https://github.com/cncf/k8s-conformance/tree/master/v1.36/harbour",
}


def claims(checklist: Checklist) -> dict[str, Claim]:
    return {
        requirement.id: Claim(
            requirement.id,
            category.key,
            "Implemented" if requirement.level is Level.MUST else "",
            (f"https://docs.harbour.works/ai/{requirement.id}",) if requirement.level is Level.MUST else (),
        )
        for category, requirement in checklist.requirements()
    }


VALID = render(Product(METADATA, claims(CHECKLIST)), CHECKLIST)
Change = Callable[[str], str]


class Files:
    """Evidence in memory."""

    def __init__(self, contents: dict[str, str]) -> None:
        self._contents = contents

    def read(self, name: str) -> bytes | None:
        text = self._contents.get(name)
        if text == "<outside>":
            raise EvidenceRefused("it leads outside", outside=True)
        if text == "<refused>":
            raise EvidenceRefused("it is a folder")
        return None if text is None else text.encode()


def judged(text: str, *, files: dict[str, str] | None = None, folder_version: str | None = None) -> Judgement:
    return judge(
        text.encode("utf-8", "surrogateescape"),
        CHECKLISTS,
        files=None if files is None else Files(files),
        folder_version=folder_version,
    )


def codes(judgement: Judgement) -> list[str]:
    return [problem.code for problem in judgement.problems]


def replaced(old: str, new: str) -> str:
    assert old in VALID, old
    return VALID.replace(old, new, 1)


def metadata(name: str, value: str) -> str:
    """The valid document with a metadata field set to `value`, as YAML source; "" takes it away."""
    lines = VALID.splitlines(keepends=True)
    line = next((line for line in lines if line.startswith(f"  {name}:")), "")
    new = f"  {name}: {value}\n" if value else ""
    return VALID.replace(line, new, 1) if line else VALID.replace("metadata:\n", f"metadata:\n{new}", 1)


def entry(id_: str, **fields: str) -> str:
    """The valid document with fields of a requirement's entry replaced by YAML source."""
    start = VALID.index(f"    - id: {id_}\n")
    end = min(
        (at for mark in ("\n    - id:", "\n  ") if (at := _entry_end(VALID, start, mark)) > 0),
        default=len(VALID),
    )
    written = VALID[start:end]
    parts = {"id": id_, "description": "", "level": "", "status": "", "evidence": "", "notes": ""}
    for line in written.splitlines():
        name, colon, value = line.strip().removeprefix("- ").partition(": ")
        if colon and name in parts and not parts[name]:
            parts[name] = value
    if not parts["evidence"]:
        parts["evidence"] = f"[https://docs.harbour.works/ai/{id_}]"
    parts.update(fields)
    lines = [f"      {name}: {value}" for name, value in parts.items() if value != "<none>"]
    return VALID[:start] + "    - " + "\n".join(lines).lstrip() + VALID[end:]


def _entry_end(text: str, start: int, mark: str) -> int:
    at = start
    while (at := text.find(mark, at + 1)) > 0:
        if mark == "\n    - id:" or text[at + 3] != " ":
            return at
    return -1


def evidence(*references: str, id_: str = "gang_scheduling") -> str:
    return entry(id_, evidence="[" + ", ".join(f'"{reference}"' for reference in references) + "]")


JUNIT = (
    '<testsuites><testsuite name="ai" tests="4">'
    '<testcase name="TestGangScheduling"/><testcase name="TestSecureAcceleratorAccess"/>'
    '<testcase name="TestSkipped"><skipped/></testcase><testcase name="TestFailed"><failure/></testcase>'
    "</testsuite></testsuites>"
)
RESULTS = {"results/junit.xml": JUNIT}
MUST = "gang_scheduling"
SHOULD = "gpu_sharing"
APPEND = "  invented:\n    - id: x\n"


@dataclasses.dataclass(frozen=True)
class Case:
    """A document that breaks a rule: the rule's code, the document, the path of the problem."""

    code: str
    text: str
    path: str = ""
    files: dict[str, str] | None = None
    folder: str | None = None


CASES = [
    # The file
    Case("document_too_large", "#" * (MAX_BYTES + 1)),
    Case("not_utf8", replaced("A platform.", "Caf\udce9.")),
    Case("byte_order_mark", "\ufeff" + VALID),
    Case("control_character", replaced("A platform.", "A\x07platform.")),
    Case("yaml_syntax", replaced("  platformName:", " platformName:")),
    Case("empty_document", "# nothing\n"),
    Case("several_documents", VALID + "---\na: 1\n"),
    Case("too_deep", "[" * 1000),
    Case("too_many_nodes", "[" + "1," * (MAX_NODES + 1) + "]"),
    Case("too_many_aliases", "a: &x 1\nb: [" + "*x," * (MAX_ALIASES + 1) + "]"),
    Case("recursive_alias", "a: &x [*x]"),
    Case("custom_tag", metadata("platformName", "!ruby/object x")),
    Case("duplicate_key", metadata("platformName", '"a"\n  platformName: "b"')),
    Case("unsupported_key", VALID + "? [a]\n: b\n"),
    Case("merge_key", VALID + "extra: &e {a: 1}\nmore: {<<: *e}\n"),
    Case("too_many_problems", VALID + "".join(f"section{n}: 1\n" for n in range(MAX_PROBLEMS + 1))),
    # Its shape
    Case("not_a_mapping", "- 1\n"),
    Case("not_a_mapping", "just words\n"),
    Case("missing_section", VALID[: VALID.index("spec:")], "spec"),
    Case("missing_section", VALID[VALID.index("spec:") :], "metadata"),
    Case("missing_section", "metadata:\nspec:\n", "metadata"),
    Case("unknown_section", VALID + "apiVersion: v1\n", "apiVersion"),
    Case("wrong_type", "metadata: text\nspec: []\n", "metadata"),
    Case("wrong_type", metadata("platformVersion", "1.0"), "metadata.platformVersion"),
    Case("wrong_type", metadata("platformVersion", "2024-01-01"), "metadata.platformVersion"),
    Case("wrong_type", metadata("description", "yes"), "metadata.description"),
    Case("wrong_type", metadata("vendorName", "[a, b]"), "metadata.vendorName"),
    Case("wrong_type", metadata("vendorName", "{a: b}"), "metadata.vendorName"),
    Case("wrong_type", entry(MUST, status="yes"), f"spec.schedulingOrchestration.{MUST}.status"),
    Case("wrong_type", entry(MUST, status="[Implemented]"), f"spec.schedulingOrchestration.{MUST}.status"),
    Case("wrong_type", entry(MUST, notes="42"), f"spec.schedulingOrchestration.{MUST}.notes"),
    Case("wrong_type", entry(MUST, notes="[a, b]"), f"spec.schedulingOrchestration.{MUST}.notes"),
    Case("wrong_type", entry(MUST, level="[MUST]"), f"spec.schedulingOrchestration.{MUST}.level"),
    Case("wrong_type", entry(MUST, description="{a: b}"), f"spec.schedulingOrchestration.{MUST}.description"),
    Case("wrong_type", entry(MUST, id="[a]"), "spec.schedulingOrchestration[0].id"),
    Case("wrong_type", entry(MUST, metBy="[a]"), f"spec.schedulingOrchestration.{MUST}.metBy"),
    Case("wrong_type", VALID + "  invented: text\n", "spec.invented"),
    Case("wrong_type", VALID + "  invented: [text]\n", "spec.invented[0]"),
    # Metadata
    Case("missing_metadata", metadata("vendorName", ""), "metadata.vendorName"),
    Case("missing_metadata", metadata("vendorName", '""'), "metadata.vendorName"),
    Case("missing_metadata", metadata("vendorName", "~"), "metadata.vendorName"),
    Case("missing_metadata", metadata("k8sConformanceUrl", ""), "metadata.k8sConformanceUrl"),
    Case("missing_logo", metadata("productLogoUrl", ""), "metadata.productLogoUrl"),
    Case(
        "misplaced_metadata",
        VALID + "contact_email_address: a@harbour.works\n",
        "metadata.contactEmailAddress",
    ),
    Case("misplaced_metadata", VALID + "WebsiteURL: https://harbour.works\n", "metadata.websiteUrl"),
    Case("both_spellings", metadata("vendor_name", '"Harbour"'), "metadata.vendorName"),
    Case("unknown_metadata", metadata("colour", "blue"), "metadata.colour"),
    Case("placeholder", metadata("platformName", '"[Platform Name]"'), "metadata.platformName"),
    Case("placeholder", metadata("platformName", "[Platform Name]"), "metadata.platformName"),
    Case("placeholder", metadata("vendorName", "<vendor>"), "metadata.vendorName"),
    Case("placeholder", metadata("vendorName", "TBD"), "metadata.vendorName"),
    Case("placeholder", metadata("repoUrl", '"[Repository URL]"'), "metadata.repoUrl"),
    Case("optional_not_given", metadata("repoUrl", "N/A"), "metadata.repoUrl"),
    Case("sample_value", metadata("productLogoUrl", "https://yoyo.dyne/a.svg"), "metadata.productLogoUrl"),
    Case("sample_value", evidence("https://docs.vendor.com/features/x")),
    Case("bad_url", metadata("websiteUrl", "harbour.works"), "metadata.websiteUrl"),
    Case("bad_email", metadata("contactEmailAddress", "call us"), "metadata.contactEmailAddress"),
    Case("bad_version", metadata("kubernetesVersion", "latest"), "metadata.kubernetesVersion"),
    Case("unknown_checklist", metadata("kubernetesVersion", "v1.99"), "metadata.kubernetesVersion"),
    Case("folder_version_mismatch", VALID, "metadata.kubernetesVersion", folder="v1.35"),
    Case(
        "bad_base_url",
        metadata("k8sConformanceUrl", "https://github.com/cncf/k8s-conformance/pull/1"),
        "metadata.k8sConformanceUrl",
    ),
    Case("base_version_mismatch", replaced("/v1.36/harbour", "/v1.35/harbour"), "metadata.k8sConformanceUrl"),
    # Categories and requirements
    Case("missing_category", VALID[: VALID.index("  operator:")], "spec.operator"),
    Case("unknown_category", VALID + APPEND, "spec.invented"),
    Case("unknown_category", replaced("  schedulingOrchestration:", "  scheduling_orchestration:")),
    Case(
        "missing_requirement",
        VALID.replace(
            VALID[VALID.index(f"    - id: {MUST}\n") : VALID.index("    - id: cluster_autoscaling\n")], ""
        ),
        f"spec.schedulingOrchestration.{MUST}",
    ),
    Case(
        "missing_optional_requirement",
        VALID.replace(VALID[VALID.index(f"    - id: {SHOULD}\n") : VALID.index("    - id: virtualized")], ""),
        f"spec.accelerators.{SHOULD}",
    ),
    Case("duplicate_requirement", VALID + "    - id: robust_controller\n", "spec.operator[1]"),
    Case("unknown_requirement", VALID + "    - id: robust_controler\n", "spec.operator[1]"),
    Case("unknown_requirement", VALID + "    - id: dra_support\n", "spec.operator[1]"),
    Case(
        "misplaced_requirement",
        VALID.replace("  operator:\n", "", 1),
        "spec.operator.robust_controller",
    ),
    Case("missing_id", VALID + "    - status: Implemented\n", "spec.operator[1]"),
    Case("missing_id", VALID + "    - {}\n", "spec.operator[1]"),
    Case("unknown_field", entry(MUST, evidences="x"), f"spec.schedulingOrchestration.{MUST}.evidences"),
    Case(
        "altered_description",
        entry(MUST, description="ours"),
        f"spec.schedulingOrchestration.{MUST}.description",
    ),
    Case("altered_description", entry(MUST, description="<none>")),
    Case("altered_level", entry(MUST, level="SHOULD"), f"spec.schedulingOrchestration.{MUST}.level"),
    Case("altered_level", entry(MUST, level="<none>"), f"spec.schedulingOrchestration.{MUST}.level"),
    # Status and notes
    Case("bad_status", entry(MUST, status="implemented"), f"spec.schedulingOrchestration.{MUST}.status"),
    Case("bad_status", entry(MUST, status="done")),
    Case("must_unanswered", entry(MUST, status='""'), f"spec.schedulingOrchestration.{MUST}.status"),
    Case("must_unanswered", entry(MUST, status="<none>"), f"spec.schedulingOrchestration.{MUST}.status"),
    Case("must_not_met", entry(MUST, status="Not Implemented")),
    Case("must_not_met", entry(MUST, status="Partially Implemented")),
    Case("na_without_notes", entry(MUST, status="N/A"), f"spec.schedulingOrchestration.{MUST}.notes"),
    Case("na_without_notes", entry(SHOULD, status="N/A", notes='"n/a"'), f"spec.accelerators.{SHOULD}.notes"),
    Case("waiver_request", entry(MUST, status="N/A", notes="Single-node appliance.")),
    Case("weak_justification", entry(MUST, status="N/A", notes="We do not support it.")),
    Case("status_missing", entry(SHOULD, notes="Works well."), f"spec.accelerators.{SHOULD}.status"),
    Case("notes_contradict", entry(MUST, notes="Gang scheduling is not supported.")),
    # Evidence
    Case("evidence_missing", entry(MUST, evidence="[]"), f"spec.schedulingOrchestration.{MUST}.evidence"),
    Case("evidence_missing", entry(MUST, evidence="<none>"), f"spec.schedulingOrchestration.{MUST}.evidence"),
    Case("evidence_missing", entry(MUST, evidence='["N/A"]')),
    Case("should_evidence_missing", entry(SHOULD, status="Implemented", evidence="[]")),
    Case("should_evidence_missing", entry(SHOULD, status="Partially Implemented", evidence="[]")),
    Case("evidence_not_list", entry(MUST, evidence="https://harbour.works")),
    Case("evidence_not_list", entry(MUST, evidence="{url: https://harbour.works}")),
    Case("evidence_not_list", entry(MUST, evidence="[{url: https://harbour.works}]")),
    Case("evidence_not_list", entry(MUST, evidence="12")),
    Case("evidence_null", entry(MUST, evidence="")),
    Case("evidence_blank_entry", entry(MUST, evidence='[""]')),
    Case("evidence_blank_entry", evidence("[URL]")),
    Case("evidence_duplicate", evidence("https://harbour.works/a", "https://harbour.works/a")),
    Case("evidence_not_a_reference", evidence("our documentation")),
    Case("evidence_not_a_reference", evidence("see https://harbour.works/a")),
    Case("evidence_not_a_reference", evidence("docs.harbour.works/a")),
    Case("evidence_not_a_reference", evidence("see gang.md"), files={"gang.md": "x"}),
    Case("bad_evidence_link", evidence("https://")),
    Case("bad_evidence_link", evidence("ftp://harbour.works/a")),
    Case("evidence_outside", evidence("../secret.md")),
    Case("evidence_outside", evidence("/etc/passwd")),
    Case("evidence_outside", evidence("file:///etc/passwd")),
    Case("evidence_outside", evidence("file://a/%2e%2e/%2e%2e/b.md")),
    Case("evidence_outside", evidence("C:\\\\logs\\\\a.log")),
    Case("evidence_outside", evidence("a.md"), files={"a.md": "<outside>"}),
    Case("evidence_file_missing", evidence("./dra.yaml"), files={}),
    Case("evidence_file_refused", evidence("results.log"), files={"results.log": "<refused>"}),
    Case("evidence_file_empty", evidence("a.md"), files={"a.md": " \n"}),
    Case("evidence_heading_missing", evidence("a.md#gang"), files={"a.md": "# Other\n"}),
    Case("evidence_not_test_output", evidence("file://a.log#TestX"), files={"a.log": "words"}),
    Case("evidence_test_missing", evidence("file://results/junit.xml#TestNone"), files=RESULTS),
    Case("evidence_test_failed", evidence("file://results/junit.xml#TestFailed"), files=RESULTS),
    Case("evidence_test_not_run", evidence("file://results/junit.xml#TestSkipped"), files=RESULTS),
    Case("evidence_wrong_test", evidence("file://results/junit.xml#TestSecureAcceleratorAccess")),
    Case(
        "evidence_nothing_ran",
        evidence("junit.xml"),
        files={"junit.xml": '<testsuite><testcase name="A"><skipped/></testcase></testsuite>'},
    ),
    Case("evidence_has_failures", evidence("results/junit.xml", id_="ai_inference"), files=RESULTS),
    Case("evidence_truncated", evidence("e2e.log"), files={"e2e.log": "=== RUN   TestX\n"}),
    Case(
        "evidence_inconsistent",
        evidence("e2e.log"),
        files={"e2e.log": "=== RUN   TestX\n--- FAIL: TestX (0.0s)\nPASS\n"},
    ),
    Case(
        "evidence_unreadable",
        evidence("junit.xml#TestX"),
        files={"junit.xml": '<!DOCTYPE a [<!ENTITY b "c">]><testsuite/>'},
    ),
]


def name(case: Case) -> str:
    return f"{case.code}-{CASES.index(case)}"


def test_valid_document_has_no_problem() -> None:
    judgement = judged(VALID, files={}, folder_version="v1.36")
    assert judgement.problems == ()
    assert (judgement.valid, judgement.checklist, judgement.waiver_requests) == (True, VERSION, ())
    assert judgement.product == Product(METADATA, claims(CHECKLIST))


@pytest.mark.parametrize("case", CASES, ids=name)
def test_rule_is_broken_by(case: Case) -> None:
    judgement = judged(case.text, files=case.files, folder_version=case.folder)
    found = [problem for problem in judgement.problems if problem.code == case.code]
    assert found, codes(judgement)
    if case.path:
        assert case.path in {problem.path for problem in found}


def test_every_code_of_the_table_has_a_document_that_breaks_it() -> None:
    # A file that cannot be opened is the command's to report; its test breaks that rule.
    assert {case.code for case in CASES} | {"unreadable_file"} == set(RULES)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_problem_has_the_severity_of_the_table_a_place_and_a_sentence(case: Case) -> None:
    judgement = judged(case.text, files=case.files, folder_version=case.folder)
    for problem in judgement.problems:
        assert problem.severity is RULES[problem.code].severity
        assert problem.line is not None
        assert problem.line >= 1
        assert problem.column is not None
        assert problem.column >= 1
        assert problem.line <= case.text.count("\n") + 1
        assert problem.message
        assert problem.message[-1] in ".?"
        assert "\n" not in problem.message
    positions = [(problem.line, problem.column) for problem in judgement.problems]
    assert positions == sorted(positions)
    assert judgement.valid == all(problem.severity is Severity.WARNING for problem in judgement.problems)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if RULES[case.code].severity is Severity.WARNING],
    ids=name,
)
def test_warning_alone_leaves_the_document_valid_or_comes_with_an_error(case: Case) -> None:
    judgement = judged(case.text, files=case.files)
    errors = [problem for problem in judgement.problems if problem.severity is Severity.ERROR]
    assert judgement.valid == (not errors)


def only(judgement: Judgement) -> Problem:
    (problem,) = judgement.problems
    return problem


# All at once --------------------------------------------------------------------------------------


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    text = (
        metadata("platformVersion", "1.0")
        .replace('vendorName: "Harbour Works"', "vendorName: TBD")
        .replace('status: "Implemented"', "status: implemented")
    )
    found = codes(judged(text))
    musts = sum(requirement.level is Level.MUST for _, requirement in CHECKLIST.requirements())
    assert found == ["wrong_type", "placeholder", *["bad_status"] * musts]


def test_document_that_breaks_off_is_judged_as_far_as_it_goes() -> None:
    at = VALID.index("  networking:")
    text = VALID[:at].replace('platformVersion: "4.2"', "platformVersion: 4.2") + " bad: [\n"
    judgement = judged(text)
    assert codes(judgement) == ["wrong_type", "yaml_syntax"]
    assert not judgement.valid
    assert judgement.product.metadata["platformName"] == "Harbour"


def test_version_that_cannot_be_read_is_replaced_by_the_folders() -> None:
    judgement = judged(
        metadata("kubernetesVersion", "soon").replace("MUST", "SHOULD", 1), folder_version="v1.36"
    )
    assert judgement.checklist == VERSION
    assert codes(judgement) == ["bad_version", "altered_level"]


def test_without_a_checklist_the_rest_is_still_judged() -> None:
    judgement = judged(
        metadata("kubernetesVersion", "v1.99").replace('status: "Implemented"', "status: perhaps", 1)
    )
    assert judgement.checklist is None
    assert codes(judgement) == ["unknown_checklist", "bad_status"]


# Metadata -----------------------------------------------------------------------------------------


def test_snake_case_metadata_is_as_good() -> None:
    text = VALID
    for camel, snake in (
        ("kubernetesVersion", "kubernetes_version"),
        ("platformName", "platform_name"),
        ("contactEmailAddress", "contact_email_address"),
        ("k8sConformanceUrl", "k8s_conformance_url"),
    ):
        text = text.replace(f"  {camel}:", f"  {snake}:")
    assert judged(text).problems == ()


def test_number_in_place_of_text_is_still_read() -> None:
    judgement = judged(metadata("platformVersion", "1.10"))
    problem = only(judgement)
    assert problem.code == "wrong_type"
    assert 'platformVersion: "1.10"' in problem.message
    assert judgement.product.metadata["platformVersion"] == "1.10"


def test_version_given_as_a_number_selects_the_checklist() -> None:
    judgement = judged(metadata("kubernetesVersion", "1.36"))
    assert judgement.checklist == VERSION
    assert codes(judgement) == ["wrong_type"]


def test_patch_version_means_its_minor_version() -> None:
    judgement = judged(metadata("kubernetesVersion", "v1.36.3"), folder_version="v1.36")
    assert (judgement.checklist, judgement.problems) == (VERSION, ())


def test_misplaced_field_is_read_and_not_missing_as_well() -> None:
    text = metadata("contactEmailAddress", "") + "contact_email_address: a@harbour.works\n"
    judgement = judged(text)
    assert codes(judgement) == ["misplaced_metadata"]
    assert judgement.product.metadata["contactEmailAddress"] == "a@harbour.works"


def test_field_in_both_spellings_names_the_other_line() -> None:
    problem = only(judged(metadata("vendor_name", '"Harbour"')))
    assert problem.code == "both_spellings"
    assert "line 2" in problem.message


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("website", ""),
        ("websiteURL", "websiteUrl"),
        ("platform-name", "platformName"),
        ("vendorNmae", "vendorName"),
    ],
)
def test_unknown_metadata_suggests_the_field_that_is_meant(key: str, wanted: str) -> None:
    (problem,) = [found for found in judged(metadata(key, "x")).problems if found.code == "unknown_metadata"]
    assert (f"Did you mean {wanted}?" in problem.message) == bool(wanted)


@pytest.mark.parametrize(
    "url",
    [
        "http://harbour.works",
        "https://harbour.works:8443/a?b=c#d",
        "HTTPS://Harbour.Works/",
        "https://xn--hafen-kva.de/",
        "https://häfen.example-works.de/ö",
        "https://[2001:db8::1]/",
        "https://192.0.2.7/docs",
        "https://docs.harbour.works/a_(b)/~c;d=1#:~:text=x%20y",
        "https://support.harbour.works/doc?id=900&arcid=1756",
    ],
)
def test_url_that_is_well_formed_passes(url: str) -> None:
    assert judged(metadata("websiteUrl", f'"{url}"')).problems == ()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("harbour.works", "https://"),
        ("www.harbour.works/a", "https://"),
        ("ftp://harbour.works", "ftp://"),
        ("javascript:alert(1)", "https://"),
        ("https://", "no host"),
        ("https:///path", "no host"),
        ("https://harbour works/", "white space"),
        ("https://harbour.works/a b", "white space"),
        ("https://user:secret@harbour.works/", "user name"),
        ("https://harbour.works:99999/", "port"),
        ("https://-harbour.works/", "impossible host"),
        ("https://harbour..works/", "impossible host"),
        ("https://localhost:8080/", "own network"),
        ("https://harbour.works/<product>", "character <"),
        ("https://harbour.works/{version}", "character {"),
        ("https://harbour.works/" + "a" * 3000, "longer"),
    ],
)
def test_url_that_is_malformed_says_how(url: str, words: str) -> None:
    problem = only(judged(metadata("websiteUrl", f'"{url}"')))
    assert problem.code == "bad_url"
    assert words in problem.message


@pytest.mark.parametrize("address", ["a@b.org", "first.last+tag@sub.harbour.works", "xl_zhao@例子.cn"])
def test_email_address_passes(address: str) -> None:
    assert judged(metadata("contactEmailAddress", f'"{address}"')).problems == ()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("harbour.works", "no e-mail address"),
        ("a@b", "no e-mail address"),
        ("a..b@harbour.works", "no e-mail address"),
        ("@harbour.works", "no e-mail address"),
        ("a b@harbour.works", "no e-mail address"),
        ("mailto:a@harbour.works", "write only a@harbour.works"),
        ("Ann <a@harbour.works>", "write only a@harbour.works"),
        ("a@harbour.works, b@harbour.works", "several addresses"),
    ],
)
def test_email_address_that_is_none_says_how(address: str, words: str) -> None:
    problem = only(judged(metadata("contactEmailAddress", f'"{address}"')))
    assert problem.code == "bad_email"
    assert words in problem.message


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/cncf/k8s-conformance/tree/main/v1.36/harbour",
        "https://github.com/cncf/k8s-conformance/tree/master/v1.36/harbour/",
    ],
)
def test_base_certification_passes(url: str) -> None:
    assert judged(metadata("k8sConformanceUrl", url)).problems == ()


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/cncf/k8s-conformance",
        "https://github.com/cncf/k8s-conformance/pull/3000",
        "https://github.com/cncf/k8s-conformance/tree/master/v1.36",
        "https://github.com/cncf/k8s-conformance/blob/master/v1.36/harbour/PRODUCT.yaml",
        "https://github.com/someone/k8s-conformance/tree/master/v1.36/harbour",
        "https://github.com.evil.org/cncf/k8s-conformance/tree/master/v1.36/harbour",
    ],
)
def test_base_certification_elsewhere_is_an_error(url: str) -> None:
    assert codes(judged(metadata("k8sConformanceUrl", url))) == ["bad_base_url"]


# Requirements -------------------------------------------------------------------------------------


def test_altered_description_shows_both_texts() -> None:
    problem = only(judged(entry(MUST, description='"Our own text."')))
    published = next(item for _, item in CHECKLIST.requirements() if item.id == MUST)
    assert '"Our own text."' in problem.message
    assert published.description in problem.message


def test_description_may_be_wrapped_differently() -> None:
    published = next(item for _, item in CHECKLIST.requirements() if item.id == MUST)
    half = len(published.description) // 2
    at = published.description.index(" ", half)
    wrapped = f">\n        {published.description[:at]}\n        {published.description[at + 1 :]}"
    assert judged(entry(MUST, description=wrapped)).problems == ()


def test_altered_level_is_judged_as_published() -> None:
    text = entry(MUST, level="SHOULD", status="Not Implemented")
    assert codes(judged(text)) == ["altered_level", "must_not_met"]


def test_own_wording_of_a_checklist_is_not_compared() -> None:
    judgement = judge(entry(MUST, description="ours").encode(), builtin_checklists())
    assert judgement.problems == ()


def test_requirement_of_another_version_is_named_as_such() -> None:
    problem = only(judged(VALID + "    - id: dra_support\n"))
    assert "1.33, 1.34, 1.35" in problem.message


def test_category_in_snake_case_still_answers_its_requirements() -> None:
    judgement = judged(replaced("  schedulingOrchestration:", "  scheduling_orchestration:"))
    problem = only(judgement)
    assert problem.code == "unknown_category"
    assert "Did you mean schedulingOrchestration?" in problem.message


def test_missing_category_is_told_once_with_its_requirements() -> None:
    problem = only(judged(VALID[: VALID.index("  operator:")]))
    assert problem.code == "missing_category"
    assert "robust_controller" in problem.message


def test_entry_given_by_name_is_read() -> None:
    at = VALID.index("  operator:")
    text = VALID[:at] + "  operator:\n    robust_controller:\n      status: Implemented\n"
    judgement = judged(text)
    assert {"wrong_type", "missing_id", "evidence_missing"} <= set(codes(judgement))
    assert judgement.product.claims["robust_controller"].status == "Implemented"


@pytest.mark.parametrize(
    ("status", "right"),
    [
        ("implemented", "Implemented"),
        ("IMPLEMENTED", "Implemented"),
        ("Not implemented", "Not Implemented"),
        ("NotImplemented", "Not Implemented"),
        ("partially implemented", "Partially Implemented"),
        ("Partial", "Partially Implemented"),
        ("NA", "N/A"),
        ("n/a", "N/A"),
        ("Not Applicable", "N/A"),
        ("Supported", "Implemented"),
    ],
)
def test_near_miss_of_a_status_names_the_right_one(status: str, right: str) -> None:
    found = [
        problem for problem in judged(entry(SHOULD, status=status)).problems if problem.code == "bad_status"
    ]
    assert right in found[0].message


def test_status_that_is_a_boolean_to_yaml_suggests_text() -> None:
    problem = only(judged(entry(MUST, status="yes")))
    assert (problem.code, 'status: "Implemented"' in problem.message) == ("wrong_type", True)


def test_should_may_stay_empty() -> None:
    assert judged(entry(SHOULD, status='""', evidence="[]", notes='""')).problems == ()


def test_should_may_be_unmet() -> None:
    assert judged(entry(SHOULD, status="Not Implemented", evidence="[]")).problems == ()


def test_justified_not_applicable_asks_for_a_waiver_and_stays_valid() -> None:
    text = entry("cluster_autoscaling", status="N/A", evidence="[]", notes="Fixed bare-metal nodes.")
    judgement = judged(text)
    assert codes(judgement) == ["waiver_request"]
    assert judgement.valid
    assert judgement.waiver_requests == ("cluster_autoscaling",)


def test_not_applicable_without_a_reason_asks_for_no_waiver() -> None:
    judgement = judged(entry("cluster_autoscaling", status="N/A", evidence="[]"))
    assert codes(judgement) == ["na_without_notes"]
    assert judgement.waiver_requests == ()


def test_waiver_on_an_unconditional_requirement_says_so() -> None:
    unconditional = only(judged(entry(MUST, status="N/A", notes="One node only.")))
    conditional = only(judged(entry("pod_autoscaling", status="N/A", notes="One node only.")))
    assert "no condition" in unconditional.message
    assert "no condition" not in conditional.message
    assert not REQUIREMENTS[MUST].conditional


def test_layer_that_meets_a_requirement_may_be_named() -> None:
    judgement = judged(entry(MUST, metBy="the base platform"))
    assert judgement.problems == ()
    assert judgement.product.claims[MUST].met_by == "the base platform"


# Evidence -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reference",
    [
        "https://docs.harbour.works/ai#gang",
        "./gang.md",
        "gang.md",
        "gang.md#all-or-nothing",
        "gang.md#gang_scheduling",
        "gang.md#explicit",
        "gang.md#L12-L20",
        "tests/gang/output.md",
        "a name with spaces.md",
        "a%20name%20with%20spaces.md",
        "file://results/junit.xml#TestGangScheduling",
        "file://results/results.json#TestGangScheduling",
        "file://results/e2e.log#TestGangScheduling",
        "file://results/e2e.log",
        "results/renamed.txt#TestGangScheduling",
        "results/junit.xml",
        "picture.png",
    ],
)
def test_evidence_in_order_passes(reference: str) -> None:
    log = "=== RUN   TestGangScheduling\n--- PASS: TestGangScheduling (1.0s)\nPASS\nok  \tp\t1.0s\n"
    files = {
        "gang.md": "# All or *nothing*!\n## gang_scheduling\n<a name='explicit'></a>\n",
        "tests/gang/output.md": "=== RUN   TestX\n",
        "a name with spaces.md": "x",
        "results/junit.xml": JUNIT,
        "results/results.json": '{"Action":"pass","Package":"p","Test":"TestGangScheduling"}\n'
        '{"Action":"pass","Package":"p"}\n',
        "results/e2e.log": log,
        "results/renamed.txt": log,
        "picture.png": "\x89PNG",
    }
    assert judged(evidence(reference), files=files).problems == ()


def test_words_around_a_file_name_suggest_the_name() -> None:
    problem = only(judged(evidence("see gang.md"), files={"gang.md": "x"}))
    assert 'Write only "gang.md"' in problem.message


def test_words_around_a_missing_file_name_tell_that_too() -> None:
    assert codes(judged(evidence("see gang.md"), files={})) == [
        "evidence_not_a_reference",
        "evidence_file_missing",
    ]


def test_files_are_judged_by_form_alone_where_there_are_none() -> None:
    assert judged(evidence("gang.md", "results/junit.xml#TestNone")).problems == ()


def test_plain_string_of_evidence_is_read() -> None:
    judgement = judged(entry(MUST, evidence="https://harbour.works/a"))
    assert codes(judgement) == ["evidence_not_list"]
    assert judgement.product.claims[MUST].evidence == ("https://harbour.works/a",)


def test_misspelt_test_suggests_the_right_one() -> None:
    problem = only(judged(evidence("file://results/junit.xml#TestGangSchedulin"), files=RESULTS))
    assert 'Did you mean "TestGangScheduling"?' in problem.message


def test_mapped_test_of_the_requirement_counts_in_a_whole_file() -> None:
    failing = JUNIT.replace(
        '<testcase name="TestGangScheduling"/>', '<testcase name="TestGangScheduling"><skipped/></testcase>'
    )
    assert codes(judged(evidence("r.xml"), files={"r.xml": failing})) == ["evidence_test_not_run"]


def test_named_test_in_an_unreadable_file_is_not_called_missing() -> None:
    files = {"r.xml": '<?xml version="1.0" encoding="nope"?><testsuite/>'}
    assert codes(judged(evidence("r.xml#TestX"), files=files)) == ["evidence_unreadable"]


def test_file_is_read_once_however_often_it_is_named() -> None:
    reads: list[str] = []

    class Counting(Files):
        def read(self, name: str) -> bytes | None:
            reads.append(name)
            return super().read(name)

    text = VALID.replace("https://docs.harbour.works/ai/", "results/junit.xml#").encode()
    judge(text, CHECKLISTS, files=Counting(RESULTS))
    assert reads.count("results/junit.xml") == 1

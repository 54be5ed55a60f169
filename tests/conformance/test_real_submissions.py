"""Real, published submissions. They are read where they lie and never copied."""

from pathlib import Path

import pytest

from conformance.catalogue import Checklist, builtin_checklists, load_checklists
from conformance.document import parse, product, render
from conformance.rules import FolderFiles, Judgement, judge

DATA = Path(__file__).parents[3] / "shared/data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real submissions are not here")
SUBMISSIONS = sorted(DATA.glob("submissions/v*/*/PRODUCT.yaml"))


@pytest.fixture(scope="module")
def published() -> dict[str, Checklist]:
    return load_checklists(DATA / "checklists")


def verdict(name: str, checklists: dict[str, Checklist]) -> Judgement:
    path = DATA / "submissions" / name / "PRODUCT.yaml"
    return judge(
        path.read_bytes(),
        checklists,
        folder_version=path.parts[-3],
        files=FolderFiles(path.parent),
    )


def found(judgement: Judgement, code: str) -> list[str]:
    return [problem.path for problem in judgement.problems if problem.code == code]


@pytest.mark.parametrize("path", SUBMISSIONS, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_every_submission_gets_a_verdict(path: Path, published: dict[str, Checklist]) -> None:
    name = "/".join(path.parts[-3:-1])
    judgement = verdict(name, published)
    assert judgement.checklist == path.parts[-3].removeprefix("v")
    assert len(judgement.product.claims) == 9
    assert judgement.product.metadata["platformName"]


@pytest.mark.parametrize("path", SUBMISSIONS, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_every_submission_written_anew_reads_back_equal(path: Path, published: dict[str, Checklist]) -> None:
    read = product(parse(path.read_bytes()))
    written = render(read, published[path.parts[-3].removeprefix("v")])
    assert product(parse(written.encode())) == read


def test_there_are_submissions_of_two_versions() -> None:
    assert len(SUBMISSIONS) == 34
    assert {path.parts[-3] for path in SUBMISSIONS} == {"v1.33", "v1.34"}


def test_talos_asks_for_three_waivers_with_evidence_as_text(published: dict[str, Checklist]) -> None:
    judgement = verdict("v1.33/talos", published)
    assert judgement.waiver_requests == ("cluster_autoscaling", "accelerator_metrics", "ai_service_metrics")
    assert found(judgement, "waiver_request") == [
        "spec.schedulingOrchestration.cluster_autoscaling.status",
        "spec.observability.accelerator_metrics.status",
        "spec.observability.ai_service_metrics.status",
    ]
    assert found(judgement, "evidence_not_list") == [
        "spec.schedulingOrchestration.cluster_autoscaling.evidence",
        "spec.observability.accelerator_metrics.evidence",
        "spec.observability.ai_service_metrics.evidence",
    ]
    assert found(judgement, "altered_level") == ["spec.accelerators.dra_support.level"]
    assert found(judgement, "evidence_not_a_reference") == [
        "spec.security.secure_accelerator_access.evidence[0]"
    ]
    assert not judgement.valid


def test_ovh_has_a_version_that_is_a_number(published: dict[str, Checklist]) -> None:
    judgement = verdict("v1.34/ovh", published)
    assert found(judgement, "wrong_type") == ["metadata.platformVersion"]
    assert judgement.product.metadata["platformVersion"] == "1.0"
    assert found(judgement, "evidence_file_missing") == ["spec.accelerators.dra_support.evidence[0]"]
    assert found(judgement, "evidence_heading_missing") == []


def test_rke2_changed_a_level_and_contradicts_itself(published: dict[str, Checklist]) -> None:
    judgement = verdict("v1.34/rke2", published)
    assert found(judgement, "altered_level") == ["spec.accelerators.dra_support.level"]
    assert found(judgement, "notes_contradict") == ["spec.schedulingOrchestration.cluster_autoscaling.notes"]


def test_jdcloud_has_a_field_outside_metadata(published: dict[str, Checklist]) -> None:
    judgement = verdict("v1.33/jdcloud", published)
    assert found(judgement, "misplaced_metadata") == ["metadata.contactEmailAddress"]
    assert "metadata.contactEmailAddress" not in found(judgement, "missing_metadata")
    assert found(judgement, "status_missing") == ["spec.accelerators.dra_support.status"]


def test_giantswarm_names_a_file_that_is_not_there(published: dict[str, Checklist]) -> None:
    judgement = verdict("v1.33/giantswarm", published)
    assert found(judgement, "evidence_file_missing") == [
        "spec.security.secure_accelerator_access.evidence[0]"
    ]
    assert found(verdict("v1.34/giantswarm", published), "evidence_file_missing") == []


def test_most_of_1_33_lack_the_base_certification(published: dict[str, Checklist]) -> None:
    names = ["/".join(path.parts[-3:-1]) for path in SUBMISSIONS if path.parts[-3] == "v1.33"]
    lacking = [
        name
        for name in names
        if "metadata.k8sConformanceUrl" in found(verdict(name, published), "missing_metadata")
    ]
    assert (len(names), len(lacking)) == (12, 10)


def test_contradictions_are_found_where_they_are_and_nowhere_else(published: dict[str, Checklist]) -> None:
    flagged = {
        ("/".join(path.parts[-3:-1]), where)
        for path in SUBMISSIONS
        for where in found(verdict("/".join(path.parts[-3:-1]), published), "notes_contradict")
    }
    autoscaling = "spec.schedulingOrchestration.cluster_autoscaling.notes"
    assert flagged == {
        ("v1.33/chinaunicom-csk", autoscaling),
        ("v1.33/chinaunicom-csk", "spec.accelerators.dra_support.notes"),
        ("v1.33/rke2", autoscaling),
        ("v1.34/rke2", autoscaling),
    }


def test_nine_submissions_altered_the_text_of_the_checklist(published: dict[str, Checklist]) -> None:
    judgements = [verdict("/".join(path.parts[-3:-1]), published) for path in SUBMISSIONS]
    descriptions = [bool(found(judgement, "altered_description")) for judgement in judgements]
    levels = [bool(found(judgement, "altered_level")) for judgement in judgements]
    assert (sum(descriptions), sum(levels)) == (7, 2)
    assert sum(either or other for either, other in zip(descriptions, levels, strict=True)) == 9


def test_builtin_checklists_differ_in_nothing_but_descriptions(published: dict[str, Checklist]) -> None:
    for path in SUBMISSIONS:
        name = "/".join(path.parts[-3:-1])
        with_published = [
            problem for problem in verdict(name, published).problems if problem.code != "altered_description"
        ]
        assert list(verdict(name, builtin_checklists()).problems) == with_published

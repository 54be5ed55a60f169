from pathlib import Path

import pytest

from conformance.catalogue import (
    MAPPED_TESTS,
    REQUIREMENTS,
    ChecklistError,
    Level,
    builtin_checklists,
    load_checklist,
    load_checklists,
    minor_version,
    version_key,
)

PUBLISHED = Path(__file__).parents[3] / "shared/data/checklists"
needs_published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published checklists are not here")

MINIMAL = """
metadata: {kubernetesVersion: v1.36}
spec:
  security:
    - id: secure_accelerator_access
      description: "Keep  devices
        apart."
      level: MUST
"""


def test_load_checklist_reads_version_categories_and_levels() -> None:
    checklist = load_checklist(MINIMAL.encode())
    assert checklist.version == "1.36"
    assert checklist.published_wording
    ((category, requirement),) = checklist.requirements()
    assert category.key == "security"
    assert (requirement.id, requirement.level) == ("secure_accelerator_access", Level.MUST)
    assert requirement.description == "Keep devices apart."


def test_digest_changes_with_the_content_and_not_with_its_layout() -> None:
    digest = load_checklist(MINIMAL.encode()).digest
    assert load_checklist((MINIMAL + "# a comment\n").encode()).digest == digest
    assert load_checklist(MINIMAL.replace("MUST", "SHOULD").encode()).digest != digest
    assert load_checklist(MINIMAL.replace("apart", "separate").encode()).digest != digest


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("v1.36", "later", "not a version"),
        ("v1.36", "", "missing or not text"),
        ("level: MUST", "level: MAY", "neither MUST nor SHOULD"),
        ("id: secure_accelerator_access", "id: a b", "no requirement id"),
        ("id: secure_accelerator_access", "name: x", "id is missing"),
        ("security:\n", "security: x\n  other:\n", "not a list"),
        ("spec:", "spec: []\nelse:", "not a mapping of categories"),
        ("    - id", "    - x\n    - id", "not a requirement"),
        ("level: MUST", "level: MUST\n      level: MUST", "second time"),
        ("metadata:", "- x\nmetadata:", "line 3"),
    ],
)
def test_faulty_checklist_is_refused_with_its_place(old: str, new: str, words: str) -> None:
    with pytest.raises(ChecklistError, match=words):
        load_checklist(MINIMAL.replace(old, new, 1).encode())


def test_requirement_given_twice_is_refused() -> None:
    entry = MINIMAL[MINIMAL.index("    - id") :]
    with pytest.raises(ChecklistError, match="more than once"):
        load_checklist((MINIMAL + entry.removeprefix("\n")).encode())


def test_checklist_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(ChecklistError, match="a mapping with metadata and spec"):
        load_checklist(b"[]")


def test_load_checklists_sorts_by_version(tmp_path: Path) -> None:
    for version in ("1.36", "1.9"):
        (tmp_path / f"{version}.yaml").write_text(MINIMAL.replace("1.36", version))
    (tmp_path / "README.md").write_text("no checklist")
    assert list(load_checklists(tmp_path)) == ["1.9", "1.36"]


def test_two_checklists_for_one_version_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(MINIMAL)
    (tmp_path / "b.yml").write_text(MINIMAL)
    with pytest.raises(ChecklistError, match=r"b\.yml: a second checklist for 1\.36"):
        load_checklists(tmp_path)


def test_folder_without_checklists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ChecklistError, match="holds no checklist"):
        load_checklists(tmp_path)


def test_faulty_file_in_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ChecklistError, match=r"bad\.yaml: line 1"):
        load_checklists(tmp_path)


def test_builtin_checklists_cover_every_requirement_and_only_those() -> None:
    found = {
        requirement.id
        for checklist in builtin_checklists().values()
        for _, requirement in checklist.requirements()
    }
    assert found == set(REQUIREMENTS)
    assert list(builtin_checklists()) == ["1.33", "1.34", "1.35", "1.36", "1.37"]


def test_builtin_checklists_say_that_their_wording_is_their_own() -> None:
    assert not any(checklist.published_wording for checklist in builtin_checklists().values())


@needs_published
def test_builtin_checklists_have_the_published_structure() -> None:
    def structure(checklists: dict) -> dict:
        return {
            version: [
                (category.key, requirement.id, requirement.level)
                for category, requirement in checklist.requirements()
            ]
            for version, checklist in checklists.items()
        }

    assert structure(builtin_checklists()) == structure(load_checklists(PUBLISHED))


@needs_published
def test_builtin_checklists_copy_no_published_text() -> None:
    def runs(text: str, length: int = 6) -> set[tuple[str, ...]]:
        words = text.lower().replace(",", "").replace(".", "").split()
        return {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}

    published = load_checklists(PUBLISHED)
    for version, checklist in builtin_checklists().items():
        theirs = {item.id: item.description for _, item in published[version].requirements()}
        for _, requirement in checklist.requirements():
            assert runs(requirement.description) & runs(theirs[requirement.id]) == set(), requirement.id


def test_mapped_tests_lead_to_their_requirements() -> None:
    assert MAPPED_TESTS == {
        "TestSecureAcceleratorAccess": "secure_accelerator_access",
        "TestGangScheduling": "gang_scheduling",
        "TestAcceleratorClusterAutoscaling": "cluster_autoscaling",
        "TestRobustCRDControllerOperation": "robust_controller",
        "TestWorkloadSandboxing": "workload_sandboxing",
    }


def test_every_requirement_serves_a_kind_of_workload() -> None:
    assert all(info.kinds for info in REQUIREMENTS.values())
    assert len({info.title for info in REQUIREMENTS.values()}) == len(REQUIREMENTS)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v1.35", "1.35"),
        ("1.35.3", "1.35"),
        ("v1.35.3-gke.100", "1.35"),
        (" v1.35 ", "1.35"),
        ("v1.35.3+k0s.0", "1.35"),
        ("1", None),
        ("v1.x", None),
        ("latest", None),
        ("", None),
        ("v1.35 and later", None),
    ],
)
def test_minor_version(text: str, version: str | None) -> None:
    assert minor_version(text) == version


def test_version_key_sorts_by_number() -> None:
    assert sorted(["1.33", "1.9", "2.0"], key=version_key) == ["1.9", "1.33", "2.0"]

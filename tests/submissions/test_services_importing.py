"""Importing checklists and records: repeatable, tolerant of what vendors wrote, honest about it."""

from __future__ import annotations

from datetime import date
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from conformance import document
from conformance.catalogue import builtin_checklists
from registry.models import Certificate, Checklist
from registry.services import publish_checklist
from submissions.models import Submission
from submissions.services.importing import import_checklists, import_submissions

pytestmark = pytest.mark.django_db

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
ON = date(2026, 3, 1)
needs_shared_data = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the folder of published checklists and submissions is not beside the project"
)


@pytest.fixture(autouse=True)
def checklist() -> Checklist:
    return publish_checklist(checklist=builtin_checklists()["1.35"], source="builtin")[0]


def record(folder: Path, name: str, **metadata: str) -> None:
    checklist = builtin_checklists()["1.35"]
    claims = {
        requirement.id: document.Claim(
            requirement.id, category.key, "Implemented", ("https://docs.example.com/x",), "Works."
        )
        for category, requirement in checklist.requirements()
    }
    values = {
        "kubernetesVersion": "v1.35",
        "platformName": "Engine",
        "platformVersion": "1.0",
        "vendorName": "Acme",
        "websiteUrl": "https://example.com",
    } | metadata
    target = folder / "v1.35" / name
    target.mkdir(parents=True)
    kept = {field: text for field, text in values.items() if text}
    (target / "PRODUCT.yaml").write_text(document.render(document.Product(kept, claims), checklist))


def results(folder: Path, certified_on: date | None = ON) -> dict[str, tuple[str, str]]:
    return {o.name: (o.result, o.detail) for o in import_submissions(folder, certified_on=certified_on)}


def test_record_is_certified_on_the_date_self_attested_and_imported(tmp_path: Path) -> None:
    record(tmp_path, "engine")
    results(tmp_path)
    certificate = Certificate.objects.get()
    assert (certificate.issued_on, certificate.expires_on) == (ON, date(2027, 3, 1))
    assert (certificate.assurance, certificate.imported, certificate.simulated) == (
        "self_attested",
        True,
        False,
    )
    assert set(certificate.requirements.values_list("assurance", flat=True)) == {"self_attested"}


def test_what_the_rules_say_is_kept_as_findings(tmp_path: Path) -> None:
    record(tmp_path, "engine")
    results(tmp_path)
    codes = {finding["code"] for finding in Certificate.objects.get().findings}
    assert "missing_metadata" in codes


def test_importing_twice_changes_nothing(tmp_path: Path) -> None:
    record(tmp_path, "engine")
    results(tmp_path)
    again = results(tmp_path)
    assert again["v1.35/engine"][0] == "unchanged"
    assert Certificate.objects.count() == 1


def test_without_a_date_records_become_drafts(tmp_path: Path) -> None:
    record(tmp_path, "engine")
    assert results(tmp_path, None)["v1.35/engine"][0] == "imported"
    assert results(tmp_path, None)["v1.35/engine"][0] == "unchanged"
    submission = Submission.objects.get()
    assert (submission.status, submission.organization.name) == ("draft", "Acme")
    assert submission.claims.filter(status="Implemented").count() == 12
    assert not Certificate.objects.exists()


@pytest.mark.parametrize("field", ["platformName", "platformVersion", "vendorName"])
def test_record_that_cannot_be_told_apart_is_refused(tmp_path: Path, field: str) -> None:
    record(tmp_path, "engine", **{field: ""})
    result, detail = results(tmp_path)["v1.35/engine"]
    assert result == "refused"
    assert field in detail


def test_record_for_an_unknown_checklist_is_refused(tmp_path: Path) -> None:
    record(tmp_path, "engine", kubernetesVersion="v1.12")
    result, detail = results(tmp_path)["v1.35/engine"]
    assert result == "refused"
    assert "v1.12" in detail


def test_unreadable_record_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    record(tmp_path, "engine")
    broken = tmp_path / "v1.35" / "broken"
    broken.mkdir()
    (broken / "PRODUCT.yaml").write_bytes(b"metadata: [unclosed")
    outcome = results(tmp_path)
    assert outcome["v1.35/broken"][0] == "refused"
    assert outcome["v1.35/engine"][0] == "imported"


def test_same_platform_from_another_folder_is_refused(tmp_path: Path) -> None:
    record(tmp_path, "engine")
    record(tmp_path, "engine-again")
    outcome = results(tmp_path)
    assert [outcome[name][0] for name in sorted(outcome)] == ["imported", "refused"]


def test_links_that_are_not_web_addresses_are_not_published(tmp_path: Path) -> None:
    record(tmp_path, "engine", websiteUrl="javascript:alert(1)")
    results(tmp_path)
    assert Certificate.objects.get().website_url == ""


def test_text_that_postgresql_cannot_keep_is_kept_without_the_character(tmp_path: Path) -> None:
    record(tmp_path, "engine", description="a\x00b")
    results(tmp_path)
    assert Certificate.objects.get().description == "a\N{REPLACEMENT CHARACTER}b"


def test_link_out_of_the_folder_is_left_aside(tmp_path: Path) -> None:
    record(tmp_path / "outside", "engine")
    inside = tmp_path / "inside" / "v1.35"
    inside.mkdir(parents=True)
    (inside / "engine").symlink_to(tmp_path / "outside" / "v1.35" / "engine")
    assert results(tmp_path / "inside") == {}


def test_corrected_checklist_becomes_a_revision(tmp_path: Path, checklist: Checklist) -> None:
    text = (Path(document.__file__).parent / "checklists" / "AIConformance-1.35.yaml").read_text()
    (tmp_path / "AIConformance-1.35.yaml").write_text(text.replace("level: SHOULD", "level: MUST", 1))
    (tmp_path / "broken.yaml").write_text("metadata: 3")
    outcomes = {outcome.name: outcome.result for outcome in import_checklists(tmp_path)}
    assert outcomes == {"AIConformance-1.35.yaml": "imported", "broken.yaml": "refused"}
    assert Checklist.objects.current().get(version="1.35").revision == 2
    assert [outcome.result for outcome in import_checklists(tmp_path)] == ["unchanged", "refused"]


def test_command_refuses_a_date_in_the_future(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="in the future"):
        call_command("import_submissions", str(tmp_path), "--certified-on", "2999-01-01", stdout=StringIO())


def test_command_prints_a_table_with_sums(tmp_path: Path) -> None:
    record(tmp_path, "engine")
    record(tmp_path, "nameless", platformName="")
    out = StringIO()
    call_command("import_submissions", str(tmp_path), "--certified-on", ON.isoformat(), stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("imported   v1.35/engine")
    assert lines[1].startswith("refused    v1.35/nameless")
    assert lines[2] == "1 imported, 0 unchanged, 1 refused"


@needs_shared_data
def test_every_published_record_is_imported_once() -> None:
    list(import_checklists(SHARED / "checklists"))
    first = results(SHARED / "submissions")
    second = results(SHARED / "submissions")
    assert len(first) == len(list((SHARED / "submissions").glob("v*/*/PRODUCT.yaml")))
    assert {result for result, _ in first.values()} == {"imported"}
    assert {result for result, _ in second.values()} == {"unchanged"}
    assert Certificate.objects.count() == len(first)
    drafts = results(SHARED / "submissions", None)
    assert {result for result, _ in drafts.values()} == {"imported"}
    assert {result for result, _ in results(SHARED / "submissions", None).values()} == {"unchanged"}

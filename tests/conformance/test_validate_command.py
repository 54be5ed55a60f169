import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conformance.catalogue import Level, builtin_checklists
from conformance.cli import main
from conformance.document import Claim, Product, render
from conformance.yaml_reader import Problem

CHECKLIST = builtin_checklists()["1.36"]
VALID = render(
    Product(
        {
            "kubernetesVersion": "v1.36",
            "platformName": "Harbour",
            "platformVersion": "4.2",
            "vendorName": "Harbour Works",
            "websiteUrl": "https://harbour.works/",
            "documentationUrl": "https://docs.harbour.works/",
            "productLogoUrl": "https://harbour.works/logo.svg",
            "description": "A platform.",
            "contactEmailAddress": "conformance@harbour.works",
            "k8sConformanceUrl": "https://github.com/cncf/k8s-conformance/tree/master/v1.36/harbour",
        },
        {
            item.id: Claim(item.id, category.key, "Implemented", ("proof.md",))
            for category, item in CHECKLIST.requirements()
            if item.level is Level.MUST
        },
    ),
    CHECKLIST,
)
INVALID = VALID.replace('platformVersion: "4.2"', "platformVersion: 4.2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with a valid and an invalid submission."""
    for name, text in (("harbour", VALID), ("quay", INVALID)):
        product = tmp_path / "v1.36" / name
        product.mkdir(parents=True)
        (product / "PRODUCT.yaml").write_text(text)
        (product / "proof.md").write_text("# Proof\n")
    return tmp_path


def validate(*arguments: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["validate", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def as_json(*arguments: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, Any]]]:
    code, out, _ = validate(*arguments, "--format", "json", capsys=capsys)
    document = json.loads(out)
    assert list(document) == ["files"]
    return code, document["files"]


def test_valid_file_exits_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "v1.36/harbour/PRODUCT.yaml"
    code, files = as_json(path, capsys=capsys)
    assert code == 0
    assert files == [{"path": str(path), "checklist": "1.36", "valid": True, "problems": []}]


def test_invalid_file_exits_1_with_every_field_of_a_problem(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, files = as_json(folder / "v1.36/quay/PRODUCT.yaml", capsys=capsys)
    assert code == 1
    (file,) = files
    (problem,) = file["problems"]
    assert not file["valid"]
    assert problem["message"].startswith("platformVersion is a number")
    del problem["message"]
    assert problem == {
        "code": "wrong_type",
        "severity": "error",
        "path": "metadata.platformVersion",
        "line": 4,
        "column": 20,
    }


def test_folder_is_searched_in_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "v1.36/harbour/product.yml").write_text(VALID)
    (folder / ".git").mkdir()
    (folder / ".git/PRODUCT.yaml").write_text("x")
    code, files = as_json(folder, capsys=capsys)
    assert code == 1
    assert [Path(file["path"]).relative_to(folder).as_posix() for file in files] == [
        "v1.36/harbour/PRODUCT.yaml",
        "v1.36/harbour/product.yml",
        "v1.36/quay/PRODUCT.yaml",
    ]


def test_file_named_twice_is_judged_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "v1.36/harbour"
    _, files = as_json(path, path / "PRODUCT.yaml", capsys=capsys)
    assert len(files) == 1


def test_folder_version_is_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "v1.36").rename(folder / "v1.35")
    code, files = as_json(folder / "v1.35/harbour", capsys=capsys)
    assert code == 1
    assert [problem["code"] for problem in files[0]["problems"]] == ["folder_version_mismatch"]


def test_folder_version_is_found_from_inside(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "v1.36").rename(folder / "v1.35")
    monkeypatch.chdir(folder / "v1.35/harbour")
    code, files = as_json("PRODUCT.yaml", capsys=capsys)
    assert (code, files[0]["path"]) == (1, "PRODUCT.yaml")


def test_evidence_is_looked_for_beside_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "v1.36/harbour/proof.md").unlink()
    _, files = as_json(folder / "v1.36/harbour", capsys=capsys)
    assert {problem["code"] for problem in files[0]["problems"]} == {"evidence_file_missing"}


def test_links_are_not_followed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "v1.36/loop").symlink_to(folder)
    (folder / "v1.36/linked").mkdir()
    (folder / "v1.36/linked/PRODUCT.yaml").symlink_to(folder / "v1.36/harbour/PRODUCT.yaml")
    _, files = as_json(folder, capsys=capsys)
    assert len(files) == 2


def test_text_names_file_line_column_code_and_sums_up(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = validate(folder, capsys=capsys)
    assert code == 1
    quay = folder / "v1.36/quay/PRODUCT.yaml"
    assert f"{folder}/v1.36/harbour/PRODUCT.yaml: valid (checklist 1.36)\n" in out
    assert f"  {quay}:4:20: error: wrong_type [metadata.platformVersion]\n      platformVersion is" in out
    assert out.endswith("2 files: 1 valid, 1 invalid; 1 error, 0 warnings\n")


@pytest.mark.parametrize(
    "arguments",
    [["/no/such/place"], ["--checklists", "/no/such/place", "."], ["--format", "xml", "."], []],
)
def test_wrong_use_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(["validate", *arguments])
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err


def test_folder_without_submissions_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = validate(tmp_path, capsys=capsys)
    assert (code, out) == (2, "")
    assert "no PRODUCT.yaml" in err


def test_checklists_of_a_folder_are_used(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    checklists = tmp_path_factory.mktemp("checklists")
    (checklists / "1.36.yaml").write_text(VALID.replace("level: MUST", "level: SHOULD"))
    code, files = as_json(folder / "v1.36/harbour", "--checklists", checklists, capsys=capsys)
    assert code == 0
    assert {problem["code"] for problem in files[0]["problems"]} == {"altered_level"}


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser opens every file")
def test_file_that_may_not_be_opened_is_a_problem(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "v1.36/harbour/PRODUCT.yaml").chmod(0)
    code, files = as_json(folder / "v1.36/harbour", capsys=capsys)
    assert code == 1
    assert [problem["code"] for problem in files[0]["problems"]] == ["unreadable_file"]


def test_file_that_goes_away_is_a_problem(folder: Path) -> None:
    from conformance.cli import validate as command

    report = command._judge_file(folder / "gone/PRODUCT.yaml", builtin_checklists())
    assert not report.valid
    assert [problem.code for problem in report.problems] == ["unreadable_file"]
    assert isinstance(report.problems[0], Problem)


def test_names_that_are_no_text_do_not_stop_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/v1.36/odd\xff\n"))
    odd.mkdir()
    (odd / "PRODUCT.yaml").write_text(INVALID)
    code, files = as_json(folder, capsys=capsys)
    assert code == 1
    assert any("odd" in file["path"] for file in files)
    assert validate(folder, capsys=capsys)[0] == 1


def test_command_prints_what_vendors_write_in_a_narrow_encoding(folder: Path) -> None:
    path = folder / "v1.36/quay/PRODUCT.yaml"
    path.write_text(INVALID.replace('vendorName: "Harbour Works"', 'vendorName: "[云]"'))
    for form in ("text", "json"):
        result = subprocess.run(
            [sys.executable, "-m", "conformance", "validate", str(path), "--format", form],
            env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=False,
        )
        assert result.returncode == 1, result.stderr
        assert result.stderr == b""
        assert b"placeholder" in result.stdout


def test_command_never_loads_the_cluster_client(folder: Path) -> None:
    script = (
        "import sys; from conformance.cli import main; main(['validate', sys.argv[1]]);"
        "heavy = {'kubernetes', 'django', 'aiohttp', 'email', 'http'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert result.stderr.strip() == "[]"

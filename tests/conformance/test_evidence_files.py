import os
from pathlib import Path

import pytest

from conformance.rules import EvidenceRefused, FolderFiles
from conformance.rules.files import MAX_FILE_BYTES


def test_folder_files_reads_what_is_below_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.md").write_text("text")
    assert FolderFiles(tmp_path).read("a/b.md") == b"text"
    assert FolderFiles(tmp_path).read("./a/../a/b.md") == b"text"
    assert FolderFiles(tmp_path).read("a/c.md") is None
    assert FolderFiles(tmp_path).read("a/b.md/c") is None
    assert FolderFiles(tmp_path).read("a\0b") is None


def test_folder_files_follows_a_link_that_stays_inside(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("text")
    (tmp_path / "b.md").symlink_to("a.md")
    assert FolderFiles(tmp_path).read("b.md") == b"text"


@pytest.mark.parametrize("name", ["../secret", "link", "folder/secret", "/etc/hostname"])
def test_folder_files_refuses_what_leaves_the_folder(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("secret")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path)
    with pytest.raises(EvidenceRefused) as refusal:
        FolderFiles(root).read(name)
    assert refusal.value.outside


def test_folder_files_refuses_folders_and_loops(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(EvidenceRefused, match="folder"):
        FolderFiles(tmp_path).read("a")
    with pytest.raises(EvidenceRefused, match="cannot be opened"):
        FolderFiles(tmp_path).read("loop")


def test_folder_files_refuses_pipes_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EvidenceRefused, match="no regular file"):
        FolderFiles(tmp_path).read("pipe")


def test_folder_files_refuses_files_too_large(tmp_path: Path) -> None:
    with (tmp_path / "big.log").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(EvidenceRefused, match="at most"):
        FolderFiles(tmp_path).read("big.log")

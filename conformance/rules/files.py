"""The files of a submission, as evidence names them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final, Protocol

from conformance import artefacts

MAX_FILE_BYTES: Final = artefacts.MAX_BYTES


class EvidenceRefused(Exception):  # noqa: N818 - the file is turned down, nothing failed
    """A file that is there and may not or cannot be read. `outside` says it lies outside the submission."""

    def __init__(self, reason: str, *, outside: bool = False) -> None:
        super().__init__(reason)
        self.outside = outside


class EvidenceFiles(Protocol):
    """Where the files of a submission lie."""

    def read(self, name: str) -> bytes | None:
        """The content of the file at `name`, a relative path with slashes; None where there is none.

        Raises EvidenceRefused for a file that may not be read.
        """


class FolderFiles:
    """The files below a folder. What leaves it, by ``..`` or by a symbolic link, is refused."""

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.realpath(root))

    def read(self, name: str) -> bytes | None:
        if "\0" in name:
            return None
        try:
            path = Path(os.path.realpath(self._root / name))
            if not path.is_relative_to(self._root):
                raise EvidenceRefused("it leads outside the submission's folder", outside=True)
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise EvidenceRefused(f"it cannot be opened ({error.strerror})") from error
        try:
            _demand_readable(os.fstat(handle))
            with open(handle, "rb", closefd=False) as file:
                return file.read(MAX_FILE_BYTES)
        finally:
            os.close(handle)


def _demand_readable(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise EvidenceRefused("it is a folder; name the files in it")
    if not stat.S_ISREG(status.st_mode):
        raise EvidenceRefused("it is no regular file")
    if status.st_size > MAX_FILE_BYTES:
        raise EvidenceRefused(f"it has {status.st_size} bytes; at most {MAX_FILE_BYTES} are read")


class EvidenceReader:
    """Reads each file once, however many requirements name it."""

    def __init__(self, files: EvidenceFiles | None) -> None:
        self._files = files
        self._contents: dict[str, bytes | EvidenceRefused | None] = {}
        self._results: dict[str, artefacts.Results | None] = {}

    @property
    def is_available(self) -> bool:
        """Whether the submission came with its folder; without, no file can be looked at."""
        return self._files is not None

    def read(self, name: str) -> bytes | None:
        """As EvidenceFiles.read. Raises EvidenceRefused."""
        if self._files is None:
            return None
        if name not in self._contents:
            try:
                self._contents[name] = self._files.read(name)
            except EvidenceRefused as refusal:
                self._contents[name] = refusal
        content = self._contents[name]
        if isinstance(content, EvidenceRefused):
            raise content
        return content

    def results(self, name: str) -> artefacts.Results | None:
        """The test results in the file at `name`; None where it is no test output."""
        if name not in self._results:
            content = self.read(name)
            self._results[name] = artefacts.read(content) if content else None
        return self._results[name]

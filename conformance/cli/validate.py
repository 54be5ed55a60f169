"""``conformance validate``: judge PRODUCT.yaml files and tell everything that is wrong with them."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.catalogue import Checklist, ChecklistError, builtin_checklists, load_checklists
from conformance.cli import EXIT_NEGATIVE, EXIT_OK, EXIT_USAGE
from conformance.rules import RULES, FolderFiles, judge
from conformance.yaml_reader import MAX_BYTES, Problem, Severity

_NAMES = frozenset({"product.yaml", "product.yml"})
_VERSION_FOLDER = re.compile(r"v[0-9]+\.[0-9]+")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        type=Path,
        help="a PRODUCT.yaml, or a folder to search for them",
    )
    parser.add_argument(
        "--checklists",
        metavar="DIR",
        type=Path,
        help="folder with the published checklists; without it the built-in set, which knows ids and levels "
        "but not the published wording",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


def run(options: argparse.Namespace) -> int:
    try:
        checklists = load_checklists(options.checklists) if options.checklists else builtin_checklists()
        paths = list(dict.fromkeys(found for path in options.paths for found in _products(path)))
    except (_UsageError, ChecklistError, OSError) as error:
        print(f"conformance validate: {error}", file=sys.stderr)
        return EXIT_USAGE
    reports = [_judge_file(path, checklists) for path in paths]
    if options.format == "json":
        json.dump({"files": [report.as_dict() for report in reports]}, sys.stdout, indent=1)
        print()
    else:
        _print(reports)
    return EXIT_OK if all(report.valid for report in reports) else EXIT_NEGATIVE


class _UsageError(Exception):
    pass


def _products(path: Path) -> Iterator[Path]:
    """The file at `path`, or those in the folder at it, in order. Raises _UsageError where there is none."""
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise _UsageError(f"{path}: no such file or folder")
    found = False
    for folder, folders, names in os.walk(path, onerror=_unreadable):
        # Links are not followed, neither to folders (loops) nor to files (they may lead anywhere).
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            candidate = Path(folder, name)
            if name.lower() in _NAMES and candidate.is_file() and not candidate.is_symlink():
                found = True
                yield candidate
    if not found:
        raise _UsageError(f"{path}: no PRODUCT.yaml in this folder or below it")


def _unreadable(error: OSError) -> None:
    raise _UsageError(f"{error.filename}: {error.strerror}")


@dataclass(frozen=True, slots=True)
class _Report:
    path: Path
    checklist: str | None
    valid: bool
    problems: tuple[Problem, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "path": _printable(self.path),
            "checklist": self.checklist,
            "valid": self.valid,
            "problems": [problem.as_dict() for problem in self.problems],
        }


def _printable(path: Path) -> str:
    """`path` as text that any output can carry; names that are not UTF-8 are shown escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _judge_file(path: Path, checklists: dict[str, Checklist]) -> _Report:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"The file cannot be opened: {error.strerror}."
        problem = Problem("unreadable_file", RULES["unreadable_file"].severity, message, "", 1, 1)
        return _Report(path, None, valid=False, problems=(problem,))
    judgement = judge(
        data, checklists, folder_version=_folder_version(path), files=FolderFiles(path.absolute().parent)
    )
    return _Report(path, judgement.checklist, judgement.valid, judgement.problems)


def _folder_version(path: Path) -> str | None:
    """The nearest folder above the file that is named ``vX.Y``."""
    folders = path.absolute().parts[:-1]
    return next((name for name in reversed(folders) if _VERSION_FOLDER.fullmatch(name)), None)


def _print(reports: list[_Report]) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what a vendor wrote fits no narrow encoding
    for report in reports:
        shown = _printable(report.path)
        verdict = "valid" if report.valid else "invalid"
        by = f"checklist {report.checklist}" if report.checklist else "no checklist"
        print(f"{shown}: {verdict} ({by})")
        for problem in report.problems:
            place = f"{shown}:{problem.line}:{problem.column}" if problem.line else shown
            where = f" [{problem.path}]" if problem.path else ""
            print(f"  {place}: {problem.severity}: {problem.code}{where}\n      {problem.message}")
    problems = [problem for report in reports for problem in report.problems]
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    valid = sum(report.valid for report in reports)
    print(
        f"{_number(len(reports), 'file')}: {valid} valid, {len(reports) - valid} invalid; "
        f"{_number(errors, 'error')}, {_number(len(problems) - errors, 'warning')}"
    )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

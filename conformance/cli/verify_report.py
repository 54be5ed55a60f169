"""``conformance verify-report``: check that a report, its evidence and its signature are what was written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance import bundle, report, signing
from conformance.cli import EXIT_NEGATIVE, EXIT_OK, EXIT_USAGE

_ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class _Found:
    """A report that is in order."""

    report: report.Report
    document: Mapping[str, Any]
    signer: signing.PublicKey | None
    pieces: int | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a report or a bundle, as `verify` writes them"
    )
    parser.add_argument(
        "--bundle", type=Path, metavar="FILE.zip", help="check its evidence too, and that it has this report"
    )
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="the public key the report has to be signed with (PEM)"
    )


def run(options: argparse.Namespace) -> int:
    """Return 0 where everything is as it was written, 1 where it was changed, 2 where it is no report."""
    path = options.file
    try:
        key = signing.read_public_key(_content(options.key, signing.MAX_KEY)) if options.key else None
        found = _examined(path)
        if options.bundle is not None:
            path = options.bundle
            found = _with_evidence(found, path)
        path = options.file
        _check_key(found, key)
    except OSError as error:
        print(f"conformance verify-report: cannot read {error.filename}: {error.strerror}", file=sys.stderr)
        return EXIT_USAGE
    except signing.SignatureError as error:
        print(f"conformance verify-report: {options.key}: {error}", file=sys.stderr)
        return EXIT_USAGE
    except bundle.BundleError as error:
        if error.code in {"unreadable", "too_large"}:
            print(f"conformance verify-report: {path}: {error}", file=sys.stderr)
            return EXIT_USAGE
        print(f"{path}: {error.code.upper()}: {error}")
        return EXIT_NEGATIVE
    _tell(options.file, found)
    return EXIT_OK


def _content(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        return file.read(limit + 1)


def _examined(path: Path) -> _Found:
    data = _content(path, max(report.MAX_REPORT, bundle.MAX_BUNDLE))
    if data.startswith(_ZIP):
        return _of_bundle(bundle.read_bundle(data))
    try:
        document = report.read(data)
        found = report.Report.from_json(data)
    except report.ReportError as error:
        raise bundle.BundleError("unreadable", str(error)) from error
    bundle.check_document(data, document, found)
    return _Found(found, document, bundle.check_signature(document))


def _with_evidence(found: _Found, path: Path) -> _Found:
    packed = bundle.read_bundle(_content(path, bundle.MAX_BUNDLE))
    if packed.document != found.document:
        raise bundle.BundleError("changed", "It holds another report.")
    return _of_bundle(packed)


def _of_bundle(packed: bundle.Bundle) -> _Found:
    pieces = sum(name.startswith("evidence/") for name in packed.files)
    return _Found(packed.report, packed.document, packed.signer, pieces)


def _check_key(found: _Found, key: signing.PublicKey | None) -> None:
    if key is None:
        return
    if found.signer is None:
        raise bundle.BundleError("unsigned", "The report is not signed.")
    if found.signer != key:
        raise bundle.BundleError("changed", f"It is signed by another key, {found.signer.key_id}.")


def _tell(path: Path, found: _Found) -> None:
    print(f"{path}: intact, {found.document['digest']}")
    if found.pieces is not None:
        print(f"evidence intact, {found.pieces} piece{'s' if found.pieces != 1 else ''}")
    print(f"signed by {found.signer.key_id}" if found.signer else "not signed")
    simulated = ", simulated cluster" if found.report.simulated else ""
    print(f"checklist {found.report.checklist}, {found.report.outcome.value.replace('_', '-')}{simulated}")

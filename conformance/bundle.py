"""A report with all its evidence in one zip: written here, and read where a stranger may have written it.

Nothing in a bundle is unaccounted for: the report lists each piece of evidence with its digest, the
attestation lists each file, and the signature, if there is one, covers both.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from conformance import __version__, attestation, report, signing
from conformance.report import Report
from conformance.verdicts import Evidence, outcome_of

REPORT = "report.json"
JUNIT = "junit.xml"
STATEMENT = "attestation.json"
ENVELOPE = "attestation.dsse.json"

MAX_BUNDLE = 16 * 1024 * 1024
MAX_UNPACKED = 64 * 1024 * 1024
MAX_FILES = 4000

_ENCRYPTED = 0x1
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


class BundleError(Exception):
    """The file is no bundle (`unreadable`, `too_large`), or not what was written (`changed`)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle in which everything fits together."""

    report: Report
    document: Mapping[str, Any]
    files: Mapping[str, bytes]
    signer: signing.PublicKey | None

    def content(self, holder: str, piece: Evidence) -> bytes:
        """Return the content of a piece of evidence that the report lists under the id `holder`."""
        return self.files[_evidence_name(holder, piece)]


# Writing --------------------------------------------------------------------------------------------


def files_of(found: Report, key: signing.SigningKey | None = None) -> dict[str, bytes]:
    """Return every file of the bundle by its name; with `key` report and attestation are signed."""
    signature = signing.sign_digest(key, found.digest) if key is not None else None
    files = {REPORT: found.to_json(signature).encode(), JUNIT: report.to_junit(found).encode()}
    for holder, piece in _pieces(found):
        files[_evidence_name(holder, piece)] = piece.content
    files[STATEMENT] = attestation.written(attestation.statement(found, files))
    if key is not None:
        files[ENVELOPE] = signing.wrap(key, files[STATEMENT])
    return files


def to_bundle(found: Report, key: signing.SigningKey | None = None) -> bytes:
    """Return the bundle as a zip; written twice, it is the same byte for byte."""
    captured = {_evidence_name(holder, piece): piece.captured_at for holder, piece in _pieces(found)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files_of(found, key).items():
            _add(archive, name, content, captured.get(name, found.finished_at))
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes, moment: datetime) -> None:
    entry = zipfile.ZipInfo(name, date_time=moment.timetuple()[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)


def _pieces(found: Report) -> Iterator[tuple[str, Evidence]]:
    for result in found.results:
        for piece in result.evidence:
            yield result.id, piece
    for scenario in found.scenarios:
        for piece in scenario.evidence:
            yield f"scenarios/{scenario.id}", piece


def _evidence_name(holder: str, piece: Evidence) -> str:
    return f"evidence/{holder}/{piece.name}"


# Reading --------------------------------------------------------------------------------------------


def read_bundle(data: bytes) -> Bundle:
    """Read a bundle and make sure that nothing in it was changed; raise BundleError.

    Bounded whatever it holds: nothing is unpacked beyond the limits, and nothing is written to a disk.
    """
    if len(data) > MAX_BUNDLE:
        raise BundleError("too_large", f"A bundle has at most {MAX_BUNDLE // 2**20} MiB.")
    files = _unpacked(data)
    if REPORT not in files:
        raise BundleError("unreadable", f"The zip has no {REPORT}: it is no bundle of `conformance verify`.")
    try:
        document = report.read(files[REPORT])
        found = Report.from_json(files[REPORT])
    except report.ReportError as error:
        raise BundleError("unreadable", str(error)) from error
    check_document(files[REPORT], document, found)
    _check_evidence(found, files, signed="signature" in document)
    signer = check_signature(document)
    _check_attestation(found, files, signer)
    return Bundle(found, document, files, signer)


def check_document(data: bytes, document: Mapping[str, Any], found: Report) -> None:
    """Raise BundleError unless a report is what was sealed and adds up."""
    if not report.verify_seal(document):
        raise BundleError("changed", "The digest does not fit the content of the report.")
    if not report.is_regular(data, document):
        raise BundleError("changed", "The report was written over by hand: it is not spaced as programs do.")
    if outcome_of(found.results) is not found.outcome:
        raise BundleError("contradictory", f"The results do not add up to {found.outcome.value}.")


def check_signature(document: Mapping[str, Any]) -> signing.PublicKey | None:
    """Return who signed a report, None where nobody did; raise BundleError where the signature is wrong."""
    if "signature" not in document:
        return None
    try:
        return signing.check_digest(document["signature"], str(document.get("digest")))
    except signing.SignatureError as error:
        raise BundleError("changed", f"The signature of the report does not hold. {error}") from error


def _unpacked(data: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries)
            files = {}
            left = MAX_UNPACKED
            for entry in entries:
                with archive.open(entry) as stream:
                    content = stream.read(min(entry.file_size, left) + 1)
                left -= len(content)
                if len(content) != entry.file_size or left < 0:
                    raise BundleError("changed", "A file of the zip does not have the size it says.")
                files[entry.filename] = content
    except _UNREADABLE as error:
        raise BundleError("unreadable", f"The zip cannot be read ({type(error).__name__}).") from error
    return files


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_FILES:
        raise BundleError("too_large", f"A bundle has at most {MAX_FILES} files.")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
        raise BundleError("too_large", f"A bundle holds at most {MAX_UNPACKED // 2**20} MiB unpacked.")
    if len({entry.filename for entry in entries}) != len(entries):
        raise BundleError("changed", "A file stands twice in the zip.")
    for entry in entries:
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in {
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        }:
            raise BundleError("unreadable", "The zip is encrypted or compressed in an unusual way.")


def _check_evidence(found: Report, files: Mapping[str, bytes], *, signed: bool) -> None:
    expected = {REPORT, JUNIT, STATEMENT} | ({ENVELOPE} if signed else set())
    for holder, piece in _pieces(found):
        name = _evidence_name(holder, piece)
        if name in expected:
            raise BundleError("changed", "The report lists a piece of evidence twice.")
        expected.add(name)
        content = files.get(name)
        if content is None:
            raise BundleError("changed", f"Evidence is missing: {_shown(name)}.")
        if len(content) != piece.size or hashlib.sha256(content).hexdigest() != piece.sha256:
            raise BundleError("changed", f"Evidence was changed: {_shown(name)}.")
    if missing := sorted(expected - set(files)):
        raise BundleError("changed", f"The bundle lacks {_shown(missing[0])}.")
    if further := sorted(set(files) - expected):
        raise BundleError(
            "changed", f"The bundle has a file that the report does not list: {_shown(further[0])}."
        )


def _check_attestation(found: Report, files: Mapping[str, bytes], signer: signing.PublicKey | None) -> None:
    covered = {name: content for name, content in files.items() if name not in {STATEMENT, ENVELOPE}}
    own = attestation.statement(found, covered)
    try:
        stated = json.loads(files[STATEMENT])
        fits = all(stated[name] == own[name] for name in ("_type", "subject", "predicateType"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError("changed", "The attestation is no in-toto statement.") from error
    # Another version of this tool may say more of a run; what it attests is signed or not believed.
    if found.tool_version == __version__:
        fits = files[STATEMENT] == attestation.written(own)
    if not fits:
        raise BundleError("changed", "The attestation does not fit the files of the bundle.")
    if signer is not None:
        try:
            payload = signing.unwrap(files[ENVELOPE], signer)
        except signing.SignatureError as error:
            raise BundleError(
                "changed", f"The signature of the attestation does not hold. {error}"
            ) from error
        if payload != files[STATEMENT]:
            raise BundleError("changed", "The attestation is not the one that was signed.")


def _shown(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name[:120])

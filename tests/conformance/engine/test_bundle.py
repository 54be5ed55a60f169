"""Bundles, attestations and signatures: whatever is changed, it shows."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import bundle, signing
from conformance.bundle import BundleError, files_of, read_bundle, to_bundle
from conformance.cli import main
from conformance.report import Report, digest_of
from conformance.signing import SignatureError, SigningKey
from conformance.verdicts import Evidence, Outcome, ScenarioResult, Status, StepResult
from tests.conformance.engine.test_report import START, report, result

KEY = SigningKey.generate()
OTHER = SigningKey.generate()


def evidence(name: str, content: bytes) -> Evidence:
    return Evidence(name, "text/plain", content, START)


def found() -> Report:
    checked = dataclasses.replace(
        result("gang_scheduling", Status.PASS),
        evidence=(
            evidence("observations.json", b'{"bound": 4}'),
            evidence("logs/a-probe.txt", b"::probe end\n"),
        ),
    )
    step = StepResult("exchange", "Data goes round", Status.PASS, "seen", "It did.", START, 1.0)
    scenario = ScenarioResult(
        "training",
        Status.PASS,
        "seen",
        "Done.",
        (step,),
        START,
        START,
        1.0,
        (evidence("objects.json", b"[]"),),
    )
    checks = (checked, result("pod_autoscaling", Status.NOT_APPLICABLE))
    return dataclasses.replace(report(*checks), scenarios=(scenario,))


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("key", [None, KEY])
def test_bundle_reads_back_with_all_evidence(key: SigningKey | None) -> None:
    original = found()

    read = read_bundle(to_bundle(original, key))

    assert read.report.as_dict() == original.as_dict()
    assert read.signer == (key.public if key else None)
    for checked, again in zip(original.results, read.report.results, strict=True):
        assert [read.content(again.id, piece) for piece in again.evidence] == [
            piece.content for piece in checked.evidence
        ]
    assert read.files["evidence/scenarios/training/objects.json"] == b"[]"


def test_bundle_is_the_same_when_it_is_written_again() -> None:
    assert to_bundle(found(), KEY) == to_bundle(found(), KEY)


def test_statement_is_an_in_toto_test_result() -> None:
    files = files_of(found(), KEY)
    statement = json.loads(files[bundle.STATEMENT])

    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert {entry["name"]: entry["digest"]["sha256"] for entry in statement["subject"]} == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in files.items()
        if name not in {bundle.STATEMENT, bundle.ENVELOPE}
    }
    predicate = statement["predicate"]
    assert predicate["result"] == "WARNED"
    assert predicate["passedTests"] == ["gang_scheduling"]
    assert predicate["warnedTests"] == ["pod_autoscaling"]
    assert predicate["failedTests"] == []
    # A resource descriptor has at least one of these.
    assert all({"uri", "digest", "content"} & set(entry) for entry in predicate["configuration"])


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((Status.PASS,), "PASSED"),
        ((Status.PASS, Status.UNKNOWN), "FAILED"),
        ((Status.UNKNOWN,), "FAILED"),
        ((Status.NOT_APPLICABLE,), "FAILED"),
        ((), "FAILED"),
        ((Status.PASS, Status.FAIL), "FAILED"),
    ],
)
def test_statement_says_passed_only_where_everything_was_seen(
    statuses: tuple[Status, ...], expected: str
) -> None:
    results = tuple(result(str(number), status) for number, status in enumerate(statuses))
    outcome = report(*results).outcome if results else Outcome.INCOMPLETE
    run = dataclasses.replace(report(), results=results, outcome=outcome)

    assert json.loads(files_of(run)[bundle.STATEMENT])["predicate"]["result"] == expected


def test_envelope_is_dsse_around_the_statement() -> None:
    files = files_of(found(), KEY)
    envelope = json.loads(files[bundle.ENVELOPE])

    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert base64.b64decode(envelope["payload"]) == files[bundle.STATEMENT]
    # The pre-authentication encoding of the standard, spelled out.
    kind, body = envelope["payloadType"].encode(), files[bundle.STATEMENT]
    message = b" ".join([b"DSSEv1", b"%d" % len(kind), kind, b"%d" % len(body), body])
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    Ed25519PublicKey.from_public_bytes(KEY.public.raw).verify(
        base64.b64decode(envelope["signatures"][0]["sig"]), message
    )


def test_signature_of_one_thing_serves_for_no_other() -> None:
    statement = files_of(found(), KEY)[bundle.STATEMENT]
    signature = KEY.sign(signing.REPORT_TYPE, statement)

    with pytest.raises(SignatureError):
        KEY.public.check(signing.STATEMENT_TYPE, statement, signature)


# Changes --------------------------------------------------------------------------------------------

FILES = files_of(found(), KEY)
BUNDLE = to_bundle(found(), KEY)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_any_changed_byte_of_any_file_is_found(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(FILES)))
    content = bytearray(FILES[name])
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(BundleError):
        read_bundle(packed({**FILES, name: bytes(content)}))


@given(place=st.integers(0, len(BUNDLE) - 1), change=st.integers(1, 255))
@settings(max_examples=400, deadline=None)
def test_changed_byte_of_the_zip_is_found_or_changes_no_content(place: int, change: int) -> None:
    data = bytearray(BUNDLE)
    data[place] ^= change

    try:
        read = read_bundle(bytes(data))
    except BundleError:
        return
    assert dict(read.files) == FILES


@pytest.mark.parametrize("signed", [False, True])
def test_verify_report_finds_every_changed_byte_of_a_report(
    signed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.json"
    content = files_of(found(), KEY if signed else None)[bundle.REPORT]
    path.write_bytes(content)
    assert main(["verify-report", str(path)]) == 0

    for place in range(0, len(content), 7):
        for change in (0x01, 0x20, 0x2A):
            changed = bytearray(content)
            changed[place] ^= change
            path.write_bytes(changed)
            assert main(["verify-report", str(path)]) in {1, 2}, (place, change)
    capsys.readouterr()


def without(name: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda files: {key: value for key, value in files.items() if key != name}


def with_further(name: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda files: {**files, name: b"x"}


def signed_by_another(files: dict[str, bytes]) -> dict[str, bytes]:
    return {**files, bundle.ENVELOPE: signing.wrap(OTHER, files[bundle.STATEMENT])}


def resealed(files: dict[str, bytes]) -> dict[str, bytes]:
    document = json.loads(files[bundle.REPORT])
    document["cluster"]["nodes"] += 1
    document["digest"] = digest_of(document)
    return {**files, bundle.REPORT: json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"}


@pytest.mark.parametrize(
    "change",
    [
        without(bundle.JUNIT),
        without(bundle.STATEMENT),
        without(bundle.ENVELOPE),
        without("evidence/gang_scheduling/observations.json"),
        without("evidence/scenarios/training/objects.json"),
        with_further("evidence/gang_scheduling/more.txt"),
        with_further("../outside"),
        with_further("/etc/passwd"),
        signed_by_another,
        resealed,
    ],
)
def test_files_that_do_not_fit_together_are_found(
    change: Callable[[dict[str, bytes]], dict[str, bytes]],
) -> None:
    with pytest.raises(BundleError) as caught:
        read_bundle(packed(change(dict(FILES))))
    assert caught.value.code == "changed"


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04", b"hello", BUNDLE[:200], packed({"a": b"b"})],
    ids=["nothing", "only a signature", "words", "cut off", "another archive"],
)
def test_what_is_no_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError) as caught:
        read_bundle(data)
    assert caught.value.code == "unreadable"


def test_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_UNPACKED", 1024 * 1024)
    data = packed({**FILES, "evidence/zeros": b"\0" * 2 * 1024 * 1024})

    with pytest.raises(BundleError) as caught:
        read_bundle(data)
    assert caught.value.code == "too_large"


def test_file_larger_than_it_says_is_found() -> None:
    data = bytearray(packed({**FILES, "z": b"\0" * 100_000}))
    # The size in the central directory, which is what the limits are judged by.
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = (5).to_bytes(4, "little")

    with pytest.raises(BundleError):
        read_bundle(bytes(data))


def test_names_that_stand_twice_are_found() -> None:
    buffer = io.BytesIO(BUNDLE)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("report.json", b"{}")

    with pytest.raises(BundleError):
        read_bundle(buffer.getvalue())


# Commands -------------------------------------------------------------------------------------------


def test_keygen_writes_a_key_for_its_owner_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "key.pem"
    before = os.umask(0)
    try:
        assert main(["keygen", "--out", str(path)]) == 0
    finally:
        os.umask(before)

    printed = capsys.readouterr()
    key = SigningKey.from_pem(path.read_bytes())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert signing.read_public_key(printed.out.encode()) == key.public
    assert key.public.key_id in printed.err
    assert "PRIVATE" not in printed.out + printed.err


def test_keygen_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "key.pem"
    path.write_text("precious")

    assert main(["keygen", "--out", str(path)]) == 2
    assert path.read_text() == "precious"
    assert "cannot write" in capsys.readouterr().err


def written(folder: Path, key: SigningKey | None = KEY) -> tuple[str, str, str]:
    report_path, bundle_path, key_path = folder / "r.json", folder / "b.zip", folder / "key.pub"
    report_path.write_bytes(files_of(found(), key)[bundle.REPORT])
    bundle_path.write_bytes(to_bundle(found(), key))
    key_path.write_text(KEY.public.pem())
    return str(report_path), str(bundle_path), str(key_path)


def test_verify_report_checks_report_bundle_and_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, zipped, key = written(tmp_path)

    assert main(["verify-report", path, "--bundle", zipped, "--key", key]) == 0
    told = capsys.readouterr().out
    assert "evidence intact, 4 pieces" in told
    assert f"signed by {KEY.public.key_id}" in told
    assert main(["verify-report", zipped, "--key", key]) == 0


def test_verify_report_finds_a_bundle_of_another_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, zipped, _ = written(tmp_path)
    other = tmp_path / "other.json"
    other.write_text(report().to_json())

    assert main(["verify-report", str(other), "--bundle", zipped]) == 1
    assert "another report" in capsys.readouterr().out


def test_verify_report_asks_for_the_key_it_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _, key = written(tmp_path, None)
    assert main(["verify-report", path, "--key", key]) == 1
    assert "UNSIGNED" in capsys.readouterr().out

    path, _, key = written(tmp_path, OTHER)
    assert main(["verify-report", path]) == 0
    assert main(["verify-report", path, "--key", key]) == 1
    assert "another key" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", KEY.pem(), b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", b"\xff"],
    ids=["nothing", "words", "private", "too short", "no text"],
)
def test_verify_report_refuses_what_is_no_public_key(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _, key = written(tmp_path)
    Path(key).write_bytes(content)

    assert main(["verify-report", path, "--key", key]) == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [b"", b"hello", KEY.public.pem().encode()], ids=["nothing", "words", "public"]
)
def test_sign_key_that_is_none_is_refused_before_anything_runs(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    key.write_bytes(content)

    code = main(
        ["verify", "--kubeconfig", str(tmp_path / "none"), "--checklist", "1.36", "--sign-key", str(key)]
    )

    assert code == 2
    assert "not an unencrypted private key" in capsys.readouterr().err

"""``conformance verify-credential``: what it says and with which code it ends, without any portal."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.api_jws import PyJWS

from conformance import credentials
from conformance.cli import main

ISSUER = "https://registry.example"
KID = f"{ISSUER}/.well-known/keys/one.json"
LISTS = {purpose: f"{ISSUER}/lists/{n}/" for n, purpose in enumerate(credentials.PURPOSES, start=1)}
INDEX = 9


class Issuer:
    """Someone who signs as the portal does, with a key of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.private = Ed25519PrivateKey.generate()
        public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        key = {"kty": "OKP", "crv": "Ed25519", "x": credentials.encode_bytes(public), "kid": KID}
        self.keys = self.write("jwks.json", json.dumps({"keys": [key]}))

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def sign(self, document: dict[str, Any], *, days: int = 1) -> str:
        since = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
        until = since + timedelta(days=days)
        full = {
            "issuer": {"id": ISSUER},
            "iss": ISSUER,
            "jti": document["id"],
            "sub": document["credentialSubject"]["id"],
            "validFrom": since.isoformat(),
            "validUntil": until.isoformat(),
            "nbf": int(since.timestamp()),
            "exp": int(until.timestamp()),
            **document,
        }
        headers = {"typ": "vc+jwt", "kid": KID}
        return PyJWS().encode(json.dumps(full).encode(), self.private, algorithm="EdDSA", headers=headers)

    def credential(self, *, kind: str = "Certification", **extra: Any) -> str:
        document = {
            "@context": [credentials.BASE_CONTEXT, credentials.BADGE_CONTEXT],
            "id": f"{ISSUER}/credential",
            "type": ["VerifiableCredential", "AchievementCredential"],
            "name": "Harbour 2.1\x1b[31m",
            "credentialSubject": {"id": f"{ISSUER}/platform", "achievement": {"achievementType": kind}},
            "credentialStatus": [
                {
                    "type": "BitstringStatusListEntry",
                    "statusPurpose": purpose,
                    "statusListIndex": str(INDEX),
                    "statusListCredential": address,
                }
                for purpose, address in LISTS.items()
            ],
        }
        return self.write("credential.jwt", self.sign(document, **extra))

    def status_lists(self, *, ended: bool = False, suspended: bool = False) -> list[str]:
        paths = []
        for (purpose, address), is_set in zip(LISTS.items(), (ended, suspended), strict=True):
            bits = bytearray(credentials.SHORTEST_LIST)
            bits[INDEX // 8] = 0x80 >> INDEX % 8 if is_set else 0
            document = {
                "@context": [credentials.BASE_CONTEXT],
                "id": address,
                "type": ["VerifiableCredential", credentials.LIST_TYPE],
                "credentialSubject": {
                    "id": f"{address}#list",
                    "statusPurpose": purpose,
                    "encodedList": credentials.pack_bits(bytes(bits)),
                },
            }
            paths.append(self.write(f"{purpose}.jwt", self.sign(document)))
        return paths


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


def test_everything_checked_ends_with_0(issuer: Issuer, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["verify-credential", issuer.credential(), "--keys", issuer.keys, "--issuer", f"{ISSUER}/"]
    assert main([*arguments, "--status-list", *issuer.status_lists()]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:5]] == [
        [name, "ok"] for name in ("format", "signature", "issuer", "validity", "status")
    ]
    assert lines[-1] == "Genuine, and it holds."
    assert "\x1b" not in "".join(lines)


def test_status_that_nobody_looked_at_is_said_and_ends_with_0(
    issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify-credential", issuer.credential(), "--keys", issuer.keys]) == 0
    assert "not checked" in capsys.readouterr().out


def test_list_that_is_missing_ends_with_3(issuer: Issuer) -> None:
    path, lists = issuer.credential(), issuer.status_lists()
    assert main(["verify-credential", path, "--keys", issuer.keys, "--status-list", lists[0]]) == 3


@pytest.mark.parametrize("which", ["ended", "suspended"])
def test_ended_or_suspended_ends_with_1(
    issuer: Issuer, which: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = issuer.status_lists(**{which: True})
    path = issuer.credential()
    assert main(["verify-credential", path, "--keys", issuer.keys, "--status-list", *lists]) == 1
    said = capsys.readouterr().out
    assert which in said
    assert said.rstrip().endswith("Do not rely on it.")


def test_expired_ends_with_1(issuer: Issuer) -> None:
    assert main(["verify-credential", issuer.credential(days=-1), "--keys", issuer.keys]) == 1


def test_forgery_ends_with_1_and_nothing_of_it_is_repeated(
    issuer: Issuer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    path = Issuer(other).credential()
    assert main(["verify-credential", path, "--keys", issuer.keys]) == 1
    said = capsys.readouterr().out
    assert "Harbour" not in said
    assert said.rstrip().endswith("This is not a credential of the issuer.")


def test_other_issuer_ends_with_1(issuer: Issuer) -> None:
    path = issuer.credential()
    assert main(["verify-credential", path, "--keys", issuer.keys, "--issuer", "https://x.example"]) == 1


def test_simulated_is_said_loudly(issuer: Issuer, capsys: pytest.CaptureFixture[str]) -> None:
    path = issuer.credential(kind="ext:SimulatedCertification")
    assert main(["verify-credential", path, "--keys", issuer.keys]) == 0
    assert "SIMULATED: the checks ran against a simulated cluster; this certifies nothing." in (
        capsys.readouterr().out
    )


def test_json_says_the_same(issuer: Issuer, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["verify-credential", issuer.credential(), "--keys", issuer.keys, "--format", "json"]
    assert main(arguments) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["genuine"], said["holds"], said["simulated"]) == (True, False, False)
    assert said["credential"]["id"] == f"{ISSUER}/credential"
    assert [step["result"] for step in said["steps"]] == ["passed"] * 4 + ["not_checked"]


@pytest.mark.parametrize("wrong", ["no file", "no keys", "keys are none", "list missing"])
def test_wrong_use_ends_with_2(
    issuer: Issuer, wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, missing = issuer.credential(), str(tmp_path / "missing")
    arguments = {
        "no file": [missing, "--keys", issuer.keys],
        "no keys": [path, "--keys", missing],
        "keys are none": [path, "--keys", path],
        "list missing": [path, "--keys", issuer.keys, "--status-list", missing],
    }[wrong]
    assert main(["verify-credential", *arguments]) == 2
    assert capsys.readouterr().err.startswith("conformance verify-credential: ")


def test_command_needs_neither_django_nor_a_connection(issuer: Issuer) -> None:
    script = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('a connection')\n"
        "socket.socket.connect = refuse\n"
        "from conformance.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "assert not {'django', 'kubernetes', 'celery'} & set(sys.modules), 'imports'\n"
        "sys.exit(code)\n"
    )
    arguments = ["verify-credential", issuer.credential(), "--keys", issuer.keys]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")

"""Secrets do not survive capture."""

from __future__ import annotations

import json
import time
from base64 import b64encode

import pytest

from conformance.evidence import MAX_PIECE, EvidenceBag
from conformance.redaction import MARK, redact_object, redact_text

JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJzdWIiOiJzeXN0ZW06c2VydmljZSJ9.c2lnbmF0dXJlLXdpdGgtYnl0ZXM"
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA==\nabcdef\n-----END EC PRIVATE KEY-----"

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"token: {JWT}", JWT),
        (f"got {JWT} from api", JWT),
        (f"x\n{PEM}\ny", "MHcCAQEEIA"),
        ("-----BEGIN PRIVATE KEY-----\nMHcCAQEEIA==", "MHcCAQEEIA"),
        ("Authorization: Bearer abcdef0123456789", "abcdef0123456789"),
        ("Authorization: Basic YWRtaW46c2VjcmV0", "YWRtaW46c2VjcmV0"),
        ("https://admin:hunter2@host/path", "hunter2"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI", "wJalrXUtnFEMI"),
        ('{"password": "hunter two"}', "hunter two"),
        ("db_password='hunter two'", "hunter two"),
        ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("ghp_0123456789abcdefABCDEF0123456789abcd", "ghp_0123456789abcdef"),
        ("hf_abcdefghijklmnopqrstuvwxyz", "hf_abcdefghijkl"),
        ("client-key-data: LS0tLS1CRUdJTg==", "LS0tLS1CRUdJTg"),
        (f"key {b64encode(PEM.encode()).decode()} end", b64encode(PEM.encode()).decode()[:40]),
        (b64encode(f"{CERTIFICATE}{PEM}".encode()).decode(), b64encode(PEM.encode()).decode()[8:20]),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQOYBF\n-----END PGP PRIVATE KEY BLOCK-----", "lQOYBF"),
        ("key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY used", "K7MDENG"),
        ('{"auths": {"registry": {"auth": "dXNlcjpzZWNyZXQ="}}}', "dXNlcjpzZWNyZXQ"),
        (r'msg="{\"token\":\"abc-def-ghi\",\"auth\":\"eHl6\"}"', "abc-def-ghi"),
        (r'msg="{\"token\":\"abc-def-ghi\",\"auth\":\"eHl6\"}"', "eHl6"),
        ("Set-Cookie: session=abcdef; HttpOnly", "abcdef"),
        ("run --token abc.def.ghi --verbose", "abc.def.ghi"),
        ("https://store/blob?sv=2024&sig=Zm9vYmFyYmF6cXV4cXV1eA%3D", "Zm9vYmFyYmF6"),
        ("ya29.A0AfH6SMBxyzxyzxyzxyzxyz", "A0AfH6SMB"),
    ],
)
def test_redact_text_removes(text: str, secret: str) -> None:
    redacted = redact_text(text)

    assert secret not in redacted
    assert MARK in redacted


@pytest.mark.parametrize(
    "text",
    [
        "::probe device path=/dev/nvidia0 id=c:195:0 open=yes",
        "pod ran on node gpu-worker-0 for 12 s",
        "https://host:6443/api/v1/pods",
        "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        f"certificate-authority-data: {b64encode(CERTIFICATE.encode()).decode()}",
        "image docker.io/library/busybox@sha256:" + "0123456789abcdef" * 4,
        "commit 0123456789abcdef0123456789abcdef01234567",
        "/sys/devices/pci0000/0000A/numaNode1/drmB",
        "certportal-0f8c2d9e41b7/gang-member-3 uid 6f9619ff-8b86-d011-b42d-00c04fc964ff",
        "the author of authorization mode RBAC",
        "tokens per second: ok",
    ],
)
def test_redact_text_leaves_harmless_text(text: str) -> None:
    assert redact_text(text) == text


def test_redact_text_removes_known_secrets() -> None:
    assert redact_text("a plain-known-value b", ["plain-known-value", "a"]) == f"a {MARK} b"


def test_redact_object_removes_by_name_and_drops_noise() -> None:
    pod = {
        "kind": "Pod",
        "metadata": {"name": "p", "managedFields": [{"manager": "x"}], "annotations": {"api-token": "abc"}},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "env": [
                        {"name": "DB_PASSWORD", "value": "x"},
                        {"name": "MODE", "value": "fast"},
                        {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    ]
                }
            ],
        },
    }

    assert redact_object(pod) == {
        "kind": "Pod",
        "metadata": {"name": "p", "annotations": {"api-token": MARK}},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "env": [
                        {"name": "DB_PASSWORD", "value": MARK},
                        {"name": "MODE", "value": "fast"},
                        {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    ]
                }
            ],
        },
    }


def test_redact_object_empties_a_secret() -> None:
    assert redact_object({"kind": "Secret", "data": {"a": "b"}, "stringData": {"c": "d"}}) == {
        "kind": "Secret",
        "data": MARK,
        "stringData": MARK,
    }


def test_redact_object_takes_the_value_after_an_option() -> None:
    container = {"command": ["serve", "--api-token", "hunter2", "--port", "80"], "args": ["-password", "x y"]}

    assert redact_object(container) == {
        "command": ["serve", "--api-token", MARK, "--port", "80"],
        "args": ["-password", MARK],
    }


def test_redact_object_empties_a_secret_in_an_annotation() -> None:
    applied = json.dumps({"kind": "Secret", "data": {"plain": "aHVudGVyMg=="}})

    redacted = redact_object({"metadata": {"annotations": {"last-applied-configuration": applied}}})

    assert "aHVudGVyMg" not in json.dumps(redacted)


@pytest.mark.parametrize(
    "word",
    [
        "a",
        "eyJ-",
        "-----BEGIN ",
        "token ",
        "sk-",
        "://a:",
        "password=",
        "LS0tLS1CRUdJTi",
        "aA1/",
        "--token ",
        '\\"auth\\":',
        "cookie:",
        "&sig=",
    ],
)
def test_redact_text_takes_time_in_proportion(word: str) -> None:
    started = time.monotonic()
    redact_text(word * (200_000 // len(word)))

    assert time.monotonic() - started < 10


def test_evidence_is_redacted_before_it_is_hashed() -> None:
    bag = EvidenceBag(["the-run-token"])
    bag.add_text("logs/../../p.txt", f"{JWT} the-run-token\n")
    bag.add_object("pods/p", {"spec": {"env": [{"name": "TOKEN", "value": "abc"}]}})
    bag.observe("devices", {"c:195:0": 1})
    bag.add_events([{"metadata": {"uid": "1"}}, {"metadata": {"uid": "1"}}])

    pieces = {piece.name: piece for piece in bag.sealed()}

    everything = b"".join(piece.content for piece in pieces.values())
    assert b"eyJ" not in everything
    assert b"the-run-token" not in everything
    assert b"abc" not in everything
    assert len(json.loads(pieces["events.json"].content)) == 1
    assert not any(name.startswith(("/", "..")) for name in pieces)


def test_evidence_of_any_size_is_bounded() -> None:
    bag = EvidenceBag()
    bag.add_text("log.txt", "line of a log\n" * 100_000)
    for number in range(3000):
        bag.add_object(f"pods/{number}", {"filler": "x" * 500})

    pieces = {piece.name: piece for piece in bag.sealed()}

    assert all(piece.size <= MAX_PIECE + 100 for piece in pieces.values())
    assert pieces["log.txt"].content.endswith(b"line of a log\n")
    assert json.loads(pieces["objects.json"].content)[-1] == {"cut": "further entries were left out"}

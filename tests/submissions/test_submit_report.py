"""``conformance submit-report`` against a portal that runs."""

from __future__ import annotations

import datetime as dt
import http.server
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from conformance.cli import main
from submissions.models import VerificationRun
from submissions.services import organizations
from tests.submissions.cast import Cast, gather
from tests.submissions.vendor_runs import KEY, bundle_for, registered


@pytest.fixture
def portal(live_server: Any, transactional_db: None) -> tuple[str, Cast]:
    return live_server.url, gather()


def files(folder: Path, cast: Cast, **options: Any) -> list[str]:
    """A bundle and a token, as the command wants them."""
    _, secret = organizations.create_token(
        organization=cast.organization, actor=cast.editor, name="ci", scope=options.pop("scope", "write")
    )
    (folder / "token").write_text(f"{secret}\n")
    (folder / "bundle.zip").write_bytes(bundle_for(cast.submission, **options))
    return [str(folder / "bundle.zip"), "--token-file", str(folder / "token")]


def test_bundle_is_uploaded_and_its_page_named(
    portal: tuple[str, Cast], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, cast = portal
    registered(cast.submission)
    page = f"{url}{cast.submission.get_absolute_url()}"

    assert main(["submit-report", *files(tmp_path, cast), "--url", page]) == 0

    run = VerificationRun.objects.get(kind="vendor_run")
    told = capsys.readouterr().out
    assert "conformant, run by the vendor" in told
    assert str(run.uuid) in told
    assert run.requested_by == cast.editor


def test_submission_may_be_named_apart(portal: tuple[str, Cast], tmp_path: Path) -> None:
    url, cast = portal
    registered(cast.submission)
    given = [*files(tmp_path, cast), "--url", url, "--submission", str(cast.submission.uuid)]

    assert main(["submit-report", *given]) == 0
    assert main(["submit-report", *given]) == 0
    assert VerificationRun.objects.filter(kind="vendor_run").count() == 1


def test_refusal_is_told_in_the_portals_words(
    portal: tuple[str, Cast], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, cast = portal
    given = ["--url", f"{url}/api/v1/submissions/{cast.submission.uuid}/"]

    assert main(["submit-report", *files(tmp_path, cast), *given]) == 1
    assert f"has no report key {KEY.public.key_id}" in capsys.readouterr().err

    registered(cast.submission)
    assert main(["submit-report", *files(tmp_path, cast, scope="read"), *given]) == 1
    assert "HTTP 403" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://portal.example/vendor/submissions/{uuid}/", "begins with https://"),
        ("https://user:pw@portal.example/vendor/submissions/{uuid}/", "and no user"),
        ("https://portal.example/", "say which submission"),
        ("https://portal.example:port/submissions/{uuid}/", "is not an address"),
        ("ftp://portal.example/submissions/{uuid}/", "begins with https://"),
    ],
)
def test_address_that_will_not_do_is_a_usage_error(
    cast: Cast, url: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = files(tmp_path, cast)

    assert main(["submit-report", *given, "--url", url.format(uuid=cast.submission.uuid)]) == 2
    assert said in capsys.readouterr().err


def test_bundle_that_would_be_refused_is_not_sent(
    cast: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"https://127.0.0.1:1/submissions/{cast.submission.uuid}/"

    assert main(["submit-report", *files(tmp_path, cast, key=None), "--url", url]) == 2
    assert "is not signed" in capsys.readouterr().err

    given = files(tmp_path, cast)
    (tmp_path / "bundle.zip").write_bytes(b"hello")
    assert main(["submit-report", *given, "--url", url]) == 2
    (tmp_path / "token").write_text("two words")
    assert main(["submit-report", *given, "--url", url]) == 2


def test_portal_that_does_not_answer_is_told_apart_from_one_that_refuses(
    cast: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"https://127.0.0.1:1/submissions/{cast.submission.uuid}/"

    assert main(["submit-report", *files(tmp_path, cast), "--url", url]) == 3
    assert "safe to try again" in capsys.readouterr().err


# TLS ------------------------------------------------------------------------------------------------


class Recorder(http.server.BaseHTTPRequestHandler):
    """Answers like the portal, or sends elsewhere, and remembers who came with which token."""

    seen: ClassVar[list[tuple[str, str]]] = []
    location: ClassVar[str] = ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, self.headers["Authorization"]))
        body = json.dumps({"url": "https://portal/run\x1b[2J", "outcome": "conformant"}).encode()
        self.send_response(307 if self.location else 201)
        if self.location:
            self.send_header("Location", self.location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Stay quiet."""


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server with a certificate nobody knows; its address and the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "portal")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    authority, private = tmp_path / "ca.pem", tmp_path / "server.key"
    authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, private)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # a client that hangs up is expected
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Recorder.seen, Recorder.location = [], ""
    try:
        yield f"https://127.0.0.1:{server.server_port}", authority
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_certificate_is_verified_before_the_token_is_sent(
    tls: tuple[str, Path], cast: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, authority = tls
    given = [*files(tmp_path, cast), "--url", f"{url}/vendor/submissions/{cast.submission.uuid}/runs/"]

    assert main(["submit-report", *given]) == 3
    assert "certificate" in capsys.readouterr().err.lower()
    assert Recorder.seen == []

    assert main(["submit-report", *given, "--ca-file", str(authority)]) == 0
    assert [path for path, _ in Recorder.seen] == [f"/api/v1/submissions/{cast.submission.uuid}/reports/"]
    assert "\x1b" not in capsys.readouterr().out


def test_redirect_is_not_followed(
    tls: tuple[str, Path], cast: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, authority = tls
    Recorder.location = f"{url}/elsewhere"
    given = [*files(tmp_path, cast), "--url", f"{url}/submissions/{cast.submission.uuid}/"]

    assert main(["submit-report", *given, "--ca-file", str(authority)]) == 1
    assert len(Recorder.seen) == 1
    assert "HTTP 307" in capsys.readouterr().err

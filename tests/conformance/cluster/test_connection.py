"""The connection keeps its promises whatever the server does."""

from __future__ import annotations

import contextlib
import gzip
import json
import ssl
import threading
import time

import pytest

from conformance.cluster import errors
from conformance.cluster.connection import connect
from conformance.cluster.guard import AddressRefused, NetworkPolicy
from conformance.cluster.kubeconfig import ClusterAccess
from conformance.cluster.patience import Patience
from tests.conformance.cluster.hostile import answer, certificate, serving

OK = b'{"kind": "Pod", "metadata": {"name": "a"}}'


def test_get_sends_the_token_and_the_original_name() -> None:
    with serving(answer(OK)) as server, contextlib.closing(server.connection()) as connection:
        assert connection.get("/api/v1/pods/a")["kind"] == "Pod"

    head = server.requests[0].decode()
    assert head.startswith("GET /api/v1/pods/a HTTP/1.1\r\n")
    assert "Authorization: Bearer token-12345678\r\n" in head
    assert f"Host: 127.0.0.1:{server.port}\r\n" in head


def test_merge_sends_only_the_change() -> None:
    with serving(answer(OK)) as server, contextlib.closing(server.connection()) as connection:
        assert connection.merge("/api/v1/pods/a", {"spec": {"x": 1}})["kind"] == "Pod"

    head = server.requests[0].decode()
    assert head.startswith("PATCH /api/v1/pods/a HTTP/1.1\r\n")
    assert "Content-Type: application/merge-patch+json\r\n" in head
    assert f"Content-Length: {len(json.dumps({'spec': {'x': 1}}))}\r\n" in head


def test_environment_proxies_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    with serving(answer(OK)) as server, contextlib.closing(server.connection()) as connection:
        assert connection.get("/a")["kind"] == "Pod"


def test_name_is_verified_though_the_address_is_pinned() -> None:
    with serving(answer(OK), name="localhost") as server:
        with contextlib.closing(server.connection(host="localhost")) as connection:
            assert connection.get("/a")["kind"] == "Pod"
        with (
            contextlib.closing(server.connection(host="127.0.0.1")) as connection,
            pytest.raises(errors.TlsFailed),
        ):
            connection.get("/a")


def test_foreign_authority_is_refused() -> None:
    with serving(answer(OK)) as server:
        access = ClusterAccess(
            context="x", host="127.0.0.1", port=server.port, path="", ca_data=certificate()[0], token="t"
        )
        with (
            contextlib.closing(connect(access, NetworkPolicy(allow_loopback=True), timeout=2)) as connection,
            pytest.raises(errors.TlsFailed),
        ):
            connection.get("/a")
    assert server.requests == []


def test_connect_refuses_an_address_before_sending_anything() -> None:
    access = ClusterAccess(context="x", host="127.0.0.1", port=1, path="", ca_data=None, token="t")

    with pytest.raises(AddressRefused):
        connect(access, NetworkPolicy())


def test_nobody_listening_is_a_failed_connection() -> None:
    access = ClusterAccess(context="x", host="127.0.0.1", port=1, path="", ca_data=None, token="t")

    with (
        contextlib.closing(connect(access, NetworkPolicy(allow_loopback=True), timeout=2)) as connection,
        pytest.raises(errors.ConnectionFailed),
    ):
        connection.get("/a")


def _silence(connection: ssl.SSLSocket, _head: bytes) -> None:
    with contextlib.suppress(TimeoutError):
        connection.recv(1)


def _drip(head: bytes) -> object:
    def behave(connection: ssl.SSLSocket, _head: bytes) -> None:
        connection.sendall(head)
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(0.1)

    return behave


@pytest.mark.parametrize(
    "behaviour",
    [
        _silence,
        _drip(b""),
        _drip(b"HTTP/1.1 200 OK\r\nX-Slow: "),
        _drip(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"),
        _drip(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n"
        ),
        _drip(b"HTTP/1.1 500 No\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"),
    ],
    ids=[
        "never answers",
        "drips a status",
        "drips a header",
        "drips a body",
        "drips a chunk",
        "drips an error",
    ],
)
def test_slow_server_is_left_in_time(behaviour) -> None:
    with serving(behaviour) as server, contextlib.closing(server.connection(timeout=0.6)) as connection:
        started = time.monotonic()
        with pytest.raises((errors.RequestTimeout, errors.BadAnswer, errors.ConnectionFailed)):
            connection.get("/a")
        assert time.monotonic() - started < 2


def test_waiting_request_is_interrupted() -> None:
    stop = threading.Event()

    class StoppedError(Exception):
        pass

    def leave() -> None:
        if stop.is_set():
            raise StoppedError

    with serving(_silence) as server, contextlib.closing(server.connection(timeout=30)) as connection:
        threading.Timer(0.3, stop.set).start()
        started = time.monotonic()
        with pytest.raises(StoppedError):
            connection.get("/a", patience=Patience.of(30, leave))
        assert time.monotonic() - started < 2


def test_handshake_that_never_ends_is_left_in_time() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        access = ClusterAccess(
            context="x", host="127.0.0.1", port=listener.getsockname()[1], path="", ca_data=None, token="t"
        )
        with contextlib.closing(
            connect(access, NetworkPolicy(allow_loopback=True), timeout=0.5)
        ) as connection:
            started = time.monotonic()
            with pytest.raises((errors.RequestTimeout, errors.ConnectionFailed)):
                connection.get("/a")
            assert time.monotonic() - started < 2


def _endless(connection: ssl.SSLSocket, _head: bytes) -> None:
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    while True:
        connection.sendall(chunk)


def test_endless_body_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conformance.cluster.connection.MAX_ANSWER", 1024 * 1024)

    with serving(_endless) as server, contextlib.closing(server.connection(timeout=10)) as connection:
        with pytest.raises(errors.AnswerTooLarge):
            connection.get("/a")
        with pytest.raises(errors.AnswerTooLarge):
            list(connection.lines("/log", patience=Patience.of(10)))


def test_compressed_answer_is_refused() -> None:
    bomb = gzip.compress(b"0" * 10_000_000)

    with (
        serving(answer(bomb, headers="Content-Encoding: gzip\r\n")) as server,
        contextlib.closing(server.connection()) as connection,
        pytest.raises(errors.BadAnswer),
    ):
        connection.get("/a")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_redirect_is_not_followed(status: str) -> None:
    with serving(answer(b"", status=status, headers="Location: https://169.254.169.254/\r\n")) as server:
        with contextlib.closing(server.connection()) as connection, pytest.raises(errors.Redirected):
            connection.get("/a")
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"<html>login</html>", "text/html"),
        (b"<html>login</html>", "application/json"),
        (b"[1, 2]", "application/json"),
        (b"", "application/json"),
        (b"[" * 200_000, "application/json"),
        (b"\xff\xfe", "application/json"),
    ],
)
def test_what_is_no_object_is_a_bad_answer(body: bytes, media_type: str) -> None:
    with (
        serving(answer(body, media_type=media_type)) as server,
        contextlib.closing(server.connection()) as connection,
        pytest.raises(errors.BadAnswer),
    ):
        connection.get("/a")


@pytest.mark.parametrize(
    ("status", "expected", "reason"),
    [
        ("401 Unauthorized", errors.Unauthorized, "unauthorized"),
        ("403 Forbidden", errors.Forbidden, "forbidden"),
        ("404 Not Found", errors.NotFound, "not_found"),
        ("409 Conflict", errors.Conflict, "conflict"),
        ("410 Gone", errors.Gone, "gone"),
        ("422 Invalid", errors.StatusError, "rejected"),
        ("500 Error", errors.ServerError, "server_error"),
        ("503 Unavailable", errors.ServerError, "server_error"),
    ],
)
def test_error_status_becomes_its_class(status: str, expected: type[errors.StatusError], reason: str) -> None:
    body = json.dumps({"kind": "Status", "message": "no\n" + "x" * 5000, "reason": "Because"}).encode()

    with (
        serving(answer(body, status=status)) as server,
        contextlib.closing(server.connection()) as connection,
        pytest.raises(errors.StatusError) as raised,
    ):
        connection.get("/a")

    assert type(raised.value) is expected
    assert raised.value.reason == reason
    assert raised.value.kind == "Because"
    assert len(str(raised.value)) <= errors.MAX_MESSAGE
    assert "\n" not in str(raised.value)


def test_error_without_a_status_object_is_understood() -> None:
    with (
        serving(answer(b"<html>bad gateway", status="502 Bad", media_type="text/html")) as server,
        contextlib.closing(server.connection()) as connection,
        pytest.raises(errors.ServerError, match="502"),
    ):
        connection.get("/a")


def _throttled_once() -> object:
    calls = []

    def behave(connection: ssl.SSLSocket, head: bytes) -> None:
        calls.append(1)
        if len(calls) == 1:
            answer(b"{}", status="429 Too Many", headers="Retry-After: 1\r\n")(connection, head)
        else:
            answer(OK)(connection, head)

    return behave


def test_throttled_request_waits_as_asked() -> None:
    with serving(_throttled_once()) as server, contextlib.closing(server.connection()) as connection:
        started = time.monotonic()
        assert connection.get("/a", patience=Patience.of(10))["kind"] == "Pod"
        assert 0.9 < time.monotonic() - started < 4


def test_throttled_log_and_watch_wait_as_asked() -> None:
    with serving(_throttled_once()) as server, contextlib.closing(server.connection()) as connection:
        assert connection.text("/log", patience=Patience.of(10)) == OK.decode()
    with serving(_throttled_once()) as server, contextlib.closing(server.connection()) as connection:
        assert list(connection.lines("/log", patience=Patience.of(3))) == [OK.decode()]


def test_throttled_request_does_not_wait_beyond_its_patience() -> None:
    with (
        serving(answer(b"{}", status="429 Too Many", headers="Retry-After: 9999999\r\n")) as server,
        contextlib.closing(server.connection()) as connection,
    ):
        started = time.monotonic()
        with pytest.raises(errors.Throttled):
            connection.get("/a", patience=Patience.of(5))
        assert time.monotonic() - started < 2


def test_reading_bears_with_a_hiccup() -> None:
    calls = []

    def behave(connection: ssl.SSLSocket, head: bytes) -> None:
        calls.append(1)
        if len(calls) == 1:
            connection.close()
        elif len(calls) == 2:
            answer(b"{}", status="500 Error")(connection, head)
        else:
            answer(OK)(connection, head)

    with serving(behave) as server, contextlib.closing(server.connection(timeout=5)) as connection:
        assert connection.get("/a")["kind"] == "Pod"
    assert len(calls) == 3


def test_server_error_on_a_creation_is_not_repeated() -> None:
    with serving(answer(b"{}", status="503 Busy", headers="Retry-After: 0\r\n")) as server:
        with contextlib.closing(server.connection()) as connection, pytest.raises(errors.ServerError):
            connection.create("/a", {}, patience=Patience.of(5))
        assert len(server.requests) == 1


def test_listing_reads_every_page() -> None:
    def behave(connection: ssl.SSLSocket, head: bytes) -> None:
        more = b"continue=" not in head
        page = {
            "metadata": {"resourceVersion": "7", "continue": "next" if more else ""},
            "items": [{"metadata": {"name": "a" if more else "b"}}],
        }
        answer(json.dumps(page).encode())(connection, head)

    with serving(behave) as server, contextlib.closing(server.connection()) as connection:
        listing = connection.listing("/a")

    assert [item["metadata"]["name"] for item in listing.items] == ["a", "b"]
    assert listing.resource_version == "7"


def test_listing_begins_anew_where_its_snapshot_is_gone() -> None:
    seen = []

    def behave(connection: ssl.SSLSocket, head: bytes) -> None:
        seen.append(1)
        if len(seen) == 1:
            page = {"metadata": {"continue": "next"}, "items": [{"metadata": {"name": "old"}}]}
            answer(json.dumps(page).encode())(connection, head)
        elif len(seen) == 2:
            answer(b"{}", status="410 Gone")(connection, head)
        else:
            answer(b'{"metadata": {}, "items": [{"metadata": {"name": "new"}}]}')(connection, head)

    with serving(behave) as server, contextlib.closing(server.connection()) as connection:
        assert [item["metadata"]["name"] for item in connection.listing("/a").items] == ["new"]


def test_watch_ends_with_its_patience() -> None:
    def behave(connection: ssl.SSLSocket, _head: bytes) -> None:
        line = b'{"type": "ADDED", "object": {"metadata": {"name": "a"}}}\n'
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"%x\r\n%s\r\n" % (len(line), line)
        )
        with contextlib.suppress(TimeoutError):
            connection.recv(1)

    with serving(behave) as server, contextlib.closing(server.connection()) as connection:
        started = time.monotonic()
        events = list(connection.watch("/a", "1", patience=Patience.of(0.7)))

    assert [event.object["metadata"]["name"] for event in events] == ["a"]
    assert time.monotonic() - started < 3


def test_watch_that_is_too_old_says_so() -> None:
    body = b'{"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}\n'

    with (
        serving(answer(body)) as server,
        contextlib.closing(server.connection()) as connection,
        pytest.raises(errors.Gone),
    ):
        list(connection.watch("/a", "1", patience=Patience.of(3)))


def test_deletion_of_what_is_gone_is_no_error() -> None:
    with serving(answer(b"{}", status="404 Not Found")) as server:
        with contextlib.closing(server.connection()) as connection:
            connection.delete("/a", uid="u")
        assert server.requests[0].startswith(b"DELETE /a")


def test_client_certificate_reaches_the_server() -> None:
    pem, key = certificate()
    with serving(answer(OK)) as server:
        access = ClusterAccess(
            context="x",
            host="127.0.0.1",
            port=server.port,
            path="",
            ca_data=server.certificate,
            client_certificate=pem,
            client_key=key,
        )
        with contextlib.closing(connect(access, NetworkPolicy(allow_loopback=True), timeout=2)) as connection:
            assert connection.get("/a")["kind"] == "Pod"


def test_client_key_of_another_certificate_is_refused() -> None:
    access = ClusterAccess(
        context="x",
        host="127.0.0.1",
        port=1,
        path="",
        ca_data=None,
        client_certificate=certificate()[0],
        client_key=certificate()[1],
    )

    with pytest.raises(errors.TlsFailed):
        connect(access, NetworkPolicy(allow_loopback=True))

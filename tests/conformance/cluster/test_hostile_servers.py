"""Every request to a hostile server ends in a clear error, in time, and in bounded memory."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator

import pytest
import yaml

from conformance.cluster import errors, kubeconfig
from conformance.cluster.connection import connect
from conformance.cluster.guard import AddressRefused, NetworkPolicy
from conformance.cluster.kubeconfig import ClusterAccess
from conformance.cluster.patience import Patience
from tests.conformance.cluster import behaviours
from tests.conformance.cluster.hostile import answer, serving
from tests.conformance.cluster.test_kubeconfig import document

PATIENCE_SECONDS = 0.6
# A body may be held once as it arrives and once whole, and what is parsed of it costs a multiple.
MOST_BYTES = 160 * 1024 * 1024


@pytest.fixture
def bounded() -> Iterator[None]:
    """Fail a test in which more memory was held at a time than a worker has to spare for one run."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES


def named(table: dict) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("behaviour", list(table.values()), ids=list(table))


@named({**behaviours.NEVER_ANSWERS, **behaviours.NONSENSE, **behaviours.BROKEN})
def test_request_ends_in_time_with_a_clear_error(behaviour) -> None:
    with (
        serving(behaviour) as server,
        contextlib.closing(server.connection(timeout=PATIENCE_SECONDS)) as connection,
    ):
        started = time.monotonic()
        with pytest.raises(errors.ClusterError) as raised:
            connection.get("/a", patience=Patience.of(PATIENCE_SECONDS))
        assert time.monotonic() - started < PATIENCE_SECONDS + 1.5
    assert raised.value.reason in {"timeout", "bad_answer", "redirected", "connection", "tls", "server_error"}
    assert str(raised.value)


@pytest.mark.usefixtures("bounded")
@named(behaviours.ENDLESS)
def test_what_has_no_end_is_cut(behaviour) -> None:
    with (
        serving(behaviour) as server,
        contextlib.closing(server.connection(timeout=20)) as connection,
        pytest.raises((errors.AnswerTooLarge, errors.ServerError, errors.ConnectionFailed)),
    ):
        connection.get("/a", patience=Patience.of(20))


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("name", ["body without end", "body without length or end"])
def test_log_without_end_is_cut(name) -> None:
    with (
        serving(behaviours.ENDLESS[name]) as server,
        contextlib.closing(server.connection(timeout=20)) as connection,
    ):
        with pytest.raises(errors.AnswerTooLarge):
            connection.text("/log", limit=1024 * 1024, patience=Patience.of(20))
        with pytest.raises(errors.AnswerTooLarge):
            list(connection.lines("/log", patience=Patience.of(20)))


@pytest.mark.usefixtures("bounded")
@named(behaviours.LISTS)
def test_list_without_end_is_given_up(behaviour) -> None:
    with (
        serving(behaviour) as server,
        contextlib.closing(server.connection(timeout=20)) as connection,
        pytest.raises((errors.AnswerTooLarge, errors.BadAnswer)),
    ):
        connection.listing("/nodes", patience=Patience.of(30))
    assert len(server.requests) <= 1000


def test_list_of_many_pages_ends_with_its_patience() -> None:
    with (
        serving(behaviours.paging(10_000, seconds=0.01)) as server,
        contextlib.closing(server.connection(timeout=5)) as connection,
    ):
        started = time.monotonic()
        with pytest.raises(errors.RequestTimeout):
            connection.listing("/nodes", patience=Patience.of(0.3))
        assert time.monotonic() - started < 2


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize(
    "behaviour", [behaviours.watching(b""), behaviours.flooding], ids=["silent", "flood"]
)
def test_watch_that_never_ends_is_left(behaviour) -> None:
    with serving(behaviour) as server, contextlib.closing(server.connection(timeout=5)) as connection:
        started = time.monotonic()
        with contextlib.suppress(errors.AnswerTooLarge):
            for _ in connection.watch("/a", "1", patience=Patience.of(0.7)):
                pass
        assert time.monotonic() - started < 3


def test_redirect_reaches_nobody_else() -> None:
    with serving(answer(b"{}")) as other:
        away = answer(b"", status="307 Temporary", headers=f"Location: https://127.0.0.1:{other.port}/a\r\n")
        with serving(away) as server, contextlib.closing(server.connection()) as connection:
            with pytest.raises(errors.Redirected):
                connection.get("/a")
            with pytest.raises(errors.Redirected):
                connection.create("/a", {"kind": "Pod"})
    assert other.requests == []


@pytest.mark.parametrize("is_polite", [True, False])
def test_server_that_hangs_up_at_the_handshake_is_a_failed_connection(is_polite: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        access = ClusterAccess(context="x", host="127.0.0.1", port=port, path="", ca_data=None, token="t")
        with contextlib.closing(connect(access, NetworkPolicy(allow_loopback=True), timeout=2)) as connection:

            def hang_up() -> None:
                raw, _ = listener.accept()
                raw.recv(100)
                if is_polite:
                    raw.shutdown(socket.SHUT_WR)
                    time.sleep(0.2)
                raw.close()

            thread = threading.Thread(target=hang_up)
            thread.start()
            with pytest.raises((errors.ConnectionFailed, errors.RequestTimeout)):
                connection.create("/a", {})
            thread.join(5)


# Names


class Resolver:
    """Answers look-ups as told, one answer after another, and counts them."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self._real = socket.getaddrinfo
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, *more: object, **named: object) -> list[tuple]:
        if host.replace(".", "").isdigit():
            return self._real(host, port, *more, **named)
        self.asked.append(host)
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        families = [socket.AF_INET6 if ":" in ip else socket.AF_INET for ip in found]
        return [
            (family, socket.SOCK_STREAM, 6, "", (ip, port))
            for family, ip in zip(families, found, strict=True)
        ]


@pytest.mark.parametrize(
    ("addresses", "code"),
    [
        (["127.0.0.1"], "loopback"),
        (["::1"], "loopback"),
        (["::ffff:127.0.0.1"], "loopback"),
        (["127.0.0.1", "10.0.0.1"], "loopback"),
        (["169.254.169.254"], "metadata"),
        (["fe80::1"], "link_local"),
        (["10.0.0.1"], "private"),
        (["0.0.0.0"], "unspecified"),
    ],
)
def test_name_that_resolves_to_this_machine_is_refused(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], code: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Resolver(addresses))
    value = document()
    value["clusters"][0]["cluster"]["server"] = "https://innocent.example:6443"

    with pytest.raises(AddressRefused) as refused:
        connect(kubeconfig.load(yaml.safe_dump(value).encode()), NetworkPolicy())

    assert refused.value.code == code


def test_name_that_changes_between_look_ups_is_called_where_it_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = b'{"kind": "Pod", "metadata": {"name": "a"}}'
    with serving(answer(ours), name="innocent.example") as server:
        resolver = Resolver(["127.0.0.1"], ["169.254.169.254"])
        monkeypatch.setattr(socket, "getaddrinfo", resolver)
        with contextlib.closing(server.connection(host="innocent.example")) as connection:
            # Every connection of the pool goes to the address that was looked at, by its number.
            for _ in range(3):
                assert connection.get("/a")["kind"] == "Pod"
                connection._client.rest_client.pool_manager.clear()
        assert resolver.asked == ["innocent.example"]
        assert len(server.requests) == 3
    assert f"Host: innocent.example:{server.port}" in server.requests[0].decode()


@pytest.mark.parametrize(
    "address",
    [
        "https://0177.0.0.1:6443",
        "https://2130706433:6443",
        "https://0x7f.1:6443",
        "https://127.1:6443",
        "https://[::ffff:127.0.0.1]:6443",
        "https://[::ffff:7f00:1]:6443",
        "https://[::1]:6443",
        "https://[64:ff9b::7f00:1]:6443",
        "https://[fe80::1%25eth0]:6443",
        "https://localhost:6443",
        "https://LOCALHOST.:6443",
        "https://169.254.169.254",
        "https://[fd00:ec2::254]",
    ],
)
def test_disguised_address_is_refused_from_kubeconfig_to_connection(address: str) -> None:
    value = document()
    value["clusters"][0]["cluster"]["server"] = address

    with pytest.raises((AddressRefused, kubeconfig.KubeconfigError)) as refused:
        connect(kubeconfig.load(yaml.safe_dump(value).encode()), NetworkPolicy())

    assert refused.value.message.endswith(".")

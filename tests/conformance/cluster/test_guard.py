"""Which addresses may be called."""

from __future__ import annotations

import ipaddress

import pytest

from conformance.cluster.guard import AddressRefused, NetworkPolicy

STRICT = NetworkPolicy()
PRIVATE = NetworkPolicy(allow_private=True)
OWN_MACHINE = NetworkPolicy(allow_private=True, allow_loopback=True)


def refusal(policy: NetworkPolicy, host: str, port: int = 443) -> str:
    with pytest.raises(AddressRefused) as refused:
        policy.resolve(host, port)
    return refused.value.code


@pytest.mark.parametrize("host", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "[2606:4700::1111]"])
def test_public_addresses_pass(host: str) -> None:
    pinned = STRICT.resolve(host, 6443)

    assert pinned.ip == host.strip("[]")
    assert pinned.port == 6443


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.9.10", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("169.254.169.254", "metadata"),
        ("169.254.1.1", "link_local"),
        ("fe80::1", "link_local"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("192.0.0.192", "metadata"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("240.0.0.1", "reserved"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("fc00::1", "private"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:169.254.169.254", "metadata"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("64:ff9b::a00:1", "private"),
        ("2002:7f00:1::", "loopback"),
        ("2002:a9fe:a9fe::", "metadata"),
        ("fe80::1%eth0", "obscure_address"),
        ("127.1", "obscure_address"),
        ("2130706433", "obscure_address"),
        ("0x7f000001", "obscure_address"),
        ("0x7f.0.0.1", "obscure_address"),
        ("0177.0.0.1", "obscure_address"),
        ("example.0x7f", "obscure_address"),
        ("a b", "host_name"),
        ("", "host_name"),
        ("-a.example", "host_name"),
        ("a/../b", "host_name"),
        ("ｌocalhost", "host_name"),  # noqa: RUF001
        ("a" * 300, "host_name"),
    ],
)
def test_strict_policy_refuses(host: str, code: str) -> None:
    assert refusal(STRICT, host) == code


@pytest.mark.parametrize("host", ["10.0.0.1", "fc00::1", "100.64.0.1", "::ffff:192.168.0.1"])
def test_private_addresses_pass_where_allowed(host: str) -> None:
    assert PRIVATE.resolve(host, 443).port == 443


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("127.0.0.1", "loopback"),
        ("169.254.169.254", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("fe80::1", "link_local"),
        ("224.0.0.1", "multicast"),
        ("0.0.0.0", "unspecified"),
    ],
)
def test_private_policy_still_refuses(host: str, code: str) -> None:
    assert refusal(PRIVATE, host) == code


def test_mapped_address_is_called_as_what_it_is() -> None:
    assert PRIVATE.resolve("::ffff:192.168.0.1", 443).ip == "192.168.0.1"


def test_own_machine_may_be_called_where_allowed() -> None:
    assert OWN_MACHINE.resolve("localhost", 443).ip in {"127.0.0.1", "::1"}


def test_localhost_is_refused_by_its_address() -> None:
    assert refusal(STRICT, "localhost") == "loopback"
    assert refusal(STRICT, "LOCALHOST.") == "loopback"


def test_unknown_name_is_refused() -> None:
    assert refusal(STRICT, "nothing.invalid") == "unresolvable"


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_impossible_port_is_refused(port: int) -> None:
    assert refusal(STRICT, "1.1.1.1", port) == "port"


def test_allowed_pair_opens_nothing_else() -> None:
    policy = NetworkPolicy(allowed=frozenset({("127.0.0.1", 7001)}))

    assert policy.resolve("127.0.0.1", 7001).ip == "127.0.0.1"
    assert refusal(policy, "127.0.0.1", 7002) == "loopback"
    assert refusal(policy, "127.0.0.2", 7001) == "loopback"
    assert refusal(policy, "::1", 7001) == "loopback"


def test_every_refusal_is_a_sentence() -> None:
    with pytest.raises(AddressRefused, match=r"conformance verify.*\.$"):
        STRICT.resolve("10.0.0.1", 443)


def test_check_judges_embedded_addresses_too() -> None:
    with pytest.raises(AddressRefused):
        STRICT.check(ipaddress.ip_address("::7f00:1"), 443)

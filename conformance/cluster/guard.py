"""Which addresses may be called at all. A stranger's host name is resolved once and pinned."""

from __future__ import annotations

import ipaddress
import queue
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

RESOLVE_SECONDS = 10.0
_MAX_PORT = 65535
_MAX_HOST = 253

_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
# The resolver of the C library takes such a last label for part of an IPv4 address: 0x7f000001, 127.1.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")

# Instance metadata services outside the link-local ranges; they hand out credentials.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


class AddressRefused(Exception):  # noqa: N818 - reads as what happened
    """The address may not be called. `code` is stable, the message says what to do instead."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Pinned:
    """A host whose one address is settled. `host` stays for TLS and the Host header."""

    host: str
    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """What may be called beyond public addresses.

    `allowed` names exact pairs of address and port, such as the embedded portal's own simulated
    clusters; nothing else on loopback opens with them.
    """

    allow_private: bool = False
    allow_loopback: bool = False
    allowed: frozenset[tuple[str, int]] = field(default_factory=frozenset)

    def resolve(self, host: str, port: int, *, timeout: float = RESOLVE_SECONDS) -> Pinned:
        """Settle on one address of `host`; raise AddressRefused where none may be called."""
        if not 1 <= port <= _MAX_PORT:
            raise AddressRefused("port", f"Port {port} does not exist.")
        host = host.lower().removesuffix(".")
        refusal: AddressRefused | None = None
        for address in _addresses_of(host, port, timeout):
            try:
                self.check(address, port)
            except AddressRefused as error:
                refusal = refusal or error
            else:
                return Pinned(host, str(_mapped_away(address)), port)
        raise refusal or AddressRefused("unresolvable", f"The name {host} has no address.")

    def check(self, address: Address, port: int) -> None:
        """Raise AddressRefused unless this address may be called on this port."""
        for candidate in (address, *_embedded(address)):
            if (str(candidate), port) not in self.allowed:
                self._check_one(candidate)

    def _check_one(self, address: Address) -> None:
        if address in _METADATA:
            raise AddressRefused("metadata", f"{address} is an instance metadata service.")
        if address.is_unspecified or (
            isinstance(address, ipaddress.IPv4Address) and address in _THIS_NETWORK
        ):
            raise AddressRefused("unspecified", f"{address} is no address of a host.")
        if address.is_loopback:
            if self.allow_loopback:
                return
            raise AddressRefused(
                "loopback", f"{address} is this machine itself; give an address reachable from outside."
            )
        if address.is_link_local:
            raise AddressRefused("link_local", f"{address} is a link-local address.")
        if address.is_multicast:
            raise AddressRefused("multicast", f"{address} is a multicast address.")
        if address.is_reserved and not _is_translated(address):
            raise AddressRefused("reserved", f"{address} is in a reserved range.")
        if not address.is_global and not self.allow_private and not _is_translated(address):
            raise AddressRefused(
                "private",
                f"{address} is in a private range, which this installation does not call. Give a public "
                "address, or run the checks yourself with `conformance verify` and upload the report.",
            )


def _addresses_of(host: str, port: int, timeout: float) -> Iterator[Address]:
    literal = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if "%" in literal:
        raise AddressRefused("obscure_address", "An address with a zone names an interface of this machine.")
    try:
        yield ipaddress.ip_address(literal)
    except ValueError:
        pass
    else:
        return
    if len(host) > _MAX_HOST or not _HOST.fullmatch(host):
        raise AddressRefused("host_name", "The server's host name is not a valid one.")
    if _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):
        raise AddressRefused(
            "obscure_address", f"Write the address {host} in the usual form, such as 203.0.113.7."
        )
    for found in _look_up(host, port, timeout):
        yield ipaddress.ip_address(found.partition("%")[0])


def _look_up(host: str, port: int, timeout: float) -> list[str]:
    """Ask the resolver in a thread of its own, because it knows no time limit."""
    answers: queue.SimpleQueue[list[str] | OSError | UnicodeError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
            answers.put([str(entry[4][0]) for entry in found])
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=timeout)
    except queue.Empty:
        raise AddressRefused("unresolvable", f"The name {host} could not be resolved in time.") from None
    if isinstance(answer, list):
        return answer
    raise AddressRefused("unresolvable", f"The name {host} could not be resolved.") from answer


def _mapped_away(address: Address) -> Address:
    """Return the IPv4 address an IPv4-mapped one stands for, so that it is called as what it is."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _embedded(address: Address) -> Iterator[Address]:
    """Yield every IPv4 address a packet to this IPv6 address may end at."""
    if not isinstance(address, ipaddress.IPv6Address):
        return
    if address.ipv4_mapped:
        yield address.ipv4_mapped
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    nat64 = any(address in network for network in _NAT64)
    compatible = address in _COMPATIBLE and int(address) > 1
    if nat64 or compatible or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        yield last


def _is_translated(address: Address) -> bool:
    """Tell whether only the embedded IPv4 address counts, which is judged on its own."""
    if not isinstance(address, ipaddress.IPv6Address):
        return False
    return address.ipv4_mapped is not None or any(address in network for network in _NAT64)

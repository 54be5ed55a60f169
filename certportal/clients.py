"""Who asks, as far as one can tell from the connection, and how often: for limits of every kind."""

from __future__ import annotations

import hashlib
import ipaddress
import time

import structlog
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest

log = structlog.get_logger(__name__)

# A household or a server has a whole network of this length; single addresses of it are no clients.
IPV6_CLIENT = 64


def client_address(request: HttpRequest) -> str:
    """The address that asks.

    Behind proxies each writes down who called it, after what the caller claimed: the entry that our
    outermost proxy wrote counts. What stands before it anyone could write. Fewer entries than proxies
    mean that somebody came round them, and then the connection counts.
    """
    own = str(request.META.get("REMOTE_ADDR", ""))
    if not settings.BEHIND_PROXY:
        return own
    written = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    if len(written) < settings.PROXIES or not written[-settings.PROXIES]:
        return own
    return written[-settings.PROXIES]


def client_of(request: HttpRequest) -> str:
    """The client, hashed, so that the cache holds no personal data; of IPv6 the network it sits in."""
    address = client_address(request)
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        # A proxy may write a port behind the address, or a name; it is told apart all the same.
        network = address
    else:
        mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
        if mapped or isinstance(parsed, ipaddress.IPv4Address):
            network = str(mapped or parsed)
        else:
            network = str(ipaddress.ip_network((parsed, IPV6_CLIENT), strict=False))
    return hashlib.sha256(network.encode()).hexdigest()[:32]


def count(key: str, window: int) -> int:
    """How often `key` was counted in its window, this time included; 0 where the cache is away."""
    name = f"rate:{key}"
    try:
        cache.add(name, 0, window + 5)
        return int(cache.incr(name))
    except ValueError:  # it ran out between the two
        return 1
    except Exception as error:  # noqa: BLE001 - the client library of the cache has its own error tree
        log.warning("rate limit not counted", error=type(error).__name__)
        return 0


def is_too_often(request: HttpRequest, name: str, *, quota: int, window: int) -> bool:
    """Count a request of the client under `name`; whether there were more than `quota` in this window."""
    if not quota:
        return False
    number = int(time.time()) // window
    return count(f"{name}:{number}:{client_of(request)}", window) > quota

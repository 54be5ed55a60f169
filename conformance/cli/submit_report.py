"""``conformance submit-report``: upload a signed bundle to the portal, where it counts as vendor-run."""

from __future__ import annotations

import argparse
import http.client
import ipaddress
import json
import re
import ssl
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from conformance import __version__, bundle
from conformance.cli import EXIT_INCOMPLETE, EXIT_NEGATIVE, EXIT_OK, EXIT_USAGE

SECONDS = 120
MAX_ANSWER = 1024 * 1024
MAX_TOKEN = 4096

_SUBMISSION = re.compile(r"/submissions/([0-9a-fA-F-]{36})(?:/|$)")


class UsageError(Exception):
    """What was asked for cannot be done; the message says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "file", type=Path, metavar="FILE.zip", help="a bundle, as `verify --bundle` writes it"
    )
    parser.add_argument(
        "--url",
        required=True,
        help="the address of your submission in the portal, as the browser shows it; or the portal's own",
    )
    parser.add_argument("--submission", metavar="ID", help="the submission, where --url does not name it")
    parser.add_argument(
        "--token-file", type=Path, required=True, metavar="FILE", help="an API token that may write"
    )
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="trust this authority (PEM) instead")


def run(options: argparse.Namespace) -> int:
    """Return 0 where the portal took it, 1 where it refused, 3 where it was not reached, 2 on wrong use."""
    try:
        address = _address(options.url, options.submission)
        data = _bundle(options.file)
        opener = _opener(address, options.ca_file)
        request = urllib.request.Request(  # noqa: S310 - https, or this very machine; see _address
            address,
            data=data,
            method="POST",
            headers={
                "Authorization": f"Bearer {_token(options.token_file)}",
                "Content-Type": "application/zip",
                "Accept": "application/json",
                "User-Agent": f"certportal-conformance/{__version__}",
            },
        )
    except UsageError as error:
        print(f"conformance submit-report: {error}", file=sys.stderr)
        return EXIT_USAGE
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            body = answer.read(MAX_ANSWER)
    except urllib.error.HTTPError as error:
        with error:
            print(f"The portal refused the report: {_reason(error)}", file=sys.stderr)
        return EXIT_NEGATIVE
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        host = urlsplit(address).netloc
        print(
            f"conformance submit-report: {host} was not reached: {_printable(str(reason))}\n"
            "It is safe to try again: the same report is never taken twice.",
            file=sys.stderr,
        )
        return EXIT_INCOMPLETE
    _tell(body)
    return EXIT_OK


def _address(url: str, submission: str | None) -> str:
    """Return where reports of the submission are taken in."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"{url} is not an address") from error
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_this_machine(host)):
        raise UsageError("the portal's address begins with https://")
    if not host or parts.username is not None:
        raise UsageError("the address names a host, and no user")
    named = _SUBMISSION.search(parts.path)
    wanted = submission or (named[1] if named else "")
    try:
        identifier = uuid.UUID(wanted)
    except ValueError as error:
        raise UsageError(
            "say which submission it is for: give its address as --url, or its id as --submission"
        ) from error
    return f"{parts.scheme}://{parts.netloc}/api/v1/submissions/{identifier}/reports/"


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bundle(path: Path) -> bytes:
    """Return the bundle, after the checks the portal makes first."""
    try:
        with path.open("rb") as file:
            data = file.read(bundle.MAX_BUNDLE + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    try:
        found = bundle.read_bundle(data)
    except bundle.BundleError as error:
        raise UsageError(f"{path}: {error}") from error
    if found.signer is None:
        raise UsageError(f"{path} is not signed; run `verify` with --sign-key, or make a key with `keygen`")
    return data


def _token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_TOKEN + 1).decode("ascii").strip()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} holds no token") from error
    if not text or len(text) > MAX_TOKEN or not text.isprintable() or " " in text:
        raise UsageError(f"{path} holds no token")
    return text


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token goes to the address that was given and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing; the redirect is then an answer like any other."""


def _opener(address: str, authority: Path | None) -> urllib.request.OpenerDirector:
    try:
        context = ssl.create_default_context(cafile=str(authority) if authority else None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"cannot use {authority}: it is no certificate in PEM") from error
    handlers: list[urllib.request.BaseHandler] = [
        _NoRedirect(),
        urllib.request.HTTPSHandler(context=context),
    ]
    if _is_this_machine(urlsplit(address).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def _reason(error: urllib.error.HTTPError) -> str:
    """Return the portal's own words where it has any."""
    try:
        detail = str(json.loads(error.read(MAX_ANSWER))["detail"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, RecursionError):
        detail = "no reason given"
    return f"{_printable(detail)} (HTTP {error.code})"


def _tell(body: bytes) -> None:
    try:
        found = json.loads(body)
        address, outcome = str(found["url"]), str(found["outcome"])
    except (ValueError, KeyError, TypeError, RecursionError):
        print("The portal took the report.")
        return
    print(f"The portal took the report: {_printable(outcome).replace('_', '-')}, run by the vendor.")
    print(_printable(address))


def _printable(text: str) -> str:
    """Return `text` without what a terminal would obey."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text[:2000]
    )

"""``conformance verify-credential``: check a signed certificate without the portal that issued it."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from conformance import credentials
from conformance.cli import EXIT_INCOMPLETE, EXIT_NEGATIVE, EXIT_OK, EXIT_USAGE

WORDS = {
    credentials.Result.PASSED: "ok",
    credentials.Result.FAILED: "FAILED",
    credentials.Result.NOT_CHECKED: "not checked",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.description = (
        "Check a signed certificate offline: format, signature, issuer, validity, status. Exit code 0: "
        "nothing speaks against it; 1: something does; 3: status lists were given, but not all it names."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the credential (application/vc+jwt)")
    parser.add_argument(
        "--keys",
        type=Path,
        required=True,
        metavar="JWKS",
        help="the issuer's keys: its /.well-known/jwks.json",
    )
    parser.add_argument(
        "--status-list",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="status lists that the credential names, as their addresses answer them",
    )
    parser.add_argument("--issuer", default="", metavar="URL", help="the address that must have issued it")
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(options: argparse.Namespace) -> int:
    """Return 0 where nothing speaks against the credential, 1 where something does, 2 on wrong use."""
    try:
        data = _read(options.file)
        keys = credentials.read_keys(_read(options.keys))
        lists = [_read(path) for path in options.status_list]
    except OSError as error:
        print(
            f"conformance verify-credential: cannot read {error.filename}: {error.strerror}", file=sys.stderr
        )
        return EXIT_USAGE
    except credentials.CredentialError as error:
        print(f"conformance verify-credential: {options.keys}: {error}", file=sys.stderr)
        return EXIT_USAGE
    found = credentials.examine(
        data, keys=keys, now=datetime.now(UTC), issuer=options.issuer.rstrip("/"), status_lists=lists
    )
    if options.format == "json":
        print(json.dumps(_as_dict(found), indent=2, ensure_ascii=False))
    else:
        _print(found)
    if found.failed:
        return EXIT_NEGATIVE
    return EXIT_INCOMPLETE if lists and not found.holds else EXIT_OK


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(credentials.MAX_TOKEN + 1)


def _as_dict(found: credentials.Examination) -> dict[str, object]:
    return {
        "genuine": found.is_genuine,
        "holds": found.holds,
        # Nothing that was not proven is repeated: it could be anyone's text.
        "simulated": found.token.is_simulated if found.token and found.is_genuine else None,
        "credential": found.token.payload if found.token and found.is_genuine else None,
        "steps": [
            {"name": step.name.value, "result": step.result.value, "text": step.text} for step in found.steps
        ],
    }


def _print(found: credentials.Examination) -> None:
    width = max(len(name) for name in credentials.StepName)
    for step in found.steps:
        print(f"{step.name.value:{width}}  {WORDS[step.result]:11}  {_printable(step.text)}")
    if found.token and found.is_genuine:
        print(f"\n{_printable(str(found.token.payload.get('name')))}")
        if found.token.is_simulated:
            print("SIMULATED: the checks ran against a simulated cluster; this certifies nothing.")
    if found.failed:
        print("\nDo not rely on it." if found.is_genuine else "\nThis is not a credential of the issuer.")
    elif found.holds:
        print("\nGenuine, and it holds.")
    else:
        print("\nGenuine. Whether it still holds was not checked: give --status-list.")


def _printable(text: str) -> str:
    """`text` without what a terminal would obey."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )

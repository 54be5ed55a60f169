"""``conformance keygen``: make a key that signs reports."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from conformance.cli import EXIT_OK, EXIT_USAGE
from conformance.signing import SigningKey


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="the private key (PEM, readable by you alone); an existing file is not overwritten",
    )


def run(options: argparse.Namespace) -> int:
    """Write the private key and print the public one; return 0, or 2 where it cannot be written."""
    key = SigningKey.generate()
    try:
        # Created with its rights, so that there is no moment in which others could read it.
        handle = os.open(options.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(key.pem())
    except OSError as error:
        print(f"conformance keygen: cannot write {options.out}: {error.strerror}", file=sys.stderr)
        return EXIT_USAGE
    print(key.public.pem(), end="", flush=True)
    print(
        f"The private key is in {options.out}; keep it secret.\n"
        f"Its id is {key.public.key_id}.\n"
        "Register the public key above on your organization's page of the portal.",
        file=sys.stderr,
    )
    return EXIT_OK

"""The ``conformance`` command: one module per subcommand, loaded only when it is asked for.

A subcommand module offers ``add_arguments(parser)`` and ``run(options) -> int``. Loading lazily
keeps ``validate`` quick: it never pays for the Kubernetes client.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from conformance import __version__

EXIT_OK = 0
EXIT_NEGATIVE = 1
EXIT_USAGE = 2
EXIT_INCOMPLETE = 3

COMMANDS = {
    "validate": ("conformance.cli.validate", "judge PRODUCT.yaml files against their checklist"),
    "verify": ("conformance.cli.verify", "run the checks against a cluster"),
    "rbac": ("conformance.cli.rbac", "print the rights the checks need, as a manifest"),
    "checks": ("conformance.cli.checks", "list the requirement ids with their levels per version"),
    "simulate": ("conformance.cli.simulate", "start a simulated cluster"),
    "verify-report": ("conformance.cli.verify_report", "check a report, its evidence and its signature"),
    "keygen": ("conformance.cli.keygen", "make a key that signs reports"),
    "submit-report": ("conformance.cli.submit_report", "upload a signed bundle to the portal"),
    "verify-credential": ("conformance.cli.verify_credential", "check a signed certificate offline"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the subcommand named in `arguments` and return the process's exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="conformance",
        description="Check a Kubernetes platform against the AI conformance checklist.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = next((argument for argument in arguments if argument in COMMANDS), None)
    for name, (module_name, summary) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary.capitalize() + ".")
        if name == chosen:
            module = importlib.import_module(module_name)
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    run = options.run
    return int(run(options))

"""``conformance rbac``: print the rights the checks need, as a manifest."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from conformance import probe_settings
from conformance.catalogue import builtin_checklists
from conformance.cli import EXIT_OK, EXIT_USAGE
from conformance.cluster import rbac

_HEAD = """\
# What a verifier of checklist {version} may do, and nothing else: no secrets, no exec, no cluster-admin.
# Apply it, then make a token that ends by itself and put it into the kubeconfig you hand over:
#   kubectl apply -f FILE
#   kubectl -n {home} create token {account} --duration=24h
# Afterwards `kubectl delete -f FILE` takes every right back.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("--checklist", required=True, metavar="VERSION", help="such as 1.36")
    parser.add_argument(
        "--namespace", help="a namespace you prepared: rights to create anything then end at its border"
    )
    parser.add_argument("--settings", type=Path, metavar="FILE", help="probe settings that name an operator")


def run(options: argparse.Namespace) -> int:
    """Print the manifest."""
    version = options.checklist.removeprefix("v")
    known = builtin_checklists()
    if version not in known:
        print(
            f"conformance rbac: there is no checklist {version}; known are {', '.join(sorted(known))}",
            file=sys.stderr,
        )
        return EXIT_USAGE
    settings = None
    if options.settings is not None:
        try:
            settings = probe_settings.parse(options.settings.read_bytes())
        except (OSError, probe_settings.SettingsError) as error:
            print(f"conformance rbac: {options.settings}: {error}", file=sys.stderr)
            return EXIT_USAGE
    objects = rbac.manifest(version, options.namespace, settings)
    print(_HEAD.format(version=version, home=rbac.HOME, account=rbac.ACCOUNT), end="")
    print(yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, explicit_start=True), end="")
    return EXIT_OK


class _Dumper(yaml.SafeDumper):
    """Writes everything out, because not every reader of manifests knows aliases."""

    def ignore_aliases(self, data: object) -> bool:
        """Repeat equal values instead of referring to them."""
        del data
        return True

"""``conformance checks``: list the requirement ids with their levels per version."""

from __future__ import annotations

import argparse
import json

from conformance import checks
from conformance.catalogue import REQUIREMENTS, builtin_checklists
from conformance.cli import EXIT_OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(options: argparse.Namespace) -> int:
    """Print every requirement, its level in each checklist, and whether a check looks at it."""
    checklists = builtin_checklists()
    versions = sorted(checklists, key=checks.minor)
    levels = {
        version: {requirement.id: requirement.level.value for _, requirement in checklist.requirements()}
        for version, checklist in checklists.items()
    }
    known = {entry.id: entry for entry in checks.info()}
    if options.format == "json":
        entries = [
            {
                "id": name,
                "title": requirement.title,
                "kar": requirement.kar,
                "levels": {version: levels[version][name] for version in versions if name in levels[version]},
                "automatic": name in known,
                "observes": known[name].observes if name in known else None,
            }
            for name, requirement in REQUIREMENTS.items()
        ]
        print(json.dumps({"requirements": entries}, indent=2, ensure_ascii=False))
        return EXIT_OK
    width = max(map(len, REQUIREMENTS))
    print(f"{'requirement':{width}}  {'  '.join(f'{version:6}' for version in versions)}  check")
    for name in REQUIREMENTS:
        cells = "  ".join(f"{levels[version].get(name, '-'):6}" for version in versions)
        print(f"{name:{width}}  {cells}  {'automatic' if name in known else 'by reviewers'}")
    return EXIT_OK

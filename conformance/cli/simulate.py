"""``conformance simulate``: run a simulated cluster until stopped."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from queue import SimpleQueue

from conformance.cli import EXIT_OK, EXIT_USAGE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", metavar="NAME", help="the cluster to simulate")
    parser.add_argument("--list", action="store_true", help="name the profiles and exit")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster time runs (default: 1)")
    parser.add_argument(
        "--kubeconfig-out", type=Path, metavar="F", help="where to write the verifier's kubeconfig"
    )
    parser.add_argument(
        "--admin-kubeconfig-out", type=Path, metavar="F", help="where to write an administrator's kubeconfig"
    )
    parser.add_argument(
        "--settings-out", type=Path, metavar="F", help="where to write the vendor's probe settings"
    )
    parser.add_argument(
        "--ca-dir", type=Path, metavar="DIR", help="keep the authority and tokens here between starts"
    )


def run(options: argparse.Namespace) -> int:
    from conformance.simulator import UnknownProfileError, descriptions, start

    if options.list:
        for name, description in descriptions().items():
            print(f"{name:32} {description}")
        return EXIT_OK
    if not options.profile or options.speed <= 0:
        print("simulate: give --profile NAME (see --list) and a speed above zero", file=sys.stderr)
        return EXIT_USAGE
    # A second signal may come while the first is dealt with: a queue bears that, an event locks itself out.
    signals: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: signals.put(number))
    try:
        cluster = start(options.profile, port=options.port, speed=options.speed, ca_dir=options.ca_dir)
    except (UnknownProfileError, OSError) as error:
        print(f"simulate: {error.args[-1] if error.args else error}", file=sys.stderr)
        return EXIT_USAGE
    with cluster:
        for path, text in (
            (options.kubeconfig_out, cluster.kubeconfig),
            (options.admin_kubeconfig_out, cluster.admin_kubeconfig),
            (options.settings_out, cluster.settings),
        ):
            if path is not None:
                write_private(path, text)
        print(f"ready {cluster.url}", flush=True)
        signals.get()
    return EXIT_OK


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read; it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)

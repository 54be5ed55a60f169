"""What can be wrong with a simulated cluster: a module per area, each with its table of defects.

A table maps the defect's name to the version it stands on by default and to what is wrong, in a few
words. A new module is found by its `DEFECTS` alone.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil


class DuplicateDefectError(ValueError):
    """Two areas use one name."""


@functools.cache
def table() -> dict[str, tuple[str, str]]:
    """Return every defect of every area."""
    merged: dict[str, tuple[str, str]] = {}
    for module in pkgutil.iter_modules(__path__):
        own: dict[str, tuple[str, str]] = importlib.import_module(f"{__name__}.{module.name}").DEFECTS
        if twice := sorted(merged.keys() & own.keys()):
            raise DuplicateDefectError(", ".join(twice))
        merged |= own
    return merged

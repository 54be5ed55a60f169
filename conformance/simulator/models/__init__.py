"""Models of the probe programs that look beyond their own container: a module per subject.

A module registers what it models with `programs.models_program` and is found by being there.
"""

from __future__ import annotations

import pkgutil


def names() -> list[str]:
    """Return the names of the modules here."""
    return [module.name for module in pkgutil.iter_modules(__path__)]

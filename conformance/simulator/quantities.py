"""Resource quantities: ``500m``, ``2``, ``16Gi``."""

from __future__ import annotations

import re
from fractions import Fraction

_FORM = re.compile(r"^([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i))?$")
_SCALE = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}


def quantity(value: str | float) -> Fraction:
    """Return the number a quantity stands for; raises ValueError on anything else."""
    text = str(value)
    match = _FORM.match(text)
    if match is None:
        raise ValueError(f"{text!r} is no quantity")
    number, exponent, suffix = match.groups()
    result = Fraction(number + (exponent or ""))
    return result * _SCALE[suffix] if suffix else result


def amount(value: Fraction) -> str:
    """Return a whole or fractional count the way the server prints it."""
    if value.denominator == 1:
        return str(value.numerator)
    return f"{round(value * 1000)}m"

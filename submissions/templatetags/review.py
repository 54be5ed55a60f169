"""What the review pages need in templates: ``{% load review %}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

register = template.Library()


@register.filter
def of(values: Mapping[Any, Any], key: Any) -> Any:
    """The value of `key`; None where there is none."""
    return values.get(key)

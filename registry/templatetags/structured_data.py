"""Data blocks for search engines: ``{% load structured_data %}``."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from registry import structured
from registry.models import Certificate

register = template.Library()


@register.simple_tag
def dataset_block() -> SafeString:
    """The registry as a data set."""
    return _element(structured.dataset())


@register.simple_tag
def certification_block(certificate: Certificate, status: str) -> SafeString:
    """A certificate and its status."""
    return _element(structured.certification(certificate, status))


def _element(data: SafeString) -> SafeString:
    return format_html('<script type="application/ld+json">{}</script>', data)

"""The picture beside a link where it is shared. It states no status: such pictures are kept for long."""

from __future__ import annotations

import io
from functools import lru_cache

from django.conf import settings
from PIL import Image, ImageDraw, ImageFont

from registry.models import Certificate

WIDTH, HEIGHT, MARGIN = 1200, 630, 90
INK, SOFT, ACCENT, GROUND = "#15202b", "#495867", "#163f73", "#ffffff"
_LONGEST_LINE = 34  # characters of the title


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _lines(text: str) -> list[str]:
    """`text` in at most two lines; what does not fit ends in an ellipsis."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= _LONGEST_LINE:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    shown = [line[:_LONGEST_LINE] for line in lines[:2]]
    if len(lines) > 2 or any(len(line) > _LONGEST_LINE for line in lines[:2]):  # noqa: PLR2004 - two lines
        shown[-1] = shown[-1][: _LONGEST_LINE - 1].rstrip() + "…"
    return shown


def _draw(title: str, facts: list[str]) -> bytes:
    picture = Image.new("RGB", (WIDTH, HEIGHT), GROUND)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, WIDTH, 18), fill=ACCENT)
    _seal(draw, WIDTH - 235, HEIGHT - 235, 150)
    draw.text((MARGIN, 70), settings.SITE_NAME, font=_font(38), fill=ACCENT)
    draw.text((MARGIN, 122), "Kubernetes platforms certified for AI workloads", font=_font(28), fill=SOFT)
    top = 220
    for line in _lines(title):
        draw.text((MARGIN, top), line, font=_font(60), fill=INK)
        top += 76
    for fact in facts:
        draw.text((MARGIN, top + 24), fact, font=_font(32), fill=SOFT)
        top += 46
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _seal(draw: ImageDraw.ImageDraw, left: int, top: int, size: int) -> None:
    """The portal's seal without its check mark: a picture that is kept for years promises nothing."""
    corners = [(0.5, 0.0), (0.93, 0.25), (0.93, 0.75), (0.5, 1.0), (0.07, 0.75), (0.07, 0.25)]
    for inset, width in ((0.0, 8), (0.12, 4)):
        points = [
            (
                left + size * (x + (0.5 - x) * inset),
                top + size * (y + (0.5 - y) * inset),
            )
            for x, y in corners
        ]
        draw.line([*points, points[0], points[1]], fill=ACCENT, width=width, joint="curve")


@lru_cache(maxsize=1)
def general_card() -> bytes:
    """The card of every page that has none of its own, as PNG."""
    return _draw(
        "What is certified, until when, and how we know", ["Ask the registry for any platform and date."]
    )


def certificate_card(certificate: Certificate) -> bytes:
    """The card of a certificate, as PNG. What it says never changes."""
    return _draw(
        f"{certificate.platform_name} {certificate.platform_version}",
        [
            certificate.vendor[:60],
            f"Kubernetes {certificate.kubernetes_version}",
            "Simulated: certifies nothing"
            if certificate.simulated
            else f"Certificate {certificate.number}: ask the registry for its status",
        ],
    )

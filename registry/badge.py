"""Pictures that state what holds today; they never say more than the registry does.

Attributes only, no style sheet: a badge has to look right under any content security policy. For the same
reason a dark page asks for the dark badge by its address, instead of the badge asking the page.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from django.utils.html import escape

from registry.models import Certificate

FONT = "Verdana, DejaVu Sans, Arial, sans-serif"
# Widths of a sans-serif at 11 px; textLength makes every reader's font fit them.
_NARROW, _WIDE, _USUAL, _SQUARE, _SIZE = 3.4, 9.2, 6.3, 11, 11
_SEAL = (
    '<path stroke-width="2.5" d="M20 2.5 35.2 11.25v17.5L20 37.5 4.8 28.75v-17.5z"/>'
    '<path stroke-width="1.1" d="m20 7.2 11.1 6.4v12.8L20 32.8 8.9 26.4V13.6z"/>'
    '<path stroke-width="3" d="m14 20.5 4.3 4.3 8-9"/>'
)
_RING = '<circle stroke-width="2.5" cx="20" cy="20" r="16"/>'
_SIGNS = {
    "warn": '<path stroke-width="2.5" d="M20 6 36 34H4zM20 16v8m0 5v.2"/>',
    "bad": f'{_RING}<path stroke-width="3" d="m14 14 12 12m0-12-12 12"/>',
    "quiet": f'{_RING}<path stroke-width="3" d="M13 20h14"/>',
    "simulated": '<path stroke-width="2.5" d="M6 34 34 6M6 20 20 6m0 28 14-14"/>',
}


class Style(StrEnum):
    """How much a badge says."""

    SMALL = "small"
    LARGE = "large"


class Theme(StrEnum):
    """Which ground a badge stands on."""

    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class _Palette:
    label: str
    label_ink: str
    ink: str
    soft: str
    ground: str
    line: str
    tones: dict[str, str]


_PALETTES = {
    Theme.LIGHT: _Palette(
        label="#15202b",
        label_ink="#ffffff",
        ink="#15202b",
        soft="#495867",
        ground="#ffffff",
        line="#d6dde4",
        tones={
            "good": "#17643a",
            "warn": "#7c4700",
            "bad": "#9d1f1a",
            "quiet": "#495867",
            "simulated": "#67277f",
        },
    ),
    Theme.DARK: _Palette(
        label="#2d3945",
        label_ink="#ffffff",
        ink="#e7ecf1",
        soft="#aab6c2",
        ground="#171f28",
        line="#3a4856",
        tones={
            "good": "#86d3a2",
            "warn": "#efbd72",
            "bad": "#f59d95",
            "quiet": "#aab6c2",
            "simulated": "#d9aeea",
        },
    ),
}
# Of the text on a ground in the colour of a tone.
_ON_TONE = {Theme.LIGHT: "#ffffff", Theme.DARK: "#0f151c"}


def _width(text: str, size: float = _SIZE) -> float:
    """Estimated width in px."""
    return sum(map(_advance, text)) * size / _SIZE


def _advance(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return _SQUARE
    return _NARROW if character in "il.,:;'|!jtf " else _WIDE if character in "mwMW" else _USUAL


def _cut(text: str, longest: float, size: float) -> str:
    """`text`, shortened with an ellipsis to `longest` px."""
    if _width(text, size) <= longest:
        return text
    while text and _width(f"{text}…", size) > longest:
        text = text[:-1]
    return f"{text.rstrip()}…"


def words(certificate: Certificate, status: str) -> tuple[str, str]:
    """What the small badge says of a certificate with this status, and in which tone."""
    if certificate.simulated:
        return "simulated, certifies nothing", "simulated"
    if status == Certificate.Status.ACTIVE:
        return f"certified, ends {certificate.expires_on.isoformat()}", "good"
    if status == Certificate.Status.EXPIRED:
        return f"expired {certificate.expires_on.isoformat()}", "quiet"
    tones = {Certificate.Status.SUSPENDED: "warn", Certificate.Status.REVOKED: "bad"}
    return status, next((tone for name, tone in tones.items() if name == status), "quiet")


def _sentence(certificate: Certificate, status: str) -> str:
    """What the large badge says."""
    if certificate.simulated:
        return "Simulated: certifies nothing"
    if status == Certificate.Status.ACTIVE:
        return f"Certified to the end of {(certificate.expires_on - timedelta(days=1)).isoformat()}"
    if status == Certificate.Status.EXPIRED:
        return f"Expired on {certificate.expires_on.isoformat()}"
    if status == Certificate.Status.SUSPENDED:
        return "Suspended: not certified at present"
    return f"No longer certified: {status}"


def badge(
    certificate: Certificate,
    *,
    status: str,
    today: date,
    style: Style = Style.SMALL,
    theme: Theme = Theme.LIGHT,
) -> str:
    """The badge as SVG: `certificate` has `status` on the day `today`."""
    if style is Style.LARGE:
        return _large(certificate, status, today, _PALETTES[theme])
    return _small(certificate, status, theme)


def size(certificate: Certificate, *, status: str, style: Style) -> tuple[int, int]:
    """Width and height in px, for pages that keep the place free until the badge is loaded."""
    return _LARGE if style is Style.LARGE else (sum(_halves(certificate, status)), 20)


def _halves(certificate: Certificate, status: str) -> tuple[int, int]:
    left, right = _label(certificate), words(certificate, status)[0]
    return round(_width(left)) + 14, round(_width(right)) + 14


def _label(certificate: Certificate) -> str:
    return f"Kubernetes AI {certificate.kubernetes_version}"


def _small(certificate: Certificate, status: str, theme: Theme) -> str:
    palette = _PALETTES[theme]
    left = _label(certificate)
    right, tone = words(certificate, status)
    a, b = _halves(certificate, status)
    return (
        f"{_opening(certificate, f'{left}: {right}', a + b, 20)}"
        f'<rect width="{a + b}" height="20" rx="3" fill="{palette.tones[tone]}"/>'
        f'<path d="M3 0h{a - 3}v20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z" fill="{palette.label}"/>'
        f'<g font-family="{FONT}" font-size="11">'
        f"{_fitted(left, 7, a - 14, palette.label_ink)}"
        f"{_fitted(right, a + 7, b - 14, _ON_TONE[theme])}</g></svg>\n"
    )


def _fitted(text: str, x: int, width: int, ink: str) -> str:
    return (
        f'<text x="{x}" y="14" fill="{ink}" textLength="{width}" lengthAdjust="spacingAndGlyphs">'
        f"{escape(text)}</text>"
    )


def _opening(certificate: Certificate, says: str, width: int, height: int) -> str:
    name = escape(f"{certificate.platform_name} {certificate.platform_version}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(says)}">'
        f"<title>{name}, {escape(certificate.number)}: {escape(says)}</title>"
    )


_LARGE = (360, 112)
_TEXT_AT, _TEXT_ENDS = 84, 346
_BOLD_IS_WIDER = 1.2


def _large(certificate: Certificate, status: str, today: date, palette: _Palette) -> str:
    width, height = _LARGE
    tone = words(certificate, status)[1]
    colour = palette.tones[tone]
    says = _sentence(certificate, status)
    subject = f"Kubernetes AI conformance {certificate.kubernetes_version}"
    room = _TEXT_ENDS - _TEXT_AT
    product = _cut(f"{certificate.platform_name} {certificate.platform_version}", room / _BOLD_IS_WIDER, 15)
    # The seal is for what holds; a simulated certificate never bears it.
    sign = _SEAL if tone == "good" else _SIGNS[tone]
    dashes = ' stroke-dasharray="6 4"' if certificate.simulated else ""
    lines = (
        (28, 12, palette.soft, "", subject),
        (50, 15, palette.ink, ' font-weight="700"', product),
        (73, 12, colour, ' font-weight="700"', says),
        (95, 11, palette.soft, "", f"{certificate.number}, checked {today.isoformat()}"),
    )
    text = "".join(
        f'<text x="{_TEXT_AT}" y="{y}" font-size="{size}" fill="{ink}"{weight}>{escape(line)}</text>'
        for y, size, ink, weight, line in lines
    )
    return (
        f"{_opening(certificate, f'{subject}: {says}', width, height)}"
        f'<rect x="1" y="1" width="{width - 2}" height="{height - 2}" rx="5" fill="{palette.ground}" '
        f'stroke="{colour if dashes else palette.line}" stroke-width="2"{dashes}/>'
        f'<path d="M6 1h4v110H6a5 5 0 0 1-5-5V6a5 5 0 0 1 5-5z" fill="{colour}"/>'
        f'<g transform="translate(23 32) scale(1.2)" fill="none" stroke="{colour}" stroke-linecap="round" '
        f'stroke-linejoin="round">{sign}</g>'
        f'<g font-family="{FONT}">{text}</g></svg>\n'
    )

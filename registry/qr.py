"""QR codes that lead to a certificate."""

from __future__ import annotations

import io

import segno

# A quarter of the picture may be dirty or torn off: it hangs on walls and stands on boxes.
ERROR_CORRECTION = "q"


def code(text: str) -> segno.QRCode:
    return segno.make_qr(text, error=ERROR_CORRECTION)


def svg(text: str, *, title: str) -> str:
    """`text` as SVG: dark on light with its quiet zone, whatever the page's theme; a camera needs that."""
    picture = io.BytesIO()
    code(text).save(
        picture,
        kind="svg",
        scale=4,
        dark="#15202b",
        light="#ffffff",
        title=title,
        xmldecl=False,
        nl=True,
        svgclass=None,
        lineclass=None,
    )
    return picture.getvalue().decode()

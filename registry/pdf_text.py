"""Text for PDFs in any script that a platform's name may be in.

Bitstream Vera, which reportlab brings and the document carries with it, writes Western European letters;
further Latin letters are put together from a letter and its accent. The Asian fonts of the PDF standard,
which readers bring, write Chinese, Japanese and Korean, and with them Greek and Cyrillic. What none of them
can write becomes a question mark.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

import reportlab
from reportlab.lib.colors import Color
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

PLAIN, BOLD = "Vera", "VeraBd"
JAPANESE, SIMPLIFIED, TRADITIONAL, KOREAN = (
    "HeiseiMin-W3",
    "STSong-Light",
    "MSung-Light",
    "HYSMyeongJo-Medium",
)
CODECS = {JAPANESE: "shift_jis", SIMPLIFIED: "gb2312", TRADITIONAL: "big5", KOREAN: "euc_kr"}
FIRST_ASIAN = "\u2e80"
# The accent that stands alone for the one that joins a letter, in the fonts above.
ACCENTS = {
    "\u0300": "`",
    "\u0301": "\u00b4",
    "\u0302": "\u02c6",
    "\u0303": "\u02dc",
    "\u0304": "\u00af",
    "\u0306": "\u02d8",
    "\u0307": "\u02d9",
    "\u0308": "\u00a8",
    "\u030a": "\u02da",
    "\u030b": "\u02dd",
    "\u030c": "\u02c7",
    "\u0326": "\u00b8",
    "\u0327": "\u00b8",
    "\u0328": "\u02db",
}
BELOW = ("\u00b8", "\u02db")
CAPITALS_ARE_HIGHER = 0.18  # of the size: the accents are made for small letters


@cache
def register_fonts() -> None:
    """Make the fonts known to reportlab."""
    for name in CODECS:
        font = UnicodeCIDFont(name)
        if name == TRADITIONAL:
            # reportlab names the encoding of the simplified fonts here, with which readers show nothing.
            font.encodingName = "UniCNS-UCS2-H"
        pdfmetrics.registerFont(font)
    folder = Path(reportlab.__file__).parent / "fonts"
    for name in (PLAIN, BOLD):
        pdfmetrics.registerFont(TTFont(name, str(folder / f"{name}.ttf")))


def _in(codec: str, character: str) -> bool:
    try:
        character.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def _has(font: str, character: str) -> bool:
    return ord(character) in pdfmetrics.getFont(font).face.charToGlyph


def _asian_font(text: str) -> str:
    """The font for the Han characters of `text`, which look different in each language."""
    if any("\u3040" <= character <= "\u30ff" for character in text):
        return JAPANESE
    if any("\uac00" <= character <= "\ud7a3" for character in text):
        return KOREAN
    han = [character for character in text if "\u4e00" <= character <= "\u9fff"]
    return SIMPLIFIED if all(_in("gb2312", character) for character in han) else TRADITIONAL


@dataclass(frozen=True, slots=True)
class Glyph:
    """One character as it is written: a character of a font, and an accent over or under it."""

    font: str
    character: str
    accent: str = ""


def _glyph(character: str, font: str, asian: str) -> Glyph:
    if _has(font, character):
        return Glyph(font, character)
    base, *marks = list(unicodedata.normalize("NFD", character))
    if marks and _has(font, base):
        return Glyph(font, base, ACCENTS.get(marks[0], ""))
    for name in (asian, *CODECS):
        if _in(CODECS[name], character):
            return Glyph(name, character)
    return Glyph(font, "?")


def glyphs(text: str, font: str) -> list[Glyph]:
    """`text` as the characters and fonts that write it."""
    register_fonts()
    asian = _asian_font(text)
    return [_glyph(character, font, asian) for character in unicodedata.normalize("NFC", text)]


def _runs(written: list[Glyph]) -> Iterator[tuple[str, str]]:
    for font, group in groupby(written, key=lambda glyph: glyph.font):
        yield font, "".join(glyph.character for glyph in group)


@dataclass(frozen=True, slots=True)
class Type:
    """How text is set; `size` in points."""

    font: str
    size: float
    colour: Color

    def width(self, text: str) -> float:
        """Width of `text` in points."""
        return self._width(glyphs(text, self.font))

    def _width(self, written: list[Glyph]) -> float:
        return float(sum(pdfmetrics.stringWidth(piece, name, self.size) for name, piece in _runs(written)))

    def draw(self, canvas: Canvas, x: float, y: float, text: str) -> None:
        """Write one line with its left end at `x` on the base line `y`."""
        written = glyphs(text, self.font)
        line = canvas.beginText(x, y)
        line.setFillColor(self.colour)
        for name, piece in _runs(written):
            line.setFont(name, self.size)
            line.textOut(piece)
        for position, glyph in enumerate(written):
            if glyph.accent:
                start = x + self._width(written[:position])
                middle = start + self._width([glyph]) / 2
                higher = CAPITALS_ARE_HIGHER * self.size
                raised = higher if glyph.character.isupper() and glyph.accent not in BELOW else 0
                line.setFont(glyph.font, self.size)
                width = pdfmetrics.stringWidth(glyph.accent, glyph.font, self.size)
                line.setTextOrigin(middle - width / 2, y + raised)
                line.textOut(glyph.accent)
        canvas.drawText(line)

    def wrapped(self, text: str, longest: float, *, most: int = 0) -> list[str]:
        """`text` in lines of at most `longest` points; the last of `most` ends with an ellipsis if cut.

        Lines break at spaces, and inside what is longer than a line or written without spaces.
        """
        lines = [""]
        for word in _breakable(text):
            if self.width(lines[-1] + word.rstrip()) <= longest:
                lines[-1] += word
                continue
            if lines[-1]:
                lines.append("")
            for character in word:
                if lines[-1] and self.width(lines[-1] + character) > longest:
                    lines.append("")
                lines[-1] += character
        lines = [line.rstrip() for line in lines]
        if most and len(lines) > most:
            last = lines[most - 1]
            while last and self.width(f"{last}…") > longest:
                last = last[:-1]
            lines = [*lines[: most - 1], f"{last.rstrip()}…"]
        return lines


def _breakable(text: str) -> Iterator[str]:
    """Pieces that a line may break between: words with their space, and single Asian characters."""
    piece = ""
    for character in " ".join(text.split()):
        if character >= FIRST_ASIAN:
            if piece:
                yield piece
            yield character
            piece = ""
            continue
        piece += character
        if character == " ":
            yield piece
            piece = ""
    if piece:
        yield piece

"""The certificate on paper: what the registry said on the day of printing, and where to ask again."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date, timedelta

from django.conf import settings
from django.utils import translation
from django.utils.dateformat import format as written
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas

from conformance import catalogue
from registry import qr
from registry.credentials import address, known_how
from registry.models import Certificate, CertificateRequirement
from registry.pdf_text import BOLD, PLAIN, Type, register_fonts

INK, SOFT, LINE, ACCENT = (HexColor(code) for code in ("#15202b", "#495867", "#d6dde4", "#163f73"))
TONES = {
    "active": HexColor("#17643a"),
    "suspended": HexColor("#7c4700"),
    "revoked": HexColor("#9d1f1a"),
    "expired": HexColor("#495867"),
    "superseded": HexColor("#495867"),
}
SIMULATED = HexColor("#67277f")
WORDS = {
    "suspended": ("SUSPENDED", "A written notice was served. It is not certified while that lasts."),
    "revoked": ("REVOKED", "The certification was ended. The right to use the mark has ended with it."),
    "expired": ("EXPIRED", "The certification was not renewed. The right to use the mark has ended with it."),
    "superseded": ("SUPERSEDED", "A newer certificate has taken the place of this one."),
}
KNOWN_HOW = {
    "portal_verified": "Verified by the portal",
    "vendor_run": "Run by the vendor",
    "self_attested": "Attested by the vendor",
    "waived": "Waived by reviewers",
    "seen_to_fail": "Seen to fail",
    "not_claimed": "Not claimed",
}

VALUE, VALUE_BOLD, DIGEST = Type(PLAIN, 10, INK), Type(BOLD, 10, INK), Type(PLAIN, 7, INK)

WIDTH, HEIGHT = A4
LEFT, RIGHT, TOP, BOTTOM = 24 * mm, WIDTH - 24 * mm, HEIGHT - 22 * mm, 20 * mm
ROW = 26.0
NAME_SIZES, NAME_LINES = (24, 20, 17, 14), 2


def day(when: date) -> str:
    return written(when, "j F Y")


def render(certificate: Certificate, *, status: str, today: date) -> bytes:
    """The document as it is true on the day `today`, when the certificate has `status`."""
    rows = list(certificate.requirements.all())
    file = io.BytesIO()
    # Invariant: the same certificate on the same day is the same file, byte for byte.
    register_fonts()
    canvas = Canvas(file, pagesize=A4, invariant=1, lang="en")
    canvas.setTitle(f"Certificate {certificate.number}")
    canvas.setAuthor(settings.SITE_NAME)
    canvas.setSubject(f"{certificate.platform_name} {certificate.platform_version}")
    with translation.override("en"):  # of the dates: the sentences have no translation yet
        _Document(canvas, certificate, status, today).draw(rows)
    canvas.save()
    return file.getvalue()


class _Document:
    """The pages of one certificate."""

    def __init__(self, canvas: Canvas, certificate: Certificate, status: str, today: date) -> None:
        self.canvas, self.certificate, self.status, self.today = canvas, certificate, status, today
        self.holds = status == Certificate.Status.ACTIVE and not certificate.simulated

    def draw(self, rows: Sequence[CertificateRequirement]) -> None:
        self._frame("Page 1 of 2" if rows else "")
        below = self._product(TOP - 40 * mm)
        below = self._standing(below - 15 * mm)
        self._facts(below - 14 * mm, rows)
        self._where_to_ask()
        self.canvas.showPage()
        if rows:
            self._frame("Page 2 of 2")
            self._requirements(rows)
            self.canvas.showPage()

    # --- Every page ------------------------------------------------------------------------------------

    def _frame(self, page: str) -> None:
        canvas = self.canvas
        if self.certificate.simulated:
            self._watermark()
        canvas.setFillColor(ACCENT)
        canvas.rect(0, HEIGHT - 4 * mm, WIDTH, 4 * mm, stroke=0, fill=1)
        name_at = LEFT
        if not self.certificate.simulated:
            self._seal(LEFT, TOP - 9 * mm, 10 * mm, ACCENT)
            name_at = LEFT + 14 * mm
        self._text(name_at, TOP - 3.5 * mm, settings.SITE_NAME, Type(BOLD, 12, INK))
        self._text(
            name_at,
            TOP - 8 * mm,
            "Kubernetes platforms certified for AI workloads",
            Type(PLAIN, 7.5, SOFT),
        )
        self._text_right(RIGHT, TOP - 3.5 * mm, self.certificate.number, Type(BOLD, 10, INK))
        canvas.setStrokeColor(LINE)
        canvas.setLineWidth(0.6)
        canvas.line(LEFT, TOP - 14 * mm, RIGHT, TOP - 14 * mm)
        canvas.line(LEFT, BOTTOM, RIGHT, BOTTOM)
        said = f"{self.certificate.number}, as the registry stated it on {day(self.today)} (UTC)"
        self._text(LEFT, BOTTOM - 5 * mm, said, Type(PLAIN, 7, SOFT))
        self._text_right(RIGHT, BOTTOM - 5 * mm, page, Type(PLAIN, 7, SOFT))

    def _watermark(self) -> None:
        canvas = self.canvas
        canvas.saveState()
        canvas.setFillColor(Color(SIMULATED.red, SIMULATED.green, SIMULATED.blue, alpha=0.13))
        canvas.translate(WIDTH / 2, HEIGHT / 2)
        canvas.rotate(52)
        canvas.setFont(BOLD, 84)
        canvas.drawCentredString(0, -10, "SIMULATED")
        canvas.setFont(BOLD, 24)
        canvas.drawCentredString(0, -52, "certifies nothing")
        canvas.restoreState()

    def _seal(self, x: float, y: float, size: float, colour: Color) -> None:
        """The mark of the portal, its lower left corner at (x, y)."""
        canvas = self.canvas
        canvas.saveState()
        canvas.translate(x, y + size)
        canvas.scale(size / 40, -size / 40)
        canvas.setStrokeColor(colour)
        canvas.setLineJoin(1)
        canvas.setLineCap(1)
        for points, thickness, closed in (
            (((20, 2.5), (35.2, 11.25), (35.2, 28.75), (20, 37.5), (4.8, 28.75), (4.8, 11.25)), 2.5, True),
            (((20, 7.2), (31.1, 13.6), (31.1, 26.4), (20, 32.8), (8.9, 26.4), (8.9, 13.6)), 1.1, True),
            (((14, 20.5), (18.3, 24.8), (26.3, 15.8)), 3, False),
        ):
            canvas.setLineWidth(thickness)
            path = canvas.beginPath()
            path.moveTo(*points[0])
            for point in points[1:]:
                path.lineTo(*point)
            if closed:
                path.close()
            canvas.drawPath(path)
        canvas.restoreState()

    def _text(self, x: float, y: float, text: str, kind: Type) -> None:
        kind.draw(self.canvas, x, y, text)

    def _text_right(self, x: float, y: float, text: str, kind: Type) -> None:
        self._text(x - kind.width(text), y, text, kind)

    def _lines(self, x: float, y: float, lines: Sequence[str], kind: Type) -> float:
        """Write lines downwards from the base line `y`; returns the base line of the last one."""
        for number, line in enumerate(lines):
            y -= kind.size * 1.25 if number else 0
            self._text(x, y, line, kind)
        return y

    # --- The first page --------------------------------------------------------------------------------

    def _product(self, y: float) -> float:
        certificate = self.certificate
        room = RIGHT - LEFT - (42 * mm if self.holds else 0)
        if self.holds:
            # The seal is for what holds; a simulated certificate never bears it.
            self._seal(RIGHT - 34 * mm, y - 24 * mm, 34 * mm, ACCENT)
        heading = "Simulated certificate" if certificate.simulated else "Certificate of AI conformance"
        self._text(LEFT, y, heading, Type(PLAIN, 12, SOFT))
        product = f"{certificate.platform_name} {certificate.platform_version}"
        kinds = [Type(BOLD, size, INK) for size in NAME_SIZES]
        kind = next((kind for kind in kinds if len(kind.wrapped(product, room)) <= NAME_LINES), kinds[-1])
        y = self._lines(LEFT, y - 13 * mm, kind.wrapped(product, room, most=NAME_LINES + 1), kind)
        by = Type(PLAIN, 12, INK)
        return self._lines(LEFT, y - 8.5 * mm, by.wrapped(f"by {certificate.vendor}", room, most=2), by)

    def _standing(self, y: float) -> float:
        """What the certificate says today; loud where it no longer holds."""
        certificate = self.certificate
        room = RIGHT - LEFT
        if certificate.simulated:
            self._text(LEFT, y - 5 * mm, "CERTIFIES NOTHING", Type(BOLD, 30, SIMULATED))
            said = (
                "The checks ran against a simulated cluster, to show how the portal works. No real platform "
                f"stands behind this record. Its status in the demonstration: {self.status}."
            )
            return self._paragraph(y - 13 * mm, said, room)
        if self.status in WORDS:
            word, said = WORDS[self.status]
            self._text(LEFT, y - 7 * mm, word, Type(BOLD, 42, TONES[self.status]))
            since = f"This certificate did not hold on {day(self.today)}. {said}{self._time_to_cure()}"
            return self._paragraph(y - 15 * mm, since, room)
        said = (
            "The platform meets the AI conformance checklist for Kubernetes "
            f"{certificate.kubernetes_version}. Every requirement at the level MUST is implemented with "
            "evidence, or was waived by reviewers with a reason."
        )
        return self._paragraph(y, said, room)

    def _time_to_cure(self) -> str:
        """Of a suspension: what comes of it, and when. Nothing where the certificate expires first."""
        ends = self.certificate.cure_ends
        if self.status != Certificate.Status.SUSPENDED or ends is None:
            return ""
        last = day(ends - timedelta(days=1))
        return f" The vendor has until the end of {last} to cure the cause; otherwise it is revoked."

    def _paragraph(self, y: float, text: str, room: float) -> float:
        kind = Type(PLAIN, 10, INK)
        return self._lines(LEFT, y, kind.wrapped(text, room), kind)

    def _facts(self, y: float, rows: Sequence[CertificateRequirement]) -> None:
        certificate = self.certificate
        last = day(certificate.expires_on - timedelta(days=1))
        until = "Holds until the end of" if self.status == "active" else "Was issued to hold until"
        facts = [
            ("Certificate", certificate.number, VALUE_BOLD),
            ("Kubernetes", certificate.kubernetes_version, VALUE_BOLD),
            ("Configuration", certificate.configuration, VALUE),
            ("Issued", day(certificate.issued_on), VALUE),
            (until, last, VALUE_BOLD),
            ("How we know", _coverage(rows), VALUE),
            ("Built on", certificate.base_platform, VALUE),
            (
                "Checklist",
                f"{certificate.kubernetes_version}, revision {certificate.checklist_revision}",
                VALUE,
            ),
            ("Checklist's digest", certificate.checklist_digest, DIGEST),
            ("Report's digest", certificate.run_digest, DIGEST),
        ]
        if certificate.imported:
            facts.append(("Origin", "Taken over as it was published; nothing was verified here.", VALUE))
        column = LEFT + 46 * mm
        for term, text, kind in facts:
            if text:
                self._text(LEFT, y, term, Type(PLAIN, 8.5, SOFT))
                y = self._lines(column, y, kind.wrapped(text, RIGHT - column, most=3), kind) - 7 * mm

    def _where_to_ask(self) -> None:
        """The QR code and the address: paper cannot know what happened since."""
        size, y = 30 * mm, BOTTOM + 7 * mm
        page = address(self.certificate.get_absolute_url())
        self._qr(page, LEFT, y, size)
        x, room = LEFT + size + 7 * mm, RIGHT - LEFT - size - 7 * mm
        self._text(x, y + 23 * mm, "Does it still hold?", Type(BOLD, 11.5, INK))
        said = "Paper cannot know what has happened since. The registry says at any time whether this holds:"
        plain, link = Type(PLAIN, 8.5, INK), Type(BOLD, 8.5, ACCENT)
        below = self._lines(x, y + 17 * mm, plain.wrapped(said, room), plain)
        below = self._lines(x, below - 6 * mm, link.wrapped(page, room, most=2), link)
        self.canvas.linkURL(page, (x, below - 2, RIGHT, below + 10), relative=0)

    def _qr(self, text: str, x: float, y: float, size: float) -> None:
        matrix = qr.code(text).matrix
        border = 4
        step = size / (len(matrix) + 2 * border)
        self.canvas.setFillColor(HexColor("#ffffff"))
        self.canvas.rect(x, y, size, size, stroke=0, fill=1)
        self.canvas.setFillColor(INK)
        # One path for all of it: squares drawn one by one leave hairlines between them.
        path = self.canvas.beginPath()
        for row, modules in enumerate(matrix):
            for column, is_dark in enumerate(modules):
                if is_dark:
                    path.rect(x + (column + border) * step, y + size - (row + border + 1) * step, step, step)
        self.canvas.drawPath(path, stroke=0, fill=1)

    # --- The second page -------------------------------------------------------------------------------

    def _requirements(self, rows: Sequence[CertificateRequirement]) -> None:
        y = TOP - 26 * mm
        self._text(LEFT, y, "Requirements, and how each is known", Type(BOLD, 14, INK))
        y -= 9 * mm
        level, claim, known = LEFT + 74 * mm, LEFT + 92 * mm, LEFT + 122 * mm
        for x, heading in (
            (LEFT, "Requirement"),
            (level, "Level"),
            (claim, "Vendor claims"),
            (known, "How we know"),
        ):
            self._text(x, y, heading, Type(BOLD, 8, SOFT))
        self.canvas.setStrokeColor(INK)
        self.canvas.setLineWidth(1)
        self.canvas.line(LEFT, y - 4, RIGHT, y - 4)
        self.canvas.setStrokeColor(LINE)
        self.canvas.setLineWidth(0.5)
        # A checklist has some ten to twenty requirements; a longer one is set closer, and stays one page.
        step = min(ROW, (y - BOTTOM - 12 * mm) / max(len(rows), 1))
        for row in rows:
            y -= step
            info = catalogue.REQUIREMENTS.get(row.requirement_id)
            cells = (
                (LEFT, level, info.title if info else row.requirement_id),
                (level, claim, row.level),
                (claim, known, row.claim or "Nothing"),
                (known, RIGHT, KNOWN_HOW[known_how(row)]),
            )
            for x, end, text in cells:
                kind = Type(PLAIN, 8.5, INK)
                self._text(x, y + step * 0.32, kind.wrapped(text, end - x - 6, most=1)[0], kind)
            self.canvas.line(LEFT, y, RIGHT, y)
        note = "What was observed, the evidence and the history stand on the certificate's page."
        self._text(LEFT, max(BOTTOM + 2 * mm, y - 7 * mm), note, Type(PLAIN, 8, SOFT))


def _coverage(rows: Sequence[CertificateRequirement]) -> str:
    """How many requirements are known in which way, the strongest first."""
    if not rows:
        return "No requirements are recorded."
    known = [known_how(row) for row in rows]
    parts = [
        f"{known.count(kind)} {words[0].lower()}{words[1:]}"
        for kind, words in KNOWN_HOW.items()
        if kind in known
    ]
    return f"Of {len(rows)} requirements: {', '.join(parts)}"

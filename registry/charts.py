"""Bar charts as SVG, drawn on the server: no script, attributes only, colours from the stylesheet.

Lengths across the page are percentages and heights are pixels: the words in a chart keep their size, on a
phone as on a wide screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

ROW, BAR = 42, 10
# The longest bar leaves room for its figure.
LONGEST = 86.0
COLUMN_HEIGHT = 180
AXIS_LABELS = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its label, its value, and which of the few colours it takes."""

    label: str
    value: int
    tone: str = "accent"


def bars(rows: Sequence[Bar], *, key: str, title: str, description: str) -> SafeString:
    """Horizontal bars under their labels; `key` makes the ids unique on the page."""
    longest = max((row.value for row in rows), default=0) or 1
    drawn = format_html_join(
        "",
        '<text x="0" y="{}">{}</text>'
        '<rect class="chart__ground" x="0" y="{}" width="{}%" height="{}"/>'
        '<rect class="chart__bar chart__bar--{}" x="0" y="{}" width="{}%" height="{}"/>'
        '<text class="chart__figure" x="{}%" dx="8" y="{}">{}</text>',
        (
            (
                *(ROW * index + 14, row.label),
                *(ROW * index + 21, LONGEST, BAR),
                *(row.tone, ROW * index + 21, _length(row.value, longest), BAR),
                *(LONGEST, ROW * index + 30, row.value),
            )
            for index, row in enumerate(rows)
        ),
    )
    return _picture(drawn, ROW * len(rows), key=key, title=title, description=description)


@dataclass(frozen=True, slots=True)
class Group:
    """Bars that stand side by side, such as one month's."""

    label: str
    values: tuple[int, ...]


def columns(
    groups: Sequence[Group], tones: Sequence[str], *, key: str, title: str, description: str
) -> SafeString:
    """Upright bars in groups, with the highest value written on the axis."""
    highest = max((value for group in groups for value in group.values), default=0) or 1
    step = 100 / max(len(groups), 1)
    width = step * 0.8 / max(len(tones), 1)
    floor = COLUMN_HEIGHT + 22
    shapes = [
        (
            *(tones[place], round(index * step + place * width, 2)),
            *(round(floor - _height(value, highest), 1), round(width, 2), _height(value, highest)),
        )
        for index, group in enumerate(groups)
        for place, value in enumerate(group.values)
        if value
    ]
    every = max(len(groups) // AXIS_LABELS, 1)
    drawn = format_html(
        '<text x="0" y="14">{}</text>'
        '<line class="chart__line" x1="0" x2="100%" y1="22" y2="22"/>{}'
        '<line class="chart__axis" x1="0" x2="100%" y1="{}" y2="{}"/>{}',
        highest,
        format_html_join(
            "",
            '<rect class="chart__bar chart__bar--{}" x="{}%" y="{}" width="{}%" height="{}"/>',
            shapes,
        ),
        *(floor, floor),
        format_html_join(
            "",
            '<text x="{}%" y="{}">{}</text>',
            (
                (round(index * step, 2), floor + 18, group.label)
                for index, group in enumerate(groups)
                if index % every == 0
            ),
        ),
    )
    return _picture(drawn, floor + 24, key=key, title=title, description=description)


def _length(value: int, longest: int) -> float:
    """Per cent of the width. A bar of something is never invisible, one of nothing always is."""
    return round(max(value * LONGEST / longest, 0.5), 2) if value else 0.0


def _height(value: int, highest: int) -> float:
    return round(max(value / highest * COLUMN_HEIGHT, 1.5), 1)


def _picture(drawn: SafeString, height: int, *, key: str, title: str, description: str) -> SafeString:
    return format_html(
        '<svg class="chart" width="100%" height="{}" role="img" aria-labelledby="{}-title {}-desc">'
        '<title id="{}-title">{}</title><desc id="{}-desc">{}</desc>{}</svg>',
        *(height, key, key, key, title, key, description, drawn),
    )

"""Lines over time, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date

from markupsafe import Markup

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 260, 70, 16, 14, 34
_LETTER = 12


def line_chart(
    names: Sequence[str], lines: Mapping[str, tuple[str, Sequence[float]]], unit: str
) -> Markup:
    """Values of several things at several times.

    Args:
        names: Of the times; where all are dates, the distances are those of time.
        lines: By name, the colour as CSS writes it, and the value at each time.
        unit: Of the values.
    """
    top = _round_up(max((value for _, values in lines.values() for value in values), default=0.0))
    xs = [LEFT + part * (WIDTH - LEFT - RIGHT) for part in _parts(names)]

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    drawn = [_grid_line(value * top / 4, y(value * top / 4), unit) for value in range(5)]
    for x, name in zip(xs, names, strict=True):
        anchor = "start" if x == xs[0] else "end" if x == xs[-1] else "middle"
        drawn.append(_text(name, x, HEIGHT - 10, anchor))
    for color, values in lines.values():
        points = " ".join(f"{x:.1f},{y(value):.1f}" for x, value in zip(xs, values, strict=True))
        drawn.append(
            Markup('<polyline points="{}" fill="none" stroke="{}" stroke-width="2"/>')
            .format(points, color)
        )  # fmt: skip
        drawn += [
            Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3.5" fill="{}"/>').format(x, y(value), color)
            for x, value in zip(xs, values, strict=True)
        ]
    title = ", ".join(lines)
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{} over time" '
        'font-size="{}">{}</svg>'
    ).format(WIDTH, HEIGHT, title, _LETTER, Markup("").join(drawn))


def _parts(names: Sequence[str]) -> list[float]:
    """Where the times lie between the first (0) and the last (1)."""
    try:
        days = [date.fromisoformat(name).toordinal() for name in names]
    except ValueError:
        days = list(range(len(names)))
    span = days[-1] - days[0]
    if span <= 0 or sorted(days) != days:
        days, span = list(range(len(names))), max(len(names) - 1, 1)
    return [(day - days[0]) / span for day in days]


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 5, 8, 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value * 0.999)


def _grid_line(value: float, y: float, unit: str) -> Markup:
    line = Markup(
        '<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}" stroke="currentColor" opacity="0.15"/>'
    ).format(LEFT, WIDTH - RIGHT, y, y)
    text = f"{value:g} {unit}" if value else "0"
    return line + _text(text, LEFT - 6, y + 4, "end")


def _text(text: str, x: float, y: float, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        x, y, anchor, text
    )

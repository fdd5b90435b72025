"""Slices as pictures: the scan as PNG, and all that is drawn on it as SVG above it, in mm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from markupsafe import Markup, escape

from factorizer_engine.images.encoding import png_text
from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.reports.slices import SliceView
from factorizer_engine.protocol.lesions import Ruler

WINDOW = (1.0, 99.7)
"""Percentiles of a scan's bright voxels that are black and white."""
WARM = np.array([(64, 12, 100), (130, 33, 107), (200, 66, 62), (249, 142, 9), (252, 255, 164)])
COLD = np.array([(12, 40, 90), (20, 80, 150), (40, 130, 200), (110, 180, 225), (205, 235, 250)])
"""Colours of rising evidence for a region, and against it."""
SHOWN_PART = 0.05
"""Part of the head in which a component's evidence is drawn: where it is largest."""
LONG_BAR, SHORT_BAR = 50, 20
"""Lengths of the scale bar in mm."""
MARGIN_MM = 12.0
WHITE, SHADE = "#ffffff", "#000000"


@dataclass(frozen=True)
class Outline:
    """Voxels that are outlined in a colour.

    Attributes:
        mask: Boolean, (I, J, K), on the grid of the view.
        color: As CSS writes it.
    """

    mask: np.ndarray
    color: str


@dataclass(frozen=True)
class Heat:
    """Evidence that is drawn in colours.

    Attributes:
        values: In logits per mL, (I, J, K), on the grid of the view; zero where nothing is drawn.
        high: The value that has the lightest colour.
        against: Whether it speaks against the region, and not for it.
    """

    values: np.ndarray
    high: float
    against: bool = False

    @property
    def colors(self) -> np.ndarray:
        """From little to much, (N, 3)."""
        return COLD if self.against else WARM


@dataclass(frozen=True)
class Picture:
    """A drawn slice.

    Attributes:
        svg: The picture itself, without need of any other file.
        title: What it shows, over which scan.
        place: Which slice it is.
        caption: What is measured in it, or "".
    """

    svg: Markup
    title: str
    place: str
    caption: str = ""


class Backdrop:
    """A scan, brought slice by slice onto the grid of the results.

    Args:
        name: What to call it in pictures.
        scan: The scan, on any grid.
    """

    def __init__(self, name: str, scan: Scan) -> None:
        self.name = name
        self._scan = scan

    def gray(self, view: SliceView) -> np.ndarray:
        """The slice from 0 (black) to 1 (white), (rows, columns)."""
        low, high = self._window
        pixels = view.picture(resample(self._scan, view.slab, "linear").array)
        return np.clip((pixels.astype(np.float32) - low) / max(high - low, 1e-6), 0.0, 1.0)

    def head(self, grid: Grid) -> np.ndarray:
        """Where the scan is brighter than black, (I, J, K), on a grid."""
        return resample(self._scan, grid, "linear").array > self._window[0]

    @cached_property
    def _window(self) -> tuple[float, float]:
        every = tuple(slice(None, None, max(1, count // 96)) for count in self._scan.shape)
        sample = self._scan.array[every].astype(np.float64)
        bright = sample[sample > sample.min()]
        if not bright.size:
            return 0.0, 1.0
        low, high = np.percentile(bright, WINDOW)
        return float(low), float(high)


def draw(
    view: SliceView,
    backdrop: Backdrop,
    outlines: Sequence[Outline],
    title: str,
    rulers: Sequence[Ruler] = (),
    heat: Heat | None = None,
) -> Picture:
    """Draw one slice.

    Args:
        view: Which slice.
        backdrop: The scan to draw upon.
        outlines: What to outline.
        title: What the picture shows.
        rulers: Lines in the slice; their lengths are written beside them.
        heat: Evidence to colour, if any.
    """
    gray = backdrop.gray(view)
    pixels = np.repeat((255 * gray).astype(np.uint8)[..., None], 3, axis=2)
    parts = []
    if heat is not None:
        _paint_heat(pixels, view.picture(heat.values), heat)
    masks = [(view.picture(outline.mask), outline.color) for outline in outlines]
    frame = _Frame.around(view, [gray > 0.1, *(mask for mask, _ in masks)])
    parts.append(_image(pixels, view.size))
    parts += [_path(outline_path(mask, view.pixel), color) for mask, color in masks]
    for ruler in rulers:
        parts.append(_ruler(view.place(np.array([ruler.start, ruler.end])), ruler, frame))
    parts += frame.annotations(view, backdrop.name)
    if heat is not None:
        parts.append(frame.legend(heat))
    place = f"{view.plane}, {view.position}"
    return Picture(frame.svg(parts, f"{title}, {place}"), title, place)


def outline_path(mask: np.ndarray, pixel: tuple[float, float]) -> str:
    """The edges between pixels (rows, columns) inside and outside, as an SVG path in mm."""
    width, height = pixel
    padded = np.pad(mask, 1).astype(np.int8)
    steps = []
    for row, start, stop in _runs(np.diff(padded, axis=0)[:, 1:-1] != 0):
        steps.append(f"M{start * width:.2f} {row * height:.2f}H{stop * width:.2f}")
    for column, start, stop in _runs(np.diff(padded, axis=1)[1:-1].T != 0):
        steps.append(f"M{column * width:.2f} {start * height:.2f}V{stop * height:.2f}")
    return "".join(steps)


@dataclass(frozen=True)
class _Frame:
    """The part of a slice that is shown, in mm."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def around(cls, view: SliceView, masks: Sequence[np.ndarray]) -> _Frame:
        """Around what any of the masks has, with room for letters."""
        shown = np.any(masks, axis=0)
        bounds = []
        for axis, pixel in enumerate(view.pixel[::-1]):
            lines = np.flatnonzero(shown.any(axis=1 - axis))
            low, high = (lines[0], lines[-1] + 1) if len(lines) else (0, shown.shape[axis])
            bounds.append((low * pixel - MARGIN_MM, high * pixel + MARGIN_MM))
        (top, bottom), (left, right) = bounds
        return cls(float(left), float(top), float(right - left), float(bottom - top))

    @property
    def letter(self) -> float:
        """Height of letters in mm."""
        return max(self.width, self.height) / 24

    def svg(self, parts: Sequence[Markup], text: str) -> Markup:
        """The whole picture."""
        box = f"{self.x:.2f} {self.y:.2f} {self.width:.2f} {self.height:.2f}"
        return Markup(
            '<svg viewBox="{}" role="img" aria-label="{}" font-size="{:.2f}">{}</svg>'
        ).format(box, text, self.letter, Markup("").join(parts))

    def annotations(self, view: SliceView, name: str) -> list[Markup]:
        """Letters of the sides, the scan's name, the slice's place and a scale bar."""
        left, right, top, bottom = view.letters
        pad, x, y = 0.4 * self.letter, self.x, self.y
        middle_x, middle_y = x + self.width / 2, y + self.height / 2
        bar = LONG_BAR if self.width > 2.5 * LONG_BAR else SHORT_BAR
        end, level = x + self.width - pad, y + self.height - pad
        return [
            _text(left, x + pad, middle_y, "start"),
            _text(right, end, middle_y, "end"),
            _text(top, middle_x, y + 1.2 * self.letter, "middle"),
            _text(bottom, middle_x, level, "middle"),
            _text(name, x + pad, y + 1.2 * self.letter, "start"),
            _text(f"{view.plane} {view.position}", x + pad, level, "start", 0.8 * self.letter),
            _line(end - bar, level, end, level, self.letter / 7),
            _text(f"{bar} mm", end - bar / 2, level - pad, "middle", 0.8 * self.letter),
        ]

    def legend(self, heat: Heat) -> Markup:
        """What the colours of evidence mean."""
        width, height, size = 0.7 * self.letter, 0.4 * self.height, 0.7 * self.letter
        x, y = self.x + self.width - 2.2 * self.letter, self.y + 0.12 * self.height
        part = height / len(heat.colors)
        bar = Markup('<rect x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}" fill="{}"/>')
        steps = [
            bar.format(x, y + number * part, width, part, css(color))
            for number, color in enumerate(heat.colors[::-1])
        ]
        top = f"{'-' if heat.against else ''}{heat.high:.2g}"
        labels = [
            _text(top, x + width, y - 0.3 * self.letter, "end", size),
            _text("0", x + width, y + height + 0.9 * self.letter, "end", size),
        ]
        return Markup("").join([*steps, *labels])


def css(color: Sequence[int]) -> str:
    """A colour, 0 to 255, as CSS writes it."""
    red, green, blue = (int(part) for part in color)
    return f"#{red:02x}{green:02x}{blue:02x}"


def peaks_only(evidence: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Evidence where it is among the largest `SHOWN_PART` of the head, zero elsewhere."""
    inside = evidence[head] if head.any() else evidence.ravel()
    return np.where(head & (evidence >= np.quantile(inside, 1 - SHOWN_PART)), evidence, 0.0)


def _paint_heat(pixels: np.ndarray, values: np.ndarray, heat: Heat) -> None:
    part = np.clip(values / max(heat.high, 1e-9), 0, 1) * (len(heat.colors) - 1)
    levels = np.arange(len(heat.colors))
    colors = np.stack([np.interp(part, levels, heat.colors[:, band]) for band in range(3)], axis=-1)
    shown = values > 0
    pixels[shown] = (0.4 * pixels[shown] + 0.6 * colors[shown]).astype(np.uint8)


def _image(pixels: np.ndarray, size: tuple[float, float]) -> Markup:
    return Markup(
        '<image width="{:.2f}" height="{:.2f}" preserveAspectRatio="none" '
        'href="data:image/png;base64,{}"/>'
    ).format(*size, png_text(pixels))


def _path(steps: str, color: str) -> Markup:
    return (
        Markup('<path class="outline" stroke="{}" d="{}"/>').format(color, steps)
        if steps
        else (Markup(""))
    )


def _ruler(ends: np.ndarray, ruler: Ruler, frame: _Frame) -> Markup:
    (x1, y1), (x2, y2) = ends
    width = frame.letter / 9
    outer = ends[int(np.argmax(ends[:, 0]))]
    label = _text(
        f"{ruler.length_mm:.0f}", outer[0] + width * 3, outer[1], "start", 0.8 * frame.letter
    )
    return _line(x1, y1, x2, y2, width) + label


def _line(x1: float, y1: float, x2: float, y2: float, width: float) -> Markup:
    line = Markup('<line x1="{:.2f}" y1="{:.2f}" x2="{:.2f}" y2="{:.2f}" ').format(x1, y1, x2, y2)
    stroke = Markup('stroke="{}" stroke-width="{:.2f}"/>')
    return line + stroke.format(SHADE, 2.2 * width) + line + stroke.format(WHITE, width)


def _text(text: str, x: float, y: float, anchor: str, size: float | None = None) -> Markup:
    own = Markup(' font-size="{:.2f}"').format(size) if size else Markup("")
    return Markup('<text x="{:.2f}" y="{:.2f}" text-anchor="{}"{}>{}</text>').format(
        x, y, anchor, own, escape(text)
    )


def _runs(lines: np.ndarray) -> list[tuple[int, int, int]]:
    """Row, start and stop of every run of true values in the rows of (N, M)."""
    changes = np.diff(np.pad(lines, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    (rows, starts), (_, stops) = np.nonzero(changes == 1), np.nonzero(changes == -1)
    return [*zip(rows.tolist(), starts.tolist(), stops.tolist(), strict=True)]


def backdrops(scans: Mapping[str, Scan]) -> dict[str, Backdrop]:
    """The scans, by channel, to draw upon."""
    return {name: Backdrop(name, scan) for name, scan in scans.items()}

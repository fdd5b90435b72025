"""One page that shows what a model will see of a prepared study.

Chequers of two sequences show whether they lie on each other: edges run on from tile to tile. The
yellow line is the edge of the brain that was cut out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment
from scipy import ndimage

from factorizer_engine.images.encoding import png_text
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.preparation.heads import centre_of, head_mask, isotropic
from factorizer_engine.protocol.files import write_text
from factorizer_engine.protocol.preparation import Step

PIXEL_MM = 1.0
TILE = 24
"""Pixels along a tile of the chequers."""

YELLOW = (255, 220, 0)

PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}
"""Axis that each plane of a volume in LPS stands across."""

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Prepared inputs</title>
<style>
 body { font: 15px/1.5 sans-serif; margin: 2rem; }
 img { background: black; margin: 0 4px 4px 0; }
 td, th { text-align: left; padding: 2px 12px 2px 0; vertical-align: top; }
 .look { background: #ffe8b3; }
</style>
<h1>Prepared inputs</h1>
{% for row in rows %}
<h2>{{ row.title }}</h2>
{% for plane, image in row.images.items() %}
<img alt="{{ row.title }}, {{ plane }}" src="data:image/png;base64,{{ image }}">
{% endfor %}
{% endfor %}
<h2>Steps</h2>
<table>
<tr><th>Scan<th>Step<th>Outcome<th>Figures</tr>
{% for step in steps %}
<tr{% if step.doubtful %} class="look"{% endif %}>
<td>{{ step.channel or "all" }}<td>{{ step.name }}<td>{{ step.outcome }}
<td>{% for name, value in step.values.items() %}{{ name }} {{ value }}<br>{% endfor %}</tr>
{% endfor %}
</table>
<p>{% for name, version in versions.items() %}{{ name }} {{ version }}; {% endfor %}</p>
</html>
"""


def write_sheet(
    path: Path,
    scans: Mapping[str, Scan],
    reference: str,
    brain: Scan | None,
    steps: Sequence[Step],
    versions: Mapping[str, str],
    turned_up: bool = False,
) -> None:
    """Write the page as one HTML file.

    Args:
        path: The file.
        scans: Every channel as it was scanned, at the place that it got.
        reference: The channel that the others are shown against.
        brain: Its brain mask; None if nothing was cut out.
        steps: What was done.
        versions: By which programs.
        turned_up: Show as up what the scans call down, as the model sees it.

    Raises:
        BadInputError: If the page cannot be written.
    """
    fixed = isotropic(scans[reference], PIXEL_MM)
    fixed = resample(fixed, fixed.grid.oriented("LPI" if turned_up else "LPS"))
    mask = None if brain is None else resample(brain, fixed.grid, "nearest").array > 0
    middle = head_mask(fixed) if mask is None else fixed.with_array(mask)
    centre = np.round(fixed.grid.indices_of(centre_of(middle)[None])[0]).astype(int)
    own = _grey(fixed.array)
    title = f"{reference}, turned up" if turned_up else reference
    rows = [{"title": title, "images": _views(own, mask, centre)}]
    for channel, scan in scans.items():
        if channel != reference:
            other = _grey(resample(scan, fixed.grid).array)
            images = _views(_chequers(own, other), mask, centre)
            rows.append({"title": f"{reference} and {channel}", "images": images})
    page = Environment(autoescape=True, trim_blocks=True).from_string(_PAGE)
    write_text(path, page.render(rows=rows, steps=steps, versions=versions))


def placed(scan: Scan, steps: Sequence[Step], channel: str) -> Scan:
    """The scan of a channel where its registration, if there was one, has put it."""
    for step in steps:
        if step.channel == channel and step.matrix:
            return scan.brought(np.array(step.matrix))
    return scan


def _grey(array: np.ndarray) -> np.ndarray:
    """uint8 between the percentiles 1 and 99.5 of what is shown at all."""
    shown = array[array != 0]
    low, high = np.percentile(shown, [1.0, 99.5]) if shown.size else (0.0, 1.0)
    scaled = (array - low) / max(high - low, 1e-6)
    grey: np.ndarray = (255 * np.clip(scaled, 0.0, 1.0)).astype(np.uint8)
    return grey


def _chequers(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Tiles of one volume and of the other in turn, along all three axes."""
    tile = sum(np.ogrid[tuple(slice(n) for n in first.shape)][axis] // TILE for axis in range(3))
    return np.where(tile % 2 == 0, first, second)


def _views(grey: np.ndarray, mask: np.ndarray | None, centre: np.ndarray) -> dict[str, str]:
    """PNG in base64 by plane: patient's right on the left, superior or anterior up."""
    views = {}
    for plane, axis in PLANES.items():
        index = int(np.clip(centre[axis], 0, grey.shape[axis] - 1))
        image = np.stack([grey.take(index, axis).T] * 3, axis=-1)
        if mask is not None:
            inside = mask.take(index, axis).T
            image[inside & ~ndimage.binary_erosion(inside)] = YELLOW
        views[plane] = png_text(image if plane == "axial" else image[::-1])
    return views

"""One HTML page about a run: what it was, its curves, and slices of validation cases."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment

from factorizer_engine.protocol.files import write_text
from factorizer_engine.protocol.wording import counted
from factorizer_engine.training.records.records import Run

_WIDTH, _HEIGHT, _MARGIN = 640, 220, 40
_COLORS = ("#1f6fb4", "#d1495b", "#2e8b57", "#c98a1b", "#6a4c93")

_TEMPLATE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{ name }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222;
       max-width: 960px; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }
svg { width: 100%; max-width: 640px; background: #fafafa }
svg text { font-size: 11px; fill: #555 }
figure { display: inline-block; margin: .5rem }
figure img { height: 220px; image-rendering: pixelated }
figcaption { font-size: 13px; color: #555 }
</style>
<h1>{{ name }}</h1>
<table>
{% for key, value in facts %}
<tr><th>{{ key }}</th><td>{{ value }}</td></tr>
{% endfor %}
</table>
{% for chart in charts %}
<h2>{{ chart.title }}</h2>
<svg viewBox="0 0 {{ width }} {{ height }}" role="img">
{% for x, y, anchor, text in chart.ticks %}
<text x="{{ x }}" y="{{ y }}" text-anchor="{{ anchor }}">{{ text }}</text>
{% endfor %}
{% for line in chart.lines %}
<polyline fill="none" stroke="{{ line.color }}" stroke-width="1.5" points="{{ line.points }}"/>
<text x="{{ width - 4 }}" y="{{ 14 + 14 * loop.index }}" text-anchor="end"
      style="fill: {{ line.color }}">{{ line.name }}</text>
{% endfor %}
</svg>
{% endfor %}
{% if pictures %}
<h2>Validation cases</h2>
<p>Middle slice of the lesion; left the image with the reference, right with the prediction.</p>
{% for picture in pictures %}
<figure><img src="data:image/png;base64,{{ picture.data }}" alt="{{ picture.name }}">
<figcaption>{{ picture.name }}</figcaption></figure>
{% endfor %}
{% endif %}
</html>
"""


@dataclass(frozen=True)
class Example:
    """A case to show: one channel (X, Y, Z) and masks (R, X, Y, Z), outermost region last."""

    name: str
    image: np.ndarray
    reference: np.ndarray
    prediction: np.ndarray


def write_report(run: Run, examples: Sequence[Example] = ()) -> Path:
    """Write `report.html` into the run's folder.

    Pictures need matplotlib; without it the page has the curves only.
    """
    training = [r for r in run.history if r["kind"] == "training"]
    validation = [r for r in run.history if r["kind"] == "validation"]
    charts = [
        _chart("Training loss", [("loss", _points(training, "loss"))]),
        _chart("Validation Dice", [(n, _points(validation, n)) for n in ("dice", *run.regions)]),
        _chart("Learning rate", [("learning rate", _points(training, "learning_rate"))]),
    ]
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(_TEMPLATE).render(
        name=run.config.name,
        facts=_facts(run),
        charts=[chart for chart in charts if chart],
        pictures=[p for p in map(_picture, examples) if p],
        width=_WIDTH,
        height=_HEIGHT,
    )
    path = run.folder / "report.html"
    write_text(path, page)
    return path


def _facts(run: Run) -> list[tuple[str, Any]]:
    record, best = run.record, run.best_validation
    facts = [
        ("Data", f"{record['dataset']}, {counted(record['cases'], 'case')}"),
        ("Trained on", ", ".join(run.split.train)),
        ("Selected on", ", ".join(run.split.validation) or "nothing"),
        ("Held out", ", ".join(run.split.held_out) or "nothing"),
        ("Steps", record.get("steps", "not ended")),
        ("Seconds", record.get("seconds", "not ended")),
        ("Device", f"{record['device']}, {record['processes']} process(es)"),
        ("Commit", record["commit"] or "unknown"),
    ]
    if best:
        facts.append(("Best validation Dice", f"{best['dice']:.3f} at step {best['step']}"))
    return facts


def _points(records: Sequence[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    return [(r["step"], r[key]) for r in records if r.get(key) is not None]


def _chart(title: str, series: list[tuple[str, list[tuple[float, float]]]]) -> dict | None:
    filled = [(name, points) for name, points in series if len(points) > 1]
    if not filled:
        return None
    everything = np.array([p for _, points in filled for p in points])
    low, high = everything.min(axis=0), everything.max(axis=0)
    low[1] = min(low[1], 0.0)
    size = np.maximum(high - low, 1e-12)
    inner = np.array([_WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN])
    lines = []
    for index, (name, points) in enumerate(filled):
        scaled = (np.array(points) - low) / size * inner
        text = " ".join(f"{_MARGIN + x:.1f},{_HEIGHT - _MARGIN - y:.1f}" for x, y in scaled)
        lines.append({"name": name, "points": text, "color": _COLORS[index % len(_COLORS)]})
    ticks = [
        (_MARGIN - 4, _HEIGHT - _MARGIN, "end", f"{low[1]:.3g}"),
        (_MARGIN - 4, _MARGIN + 4, "end", f"{high[1]:.3g}"),
        (_MARGIN, _HEIGHT - _MARGIN + 16, "middle", f"{low[0]:.0f}"),
        (_WIDTH - _MARGIN, _HEIGHT - _MARGIN + 16, "middle", f"step {high[0]:.0f}"),
    ]
    return {"title": title, "lines": lines, "ticks": ticks}


def _picture(example: Example) -> dict[str, str] | None:
    try:
        from matplotlib.image import imsave
    except ImportError:
        return None
    counts = example.reference.any(axis=0).sum(axis=(0, 1))
    k = int(np.argmax(counts)) if counts.any() else example.image.shape[2] // 2
    panels = [
        _overlay(example.image[:, :, k], masks[:, :, :, k])
        for masks in (example.reference, example.prediction)
    ]
    stream = io.BytesIO()
    imsave(stream, np.concatenate(panels, axis=1), format="png")
    return {"name": example.name, "data": base64.b64encode(stream.getvalue()).decode("ascii")}


def _overlay(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Grey slice (X, Y) with masks (R, X, Y) tinted, as RGB with anterior up."""
    low, high = np.percentile(image, [1, 99.5])
    grey = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    rgb = np.repeat(grey[..., None], 3, axis=-1)
    for index in reversed(range(len(masks))):
        code = _COLORS[index % len(_COLORS)]
        color = np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        rgb[masks[index]] = 0.6 * rgb[masks[index]] + 0.4 * color
    return np.ascontiguousarray(rgb[::-1, ::-1].transpose(1, 0, 2))

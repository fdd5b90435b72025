"""An atlas: a row of example slices for every component of a model, with what it means."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from markupsafe import Markup

from factorizer_engine.components.definition import (
    component_name,
    factorizers_of,
    mixers_of,
    terms_of,
)
from factorizer_engine.components.stitching import SMOOTH, stitch_components
from factorizer_engine.images.encoding import jpeg_text
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.inference.windows import Box, WindowPlan
from factorizer_engine.lesions.reports.pictures import WARM
from factorizer_engine.protocol.profiles import Profile, Profiles
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.triples import triple

_SCALE = 1.3
"""Pixels of the page for a voxel of the model."""
_TEXT, _WIDTH = 62, 400.0
"""Height of the lines above a row, and the least width of the page."""
_QUALITY = 72
_PERCENTILE = 99.7
_FROM = 0.1
"""Part of the range, from the median of the head to `_PERCENTILE`, below which nothing is drawn."""


def draw_atlas(
    segmenter: Segmenter,
    result: SegmentationResult,
    profiles: Profiles,
    monitor: Monitor | None = None,
) -> Iterator[tuple[str, str]]:
    """Pictures (SVG) of all components of the first network, by block.

    Each row shows one component in the axial, coronal and sagittal slice in which it is most
    active, over the sequence with which it correlates best; of a cascade, in the part at which the
    finer stage has looked.

    Args:
        segmenter: The model.
        result: A case whose slices may be shown.
        profiles: What the components mean.
        monitor: Told after every block, and asked whether to stop.
    """
    monitor = monitor or Monitor()
    network = factorizers_of(segmenter.networks)[0]
    mixers, known = mixers_of(network), profiles.by_term()
    channels = segmenter.bundle.description.channels  # those that are missing are zeros
    scans = {c.name: scan for c, scan in zip(channels, result.prepared.array, strict=False)}
    seen = _seen(result.plan)
    parts = monitor.parts(len(mixers))
    for block, part in zip(mixers, parts, strict=True):
        terms = terms_of(mixers, [block])
        (maps,) = stitch_components(
            network,
            result.prepared.array,
            result.plan,
            terms,
            segmenter.device,
            part,
            modes=(SMOOTH,),
        )
        rows = []
        for term, active in zip(terms, maps, strict=True):
            profile = known.get(term, Profile(term))
            shown = max(result.given, key=lambda name: abs(profile.intensities.get(name, 0.0)))
            title = f"{component_name(term, mixers)} on {shown}"
            rows.append((title, profile, _strip(scans[shown][seen], active[seen])))
        yield block, _page(rows)


def _seen(plan: WindowPlan) -> Box:
    """The part of the volume that lies in windows."""
    axes = zip(plan.span, plan.before, plan.shape, strict=True)
    return triple(slice(max(a.start - n, 0), min(a.stop - n, size)) for a, n, size in axes)


def _strip(scan: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Three slices beside each other, uint8 (rows, columns, 3)."""
    head = scan != 0
    active = np.where(head, active, 0.0)
    low, high = np.percentile(scan[head], (1, 99.5)) if head.any() else (0.0, 1.0)
    grey = np.where(head, np.clip((scan - low) / max(high - low, 1e-6), 0.05, 1), 0) * 255
    middle, top = np.percentile(active[head], (50, _PERCENTILE)) if head.any() else (0.0, 0.0)
    active = np.where(head, (active - middle) / max(top - middle, 1e-9), 0.0)
    pictures = []
    for axis in (2, 1, 0):
        others = tuple(other for other in range(3) if other != axis)
        index = int(active.clip(min=0).sum(axis=others).argmax())
        pictures.append(_painted(*(np.take(v, index, axis).T[::-1] for v in (grey, active))))
    height = max(len(picture) for picture in pictures)
    return np.concatenate(
        [np.pad(p, ((0, height - len(p)), (0, 4), (0, 0))) for p in pictures], axis=1
    )


def _painted(grey: np.ndarray, active: np.ndarray) -> np.ndarray:
    pixels = np.repeat(grey[..., None], 3, axis=-1)
    part = np.clip(active, 0, 1)
    places = (part - _FROM) / (1 - _FROM) * (len(WARM) - 1)
    colors = np.stack([np.interp(places, range(len(WARM)), band) for band in WARM.T], axis=-1)
    shown = part > _FROM
    pixels[shown] = 0.35 * pixels[shown] + 0.65 * colors[shown]
    return pixels.astype(np.uint8)


def _page(rows: list[tuple[str, Profile, np.ndarray]]) -> str:
    drawn, y, width = [], 0.0, _WIDTH
    for title, profile, strip in rows:
        height, right = strip.shape[0] * _SCALE, strip.shape[1] * _SCALE
        responds, _, speaks = profile.meaning.partition("; ")
        stability = "" if profile.stability is None else f"stability {profile.stability:.2f}"
        drawn.append(
            Markup(
                '<text x="4" y="{:.0f}" font-weight="bold">{}</text>'
                '<text x="{:.0f}" y="{:.0f}" text-anchor="end">{}</text>'
                '<text x="4" y="{:.0f}">{}</text><text x="4" y="{:.0f}">{}</text>'
                '<image y="{:.0f}" width="{:.0f}" height="{:.0f}" '
                'href="data:image/jpeg;base64,{}"/>'
            ).format(
                y + 16,
                title,
                _WIDTH - 4,
                y + 16,
                stability,
                y + 34,
                responds,
                y + 52,
                speaks,
                y + _TEXT,
                right,
                height,
                jpeg_text(strip, _QUALITY),
            )
        )
        y += _TEXT + height + 8
        width = max(width, right)
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {:.0f} {:.0f}" '
        'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#fff"/>'
        "{}</svg>\n"
    ).format(width, y, Markup("").join(drawn))

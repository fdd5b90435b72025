"""Clicks and scribbles in the voxels of a volume, and as channels that a network reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from factorizer_engine.bundles.settings import PromptSettings

_AT_ONCE = 1024
"""Points of a scribble that are drawn together."""


@dataclass(frozen=True, eq=False)
class Stroke:
    """A click or a scribble in a volume.

    Attributes:
        region: Number of the region that it corrects.
        points: Continuous voxel indices (N, 3); one for a click, several for a scribble.
        add: Whether the region holds there, or does not.
    """

    region: int
    points: np.ndarray
    add: bool


def prompt_channels(
    strokes: Sequence[Stroke],
    masks: np.ndarray | None,
    regions: int,
    shape: Sequence[int],
    spacing: Sequence[float],
    settings: PromptSettings,
) -> np.ndarray:
    """What a network with prompt channels reads beside the scans.

    Of every region in turn: where it was added to, where it was removed from, and the segmentation
    that is to be corrected, as in RITM (Sofiiuk et al., Reviving iterative training with mask
    guidance, arXiv:2102.06583, section 3). Points are balls, which that work found better than
    distance maps; their edge is one voxel wide, so that places between voxels count.

    Args:
        strokes: Clicks and scribbles so far.
        masks: Where regions hold, (regions, *shape), 0 to 1; None if there is no segmentation yet.
        regions: Their number.
        shape: Voxels of the volume, or of a window of it.
        spacing: Voxel size in mm.
        settings: How the network was trained.

    Returns:
        float32, (3 regions, *shape), in 0 to 1.
    """
    channels = np.zeros((3 * regions, *shape), dtype=np.float32)
    for stroke in strokes:
        channel = channels[3 * stroke.region + (0 if stroke.add else 1)]
        for first in range(0, len(stroke.points), _AT_ONCE):
            some = stroke.points[first : first + _AT_ONCE]
            _draw_balls(channel, some, settings.radius_mm, spacing)
    if masks is not None:
        channels[2::3] = masks
    return channels


def _draw_balls(
    volume: np.ndarray, centers: np.ndarray, radius_mm: float, spacing: Sequence[float]
) -> None:
    """Balls around points (N, 3) into a volume, in place; parts beyond its borders are left out."""
    edge = float(np.min(spacing))
    reach = np.ceil((radius_mm + edge) / np.asarray(spacing)).astype(int)
    offsets = np.indices((2 * reach + 1).tolist()).reshape(3, -1).T - reach
    middles = np.rint(centers).astype(int)
    reached = ((middles >= -reach) & (middles < volume.shape + reach)).all(axis=1)
    centers, voxels = centers[reached], middles[reached, None] + offsets
    distance = np.linalg.norm((voxels - centers[:, None]) * spacing, axis=2)
    ball = np.clip((radius_mm - distance) / edge + 0.5, 0, 1).astype(volume.dtype)
    inside = (ball > 0) & ((voxels >= 0) & (voxels < volume.shape)).all(axis=2)
    np.maximum.at(volume, tuple(voxels[inside].T), ball[inside])

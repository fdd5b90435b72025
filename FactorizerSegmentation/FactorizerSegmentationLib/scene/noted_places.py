"""Where a scan lay when something was found or clicked on it, by which that moves along with it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from factorizer_engine.protocol.triples import triple

WORLD_ATTRIBUTE = "FactorizerSegmentation.World"
"""Of a node: where its scan lay, 4x4, voxel to world in mm, row by row."""
_MOVED_MM = 1e-4


def notePlace(node, world: np.ndarray, attribute: str = WORLD_ATTRIBUTE) -> None:
    """Note at a node where its scan lies (4x4, voxel to world)."""
    node.SetAttribute(attribute, json.dumps(np.asarray(world).ravel().tolist()))


def hasMoved(node, world: np.ndarray, attribute: str = WORLD_ATTRIBUTE) -> bool:
    """Whether the scan lies elsewhere by now, as by a transform above it."""
    before = _placeOf(node, attribute)
    return before is not None and not np.allclose(before, world, rtol=0, atol=_MOVED_MM)


def movement(node, world: np.ndarray, attribute: str = WORLD_ATTRIBUTE) -> np.ndarray | None:
    """What (4x4, in the world) has moved the scan since its place was noted, which is noted anew.

    Returns:
        None if it has not moved, or nothing was noted.
    """
    before, moved = _placeOf(node, attribute), hasMoved(node, world, attribute)
    if before is None or moved:
        notePlace(node, world, attribute)
    return world @ np.linalg.inv(before) if before is not None and moved else None


def movedPoint(matrix: np.ndarray, place: Sequence[float]) -> tuple[float, float, float]:
    """Where a movement (4x4) takes a place."""
    return triple((matrix[:3, :3] @ place + matrix[:3, 3]).tolist())


def _placeOf(node, attribute: str) -> np.ndarray | None:
    try:
        noted = json.loads(node.GetAttribute(attribute) or "")
        place = np.reshape(np.asarray(noted, dtype=np.float64), (4, 4))
    except (TypeError, ValueError):  # a scene file can hold anything, and an engine say anything
        return None
    return place if np.isfinite(place).all() and np.linalg.det(place) != 0 else None

"""Numbers by which maps, orders and curves are compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr


def best_dice(values: np.ndarray, truth: np.ndarray, levels: int = 60) -> float:
    """The best Dice with `truth` of all thresholds of a map, among its positive values."""
    if not truth.any() or not (values > 0).any():
        return 0.0
    order = np.argsort(-values, axis=None)
    hits = np.cumsum(truth.ravel()[order])
    most = int((values > 0).sum())
    counts = np.unique(np.geomspace(1, most, levels).astype(int))
    return float((2 * hits[counts - 1] / (counts + truth.sum())).max())


def area(x: Sequence[float] | np.ndarray, curve: Sequence[float]) -> float:
    """Under a curve, by the trapezoidal rule."""
    heights = np.asarray(curve)
    return float((np.diff(x) * (heights[1:] + heights[:-1]) / 2).sum())


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Of two rankings."""
    return float(spearmanr(a, b).statistic)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's, of all voxels of two maps; 0 where one does not vary."""
    if not (np.ptp(a) > 0 and np.ptp(b) > 0):
        return 0.0
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

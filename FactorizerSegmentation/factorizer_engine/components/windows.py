"""Display ranges in which maps can be compared, and seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from factorizer_engine.factorization.threads import map_in_threads
from factorizer_engine.protocol.components import Term

_MOST_HALVINGS = 6


def shared_windows(
    terms: Sequence[Term], heatmaps: Sequence[np.ndarray]
) -> list[tuple[float, float]]:
    """The display range of every heatmap: one for all of a block, so that they can be compared.

    Only those: what follows a block rescales its activations, so that those of another block may be
    ten times as large and drive less. A range goes from the median of the positive voxels, the
    activity that is found everywhere, to the highest of the heatmaps' 99.5th percentiles: single
    voxels do not decide, and neither do components that are nowhere very active, beside which a
    large lesion would be one flat colour.
    """
    by_block: dict[tuple[int, str], list[np.ndarray]] = {}
    active = map_in_threads(lambda heatmap: heatmap[heatmap > 0], heatmaps)
    for term, positive in zip(terms, active, strict=True):
        by_block.setdefault((term.network, term.block), []).append(positive)
    found = map_in_threads(_window, list(by_block.values()))
    windows = dict(zip(by_block, found, strict=True))
    return [windows[term.network, term.block] for term in terms]


def legible_windows(
    terms: Sequence[Term], heatmaps: Sequence[np.ndarray]
) -> list[tuple[float, float]]:
    """`shared_windows`, halved until the heatmap reaches at least half of it.

    So a weak component beside a strong one of its block is not drawn black, and windows of a block
    differ by factors of two that a legend shows.
    """
    peaks = map_in_threads(_peak, heatmaps)
    return [
        (low / 2**halvings, high / 2**halvings)
        for (low, high), peak in zip(shared_windows(terms, heatmaps), peaks, strict=True)
        for halvings in [_halvings(high, peak)]
    ]


def evidence_windows(evidence: Sequence[np.ndarray]) -> list[tuple[float, float]]:
    """(-high, high) of every map: one for all, halved until the map reaches at least half of it.

    All are in logits per mL, so that they can be compared across blocks.
    """
    peaks = map_in_threads(lambda values: _peak(np.abs(values)), evidence)
    high = max(peaks, default=0.0) or 1.0
    return [(-high / 2**k, high / 2**k) for k in (_halvings(high, peak) for peak in peaks)]


def _peak(values: np.ndarray) -> float:
    """The 99.5th percentile of the positive values, 0.0 if there is none."""
    positive = values[values > 0]
    return float(np.percentile(positive, 99.5)) if positive.size else 0.0


def _halvings(high: float, peak: float) -> int:
    if not 0 < peak < high:
        return 0
    return min(int(np.log2(high / peak)), _MOST_HALVINGS)


def _window(positive: Sequence[np.ndarray]) -> tuple[float, float]:
    active = [values for values in positive if values.size]
    if not active:
        return (0.0, 1.0)
    low = float(np.median(np.concatenate(active)))
    high = max(float(np.percentile(values, 99.5)) for values in active)
    return (low, high) if high > low else (0.0, high)

"""How well a segmentation agrees with its reference, per region, with the challenges' conventions.

Empty masks: where prediction and reference are both empty the agreement is perfect (Dice 1, HD95 0,
surface Dice 1, lesion F1 1); where only one of them is, it is worst (0, `WORST_HD95_MM`, 0, 0), as
in BraTS.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final

import cc3d
import numpy as np
import torch
from monai.metrics import (
    compute_dice,
    compute_hausdorff_distance,
    compute_surface_dice,
)

#: Diagonal of the 240 x 240 x 155 mm volumes of BraTS.
WORST_HD95_MM = 373.13

_LESION_CONNECTIVITY: Final = 26


@dataclass(frozen=True)
class RegionScores:
    """Agreement of one region of one case; volumes in mL, distances in mm."""

    dice: float
    hd95_mm: float
    surface_dice: float
    lesion_f1: float
    volume_ml: float
    reference_volume_ml: float

    @property
    def volume_error_ml(self) -> float:
        """Predicted minus reference volume."""
        return self.volume_ml - self.reference_volume_ml

    def as_dict(self) -> dict[str, float]:
        return {**self.__dict__, "volume_error_ml": self.volume_error_ml}


#: Fields of `RegionScores` that are summed up and compared, and their titles.
METRICS = {
    "dice": "Dice",
    "hd95_mm": "HD95 (mm)",
    "surface_dice": "Surface Dice",
    "lesion_f1": "Lesion F1",
    "volume_error_ml": "Volume error (mL)",
}


def score_region(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: tuple[float, float, float],
    tolerance_mm: float = 2.0,
) -> RegionScores:
    """Compare two binary masks (X, Y, Z) on one grid.

    Args:
        spacing: Voxel size in mm.
        tolerance_mm: Distance within which surfaces count as equal.
    """
    prediction, reference = prediction.astype(bool), reference.astype(bool)
    voxel_ml = float(np.prod(spacing)) / 1000.0
    volumes = prediction.sum() * voxel_ml, reference.sum() * voxel_ml
    if not prediction.any() or not reference.any():
        agree = bool(prediction.any() == reference.any())
        worst = 0.0 if agree else WORST_HD95_MM
        return RegionScores(float(agree), worst, float(agree), float(agree), *map(float, volumes))
    box = _common_box(prediction | reference)
    found, true = (
        torch.from_numpy(m[box].copy())[None, None].float() for m in (prediction, reference)
    )
    with warnings.catch_warnings():
        # MONAI's surface metrics still call a function of theirs that they deprecated.
        warnings.simplefilter("ignore", FutureWarning)
        hd95 = compute_hausdorff_distance(
            found, true, include_background=True, percentile=95, spacing=list(spacing)
        )
        surface = compute_surface_dice(
            found,
            true,
            class_thresholds=[tolerance_mm],
            include_background=True,
            spacing=list(spacing),
        )
    return RegionScores(
        dice=float(compute_dice(found, true, include_background=True)),
        hd95_mm=float(hd95),
        surface_dice=float(surface),
        lesion_f1=lesion_f1(prediction, reference),
        volume_ml=float(volumes[0]),
        reference_volume_ml=float(volumes[1]),
    )


def region_dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Dice of two binary masks on one grid, with the conventions for empty ones."""
    found, true = (
        torch.from_numpy(m.astype(np.float32))[None, None] for m in (prediction, reference)
    )
    return float(compute_dice(found, true, include_background=True, ignore_empty=False))


def lesion_f1(prediction: np.ndarray, reference: np.ndarray) -> float:
    """F1 of connected components, found when they share a voxel with the other mask (ISLES'22)."""
    found, predicted = (
        cc3d.connected_components(m, connectivity=_LESION_CONNECTIVITY, return_N=True)
        for m in (reference, prediction)
    )
    hit_references = len(np.unique(found[0][prediction & reference]))
    hit_predictions = len(np.unique(predicted[0][prediction & reference]))
    missed, false = found[1] - hit_references, predicted[1] - hit_predictions
    total = 2 * hit_references + missed + false
    return 2 * hit_references / total if total else 1.0


def _common_box(mask: np.ndarray) -> tuple[slice, ...]:
    """Bounding box of a mask, one voxel wider, so that surfaces are not cut."""
    box = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(max(0, used[0] - 1), min(mask.shape[axis], used[-1] + 2)))
    return tuple(box)

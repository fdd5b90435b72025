"""The sample case that ships with the extension, and how well a result agrees with its label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

RESOURCES = Path(__file__).resolve().parents[2] / "FactorizerSegmentation" / "Resources"

REGION_LABELS = {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}
"""Label values that make up each region, by the convention of BraTS."""


@dataclass(frozen=True)
class Sample:
    """One patient's scans.

    Attributes:
        title: What the report calls the case.
        channels: Channel name to file.
        label: The experts' label map.
        credit: One sentence that names the source and its licence.
        reference: Where the source is described.
    """

    title: str
    channels: dict[str, Path]
    label: Path
    credit: str
    reference: str


def brain_tumour() -> Sample:
    """The glioblastoma in `Resources/SampleData`, which no model of this project has seen."""
    folder = RESOURCES / "SampleData" / "BrainTumour"
    return Sample(
        title="Glioblastoma, BraTS case TCIA02_370_1",
        channels={name: folder / f"{name}.nii.gz" for name in ("FLAIR", "T1", "T1ce", "T2")},
        label=folder / "label.nii.gz",
        credit=(
            "Scans and expert annotation: BraTS-TCGA-GBM, The Cancer Imaging Archive "
            "(Bakas et al., 2017), licence CC BY 3.0, cropped to the brain."
        ),
        reference="https://doi.org/10.7937/K9/TCIA.2017.KLXWJJ1Q",
    )


def dice_scores(labelmap: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Dice overlap per region; two empty regions agree (1.0).

    Args:
        labelmap: Predicted label values.
        truth: The experts' label values, same shape.
    """
    scores = {}
    for region, values in REGION_LABELS.items():
        found, real = np.isin(labelmap, values), np.isin(truth, values)
        total = int(found.sum()) + int(real.sum())
        scores[region] = 2.0 * int((found & real).sum()) / total if total else 1.0
    return scores

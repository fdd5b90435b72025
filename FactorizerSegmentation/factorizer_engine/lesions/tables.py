"""Lesions as a CSV table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from factorizer_engine.protocol.files import write_csv
from factorizer_engine.protocol.lesions import Lesion

LESION_COLUMNS = (
    "lesion",
    "label",
    "class",
    "volume_ml",
    "max_diameter_mm",
    "centroid_r_mm",
    "centroid_a_mm",
    "centroid_s_mm",
    "mean_probability",
)


def write_lesions_csv(lesions: Sequence[Lesion], path: str | Path) -> None:
    """Write one row per lesion: class, mL, largest diameter, centroid (RAS) in mm, probability.

    Raises:
        BadInputError: If the file cannot be written.
    """
    write_csv(path, (LESION_COLUMNS, *map(_row, lesions)), line_end="\n")


def _row(lesion: Lesion) -> tuple[object, ...]:
    return (
        lesion.id,
        lesion.label,
        lesion.name,
        f"{lesion.volume_ml:.4f}",
        f"{lesion.max_diameter_mm:.2f}",
        *(f"{coordinate:.2f}" for coordinate in lesion.centroid_ras),
        f"{lesion.mean_probability:.4f}",
    )

"""Lesions as a CSV table: one row a lesion, its parts in columns."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from factorizer_engine.protocol.files import FOR_SPREADSHEETS, write_csv
from factorizer_engine.protocol.lesions import Lesion, Measures
from factorizer_engine.protocol.models import Label
from factorizer_engine.protocol.wording import rounded

LESION_COLUMNS = (
    "lesion", "centroid_r_mm", "centroid_a_mm", "centroid_s_mm", "place",
    "likeness", "false_alarm",
)  # fmt: skip
MEASURE_COLUMNS = (
    "volume_ml",
    "max_diameter_mm",
    "long_axis_mm",
    "short_axis_mm",
    "product_mm2",
    "mean_probability",
)


def lesion_columns(labels: Sequence[Label]) -> list[str]:
    """The titles: of the lesion, of its measures, and of those of each class, such as
    "enhancing_tumour_volume_ml"."""
    parts = [f"{word}_{column}" for word in _words(labels) for column in MEASURE_COLUMNS]
    return [*LESION_COLUMNS, *MEASURE_COLUMNS, *parts]


def write_lesions_csv(lesions: Sequence[Lesion], labels: Sequence[Label], path: str | Path) -> None:
    """Write one row per lesion: mL, mm (centroid in RAS), mm2, probability, place.

    Classes that a lesion has no voxel of have empty cells, and so have a probability that nobody
    computed and a likeness (see `Lesion.likeness`) that was not measured.

    Args:
        labels: The classes of the model.

    Raises:
        BadInputError: If the file cannot be written.
    """
    rows = (_row(lesion, labels) for lesion in lesions)
    write_csv(path, (lesion_columns(labels), *rows), "\n", FOR_SPREADSHEETS)


def _row(lesion: Lesion, labels: Sequence[Label]) -> list[object]:
    parts = {part.label: part for part in lesion.parts}
    row: list[object] = [lesion.id, *(f"{mm:.2f}" for mm in lesion.centroid_ras)]
    row += [" ".join(lesion.place), *_likeness(lesion), *_cells(lesion)]
    for label in labels:
        row += _cells(parts.get(label.value))
    return row


def _likeness(lesion: Lesion) -> tuple[str, str]:
    if lesion.likeness is None:
        return "", ""
    return f"{lesion.likeness:.3f}", "perhaps" if lesion.is_doubtful else "no"


def _cells(measures: Measures | None) -> list[str]:
    if measures is None:
        return [""] * len(MEASURE_COLUMNS)
    probability = measures.mean_probability
    return [
        rounded(measures.volume_ml, 4),
        f"{measures.max_diameter_mm:.2f}",
        f"{measures.long_axis.length_mm:.2f}",
        f"{measures.short_axis.length_mm:.2f}",
        rounded(measures.product_mm2, 1),
        "" if math.isnan(probability) else f"{probability:.4f}",
    ]


def _words(labels: Sequence[Label]) -> list[str]:
    """The names of the classes, those that are equal with their values."""
    words = [_word(label.name) for label in labels]
    return [
        word if word and words.count(word) == 1 else f"{word or 'label'}_{label.value}"
        for word, label in zip(words, labels, strict=True)
    ]


def _word(name: str) -> str:
    return re.sub(r"\W+", "_", name.lower()).strip("_")

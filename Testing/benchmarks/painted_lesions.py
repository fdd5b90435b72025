"""Lesions painted into scans of gliomas: what tiny and middling lesions of any kind may look like.

Every patient's scan of the whole tumour, of each sequence, gets a lesion of 0.03 to 0.25 mL and one
of 0.5 to 4 mL, in two cases of their own, painted by `training.data.synthetic` into tissue that the
tumour leaves alone. To fit and to choose how clicks are answered, without lesions of the kinds that
judge it. Run, in Testing:

    PYTHONPATH=../FactorizerSegmentation:. python -m benchmarks.painted_lesions TRAINING OUTPUT

TRAINING is what `benchmarks.single_sequences` wrote, OUTPUT of the same layout; it may be the same.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from factorizer_engine.images.files import read_labels, read_scan, write_nifti
from factorizer_engine.images.scan import Scan
from factorizer_engine.training.data.synthetic import paint_lesion

SIZES_ML = {"tiny": (0.03, 0.25), "middling": (0.5, 4.0)}
"""Volumes by name."""

_WINDOW = 64
"""Voxels along each axis of the part that is painted in."""

_TRIES = 300


def painted(
    scan: Scan, tumour: np.ndarray, size_ml: tuple[float, float], generator: np.random.Generator
) -> tuple[Scan, Scan] | None:
    """A scan with a lesion of such a size beside the tumour, and its mask; None if none fits."""
    head = scan.array != 0
    deviation, mean = scan.array[head].std(), scan.array[head].mean()
    starts = np.maximum(np.array(scan.shape) - _WINDOW, 0) + 1
    for _ in range(_TRIES):
        corner = generator.integers(starts)
        part = tuple(slice(int(n), int(n) + _WINDOW) for n in corner)
        scores = np.where(head[part], (scan.array[part] - mean) / deviation, 0)
        image, mask = paint_lesion(
            torch.from_numpy(scores.astype(np.float32))[None], scan.spacing, generator
        )
        lesion = mask[0].numpy() > 0
        volume = scan.grid.volume_ml(int(lesion.sum()))
        if not size_ml[0] <= volume <= size_ml[1] or (lesion & tumour[part]).any():
            continue
        array, label = scan.array.astype(np.float32), np.zeros(scan.shape, np.uint8)
        array[part] = np.where(head[part], np.maximum(image[0].numpy() * deviation + mean, 1), 0)
        label[part] = lesion
        return scan.with_array(array), scan.with_array(label)
    return None


def main(data: Path, output: Path) -> None:
    """Write all of them; a patient's lesions do not depend on who else there is."""
    for name in ("imagesTr", "labelsTr"):
        (output / name).mkdir(parents=True, exist_ok=True)
    described = json.dumps({"channel_names": {"0": "scan"}, "labels": {"lesion": 1}})
    (output / "dataset.json").write_text(described, encoding="utf-8")
    for file in sorted((data / "labelsTr").glob("*-WT.nii.gz")):
        name = file.name.removesuffix("-WT.nii.gz")
        scan = read_scan(data / "imagesTr" / f"{name}-WT_0000.nii.gz")
        tumour = read_labels(file).array > 0
        generator = np.random.default_rng(list(name.encode()))
        for size, range_ml in SIZES_ML.items():
            found = painted(scan, tumour, range_ml, generator)
            if found is not None:
                write_nifti(found[0], output / "imagesTr" / f"{name}-{size}_0000.nii.gz")
                write_nifti(found[1], output / "labelsTr" / f"{name}-{size}.nii.gz")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""Small synthetic cases: bright blobs in noise, two channels, nested labels."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np


def write_image(path: Path, array: np.ndarray, spacing: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([spacing, spacing, spacing, 1.0])), path)


def make_case(root: Path, name: str, seed: int, shape: tuple[int, int, int] = (20, 22, 18)) -> None:
    """A blob of label 1 with a core of label 2, shown by both channels."""
    generator = np.random.default_rng(seed)
    center = np.array(shape) / 2 + generator.uniform(-2, 2, 3)
    distance = np.linalg.norm(np.moveaxis(np.indices(shape), 0, -1) - center, axis=-1)
    radius = 4.0 + seed % 3
    label = (distance < radius).astype(np.uint8) + (distance < radius / 2)
    for channel in range(2):
        noise = generator.normal(100, 5, shape)
        image = noise + 40 * (label > 0) + (30 if channel else -20) * (label > 1)
        write_image(root / "imagesTr" / f"{name}_{channel:04d}.nii.gz", image.astype(np.float32))
    write_image(root / "labelsTr" / f"{name}.nii.gz", label.astype(np.uint8))

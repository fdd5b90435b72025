"""Small synthetic cases: bright blobs in noise, two channels, nested labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np

NETWORK = {
    "encoder_depth": [1, 1],
    "encoder_width": [8, 16],
    "strides": [1, 2],
    "decoder_depth": [1],
    "head_dim": 4,
    "patch_size": 4,
}
"""A small Factorizer, as a configuration describes it."""


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


def make_dataset(root: Path) -> None:
    """Six cases in nnU-Net layout."""
    for number in range(6):
        make_case(root, f"blob_{number}", number)
    description = {
        "channel_names": {"0": "A", "1": "B"},
        "labels": {"background": 0, "whole": [1, 2], "core": 2, "rim": 1},
    }
    (root / "dataset.json").write_text(json.dumps(description))


def quick_settings(root: Path) -> dict:
    """A configuration over the dataset at `root` that trains in seconds, as a dictionary."""
    return {
        "name": "blobs",
        "window": [16, 16, 16],
        "data": {
            "root": str(root),
            "channels": ["A", "B"],
            "labels": {"rim": 1, "core": 2},
            "regions": {"core": [2], "whole": [1, 2]},
        },
        "preprocessing": {"crop_margin": 2},
        "split": {"held_out": ["blob_5"], "validation": ["blob_4"]},
        "network": {
            "arguments": {
                **NETWORK,
                "shifts": [None, 2],
                "dropout": 0.1,
            }
        },
        "optimization": {"steps": 6, "batch_size": 2, "learning_rate": 1e-2, "ema_decay": 0.5},
        "run": {
            "output": str(root.parent / "run"),
            "cache": str(root.parent / "cache"),
            "device": "cpu",
            "threads": 1,
            "first_validation": 3,
            "validate_every": 100,
            "checkpoint_every": 2,
            "log_every": 1,
        },
    }


def changed_copy(run, folder, file, change):
    """A copy of a run in which one of its JSON files was changed."""
    shutil.copytree(run, folder)
    content = json.loads((folder / file).read_text())
    change(content)
    (folder / file).write_text(json.dumps(content))
    return folder

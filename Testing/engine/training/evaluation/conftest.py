"""Label maps to be scored."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from engine.training.blobs import write_image


@pytest.fixture
def predictions(dataset_dir, tmp_path):
    """Label maps that are one voxel off along the first axis."""
    folder = tmp_path / "predictions"
    for path in (dataset_dir / "labelsTr").iterdir():
        label = np.asarray(nib.load(path).dataobj)
        write_image(folder / path.name, np.roll(label, 1, axis=0))
    return folder

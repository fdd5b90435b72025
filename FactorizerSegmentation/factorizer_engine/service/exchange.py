"""Scans from the caller's files, and results into files for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from factorizer_engine.images.checks import check_shape
from factorizer_engine.images.memory import available_memory
from factorizer_engine.images.nan_background import without_nan_background
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.files import prepare_output_folder
from factorizer_engine.protocol.volumes import ScanFile

_SHARE = 0.04
"""Part of the free memory that a scan may take."""


def load_scans(channels: Mapping[str, ScanFile]) -> dict[str, Scan]:
    """The scans of a study, by channel; NaN around an image is zero.

    Raises:
        BadInputError: If a file is missing or damaged, or is no volume that can be used.
    """
    return {channel: load_scan(file, channel) for channel, file in channels.items()}


def load_scan(file: ScanFile, name: str = "") -> Scan:
    """One scan; NaN around an image is zero.

    Where it would take much of the memory it stays in its file and is mapped.

    Args:
        name: What to call it where the file does not say.

    Raises:
        BadInputError: If the file is missing or damaged, or is no volume that can be used.
    """
    name = file.name or name
    voxels = file.load(mapped=True)
    check_shape(name, voxels.shape)  # before they are read into memory
    array = voxels if voxels.nbytes > _SHARE * available_memory() else np.array(voxels)
    scan = Scan.of(array, file.matrix, name)
    return without_nan_background(replace(scan, origin=file.origin))


def save_scan(scan: Scan, path: Path) -> ScanFile:
    """Write a scan for the caller."""
    return ScanFile.save(scan.array, scan.affine, path, scan.name)


def check_space(folder: Path, scans: Mapping[str, Scan], maps: int) -> None:
    """Make sure that a label map and some float32 maps fit, on the grid of the largest scan.

    Raises:
        BadInputError: If they do not.
    """
    voxels = max((scan.array.size for scan in scans.values()), default=0)
    prepare_output_folder(folder, (1 + 4 * maps) * voxels)

"""Scans in every orientation, oblique, sheared and mirrored, held against nibabel and SimpleITK."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from engine.images.files.samples import LABELS, save_itk
from factorizer_engine.images.files import read_scan, write_nifti, write_seg_nrrd
from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from module.geometry import orientation_affines, tilted
from stress.trial import Trial

SHAPE = (7, 6, 5)
SHEAR = np.array([[1, 0.12, 0, 0], [0, 1, -0.07, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
CLOSE = 1e-4
"""Millimetres; NIfTI keeps places in single precision."""


def place_trials(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """48 orientations, upright and oblique, straight and sheared, in three formats."""
    generator = np.random.default_rng(chance.randrange(2**32))
    combinations = itertools.product(orientation_affines().items(), (0, 1), (0, 1), WRITERS.items())
    for (name, upright), oblique, sheared, (ending, write) in combinations:
        if sheared and ending != ".nii.gz":
            continue  # the other formats cannot hold a shear
        affine = (tilted() if oblique else np.eye(4)) @ upright
        affine = affine @ SHEAR if sheared else affine
        scan = Scan.of(generator.integers(1, 999, SHAPE).astype(np.int16), affine, name)
        title = f"{name}{' oblique' * oblique}{' sheared' * sheared} {ending}"
        path = folder / f"scan{ending}"
        write(scan, path)
        faults = _faults(scan, path, folder, bool(sheared))
        yield Trial(title, False, "; ".join(faults), path)


def _faults(scan: Scan, path: Path, folder: Path, sheared: bool) -> list[str]:
    """What is wrong with the scan as it is read, resampled and written again."""
    read = read_scan(path)
    faults = [] if np.array_equal(read.array, scan.array) else ["other voxels"]
    faults += [] if np.allclose(read.affine, scan.affine, atol=CLOSE) else ["another place"]
    if not sheared:
        reference = _place(sitk.ReadImage(str(path)))
        faults += [] if np.allclose(read.affine, reference, atol=CLOSE) else ["not where ITK is"]
        faults += _resampled(read, path)
    result = read.with_array((read.array % 5).astype(np.uint8))
    write_nifti(result, folder / "result.nii.gz")
    write_seg_nrrd(result, LABELS, folder / "result.seg.nrrd", "scan")
    written = nib.load(folder / "result.nii.gz")
    faults += [] if np.allclose(written.affine, scan.affine, atol=CLOSE) else ["result elsewhere"]
    if not sheared:
        for name in ("result.nii.gz", "result.seg.nrrd"):
            found = sitk.ReadImage(str(folder / name))
            if not np.allclose(_place(found), scan.affine, atol=CLOSE):
                faults.append(f"{name} elsewhere for ITK")
    return faults


def _resampled(scan: Scan, path: Path) -> list[str]:
    """What differs from ITK's interpolation on a grid of its own, inside the scan."""
    centre = (scan.affine @ [*((np.array(SHAPE) - 1) / 2), 1.0])[:3]
    affine = np.diag([-0.8, -0.7, 0.9, 1.0])
    affine[:3, 3] = centre + (1.6, 1.4, -1.8)
    ours = resample(scan, Grid((5, 5, 5), affine), fill=-1).array
    grid = sitk.Image(5, 5, 5, sitk.sitkFloat32)
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    grid.SetSpacing(spacing.tolist())
    grid.SetOrigin(lps[:3, 3].tolist())
    grid.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image = sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkFloat32)
    theirs = sitk.GetArrayFromImage(
        sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, -1.0)
    ).transpose(2, 1, 0)
    both = (ours > 0) & (theirs > 0)
    enough = both.sum() > 20 and np.allclose(ours[both], theirs[both], atol=0.05)
    return [] if enough else ["interpolated elsewhere than ITK"]


def _place(image: sitk.Image) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return LPS @ affine


def _save_nifti(scan: Scan, path: Path) -> None:
    """With both forms, if the qform can hold the place."""
    image = nib.Nifti1Image(scan.array, scan.affine)
    image.set_sform(scan.affine, 1)
    image.set_qform(scan.affine, 0 if scan.grid.is_sheared else 1)
    nib.save(image, path)


WRITERS: dict[str, Callable[[Scan, Path], None]] = {
    ".nii.gz": _save_nifti,
    ".nrrd": save_itk,
    ".mha": save_itk,
}

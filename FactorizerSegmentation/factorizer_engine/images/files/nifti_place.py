"""Where a NIfTI header puts its voxels: where ITK, and so Slicer, puts them.

A header may hold two places, the sform (any matrix) and the qform (a rotation), each with a code
that says what it means; programs disagree about which counts. Results are looked at in Slicer, on
top of the scan, so its choice is ours, too.
"""

from __future__ import annotations

import logging

import nibabel as nib
import numpy as np

from factorizer_engine.images.checks import check_affine
from factorizer_engine.images.geometry import Grid, same_grid
from factorizer_engine.images.orientation import LPS_TO_RAS
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.triples import triple

#: Millimetres per unit of length, by NIfTI code (metres and micrometres; anything else means mm).
_UNITS = {1: 1000.0, 3: 0.001}

#: The code of coordinates of the scanner; others are of an atlas or of another scan.
_SCANNER = 1

#: A quaternion with less than this left for its real part turns by half a circle.
_QUATERNION_TOLERANCE = 1e-7

#: Axes of an sform whose cosine exceeds this make ITK turn to the qform.
_SHEAR_TOLERANCE = 1e-4

#: Voxel sizes of the sform that differ by more than this part from `pixdim` count as wrong.
_SIZE_TOLERANCE = 1e-4

_log = logging.getLogger(__name__)


def voxel_to_world(name: str, header: nib.Nifti1Header, shape: tuple[int, ...]) -> np.ndarray:
    """The 4x4 matrix from voxel indices to world mm, RAS+.

    The sform counts where it is the only place that is coded, and where its code is 1 (scanner),
    if its axes are at right angles; otherwise the qform does. The size of voxels is that of
    `pixdim` in any case, and one below zero turns its axis around. Where neither has a code, i, j
    and k run to the left, to the back and up from the origin. A sheared sform without a qform,
    which ITK refuses, is taken as it is.

    Args:
        name: What to call the scan in messages.
        header: As it stands in the file.
        shape: Number of voxels (I, J, K).

    Raises:
        BadInputError: If the voxels have no proper place.
    """
    scale = _UNITS.get(int(header["xyzt_units"]) & 7, 1.0)
    sizes = scale * np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))
    sform, qform = _sform(header, scale), _qform(header, scale, sizes)
    if sform is not None and qform is not None and _is_regular(sform) and _is_regular(qform):
        affine = _one_of_both(name, sform, qform, int(header["sform_code"]), shape)
    elif qform is not None and not (sform is not None and _is_regular(sform)):
        affine = qform
    elif sform is not None:
        affine = sform
    else:
        affine = LPS_TO_RAS @ np.diag([*sizes, 1.0])
    affine = _with_sizes(name, affine, sizes)
    affine[:3, :3] *= _signs(name, header)
    check_affine(name, affine)
    return affine


def _sform(header: nib.Nifti1Header, scale: float) -> np.ndarray | None:
    """The sform, or None if it has no code."""
    if header["sform_code"] <= 0:
        return None
    affine = np.eye(4)
    affine[:3] = [header["srow_x"], header["srow_y"], header["srow_z"]]
    affine[:3] *= scale
    return affine


def _qform(header: nib.Nifti1Header, scale: float, sizes: np.ndarray) -> np.ndarray | None:
    """The qform, or None if it has no code; quaternions longer than 1 are shortened."""
    if header["qform_code"] <= 0:
        return None
    vector = np.array([header[f"quatern_{axis}"] for axis in "bcd"], dtype=np.float64)
    rest = 1.0 - vector @ vector
    real = np.sqrt(rest) if rest >= _QUATERNION_TOLERANCE else 0.0
    mirrored = [1.0, 1.0, -1.0 if header["pixdim"][0] < 0 else 1.0]
    affine = np.eye(4)
    affine[:3, :3] = nib.quaternions.quat2mat([real, *vector]) * (sizes * mirrored)
    affine[:3, 3] = [scale * header[f"qoffset_{axis}"] for axis in "xyz"]
    return affine


def _one_of_both(
    name: str, sform: np.ndarray, qform: np.ndarray, sform_code: int, shape: tuple[int, ...]
) -> np.ndarray:
    """Which of two regular places counts; says so if they differ."""
    first, second = Grid(triple(shape), sform), Grid(triple(shape), qform)
    if same_grid(first, second):
        return sform
    use_sform = sform_code == _SCANNER and _is_rectangular(sform)
    away = np.linalg.norm(first.corners() - second.corners(), axis=1).max()
    _log.warning(
        "The sform and the qform of %s lie up to %.2g mm apart; the %s counts, as in Slicer.",
        name,
        away,
        "sform" if use_sform else "qform",
    )
    return sform if use_sform else qform


def _is_rectangular(affine: np.ndarray) -> bool:
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(directions @ directions.T - np.eye(3)).max() <= _SHEAR_TOLERANCE)


def _with_sizes(name: str, affine: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The affine with voxels of these sizes, unless it has them or they say nothing."""
    own = np.linalg.norm(affine[:3, :3], axis=0)
    if not (own > 0).all() or not (sizes > 0).all():
        return affine
    if np.allclose(own, sizes, rtol=_SIZE_TOLERANCE):
        return affine
    _log.warning(
        "%s has voxels of %s mm by its sform, but the %s mm of its pixdim count, as in Slicer.",
        name,
        _by(own),
        _by(sizes),
    )
    changed = affine.copy()
    changed[:3, :3] *= sizes / own
    return changed


def _signs(name: str, header: nib.Nifti1Header) -> np.ndarray:
    """-1 for axes whose voxel size is below zero, 1 for the others; says so if there are any."""
    negative = np.asarray(header["pixdim"][1:4]) < 0
    if negative.any():
        _log.warning(
            "%s has voxel sizes below zero, which turn their axes around, as in Slicer; many other "
            "programs ignore the sign.",
            name,
        )
    return np.where(negative, -1.0, 1.0)


def _by(sizes: np.ndarray) -> str:
    return " x ".join(f"{size:.3g}" for size in sizes)


def _is_regular(affine: np.ndarray) -> bool:
    try:
        check_affine("", affine)
    except BadInputError:
        return False
    return True

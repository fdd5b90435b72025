"""What one scan alone gives away: its header and its values."""

from __future__ import annotations

import numpy as np

from factorizer_engine.images.intensities import background_of, robust_limits, sampled
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.checks import AMBER, GREEN, RED, Finding
from factorizer_engine.protocol.models import Expectations

#: Slices from this thickness on (mm) hide small lesions.
THICK = 4.5

#: Extents (mm) between which the field of view of a head lies.
HEAD_EXTENT = (70.0, 450.0)

#: Voxel sizes (mm) below or above which a header is wrong.
VOXEL_SIZE = (0.15, 9.5)

#: Part of neighbouring voxels with equal values from which a scan is a label map.
FLAT = 0.6

#: Correlation of neighbouring voxels below which a scan is noise.
NOISE = 0.35

#: Part of the image below its background from which a scan is a negative.
BELOW = 0.99

_LABELS = "seems to be a label map or mask"
_NOISE = "seems to be noise"
_CT = "seems to be a CT"


def findings(name: str, scan: Scan, expects: Expectations) -> list[Finding]:
    """What is odd about a scan by itself, as far as the model says what it expects."""
    found = _of_values(name, scan, expects) if expects.modality else []
    return [*found, *_of_size(name, scan), *_of_slices(name, scan)] if expects.brain_mr else found


def is_flat(scan: Scan) -> bool:
    """Whether neighbouring voxels are equal so often as in a label map or a mask."""
    background = background_of(scan.array)
    return _neighbours(scan.array, scan.spacing, background)[0] > FLAT


def is_no_mr(finding: Finding) -> bool:
    """Whether the finding says that a scan is no MR scan at all."""
    return any(words in finding.sentence for words in (_LABELS, _NOISE, _CT))


def _of_values(name: str, scan: Scan, expects: Expectations) -> list[Finding]:
    array = scan.array
    background = background_of(array)
    equal, correlation = _neighbours(array, scan.spacing, background)
    advice = "choose the scan itself"
    if equal > FLAT:
        return [Finding((name,), RED, f"{name} {_LABELS}, not a scan; {advice}.")]
    if correlation < NOISE:
        return [Finding((name,), RED, f"{name} {_NOISE}, not a scan; {advice}.")]
    if expects.modality == "MR" and _is_ct(array):
        return [Finding((name,), RED, f"{name} {_CT}, but the model reads MR; choose an MR scan.")]
    found = []
    if background is not None and _is_negative(array, background):
        found.append(
            Finding(
                (name,),
                AMBER,
                f"{name} is darker everywhere than what surrounds it, as in a negative; choose the "
                "scan itself.",
            )
        )
    low, high = robust_limits(array, background)
    if array.max() > high or array.min() < low:
        found.append(
            Finding(
                (name,),
                GREEN,
                f"{name} has single voxels far beyond all others; they are clipped before the run.",
            )
        )
    if background is not None and background != 0:
        found.append(
            Finding(
                (name,),
                GREEN,
                f"The background of {name} is {background:.4g}, not 0; it is taken as background.",
            )
        )
    return found


def _of_size(name: str, scan: Scan) -> list[Finding]:
    extent = np.array(scan.shape) * scan.spacing
    small = extent.max() < HEAD_EXTENT[0] or min(scan.spacing) < VOXEL_SIZE[0]
    if not small and extent.max() <= HEAD_EXTENT[1] and max(scan.spacing) <= VOXEL_SIZE[1]:
        return []
    size = " x ".join(f"{length / 10:.0f}" for length in extent)
    voxels = " x ".join(f"{length:.2g}" for length in scan.spacing)
    cropped = extent.max() < HEAD_EXTENT[0]
    otherwise = ", or choose a scan of the whole head" if cropped else ""
    return [
        Finding(
            (name,),
            RED if cropped or extent.max() > 2 * HEAD_EXTENT[1] else AMBER,
            f"{name} is {size} cm large by its header (voxels of {voxels} mm), which no head is; "
            f"correct the voxel size{otherwise}.",
        )
    ]


def _of_slices(name: str, scan: Scan) -> list[Finding]:
    thickness = max(scan.spacing)
    if not THICK <= thickness <= VOXEL_SIZE[1]:
        return []
    sentence = f"{name} has slices of {thickness:.2g} mm: small lesions may be missed."
    return [Finding((name,), AMBER, sentence)]


def _is_ct(array: np.ndarray) -> bool:
    """Whether values are Hounsfield units: air far below zero, soft tissue just above.

    Also if 1024 is added, as in files without negative numbers. Then most of what is not air has to
    be tissue, since an MR scan may have values of 0 and of about 1000, too.
    """
    values = sampled(array)
    for offset, least in ((0, 0.0), (1024, 0.5)):
        units = values.astype(np.float64) - offset
        air = float(((units >= -1100) & (units <= -800)).mean())
        tissue = float(((units >= -20) & (units <= 100)).mean())
        if units.min() >= -4096 and air > 0.03 and tissue > max(0.03, least * (1 - air)):
            return True
    return False


def _is_negative(array: np.ndarray, background: float) -> bool:
    """Whether practically all of the image lies below its background; in scans all is above it."""
    values = sampled(array)
    image = values[values != background]
    return len(image) > 0 and float((image < background).mean()) > BELOW


def _neighbours(
    array: np.ndarray, spacing: tuple[float, float, float], background: float | None
) -> tuple[float, float]:
    """How often neighbours in the image are equal, and how well they correlate.

    Neighbours along the axis with the smallest voxels, in the middle three fifths of the volume.
    """
    middle = tuple(slice(n // 5, max(n // 5 + 2, n - n // 5)) for n in array.shape)
    part = np.moveaxis(array[middle], int(np.argmin(spacing)), 0)
    step = max(1, round((part.size / 300_000) ** 0.5))
    part = part[:, ::step, ::step].astype(np.float64)
    first, second = part[:-1].ravel(), part[1:].ravel()
    level = part.min() if background is None else background
    image = (first != level) & (second != level)
    if image.sum() < 100:
        return 0.0, 1.0
    first, second = first[image], second[image]
    low, high = np.percentile(first, (1, 99))
    a, b = np.clip(first, low, high), np.clip(second, low, high)
    equal = float((first == second).mean())
    if a.std() == 0 or b.std() == 0:
        return equal, 1.0
    return equal, float(np.corrcoef(a, b)[0, 1])

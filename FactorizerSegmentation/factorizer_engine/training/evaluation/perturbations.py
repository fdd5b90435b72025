"""What clinics do to scans, as seeded functions of a case's scans in physical space.

Each takes the scans by channel name, the first being the reference, and a random generator, and
gives new scans as a file from a clinic would hold them: with their own grid, intensities and place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.interpolate import make_interp_spline
from scipy.spatial.transform import Rotation

from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.triples import triple
from factorizer_engine.training.data.augmentation import random_direction

Scans = Mapping[str, Scan]

_SLICE_MM = 5.0
_SHIFT_MM, _TURN_DEGREES = 2.0, 2.0
_BIAS_LOG = 0.5
_PAD_MM = 20.0
_AIR_NOISE = 0.01

#: Outer borders in mm from the brain of what lies around it: fluid, bone, scalp.
_LAYERS_MM = (2.0, 7.0, 13.0)
#: Intensities of fluid, bone and scalp in units of the brain's median, by kind of contrast.
#: Read off a real unstripped study (FLAIR with fat suppression, T1, T2; Lesjak et al., 2016).
_LAYER_INTENSITIES = {
    "flair": (0.3, 0.1, 0.5),
    "t2": (1.8, 0.1, 2.2),
    "t1": (0.3, 0.1, 3.0),
}
_OTHER_INTENSITIES = (1.0, 0.1, 1.0)


@dataclass(frozen=True)
class Perturbation:
    """One way in which scans differ from those of the training data.

    Attributes:
        name: Key in files.
        title: For tables.
        description: One sentence for the model card.
        change: The function.
        needs_stripped: Whether it makes sense only for scans without a skull.
    """

    name: str
    title: str
    description: str
    change: Callable[[Scans, np.random.Generator], dict[str, Scan]]
    needs_stripped: bool = False


def unchanged(scans: Scans, generator: np.random.Generator) -> dict[str, Scan]:
    """The scans as they are."""
    return dict(scans)


def other_units(scans: Scans, generator: np.random.Generator) -> dict[str, Scan]:
    """Every channel in its own units: times 10 or divided by 10."""
    return {
        name: _with_values(scan, scan.array * np.float32(10.0 ** generator.choice((-1, 1))))
        for name, scan in scans.items()
    }


def other_contrast(scans: Scans, generator: np.random.Generator) -> dict[str, Scan]:
    """Every channel's intensities, from 0 to their maximum, raised to the power 0.7 or 1.4."""
    changed = {}
    for name, scan in scans.items():
        low, high = float(scan.array.min()), float(scan.array.max())
        scaled = (scan.array.astype(np.float32) - low) / max(high - low, 1e-6)
        power = generator.choice((0.7, 1.4))
        changed[name] = _with_values(scan, scaled**power * (high - low) + low)
    return changed


def bias_field(scans: Scans, generator: np.random.Generator) -> dict[str, Scan]:
    """Every channel times its own smooth field between exp(-0.5) and exp(0.5): 0.61 to 1.65."""
    return {
        name: _with_values(
            scan, scan.array * np.exp(_BIAS_LOG * _smooth_field(scan.shape, generator))
        )
        for name, scan in scans.items()
    }


def thick_slices(scans: Scans, generator: np.random.Generator) -> dict[str, Scan]:
    """All channels with 5 mm slices along the axis nearest to head-foot, averaged over the slice.

    Voxels that lie mostly outside a stripped head stay zero. Slices that are thicker already stay.
    """
    changed = {}
    for name, scan in scans.items():
        axis = int(np.argmax(np.abs(scan.affine[2, :3] / scan.spacing)))
        spacing = list(scan.spacing)
        spacing[axis] = max(_SLICE_MM, spacing[axis])
        grid = scan.grid.respaced(triple(spacing))
        thick = resample(scan, grid, antialias=True)
        head = resample(_with_values(scan, scan.array != 0), grid, antialias=True).array
        changed[name] = _with_values(thick, np.where(head >= 0.5, thick.array, 0.0))
    return changed


def misregistered(scans: Scans, generator: np.random.Generator) -> dict[str, Scan]:
    """Every channel but the reference shifted by 2 mm and turned by 2 degrees about its middle.

    Directions are random; only the place in the file's header changes.
    """
    changed = {}
    for number, (name, scan) in enumerate(scans.items()):
        if number == 0:
            changed[name] = scan
            continue
        shift, axis = (random_direction(generator) for _ in range(2))
        middle = scan.affine[:3, :3] @ ((np.array(scan.shape) - 1) / 2) + scan.affine[:3, 3]
        motion = np.eye(4)
        motion[:3, :3] = Rotation.from_rotvec(_TURN_DEGREES * axis, degrees=True).as_matrix()
        motion[:3, 3] = middle - motion[:3, :3] @ middle + _SHIFT_MM * shift
        changed[name] = Scan.of(scan.array, motion @ scan.affine, scan.name)
    return changed


def with_skull(scans: Scans, generator: np.random.Generator) -> dict[str, Scan]:
    """A synthetic shell of fluid, bone and scalp around every stripped brain, in black air.

    Synthetic: layers at distances from the brain that vary smoothly, with intensities read off one
    real study, uneven and noisy; no eyes, face or neck. The volume grows by 20 mm on every side.
    """
    names = list(scans)
    shape_generator, *own = generator.spawn(len(names) + 1)
    distance = _distance_from_brain(scans[names[0]], shape_generator)
    return {
        name: _add_shell(name, scans[name], distance, own_generator)
        for name, own_generator in zip(names, own, strict=True)
    }


def with_skull_and_noise(scans: Scans, generator: np.random.Generator) -> dict[str, Scan]:
    """The same shell, and Rician noise of 1 % of the brain's intensity everywhere, in air too."""
    changed = {}
    for name, scan in with_skull(scans, generator).items():
        sigma = _AIR_NOISE * _brain_level(scans[name])
        real, imaginary = (generator.normal(0.0, sigma, scan.shape) for _ in range(2))
        changed[name] = _with_values(scan, np.hypot(scan.array + real, imaginary))
    return changed


def spoilt_channel(scans: Scans, generator: np.random.Generator) -> dict[str, Scan]:
    """One channel, but not the reference, useless: noise of its own mean and spread in the head."""
    changed = dict(scans)
    others = list(scans)[1:]
    if others:
        name = others[int(generator.integers(len(others)))]
        array = scans[name].array.astype(np.float32)
        head = array != 0
        noise = generator.normal(array[head].mean(), array[head].std(), array.shape)
        changed[name] = _with_values(scans[name], np.where(head, np.abs(noise), 0.0))
    return changed


PERTURBATIONS = (
    Perturbation("unchanged", "unchanged", "Scans as they are.", unchanged),
    Perturbation("units", "other units", "Every channel multiplied by 10 or by 0.1.", other_units),
    Perturbation(
        "contrast",
        "other contrast",
        "Every channel's intensities raised to the power 0.7 or 1.4.",
        other_contrast,
    ),
    Perturbation(
        "bias_field",
        "bias field",
        "Every channel multiplied by its own smooth field between 0.61 and 1.65.",
        bias_field,
    ),
    Perturbation(
        "thick_slices",
        "5 mm slices",
        "All channels with 5 mm axial slices; the result is compared on the original grid.",
        thick_slices,
    ),
    Perturbation(
        "misregistered",
        "misregistered",
        "Every channel but the first shifted by 2 mm and turned by 2 degrees.",
        misregistered,
    ),
    Perturbation(
        "skull",
        "with skull (synthetic)",
        "A synthetic shell of fluid, bone and scalp around the brain; no face, no neck.",
        with_skull,
        needs_stripped=True,
    ),
    Perturbation(
        "skull_noise",
        "with skull and noisy air (synthetic)",
        "The same shell, and noise of 1 % of the brain's intensity everywhere, air included.",
        with_skull_and_noise,
        needs_stripped=True,
    ),
    Perturbation(
        "spoilt_channel",
        "one channel spoilt",
        "One channel, but not the first, replaced by noise.",
        spoilt_channel,
    ),
)


def is_stripped(scan: Scan) -> bool:
    """Whether the corners of a scan are black and a good part of it is: no skull, no air."""
    corners = scan.array[np.ix_(*((0, -1),) * 3)]
    return not corners.any() and float((scan.array == 0).mean()) > 0.2


def _with_values(scan: Scan, array: np.ndarray) -> Scan:
    return scan.with_array(np.ascontiguousarray(array, dtype=np.float32))


def _smooth_field(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """A smooth random field, float32 from exactly -1 to 1: cubic splines through 4^3 points."""
    coarse = generator.normal(size=(4, 4, 4)).astype(np.float32)
    spline = make_interp_spline(np.arange(4), np.eye(4, dtype=np.float32), k=3)
    weights = [spline(np.linspace(0, 3, length)).astype(np.float32) for length in shape]
    field = np.einsum("abc,ia,jb,kc->ijk", coarse, *weights, optimize=True)
    low, high = field.min(), field.max()
    return 2 * (field - low) / max(high - low, 1e-6) - 1


def _brain_level(scan: Scan) -> float:
    return float(np.median(scan.array[scan.array != 0]))


def _padded(scan: Scan) -> Scan:
    """The scan with 20 mm of zeros on every side."""
    grid = scan.grid
    margins = np.ceil(_PAD_MM / np.asarray(scan.spacing)).astype(int)
    box = triple(slice(-int(m), n + int(m)) for m, n in zip(margins, scan.shape, strict=True))
    return resample(scan, grid.crop(box))


def _distance_from_brain(reference: Scan, generator: np.random.Generator) -> Scan:
    """Distance in mm from the filled brain, stretched smoothly by 0.75 to 1.25."""
    padded = _padded(reference)
    brain = ndimage.binary_fill_holes(padded.array != 0)
    distance = ndimage.distance_transform_edt(~brain, sampling=padded.spacing)
    stretch = 1.0 + 0.25 * _smooth_field(padded.shape, generator)
    return _with_values(padded, distance * stretch)


def _add_shell(name: str, scan: Scan, distance: Scan, generator: np.random.Generator) -> Scan:
    padded = _padded(scan)
    away = resample(distance, padded.grid, fill=np.inf).array
    levels = next(
        (v for k, v in _LAYER_INTENSITIES.items() if k in name.lower()), _OTHER_INTENSITIES
    )
    shell: np.ndarray = np.zeros(padded.shape, dtype=np.float32)
    inner = 0.0
    for outer, level in zip(_LAYERS_MM, levels, strict=True):
        shell[(away > inner) & (away <= outer)] = level
        inner = outer
    filled = shell > 0
    texture = ndimage.gaussian_filter(
        generator.normal(size=padded.shape).astype(np.float32), 3.0 / np.asarray(padded.spacing)
    )
    texture = 1.0 + 0.2 * texture / max(float(texture.std()), 1e-6)
    shell = ndimage.gaussian_filter(shell, 0.5) * np.maximum(texture, 0.2)
    noise = 1.0 + 0.05 * generator.standard_normal(padded.shape, dtype=np.float32)
    shell = np.where(filled, np.maximum(shell * noise, 0.01), 0.0) * _brain_level(scan)
    return _with_values(padded, np.where(padded.array != 0, padded.array, shell))

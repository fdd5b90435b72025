"""What of a head is brain, by the two networks of deepbet.

Fisch et al., deepbet: Fast brain extraction of T1-weighted MRI using convolutional neural
networks, Computers in Biology and Medicine 179:108845, 2024. One network finds the box of the
brain in the whole scan at 128^3, the other outlines it inside that box at 256^3.

Both are TorchScript: an archive of weights and of code that only torch's own interpreter runs.
The package that ships them is never imported, and they are loaded only if they are, byte for
byte, the files that were examined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.files import file_digest
from factorizer_engine.protocol.progress import Monitor

PACKAGE, VERSION = "deepbet", "1.0.2"

INSTALLATION = f"python -m pip install --no-deps {PACKAGE}=={VERSION}"
"""Without what the package requires for its window; its two files are all that is used."""

FILES = {
    "bbox_model.pt": "39a7b2b5f799faa1391ea97bfcdc0b9299f20d84f2316a4ff8918dc4685e40aa",
    "model.pt": "de8ee7c69654d0dd3935dc4a5d84571d8ecf4637a6bfc01df399c4c2bc86e0fd",
}
"""The networks and the SHA-256 of their files."""

COARSE, FINE = 128, 256
"""Voxels along each axis that the two networks take."""

BOX_MARGIN = 0.1
"""Part of the brain's size that its box is grown by on each side."""

MIN_FOREGROUND = 0.02
"""A plane belongs to the brain's box from this part of brain in it on."""

SMALLEST_BRAIN_ML = 300.0
"""Less than this is no brain, not even a child's."""

UPSIDE_DOWN = 1.3
"""A head is upside down if so many times fewer voxels are doubtful to the coarse network in its
mirror image. In 15 scans of 10 heads the right way up it was at most 0.86, in parts of them, cut at
the top or at the bottom, 1.11; in one that was stored upside down 1.8."""


@dataclass(frozen=True)
class BrainNetworks:
    """The two networks, in evaluation mode; both give (1, 2, N, N, N), brain in the second.

    Attributes:
        coarse: Takes the whole scan, (1, 1, 128, 128, 128).
        fine: Takes the box of the brain, (1, 1, 256, 256, 256).
    """

    coarse: nn.Module
    fine: nn.Module

    @classmethod
    def load(cls) -> BrainNetworks:
        """Load the networks of the installed package.

        Raises:
            BadModelError: If it is not installed, or its files are not those that are known.
        """
        folder = _package_folder()
        if folder is None:
            raise BadModelError(
                f"Brain extraction needs the package {PACKAGE} (10 MB, MIT licence), which is not "
                f"installed; install it with '{INSTALLATION}', or give scans without a skull."
            )
        return cls(*(_load(folder / name, digest) for name, digest in FILES.items()))


@dataclass(frozen=True, eq=False)
class Brain:
    """What of a head is brain.

    Attributes:
        mask: Of the type bool, on the scan's grid: one piece without holes.
        upside_down: Whether the head stands on its top, by where the scan says that up is.
    """

    mask: Scan
    upside_down: bool = False


def is_installed() -> bool:
    """Whether the package with the networks is there."""
    return _package_folder() is not None


def extract_brain(scan: Scan, networks: BrainNetworks, monitor: Monitor | None = None) -> Brain:
    """Outline the brain of a scan with a skull.

    A head that is upside down, as after a conversion that took the slices in the wrong order, is
    outlined the right way up, since the networks know no other.

    Args:
        scan: A head, of any sequence; T1 is what the networks were trained on.
        networks: What outlines it.
        monitor: Told of the progress, and asked whether to stop.

    Raises:
        BadInputError: If no brain is in the field of view.
        CancelledError: If the monitor was cancelled.
    """
    monitor = monitor or Monitor()
    monitor.report("finding the brain", 0.0)
    grid = scan.grid.oriented("RAS")
    seen = _seen_coarsely(scan, networks)
    monitor.report("outlining the brain", 0.2)
    mask = _outlined(networks.fine, seen.voxels, _largest_piece(seen.rough > 0.5), seen.levels)
    monitor.report("outlining the brain", 0.95)
    if grid.volume_ml(int(mask.sum())) < SMALLEST_BRAIN_ML:
        raise BadInputError(
            f"No brain was found in {scan.name or 'the scan'}; choose a scan of the whole head, or "
            "switch brain extraction off if it shows something else."
        )
    found = Scan(np.flip(mask, 2) if seen.upside_down else mask, grid, "Brain")
    monitor.report("outlining the brain", 1.0)
    return Brain(resample(found, scan.grid, "nearest"), seen.upside_down)


def is_upside_down(scan: Scan, networks: BrainNetworks) -> bool:
    """As `Brain.upside_down`, for a head whose brain is known."""
    return _seen_coarsely(scan, networks).upside_down


@dataclass(frozen=True, eq=False)
class _SeenCoarsely:
    """A head as the coarse network sees it, the right way up, axes along R, A, S.

    Attributes:
        voxels: All of them, float32.
        rough: Probability of brain, (128, 128, 128) over the same box.
        levels: The darkest and the brightest intensity that count.
        upside_down: Whether it was turned up.
    """

    voxels: Tensor
    rough: np.ndarray
    levels: tuple[Tensor, Tensor]
    upside_down: bool


def _seen_coarsely(scan: Scan, networks: BrainNetworks) -> _SeenCoarsely:
    grid = scan.grid.oriented("RAS")
    voxels = torch.from_numpy(np.ascontiguousarray(resample(scan, grid).array, dtype=np.float32))
    small = _sampled(voxels, (COARSE,) * 3)
    levels = small.quantile(0.005), small.quantile(0.995)
    rough = _brain_probability(networks.coarse, small, levels)
    mirrored = _brain_probability(networks.coarse, small.flip(2), levels)
    if _doubt(rough) > UPSIDE_DOWN * _doubt(mirrored):
        return _SeenCoarsely(voxels.flip(2), mirrored, levels, True)
    return _SeenCoarsely(voxels, rough, levels, False)


def _doubt(probability: np.ndarray) -> float:
    """How many voxels are neither clearly brain nor clearly none, for each voxel of brain."""
    doubtful = (probability > 0.1) & (probability < 0.9)
    return float(doubtful.sum() / max((probability > 0.5).sum(), 1))


def _outlined(
    network: nn.Module, voxels: Tensor, rough: np.ndarray, levels: tuple[Tensor, Tensor]
) -> np.ndarray:
    """The brain in the box around a rough mask of it, bool, on the grid of `voxels`."""
    mask = np.zeros(voxels.shape, dtype=bool)
    box = _box_of(rough, voxels.shape)
    if box is None:
        return mask
    probability = _brain_probability(network, _sampled(voxels[box], (FINE,) * 3), levels)
    mask[box] = _sampled(torch.from_numpy(probability), voxels[box].shape).numpy() > 0.5
    filled: np.ndarray = ndimage.binary_fill_holes(_largest_piece(mask))
    return filled


def _package_folder() -> Path | None:
    """Where the networks lie, found without running any of the package's code."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]).parent / "data" / "models"


def _load(path: Path, digest: str) -> nn.Module:
    try:
        known = file_digest(path).hex() == digest
    except OSError as error:
        raise _damaged(path, repr(error)) from error
    if not known:
        raise _damaged(path, "its SHA-256 is not the known one")
    network: nn.Module = torch.jit.load(str(path), map_location="cpu")
    return network.eval()


def _damaged(path: Path, details: str) -> BadModelError:
    return BadModelError(
        f"The brain extraction network {path.name} is missing, damaged or of another version; "
        f"install it again with '{INSTALLATION} --force-reinstall'.",
        details,
    )


def _brain_probability(
    network: nn.Module, image: Tensor, levels: tuple[Tensor, Tensor]
) -> np.ndarray:
    """float32, the shape of `image`, whose values are scaled as in the networks' training."""
    low, high = levels
    scaled = ((image - low) / (high - low).clamp_min(1e-6)).clamp(0.0, 1.0)
    scaled = 0.226 * (scaled - scaled.mean()) / scaled.std().clamp_min(1e-6) + 0.449
    with torch.inference_mode():
        probability: np.ndarray = network(scaled[None, None])[0, 1].numpy()
    return probability


def _sampled(image: Tensor, shape: Sequence[int]) -> Tensor:
    """The image with `shape` voxels over the same box, nearest neighbours as in training."""
    return F.interpolate(image[None, None], tuple(shape), mode="nearest-exact")[0, 0]


def _largest_piece(mask: np.ndarray) -> np.ndarray:
    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    largest: np.ndarray = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    return largest


def _box_of(rough: np.ndarray, shape: Sequence[int]) -> tuple[slice, ...] | None:
    """The box around the rough mask, grown, in voxels of `shape`; None if there is no brain."""
    box = []
    for axis, length in enumerate(shape):
        others = tuple(a for a in range(3) if a != axis)
        planes = np.flatnonzero(rough.mean(axis=others) > MIN_FOREGROUND)
        if not len(planes):
            return None
        low, high = planes[0] / len(rough) * length, (planes[-1] + 1) / len(rough) * length
        margin = BOX_MARGIN * (high - low)
        box.append(slice(max(0, round(low - margin)), min(length, round(high + margin))))
    return tuple(box)

"""Pre-processed cases: made once, kept on disk in half precision, drawn from in memory."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from factorizer_engine.bundles.settings import Preprocessing
from factorizer_engine.images.files import read_labels, read_scan, read_volumes
from factorizer_engine.images.preprocessing import Preprocessor
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import file_digest, written_atomically
from factorizer_engine.protocol.triples import triple
from factorizer_engine.training.config import PreprocessingSection
from factorizer_engine.training.data.dataset import Case, Dataset

_POINTS_PER_REGION = 20_000
_VERSION = 4
UNKNOWN = -1.0
"""What masks of a training window hold in voxels that are to be ignored."""


@dataclass(frozen=True)
class PreparedCase:
    """A case in model space.

    Attributes:
        image: (C, X, Y, Z) float16 z-scores.
        target: (R, X, Y, Z) uint8 region masks.
        points: Per region, voxel indices (N, 3) where it holds; N may be 0.
        spacing: Voxel size in mm.
        ignored: (1, X, Y, Z) uint8: where nothing is known; None if the dataset has no such value.
        absent: Numbers of the channels that the case lacks, which are zero.
        unknown: Numbers of the regions of which nothing is known; they have no points.
    """

    name: str
    image: Tensor
    target: Tensor
    points: tuple[np.ndarray, ...]
    spacing: tuple[float, float, float]
    ignored: Tensor | None = None
    absent: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()

    def as_known(self, dataset: Dataset) -> PreparedCase:
        """The case with what the dataset says of what it lacks."""
        case = dataset.case(self.name)
        unknown = dataset.unknown(case)
        points = tuple(
            found[:0] if region in unknown else found for region, found in enumerate(self.points)
        )
        return replace(self, points=points, absent=case.absent, unknown=unknown)


def preprocessing_of(section: PreprocessingSection) -> Preprocessing:
    """The same settings as a bundle keeps them."""
    return Preprocessing(
        spacing=section.spacing,
        orientation=section.orientation,
        crop_margin=section.crop_margin,
        normalization=section.normalization,
    )


def read_channels(case: Case) -> list[Scan | None]:
    """The case's channels in network order, None for those that it lacks.

    A single four-dimensional NIfTI file (MSD) is split.

    Raises:
        BadInputError: If a file cannot be read.
    """
    if len(case.images) > 1:
        return [None if path is None else read_scan(path) for path in case.images]
    return [*read_volumes(case.files[0])]


def region_masks(label: np.ndarray, regions: dict[str, tuple[int, ...]]) -> np.ndarray:
    """(R, X, Y, Z) booleans: where the label is one of each region's values."""
    return np.stack([np.isin(label, values) for values in regions.values()])


def prepare_case(case: Case, dataset: Dataset, section: PreprocessingSection) -> PreparedCase:
    """Bring a case into model space.

    Region masks are interpolated with antialiasing and cut at one half, so that they are the best
    coarse version of the reference rather than a random one of its voxels.
    """
    scans = read_channels(case)
    label = read_labels(case.label)
    first = next(scan for scan in scans if scan is not None)
    prepared = Preprocessor(preprocessing_of(section)).prepare(scans, first)

    def share_of(mask: np.ndarray) -> np.ndarray:
        scan = label.with_array(mask.astype(np.float32))
        return resample(scan, prepared.grid, "linear", antialias=True).array

    shares = [share_of(mask) for mask in region_masks(label.array, dataset.regions)]
    spacing = prepared.grid.spacing
    if dataset.ignore is None:
        target = np.stack([share >= 0.5 for share in shares])
        return _with_points(case.name, prepared.array, target, spacing)
    unknown = share_of(label.array == dataset.ignore)
    ignored = unknown >= 0.5
    target = np.stack([(share >= 0.5 * (1 - unknown)) & ~ignored for share in shares])
    return _with_points(case.name, prepared.array, target, spacing, ignored[None])


def _with_points(
    name: str,
    image: np.ndarray,
    target: np.ndarray,
    spacing: tuple[float, float, float],
    ignored: np.ndarray | None = None,
) -> PreparedCase:
    points = []
    for mask in target:
        found = np.argwhere(mask)
        step = max(1, -(-len(found) // _POINTS_PER_REGION))
        points.append(found[::step])
    return PreparedCase(
        name=name,
        image=torch.from_numpy(np.ascontiguousarray(image, dtype=np.float16)),
        target=_as_mask(target),
        points=tuple(points),
        spacing=triple(float(s) for s in spacing),
        ignored=None if ignored is None else _as_mask(ignored),
    )


def _as_mask(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.uint8))


class CaseCache:
    """Prepared cases of one dataset under one pre-processing, in a folder and in memory.

    Args:
        folder: Where `<case>.npz` files are kept; made if missing.
        dataset: Where cases come from.
        section: Pre-processing; another one makes other files.

    A file is made anew when images or label of its case have changed since, by their content.
    """

    def __init__(self, folder: Path, dataset: Dataset, section: PreprocessingSection) -> None:
        self._dataset = dataset
        self._section = section
        self._memory: dict[str, PreparedCase] = {}
        # A list, because the order of the regions is that of the masks.
        regions = list(dataset.regions.items())
        settings = {
            **asdict(preprocessing_of(section)),
            "regions": regions,
            "ignore": dataset.ignore,
            "v": _VERSION,
        }
        key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
        self._folder = Path(folder) / key

    def get(self, name: str) -> PreparedCase:
        """The prepared case `name`, from memory, else from disk, else made now."""
        if name not in self._memory:
            case, path = self._dataset.case(name), self._folder / f"{name}.npz"
            source = _fingerprint(case)
            if _source_of(path) != source:
                self._write(path, prepare_case(case, self._dataset, self._section), source)
            self._memory[name] = self._read(path).as_known(self._dataset)
        return self._memory[name]

    @staticmethod
    def _write(path: Path, case: PreparedCase, source: str) -> None:
        masks = case.target if case.ignored is None else torch.cat([case.target, case.ignored])
        with written_atomically(path) as temporary:
            np.savez(
                temporary,
                image=case.image.numpy(),
                masks=np.packbits(masks.numpy()),
                shape=np.asarray(masks.shape),
                spacing=np.asarray(case.spacing),
                source=np.asarray(source),
            )

    def _read(self, path: Path) -> PreparedCase:
        with np.load(path) as content:
            shape = tuple(content["shape"])
            masks = np.unpackbits(content["masks"], count=int(np.prod(shape))).reshape(shape)
            spacing = tuple(content["spacing"].tolist())
            count = len(self._dataset.regions)
            ignored = None if self._dataset.ignore is None else masks[count:]
            return _with_points(path.stem, content["image"], masks[:count], spacing, ignored)


def _fingerprint(case: Case) -> str:
    """A sum over the content of the case's files, in their order."""
    digest = hashlib.sha256()
    for path in (*case.files, case.label):
        try:
            digest.update(file_digest(path))
        except OSError as error:
            raise BadInputError(f"{path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def _source_of(path: Path) -> str | None:
    """The fingerprint of the case that a prepared file was made of; None without a sound file."""
    try:
        with np.load(path) as content:
            return str(content["source"])
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None

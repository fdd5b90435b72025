"""What the engine process is asked and what it answers, as typed messages.

Methods: `hello`, `models`, `load_model`, `segment`, `components`, `cancel`, `shutdown`; `PARAMS`
and `RESULTS` have the message that each takes and gives. Jobs run one at a time in the order of
arrival; `cancel` and `shutdown` are answered at once, also during a job. Volumes travel as .npy
files, see `ScanFile`. The lines themselves are in `wire.py`.

The Slicer process imports this file: standard library and numpy only.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.messages import Message, ProtocolError
from factorizer_engine.protocol.models import Channel, Label, Region

PROTOCOL_VERSION = 1
PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class ScanFile(Message):
    """A volume in a .npy file.

    Attributes:
        path: The .npy file; voxels of shape (I, J, K), any real dtype, C or Fortran order.
        affine: 4x4 matrix, row by row, from voxel indices (i, j, k, 1) to world coordinates in
            mm, RAS+.
        name: What to call the volume in messages.
    """

    path: str
    affine: tuple[tuple[float, ...], ...]
    name: str = ""

    def __post_init__(self) -> None:
        if len(self.affine) != 4 or any(len(row) != 4 for row in self.affine):
            raise ProtocolError(f"The affine of '{self.name or self.path}' is not a 4x4 matrix.")

    @classmethod
    def save(
        cls, array: np.ndarray, affine: np.ndarray, path: str | Path, name: str = ""
    ) -> ScanFile:
        """Write `array` (I, J, K) to `path` (.npy); transposed views are written without a copy.

        Raises:
            OSError: If the file cannot be written.
        """
        try:
            np.save(path, array, allow_pickle=False)
        except OSError as error:
            if error.errno is None:  # numpy's own: fewer bytes than asked for were written
                raise OSError(errno.ENOSPC, str(error), str(path)) from error
            raise
        rows = np.asarray(affine, dtype=np.float64).tolist()
        return cls(str(path), tuple(tuple(row) for row in rows), name)

    def load(self, mapped: bool = False) -> np.ndarray:
        """The voxels, shape (I, J, K); `mapped` reads them lazily from the file.

        Raises:
            BadInputError: If the file is missing or not a .npy file of numbers.
        """
        title = self.name or Path(self.path).name
        try:
            array = np.load(self.path, mmap_mode="r" if mapped else None, allow_pickle=False)
        except FileNotFoundError as error:
            raise BadInputError(f"The volume '{title}' was not found.", str(error)) from error
        except (OSError, ValueError, EOFError) as error:
            raise BadInputError(
                f"The file of the volume '{title}' is damaged.", str(error)
            ) from error
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            raise BadInputError(f"The volume '{title}' does not hold plain numbers.")
        return array

    @property
    def matrix(self) -> np.ndarray:
        """The affine as a (4, 4) float64 array."""
        return np.array(self.affine, dtype=np.float64)


@dataclass(frozen=True)
class ModelInfo(Message):
    """An installed model, as far as a caller needs to know it.

    Attributes:
        expected_seconds: Typical duration of one case by kind of device ("cpu", "cuda", "mps").
        card: The model card, Markdown.
        notes: What had to be assumed because the model's files do not say it.
    """

    name: str
    version: str
    family: str
    title: str
    description: str
    path: str
    channels: tuple[Channel, ...]
    regions: tuple[Region, ...]
    labels: tuple[Label, ...]
    expected_seconds: dict[str, float] = field(default_factory=dict)
    card: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class HelloParams(Message):
    """No parameters."""


@dataclass(frozen=True)
class DeviceInfo(Message):
    """A device to compute on; memory in bytes, None where it cannot be told."""

    name: str
    title: str
    memory_total: int | None = None
    memory_free: int | None = None


@dataclass(frozen=True)
class HelloResult(Message):
    """Who answers, and what it can compute on; the first device is the one "auto" chooses."""

    protocol: int
    engine: str
    versions: dict[str, str]
    devices: tuple[DeviceInfo, ...]
    pid: int


@dataclass(frozen=True)
class ModelsParams(Message):
    """Folders to search besides the usual ones."""

    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelsResult(Message):
    """The installed models, by name."""

    models: tuple[ModelInfo, ...]


@dataclass(frozen=True)
class LoadModelParams(Message):
    """A model (name, family or path) to make ready on a device, see `SegmentParams`."""

    model: str
    device: str = "auto"
    precision: str = "float32"
    compiled: bool = False

    def __post_init__(self) -> None:
        _check_precision(self.precision)


@dataclass(frozen=True)
class LoadModelResult(Message):
    model: ModelInfo
    device: str


@dataclass(frozen=True)
class SegmentParams(Message):
    """One run.

    Attributes:
        model: Name, family or path of the model.
        channels: The scan of each channel, by the model's channel names.
        output_dir: Existing folder for the .npy files of the result.
        reference: Channel on whose grid the result is given; None takes the model's first channel.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        precision: One of `PRECISIONS`.
        tta: Average over mirrored copies; None leaves it to the model.
        overlap: Overlap of neighbouring windows, 0 to below 1; None leaves it to the model.
        probabilities: Whether to write the probability maps too.
        box: Where to look; None looks everywhere. Only windows that touch it are computed, and
            outside it the result is empty.
        quick: Lay the windows around the box: fewer, and not those of the whole scan.
        compiled: Translate the model by torch.compile, which makes its first run take long.
    """

    model: str
    channels: dict[str, ScanFile]
    output_dir: str
    reference: str | None = None
    device: str = "auto"
    precision: str = "float32"
    tta: bool | None = None
    overlap: float | None = None
    probabilities: bool = True
    box: WorldBox | None = None
    quick: bool = False
    compiled: bool = False

    def __post_init__(self) -> None:
        _check_precision(self.precision)
        if self.overlap is not None and not 0.0 <= self.overlap < 1.0:
            raise BadInputError(
                f"The overlap must be at least 0 and below 1, but it is {self.overlap:g}."
            )


@dataclass(frozen=True)
class ComponentsParams(SegmentParams):
    """A run that is explained: the `count` components that drive the result most.

    Attributes:
        count: How many components at most.
        blocks: Names of the blocks to look into, such as "decoder.3.0"; None chooses.
        region: Region by whose contribution components are ranked; None ranks by the largest
            contribution to any region that was found.
    """

    count: int = 6
    blocks: tuple[str, ...] | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.count < 1:
            raise BadInputError(f"At least one component must be asked for, not {self.count}.")


@dataclass(frozen=True)
class ProbabilityMap(Message):
    """Probability of one region on the reference grid."""

    region: str
    scan: ScanFile


@dataclass(frozen=True)
class SegmentResult(Message):
    """What a run found, on the reference grid; `timings` in seconds by stage."""

    labelmap: ScanFile
    probabilities: tuple[ProbabilityMap, ...]
    labels: tuple[Label, ...]
    regions: tuple[Region, ...]
    lesions: tuple[Lesion, ...]
    timings: dict[str, float]
    device: str
    model: ModelInfo


@dataclass(frozen=True)
class ComponentInfo(Message):
    """One NMF component: its place in the network, what it drives, and its heatmap.

    Attributes:
        network: Member of the ensemble, from 0.
        contributions: By region name, how much the region's mean logit inside the lesion falls
            when the component is left out of the network.
        window: (low, high) display range, one for all heatmaps of a block, so that they can be
            compared. Activations of different blocks have no common scale.
        heatmap: float32 activation on the reference grid, nonnegative.
    """

    network: int
    block: str
    head: int
    rank: int
    name: str
    contributions: dict[str, float]
    window: tuple[float, float]
    heatmap: ScanFile


@dataclass(frozen=True)
class ComponentsResult(Message):
    """The components, most influential first.

    Attributes:
        note: What to know about the contributions, for people, or "".
    """

    components: tuple[ComponentInfo, ...]
    model: ModelInfo
    note: str = ""


@dataclass(frozen=True)
class CancelParams(Message):
    """The id of the request to stop."""

    id: int


@dataclass(frozen=True)
class CancelResult(Message):
    """Whether there was such a request to stop."""

    cancelled: bool


@dataclass(frozen=True)
class ShutdownParams(Message):
    """No parameters."""


@dataclass(frozen=True)
class Nothing(Message):
    """The result of a method that returns nothing."""


PARAMS: dict[str, type[Message]] = {
    "hello": HelloParams,
    "models": ModelsParams,
    "load_model": LoadModelParams,
    "segment": SegmentParams,
    "components": ComponentsParams,
    "cancel": CancelParams,
    "shutdown": ShutdownParams,
}
RESULTS: dict[str, type[Message]] = {
    "hello": HelloResult,
    "models": ModelsResult,
    "load_model": LoadModelResult,
    "segment": SegmentResult,
    "components": ComponentsResult,
    "cancel": CancelResult,
    "shutdown": Nothing,
}


def _check_precision(precision: str) -> None:
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise BadInputError(f"The precision '{precision}' is not one of {known}.")

"""What every run of a model is told: which model where, which scans, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.places import ModelName, ResultsFolder
from factorizer_engine.protocol.volumes import ScanFile


class Precision(str, Enum):
    """Number formats of a computation."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Quality(str, Enum):
    """How much work goes into a result.

    *fast* lets windows overlap little, mirrors nothing and takes one network of an ensemble;
    *balanced* leaves all of that to the model; *best* averages over mirrored copies, too.
    """

    fast = "fast"
    balanced = "balanced"
    best = "best"

    @property
    def mirroring(self) -> bool | None:
        """See `RunOptions`."""
        return {Quality.fast: False, Quality.best: True}.get(self)

    @property
    def overlap(self) -> float | None:
        """See `RunOptions`."""
        return 0.25 if self is Quality.fast else None

    @property
    def members(self) -> int | None:
        """See `ModelChoice`."""
        return 1 if self is Quality.fast else None


MOST_SWEEPS = 1000
"""Sweeps of a factorisation: far more than change anything."""


@dataclass(frozen=True)
class ModelChoice(Message):
    """A model on a device. Runs with the same choice find it warm.

    Attributes:
        model: Its name, family or path.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        precision: One of `Precision`.
        compiled: Translate the model by torch.compile, which makes its first run take long.
        members: Take only so many networks of an ensemble; None takes all.
        sweeps: Sweeps T of every factorisation; None leaves them to the model.
        short_circuits: Blocks, such as "decoder.3.0", whose factorisation passes on what it gets;
            besides those of the model; of a cascade, blocks of its finer stage.
    """

    model: ModelName
    device: str = "auto"
    precision: str = "float32"
    compiled: bool = False
    members: int | None = None
    sweeps: int | None = None
    short_circuits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.sweeps is not None and not 1 <= self.sweeps <= MOST_SWEEPS:
            raise BadInputError(f"The sweeps must be 1 to {MOST_SWEEPS}, not {self.sweeps}.")
        if self.members is not None and self.members < 1:
            raise BadInputError(f"At least one network of a model is needed, not {self.members}.")
        if self.precision not in tuple(Precision):
            known = ", ".join(Precision)
            raise BadInputError(f"The precision '{self.precision}' is not one of {known}.")


@dataclass(frozen=True)
class Study(Message):
    """The scans of one study.

    Attributes:
        channels: The scan of each channel, by the model's channel names.
        reference: Channel on whose grid the result is given; None takes the first of the model's
            channels that is given.
    """

    channels: dict[str, ScanFile]
    reference: str | None = None


@dataclass(frozen=True)
class RunOptions(Message):
    """How a model is applied.

    Attributes:
        mirroring: Average over mirrored copies: along the model's axes, or all where it names none;
            False never; None leaves it to the model.
        overlap: Overlap of neighbouring windows, 0 to below 1; None leaves it to the model.
        box: Where to look; None looks everywhere. Only windows that touch it are computed, and
            outside it the result is empty.
        quick: Lay the windows around the box: fewer, and not those of the whole scan.
        upside_down: The heads stand on their top where the scans say that up is, so the model sees
            them mirrored from top to bottom; results lie on the scans as they are.
    """

    mirroring: bool | None = None
    overlap: float | None = None
    box: WorldBox | None = None
    quick: bool = False
    upside_down: bool = False

    def __post_init__(self) -> None:
        if self.overlap is not None and not 0.0 <= self.overlap < 1.0:
            raise BadInputError(
                f"The overlap must be at least 0 and below 1, but it is {self.overlap:g}."
            )


@dataclass(frozen=True)
class RunParams(Message):
    """What every run is told.

    Attributes:
        choice: The model, and where it runs.
        study: The scans.
        output_dir: Existing folder for the .npy files of the result.
        options: How the model is applied.
    """

    choice: ModelChoice
    study: Study
    output_dir: ResultsFolder
    options: RunOptions = field(default_factory=RunOptions)

"""Make the scans of a raw study ready for a model."""

from __future__ import annotations

from dataclasses import dataclass, field

from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.places import ContentPath, ModelName, ResultsFolder
from factorizer_engine.protocol.preparation import PreparationOptions, Step
from factorizer_engine.protocol.runs import Study
from factorizer_engine.protocol.tasks.task import Task
from factorizer_engine.protocol.volumes import ScanFile


@dataclass(frozen=True)
class PrepareParams(Message):
    """A preparation.

    Attributes:
        model: Name, family or path of the model for which the scans are prepared.
        study: The scans, and the one that stays where it is.
        output_dir: Existing folder for the .npy files of the result.
        options: What may be done to them.
        placed: Channels whose scans a person has placed; they stay where they are.
        brain: Mask that a person has drawn or corrected, on any grid, nonzero in the brain; None
            looks for the brain.
        sheet: Whether to make the quality sheet, which takes as long as all else that is known.
    """

    model: ModelName
    study: Study
    output_dir: ResultsFolder
    options: PreparationOptions = field(default_factory=PreparationOptions)
    placed: tuple[str, ...] = ()
    brain: ScanFile | None = None
    sheet: bool = True


@dataclass(frozen=True)
class PrepareResult(Message):
    """A study made ready.

    Attributes:
        channels: The scans, by channel: each with its own voxels, at the place where the reference
            shows the same tissue, and zero outside the brain if that was cut out.
        brain: uint8 mask on the grid of the reference; None if no brain was cut out.
        steps: What was done, in order.
        sheet: HTML file, one page that shows what the model will see and tells the steps; "" if
            it was not asked for.
        versions: Of the programs that did it, by name.
        timings: Seconds by kind of step.
        upside_down: What `RunOptions` of a run on these scans is to say.
    """

    channels: dict[str, ScanFile]
    brain: ScanFile | None
    steps: tuple[Step, ...]
    sheet: ContentPath
    versions: dict[str, str]
    timings: dict[str, float]
    upside_down: bool = False


PREPARE = Task("prepare", PrepareParams, PrepareResult)

"""Find the components that drove a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from factorizer_engine.protocol.components import Component, Reliance
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.runs import RunParams
from factorizer_engine.protocol.tasks.task import Task
from factorizer_engine.protocol.volumes import ScanFile


@dataclass(frozen=True)
class ComponentsParams(RunParams):
    """A run that is explained: the `count` components that drive the result most.

    Attributes:
        count: How many components at most.
        blocks: Names of the blocks to look into, such as "decoder.3.0"; None chooses.
        region: Region for which components are ranked; None ranks for all that were found
            together, or the one that is most probable in the lesion.
        lesion: Number of the lesion, as in `SegmentResult.lesions`, that is explained; None
            explains all of the result.
        near: In place of its number, about where the lesion has its centre: RAS in mm.
        compact: Write maps as whole numbers of steps (`step_of`) of their windows, with 16 bits;
            what is beyond 128 windows is cut.
    """

    count: int = 6
    blocks: tuple[str, ...] | None = None
    region: str | None = None
    lesion: int | None = None
    near: tuple[float, float, float] | None = None
    compact: bool = False

    def __post_init__(self) -> None:
        refuse_nothing(self.count, self.blocks)


def refuse_nothing(count: int, blocks: Sequence[str] | None) -> None:
    """Refuse to look for no component, or into no block; None are all blocks.

    Raises:
        BadInputError: If that is asked for.
    """
    if count < 1:
        raise BadInputError(f"At least one component must be asked for, not {count}.")
    if blocks is not None and not len(blocks):
        raise BadInputError(
            "At least one block must be looked into; without a choice all of them are."
        )


@dataclass(frozen=True)
class ComponentsResult(Message):
    """The components without which the evidence falls soonest, stable ones first.

    Attributes:
        model: The model.
        components: What they are and what they drive.
        heatmaps: Of every component, where it is active: float32 or compact, nonnegative, on the
            grid of the reference scan.
        evidence: Of every component, what it contributes where, for its `region`: float32 or
            compact, signed logits per mL, whose sum over the volume is the contribution to first
            order.
        own_heatmaps, own_evidence: The same on the model's grid, where every voxel of a component's
            block is seen as it is.
        note: What to know about the contributions, for people, or "".
        reliance: Of a lesion that was asked for, on which of the components it rests.
        lesions: Those of the result; the one that was asked for, or the largest, with their
            `likeness` where the model is described.
    """

    model: ModelDescription
    components: tuple[Component, ...]
    heatmaps: tuple[ScanFile, ...]
    evidence: tuple[ScanFile, ...] = ()
    own_heatmaps: tuple[ScanFile, ...] = ()
    own_evidence: tuple[ScanFile, ...] = ()
    note: str = ""
    reliance: Reliance | None = None
    lesions: tuple[Lesion, ...] = ()


COMPONENTS = Task("components", ComponentsParams, ComponentsResult)

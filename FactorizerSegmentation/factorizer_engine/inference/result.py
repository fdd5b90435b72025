"""What a model found, and all that later steps need of how it did."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from factorizer_engine.images.preprocessing import Prepared
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.sliding_window import Watcher
from factorizer_engine.inference.windows import WindowPlan
from factorizer_engine.lesions.measuring import lesion_voxels
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.models import ModelDescription


@dataclass(frozen=True, eq=False)
class SegmentationResult:
    """What a model found, on the grid of the reference scan, and how.

    Attributes:
        model: The model as it was applied: with the channels that were given, and the regions that
            can be seen with them.
        labelmap: uint8, the values of the model's labels, 0 where there is nothing.
        probabilities: float32, (R, I, J, K), in the order of these regions.
        lesions: The connected pieces, measured.
        timings: Seconds by stage.
        device: Where the network ran.
        prepared: The scans in model space, for explaining the result without preparing them again.
        plan: The windows that were run over them.
        outputs: The numbers of these regions among the outputs of the network.
        note: What it costs that channels were left out, for people, or "".
        watcher: What saw the networks at work, if anything did.
    """

    model: ModelDescription
    labelmap: Scan
    probabilities: np.ndarray
    lesions: tuple[Lesion, ...]
    timings: dict[str, float]
    device: str
    prepared: Prepared
    plan: WindowPlan
    outputs: list[int]
    note: str = ""
    watcher: Watcher | None = None

    @property
    def given(self) -> list[str]:
        """The names of the channels that were given, in the model's order."""
        return [channel.name for channel in self.model.channels]

    def lesion_mask(self, number: int) -> np.ndarray:
        """Where the lesion is that has this number (its `id`), boolean (I, J, K).

        Raises:
            BadInputError: If there is no such lesion.
        """
        members = self._voxels_of_lesions
        if not 1 <= number <= len(members):
            known = f"numbers 1 to {len(members)}" if members else "no lesion"
            raise BadInputError(f"There is no lesion {number}; the result has {known}.")
        mask = np.zeros(self.labelmap.shape, dtype=bool)
        mask[tuple(members[number - 1].T)] = True
        return mask

    @cached_property
    def _voxels_of_lesions(self) -> list[np.ndarray]:
        return lesion_voxels(self.labelmap.array, self.model.labels)

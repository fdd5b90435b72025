"""Look inside the network: heatmaps of the components that drove the result."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from slicer.i18n import tr as _

from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.tasks.components import COMPONENTS, ComponentsResult
from FactorizerSegmentationLib.scene.explanations import (
    Step,
    addOwnVoxels,
    addStep,
    createExplanation,
    nextNumber,
    removeExplanation,
)
from FactorizerSegmentationLib.scene.heatmaps import (
    ACTIVITY,
    EVIDENCE,
    Explanation,
    compactInto,
    measured,
)
from FactorizerSegmentationLib.scene.volumes import emptyImage, voxelsOf
from FactorizerSegmentationLib.tasks.run import Run


@dataclass(frozen=True)
class Explained:
    """What a run has found and what it said.

    Attributes:
        leading: One heatmap per component, most influential first: its evidence.
        note: What to know about the heatmaps, or "".
        lesions: Those of the result, with their likeness where it was measured.
    """

    leading: list[Step] = field(default_factory=list)
    note: str = ""
    lesions: tuple[Lesion, ...] = ()


class ComponentsRun(Run[ComponentsResult]):
    """Explains the result of the volumes; `finished` gets an `Explained`.

    Args:
        count: How many components to ask for.
        region: Region for which they are ranked; "" for any that was found.
        lesion: The lesion that is explained; None for all that was found.
    """

    task = COMPONENTS

    def __init__(
        self,
        scene,
        engine,
        settings,
        callbacks,
        count: int = 6,
        region: str = "",
        lesion: Lesion | None = None,
    ) -> None:
        super().__init__(scene, engine, settings, callbacks)
        self._count = count
        self._region = region
        self._lesion = lesion

    def _particular(self) -> dict[str, object]:
        # By its place: the run may be one with other settings than that which numbered it.
        near = self._lesion.centroid_ras if self._lesion is not None else None
        region = self._region or None
        return {"count": self._count, "region": region, "near": near, "compact": True}

    def _createNodes(self, result: ComponentsResult) -> Generator[None, None, Explained]:
        if not result.components:
            return Explained([], result.note, result.lesions)
        number = self._lesion.id if self._lesion is not None else None
        explanation = Explanation(nextNumber(self._scene), number, result.note, self._region)
        first = result.heatmaps[0]
        place = self._place(first, first.load(mapped=True).shape)
        node = createExplanation(self._scene, self._name(_("{name} components")), place)
        steps: list[Step] = []
        try:
            yield
            for component, activity, evidence in zip(
                result.components, result.heatmaps, result.evidence, strict=True
            ):
                for file, kind in ((evidence, EVIDENCE), (activity, ACTIVITY)):
                    scan = voxelsOf(place.volumeNode) if place.volumeNode is not None else None
                    values = file.load(mapped=True)
                    heatmap = measured(component, values, scan, kind, explanation)
                    image = emptyImage(values.shape)
                    yield from compactInto(image, values, scan, heatmap.window)
                    steps.append(addStep(node, heatmap, image, place.affine))
            own = chain(*zip(result.own_evidence, result.own_heatmaps, strict=True))
            fromWorld = place.affine @ np.linalg.inv(first.matrix)
            for step, file in zip(steps, own, strict=False):  # an older engine sends none
                values = file.load(mapped=True)
                image = emptyImage(values.shape)
                yield from compactInto(image, values, None, step.heatmap.window)
                addOwnVoxels(step, image, fromWorld @ file.matrix)
            leading = [it for it in steps if it.heatmap.kind == EVIDENCE]
            for step in leading[:1]:  # is shown at once, for which its range is needed and kept
                if step.exists:
                    step.volumeNode.GetImageData().GetScalarRange()
            yield
        except BaseException:  # cancelled perhaps
            removeExplanation(node)
            raise
        return Explained(leading, result.note, result.lesions)

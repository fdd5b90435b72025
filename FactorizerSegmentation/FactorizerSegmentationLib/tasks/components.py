"""Look inside the network: heatmaps of the components that drove the result."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
from slicer.i18n import tr as _

from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.tasks.components import COMPONENTS, ComponentsResult
from factorizer_engine.protocol.volumes import ScanFile
from FactorizerSegmentationLib.events import Event
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
from FactorizerSegmentationLib.scene.segmentation_files import rememberModel
from FactorizerSegmentationLib.scene.volumes import Place, emptyImage, voxelsOf
from FactorizerSegmentationLib.tasks.run import Run


@dataclass(frozen=True)
class Explained:
    """What a run has found and what it said.

    Attributes:
        leading: One heatmap per component, most influential first: its evidence.
        note: What to know about the heatmaps, or "".
        lesions: Those of the result, with their likeness where it was measured.
        completed: Emitted when the other maps of the components are there, too: where they are
            active, and both kinds with the voxels of the components' blocks. These are most of the
            work, and seldom what is looked at first.
    """

    leading: list[Step] = field(default_factory=list)
    note: str = ""
    lesions: tuple[Lesion, ...] = ()
    completed: Event = field(default_factory=Event)


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
        self._arriving: _Arriving | None = None

    def _particular(self) -> dict[str, object]:
        # By its place: the run may be one with other settings than that which numbered it.
        near = self._lesion.centroid_ras if self._lesion is not None else None
        region = self._region or None
        return {"count": self._count, "region": region, "near": near, "compact": True}

    def _createNodes(self, result: ComponentsResult) -> Generator[None, None, Explained]:
        if not result.components:
            return Explained([], result.note, result.lesions)
        number = self._lesion.id if self._lesion is not None else None
        about = Explanation(nextNumber(self._scene), number, result.note, self._region)
        first = result.evidence[0]
        place = self._place(first, first.load(mapped=True).shape)
        node = createExplanation(self._scene, self._name(_("{name} components")), place)
        rememberModel(node, result.model)
        arriving = _Arriving(node, place, about, result)
        try:
            yield
            yield from arriving.addSteps(EVIDENCE)
            for step in arriving.steps[EVIDENCE][:1]:  # is shown at once, and needs its range
                if step.exists:
                    step.volumeNode.GetImageData().GetScalarRange()
            yield
        except BaseException:  # cancelled perhaps
            removeExplanation(node)
            raise
        self._arriving = arriving
        leading = list(arriving.steps[EVIDENCE])
        return Explained(leading, result.note, result.lesions, arriving.completed)

    def _afterwards(self) -> Generator[None, None, None]:
        if self._arriving is not None:
            yield from self._arriving.addOthers()
            self._arriving.completed.emit()


class _Arriving:
    """The maps of a result, which become steps of an explanation one by one.

    Args:
        node: The sequence node.
        place: Where they lie.
        about: What they explain.
        result: Says where their files are.

    Attributes:
        steps: Those that are there, by their kind.
        completed: See `Explained`.
    """

    def __init__(self, node, place: Place, about: Explanation, result: ComponentsResult) -> None:
        self._node, self._place, self._about, self._result = node, place, about, result
        self.steps: dict[str, list[Step]] = {}
        self.completed = Event()

    def addSteps(self, kind: str) -> Generator[None, None, None]:
        """Add the maps of a kind to the explanation, until it is deleted."""
        result, place, steps = self._result, self._place, self.steps.setdefault(kind, [])
        files = result.evidence if kind == EVIDENCE else result.heatmaps
        for component, file in zip(result.components, files, strict=True):
            scan = voxelsOf(place.volumeNode) if place.volumeNode is not None else None
            values = file.load(mapped=True)
            heatmap = measured(component, values, scan, kind, self._about)
            image = emptyImage(values.shape)
            yield from compactInto(image, values, scan, heatmap.window)
            if self._isGone:
                return
            steps.append(addStep(self._node, heatmap, image, place.affine))

    def addOthers(self) -> Generator[None, None, None]:
        """Add what is not evidence on the scan's grid, until the explanation is deleted."""
        yield from self.addSteps(ACTIVITY)
        result = self._result
        yield from self._addOwnVoxels(self.steps[EVIDENCE], result.own_evidence)
        yield from self._addOwnVoxels(self.steps[ACTIVITY], result.own_heatmaps)

    def _addOwnVoxels(
        self, steps: Sequence[Step], files: Sequence[ScanFile]
    ) -> Generator[None, None, None]:
        fromWorld = self._place.affine @ np.linalg.inv(self._result.evidence[0].matrix)
        for step, file in zip(steps, files, strict=False):  # an older engine sends none
            values = file.load(mapped=True)
            image = emptyImage(values.shape)
            yield from compactInto(image, values, None, step.heatmap.window)
            if self._isGone:
                return
            addOwnVoxels(step, image, fromWorld @ file.matrix)

    @property
    def _isGone(self) -> bool:
        return self._node.GetScene() is None

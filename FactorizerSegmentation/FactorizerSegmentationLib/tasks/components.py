"""Look inside the network: heatmap volumes of the components that drove the result."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from functools import partial

from slicer.i18n import tr as _

from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.tasks.components import COMPONENTS, ComponentsResult
from FactorizerSegmentationLib.scene import heatmaps
from FactorizerSegmentationLib.scene.subjects import putIntoFolder
from FactorizerSegmentationLib.tasks.run import Run


@dataclass(frozen=True)
class Explained:
    """The nodes of a run and what it said.

    Attributes:
        heatmapNodes: One volume per component, most influential first: its evidence.
        note: What to know about the heatmaps, or "".
    """

    heatmapNodes: list = field(default_factory=list)
    note: str = ""


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
        return {"count": self._count, "region": self._region or None, "near": near}

    def _createNodes(self, result: ComponentsResult) -> Generator[None, None, Explained]:
        leading: list = []
        nodes: list = []
        lesion = self._lesion.id if self._lesion is not None else None
        number = heatmaps.nextNumber(self._scene)
        explanation = heatmaps.Explanation(number, lesion, result.note)
        try:
            for component, activity, evidence in zip(
                result.components, result.heatmaps, result.evidence, strict=True
            ):
                place = self._place(activity, activity.load(mapped=True).shape)
                create = partial(
                    heatmaps.createHeatmap,
                    *(self._scene, component),
                    place=place,
                    explanation=explanation,
                )
                leading.append(create(evidence, kind=heatmaps.EVIDENCE))
                nodes.append(leading[-1])
                yield
                nodes.append(create(activity, evidence=leading[-1]))
                yield
        except BaseException:  # cancelled perhaps
            for node in nodes:
                self._scene.RemoveNode(node)
            raise
        nodes = [node for node in nodes if node.GetScene() is not None]
        leading = [node for node in leading if node.GetScene() is not None]
        if nodes:
            putIntoFolder(nodes, self._reference(), self._name(_("{name} components")))
        return Explained(leading, result.note)

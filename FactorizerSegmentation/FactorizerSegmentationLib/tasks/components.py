"""Look inside the network: heatmap volumes of the components that drove the result."""

from __future__ import annotations

from dataclasses import dataclass, field

from slicer.i18n import tr as _

from factorizer_engine.protocol.tasks.components import COMPONENTS, ComponentsResult
from FactorizerSegmentationLib.scene import overlays
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
    """

    task = COMPONENTS

    def __init__(
        self, scene, engine, settings, callbacks, count: int = 6, region: str = ""
    ) -> None:
        super().__init__(scene, engine, settings, callbacks)
        self._count = count
        self._region = region

    def _particular(self) -> dict[str, object]:
        return {"count": self._count, "region": self._region or None}

    def _createNodes(self, result: ComponentsResult) -> Explained:
        if not result.components:
            return Explained(note=result.note)
        scan = result.heatmaps[0]
        nodes = overlays.createHeatmaps(
            self._scene,
            list(zip(result.components, result.heatmaps, strict=True)),
            self._place(scan, scan.load(mapped=True).shape),
            self._name(_("{name} components")),
            result.evidence,
        )
        return Explained(nodes, result.note)

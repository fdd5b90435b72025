"""What is shown of a model that has no components: its probability map."""

from __future__ import annotations

from collections.abc import Callable

import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.errors import BadModelError, EngineError
from FactorizerSegmentationLib.scene.overlays import HeatmapOverlay
from FactorizerSegmentationLib.scene.probabilities import mapsOf, thresholdsOf


class ProbabilityOffer:
    """A button that is there when a model could not be explained but has told probabilities.

    Args:
        button: The QPushButton.
        overlay: Shows the map.
        result: Gives the segmentation node of the last result, or None.
        region: Gives the name of the region that is looked at; "" for the outermost.
        onShown: Called when the map is shown.
    """

    def __init__(
        self,
        button,
        overlay: HeatmapOverlay,
        result: Callable[[], object],
        region: Callable[[], str],
        onShown: Callable[[], None],
    ) -> None:
        self._button = button
        self._overlay = overlay
        self._result = result
        self._region = region
        self._onShown = onShown
        button.connect("clicked()", self._onClicked)

    def after(self, error: EngineError | None) -> None:
        """A run has ended with an error, or well (None)."""
        self._button.visible = isinstance(error, BadModelError) and bool(self._maps())

    def offers(self, node) -> bool:
        """Whether a volume node is one of the maps of the last result."""
        return node in self._maps().values()

    def _maps(self) -> dict[str, object]:
        """The map of each region, the outermost first."""
        node = self._result()
        thresholds = thresholdsOf(node) if node is not None else None
        maps = mapsOf(node) if thresholds is not None else []
        if thresholds is None or not maps:
            return {}
        pairs = sorted(zip(thresholds.regions, maps, strict=True), key=lambda pair: pair[0].order)
        return {region.name: mapNode for region, mapNode in pairs}

    def _onClicked(self) -> None:
        maps = self._maps()
        if not maps:
            slicer.util.errorDisplay(_("The result was deleted; segment again."))
            return
        shown = maps.get(self._region(), next(iter(maps.values())))
        self._overlay.showProbability(shown)
        self._onShown()

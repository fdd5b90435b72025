"""How heatmaps are shown: which map, in which colours, together with which other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import slicer
from slicer.i18n import tr as _

from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.scene import color_maps
from FactorizerSegmentationLib.scene.heatmaps import ACTIVITY, EVIDENCE, Heatmap
from FactorizerSegmentationLib.scene.layers import canShowTwo
from FactorizerSegmentationLib.scene.overlays import Look, unitOf
from FactorizerSegmentationLib.scene.rendering import canRender


class HeatmapControls:
    """The widgets below the list of components.

    Args:
        ui: The widgets of the panel, by name.
        onChanged: Called when something is to be drawn anew; sliders tell the panel themselves.
    """

    def __init__(self, ui, onChanged: Callable[[], None]) -> None:
        self._ui = ui
        self._onChanged = onChanged
        self._own = None
        self._offered: list[tuple[str, str]] = []
        ui.mapComboBox.addItem(_("Evidence"), EVIDENCE)
        ui.mapComboBox.addItem(_("Activity"), ACTIVITY)
        ui.mapComboBox.connect("currentIndexChanged(int)", self._onMapChanged)
        ui.colorsComboBox.connect("currentIndexChanged(int)", self._onColorsChanged)
        ui.togetherComboBox.connect("currentIndexChanged(int)", self._onSomething)
        ui.smoothCheckBox.connect("toggled(bool)", self._onSomething)
        ui.in3DCheckBox.connect("toggled(bool)", self._onSomething)
        ui.in3DCheckBox.visible = canRender()

    @property
    def kind(self) -> str:
        """Which map of a component is shown."""
        shown = self._own.shownMap if self._own is not None else EVIDENCE
        return ACTIVITY if shown == ACTIVITY else EVIDENCE

    @property
    def look(self) -> Look:
        """How it is shown."""
        ui = self._ui
        return Look(
            ui.opacitySlider.value / 100,
            ui.shownPartSlider.value / 100,
            self._colors(),
            bool(ui.smoothCheckBox.checked),
        )

    @property
    def second(self) -> str | None:
        """Key of the component that is shown together with the chosen one, or None."""
        key = self._ui.togetherComboBox.itemData(self._ui.togetherComboBox.currentIndex)
        return key or None

    def setSecond(self, key: str | None) -> None:
        """Choose a component to be shown together with the chosen one; None is no other."""
        combo = self._ui.togetherComboBox
        with signalsBlocked(combo):
            combo.currentIndex = max(0, combo.findData(key or ""))

    @property
    def in3D(self) -> bool:
        """Whether the chosen one is drawn in the 3D views, too."""
        return bool(self._ui.in3DCheckBox.checked) and canRender()

    def show(self, own) -> None:
        """Show the parameters."""
        self._own = own
        combo = self._ui.mapComboBox
        with signalsBlocked(combo):
            combo.currentIndex = max(0, combo.findData(self.kind))
        self._showColors()

    def offer(self, components: Sequence[tuple[str, str]]) -> None:
        """Offer components, by key and name, to be shown together with the chosen one."""
        if list(components) == self._offered:
            return
        self._offered = list(components)
        combo, before = self._ui.togetherComboBox, self.second
        with signalsBlocked(combo):
            combo.clear()
            combo.addItem(_("No other"), "")
            for key, name in components:
                combo.addItem(name, key)
            combo.currentIndex = max(0, combo.findData(before or ""))
        combo.enabled = canShowTwo(slicer.mrmlScene) and len(components) > 1

    def tellSecond(self, heatmap: Heatmap | None) -> None:
        """Say what the colours of a second heatmap mean; None if there is no second one."""
        self._ui.secondLabel.visible = heatmap is not None
        if heatmap is not None:
            low, high = heatmap.window
            end = low if heatmap.sign < 0 else high
            text = _("Orange: the chosen one. Blue: {name}, to {value} ({unit}).")
            unit = " ".join(unitOf(heatmap).splitlines())
            self._ui.secondLabel.text = text.format(
                name=heatmap.component.name, value=f"{end:.2g}", unit=unit
            )

    def reset(self) -> None:
        """Neither together with another one nor in 3D."""
        with signalsBlocked(self._ui.togetherComboBox, self._ui.in3DCheckBox):
            self._ui.togetherComboBox.currentIndex = 0
            self._ui.in3DCheckBox.checked = False
        self.tellSecond(None)

    def _colors(self) -> str:
        if self._own is None:
            return ""
        evidence, activity = self._own.evidenceColors, self._own.activityColors
        return evidence if self.kind == EVIDENCE else activity

    def _showColors(self) -> None:
        isEvidence = self.kind == EVIDENCE
        maps = color_maps.evidenceMaps() if isEvidence else color_maps.activityMaps()
        combo, chosen = self._ui.colorsComboBox, color_maps.chosenMap(maps, self._colors())
        with signalsBlocked(combo):
            combo.clear()
            for item in maps:
                combo.addItem(item.title, item.name)
            combo.currentIndex = combo.findData(chosen.name)

    def _onMapChanged(self, index: int) -> None:
        if self._own is not None and index >= 0:
            self._own.shownMap = self._ui.mapComboBox.itemData(index)
            self._showColors()
            self._onChanged()

    def _onColorsChanged(self, index: int) -> None:
        if self._own is None or index < 0:
            return
        name = self._ui.colorsComboBox.itemData(index)
        if self.kind == EVIDENCE:
            self._own.evidenceColors = name
        else:
            self._own.activityColors = name
        self._onChanged()

    def _onSomething(self, *ignored) -> None:
        self._onChanged()

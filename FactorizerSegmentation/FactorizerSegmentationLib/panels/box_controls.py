"""Where to look: everywhere, or inside a box; and what the result goes into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from FactorizerSegmentationLib.panels.node_selectors import deselect, release
from FactorizerSegmentationLib.parameters import Parameters
from FactorizerSegmentationLib.scene.boxes import createBoxAround
from FactorizerSegmentationLib.scene.updates import belongsTo


class BoxControls:
    """A check box that opens the choice of the box and of the segmentation to update.

    The box is seen in the views while the check box is ticked.

    Args:
        ui: The widgets of the panel.
        onChanged: Called after any of the choices has changed.
        onNewBox: Gives the volume and the lesion (or None) around which a box is made.
    """

    def __init__(
        self, ui, onChanged: Callable[[], None], onNewBox: Callable[[], tuple[Any, Any]]
    ) -> None:
        self._ui = ui
        self._onChanged = onChanged
        self._onNewBox = onNewBox
        self._parameters: Parameters | None = None
        ui.boxCheckBox.connect("toggled(bool)", self._onToggled)
        ui.newBoxButton.connect("clicked()", self._makeBox)
        ui.boxSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onNodeChanged)
        ui.targetSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onNodeChanged)

    def widgets(self) -> dict[str, object]:
        """Parameter name to the widget that shows it."""
        return {
            "boxed": self._ui.boxCheckBox,
            "box": self._ui.boxSelector,
            "quickBox": self._ui.quickCheckBox,
            "target": self._ui.targetSelector,
        }

    def setParameters(self, parameters: Parameters | None) -> None:
        """The parameters that the widgets are bound to, or None."""
        self._parameters = parameters
        self._ui.boxSettings.visible = self.used

    @property
    def used(self) -> bool:
        """Whether only a box is looked at."""
        return self._ui.boxCheckBox.checked

    @property
    def box(self):
        """The chosen vtkMRMLMarkupsROINode, or None."""
        return self._ui.boxSelector.currentNode() if self.used else None

    @property
    def target(self):
        """The segmentation that is updated inside the box, or None for a new one."""
        return self._ui.targetSelector.currentNode() if self.used else None

    @property
    def quick(self) -> bool:
        """Whether the windows are laid around the box."""
        return self.used and self._ui.quickCheckBox.checked

    def problem(self, referenceVolume) -> str:
        """One sentence on what is missing or does not fit, or the empty string."""
        if not self.used:
            return ""
        if self.box is None:
            return _("Select a box, or make a new one.")
        if self.target is not None and not belongsTo(self.target, referenceVolume):
            return _(
                "The segmentation '{name}' belongs to another scan than '{volume}'; choose a new "
                "segmentation as the result."
            ).format(name=self.target.GetName(), volume=referenceVolume.GetName())
        return ""

    def startText(self) -> tuple[str, str]:
        """What the start button says, and its tooltip."""
        if not self.used:
            return _("Segment"), _("Find the lesions; the result is a new segmentation.")
        if self.target is None:
            return (
                _("Segment inside the box"),
                _("Find the lesions inside the box; the result is a new segmentation."),
            )
        return (
            _("Update inside the box"),
            _("Find the lesions inside the box anew; '{name}' stays as it is outside it.").format(
                name=self.target.GetName()
            ),
        )

    def setEnabled(self, enabled: bool) -> None:
        """Let the user change the choices, or not."""
        for widget in (self._ui.boxCheckBox, self._ui.boxSettings):
            widget.enabled = enabled
        self._ui.newBoxButton.enabled = enabled and self._onNewBox()[0] is not None

    def forget(self, node) -> None:
        """A node is about to go: no other box or segmentation may stand in for it."""
        deselect(self._selectors(), node)

    def release(self) -> None:
        """Let go of the scene, as before the widgets are deleted."""
        release(self._selectors())

    def _selectors(self) -> tuple:
        return self._ui.boxSelector, self._ui.targetSelector

    def _onToggled(self, checked: bool) -> None:
        self._ui.boxSettings.visible = checked
        chosen = self._ui.boxSelector.currentNode()
        if chosen is not None and chosen.GetDisplayNode() is not None:
            chosen.GetDisplayNode().SetVisibility(checked)
        if checked and self._parameters is not None:
            self._parameters.inputs.boxed = True  # before other choices show all parameters anew
            self._proposeChoices(self._parameters.segment.segmentation)
        self._onChanged()

    def _proposeChoices(self, result) -> None:
        """The last result, if it fits, and a box, if there is none yet."""
        volume = self._onNewBox()[0]
        if self.target is None and result is not None and volume is not None:
            if belongsTo(result, volume):
                self._ui.targetSelector.setCurrentNode(result)
        if self.box is None and self._ui.boxSelector.nodeCount() == 0:
            self._makeBox()

    def _makeBox(self) -> None:
        volume, lesion = self._onNewBox()
        if volume is not None:
            node = createBoxAround(slicer.mrmlScene, volume, lesion)
            self._ui.boxSelector.setCurrentNode(node)

    def _onNodeChanged(self, *ignored) -> None:
        self._onChanged()

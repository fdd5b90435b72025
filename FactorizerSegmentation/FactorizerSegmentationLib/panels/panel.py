"""What all panels have in common."""

from __future__ import annotations

import slicer

from FactorizerSegmentationLib.panels.text_colors import SUBDUED, TextColor
from FactorizerSegmentationLib.parameters import Parameters


class Panel:
    """A part of the user interface: a .ui file, bound to a pack of the parameter node.

    Args:
        logic: The FactorizerSegmentationLogic; when it has changed, the panel is updated.
        uiPath: The .ui file, whose top widget is a qMRMLWidget. Labels with the dynamic property
            "subdued" stand back.

    Attributes:
        widget: The top widget.
        ui: The widgets in it, by name.
    """

    pack = ""
    """Name of the panel's pack in `Parameters`."""

    def __init__(self, logic, uiPath: str) -> None:
        self._logic = logic
        self._parameters: Parameters | None = None
        self._guiTag = None
        self.widget = slicer.util.loadUI(uiPath)
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(self.widget)
        labels = slicer.util.findChildren(self.widget, className="QLabel")
        self._colors = [TextColor(label, SUBDUED) for label in labels if label.property(SUBDUED)]
        logic.changed.connect(self.update)

    def setParameters(self, parameters: Parameters | None) -> None:
        """Show and change these parameters; None before the scene or the panel goes."""
        if parameters is not self._parameters:
            if self._guiTag is not None:
                self._own.disconnectGui(self._guiTag)
                self._guiTag = None
            self._parameters = parameters
            self.forget()
            widgets = self.boundWidgets()
            if parameters is not None and widgets:
                self._guiTag = self._own.connectParametersToGui(widgets)
        if parameters is not None:
            self.show()

    def boundWidgets(self) -> dict[str, object]:
        """Parameter name to the widget that shows it."""
        return {}

    def forget(self) -> None:
        """Other parameters come: drop what is known of the nodes of those before."""

    def show(self) -> None:
        """Show the parameters that are not bound to widgets."""

    def update(self) -> None:
        """Bring buttons and tooltips up to date with the scene and the logic."""

    def onNodeAboutToBeRemoved(self, node) -> None:
        """What was chosen may be about to be deleted in the scene."""

    def onNodesRemoved(self) -> None:
        """What was shown may have been deleted in the scene."""

    def leave(self) -> None:
        """Another module is shown: take away what is only drawn for this one."""

    def release(self) -> None:
        """Let go of scene, logic and parameters before the widget is deleted."""
        self._logic.changed.disconnect(self.update)
        self.setParameters(None)

    @property
    def _own(self):
        """The panel's pack of the parameters."""
        return getattr(self._parameters, self.pack)

"""All panels of the module, in their sections, from the scans to the models."""

from __future__ import annotations

from typing import TypeVar

import slicer
from slicer.i18n import tr as _

from FactorizerSegmentationLib.panels.adjust import AdjustPanel
from FactorizerSegmentationLib.panels.clicks import ClicksPanel
from FactorizerSegmentationLib.panels.component_work import ComponentWorkPanel
from FactorizerSegmentationLib.panels.components import ComponentsPanel
from FactorizerSegmentationLib.panels.editing import EditPanel
from FactorizerSegmentationLib.panels.follow_up import FollowUpPanel
from FactorizerSegmentationLib.panels.here import HerePanel
from FactorizerSegmentationLib.panels.inputs import InputsPanel
from FactorizerSegmentationLib.panels.models import ModelsPanel
from FactorizerSegmentationLib.panels.panel import Panel
from FactorizerSegmentationLib.panels.proposals import ProposalPanel
from FactorizerSegmentationLib.panels.report import ReportPanel
from FactorizerSegmentationLib.panels.review import ReviewPanel
from FactorizerSegmentationLib.panels.sections import Section
from FactorizerSegmentationLib.panels.segment import SegmentPanel
from FactorizerSegmentationLib.parameters import Parameters
from FactorizerSegmentationLib.scene.lost_scans import noteLost, reunite
from FactorizerSegmentationLib.scene.volumes import isScan

AnyPanel = TypeVar("AnyPanel", bound=Panel)


class Workbench:
    """Makes the panels and passes on to them what happens.

    Args:
        logic: The FactorizerSegmentationLogic.
        uiFolder: Folder of the .ui files, each named after the class of its panel.

    Attributes:
        sections: Those of the module's panel, from top to bottom.
    """

    def __init__(self, logic, uiFolder: str) -> None:
        self._logic = logic
        self._uiFolder = uiFolder
        self._panels: list[Panel] = []
        self.inputsPanel = self._add(InputsPanel)
        self.segmentPanel = self._add(SegmentPanel, self.inputsPanel)
        self.reviewPanel = self._add(ReviewPanel)
        self.proposalPanel = self._add(ProposalPanel)
        self.adjustPanel = self._add(AdjustPanel)
        self.editPanel = self._add(EditPanel)
        self.clicksPanel = self._add(ClicksPanel, self.inputsPanel)
        self.componentsPanel = self._add(ComponentsPanel, self.inputsPanel)
        self.herePanel = self._add(HerePanel, self.componentsPanel)
        self.componentWorkPanel = self._add(
            ComponentWorkPanel, self.componentsPanel, self.editPanel
        )
        self.followUpPanel = self._add(FollowUpPanel, self.inputsPanel)
        self.reportPanel = self._add(ReportPanel, self.inputsPanel)
        self.modelsPanel = self._add(ModelsPanel, self.inputsPanel)
        self.sections = [
            Section(
                _("Segment lesions"),
                _("Choose a model and scans, and have the lesions drawn."),
                self.inputsPanel.widget,
                self.segmentPanel.widget,
            ),
            Section(
                _("Review"),
                _("Look at each lesion; accept, reject, add, adjust and edit, and undo any step."),
                self.reviewPanel.widget,
                self.proposalPanel.widget,
                self.adjustPanel.widget,
                self.editPanel.widget,
            ),
            Section(
                _("Correct by clicks"),
                _("Click on what was missed or is wrong, and the segments follow."),
                self.clicksPanel.widget,
            ),
            Section(
                _("Look inside the network"),
                _("Which components of the network drove the result, as heatmaps."),
                self.componentsPanel.widget,
                self.herePanel.widget,
                self.componentWorkPanel.widget,
            ),
            Section(
                _("Follow-up"),
                _("What became of each lesion since earlier studies."),
                self.followUpPanel.widget,
                folded=True,
            ),
            Section(
                _("Report"),
                _("Findings in your own words, a page with key images, and DICOM objects."),
                self.reportPanel.widget,
                folded=True,
            ),
            Section(
                _("Models"),
                _("Which models are installed; install others, or delete them."),
                self.modelsPanel.widget,
                folded=True,
            ),
        ]

    def setParameters(self, parameters: Parameters | None) -> None:
        """Show and change these parameters; None before the scene goes."""
        for panel in self._panels:
            panel.setParameters(parameters)

    def mayTake(self, node) -> bool:
        """Whether a node that has come into the scene may be an input."""
        return isScan(node)

    def onNodeAboutToBeRemoved(self, node) -> None:
        """What was chosen may be about to be deleted in the scene."""
        if isScan(node):
            noteLost(node)
        for panel in self._panels:
            panel.onNodeAboutToBeRemoved(node)

    def onNodesChanged(self, volumesAdded: bool) -> None:
        """Nodes have come or gone in the scene."""
        if volumesAdded:  # only then, and not in place of a scan that was deleted
            reunite(slicer.mrmlScene)
            self.inputsPanel.fillEmptyChannels()
        for panel in self._panels:
            panel.onNodesRemoved()

    def leave(self) -> None:
        """Another module is shown: what was only drawn for this one goes."""
        for panel in self._panels:
            panel.leave()
        self._logic.positions.restore(slicer.mrmlScene)

    def release(self) -> None:
        """Let go of scene, logic and parameters before the widgets are deleted."""
        self.leave()
        for panel in self._panels:
            panel.release()
        for section in self.sections:
            section.release()

    def _add(self, panelClass: type[AnyPanel], *others: Panel) -> AnyPanel:
        uiPath = f"{self._uiFolder}/{panelClass.__name__}.ui"
        panel = panelClass(self._logic, uiPath, *others)
        self._panels.append(panel)
        return panel

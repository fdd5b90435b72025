"""Factorizer Segmentation: lesions as segments, and what drove the network, in 3D Slicer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if TYPE_CHECKING:  # imported where they are needed, so that Slicer opens quickly
    from FactorizerSegmentationLib.panels.workbench import Workbench
    from FactorizerSegmentationLib.parameters import Parameters
    from FactorizerSegmentationLib.tasks.run import Run

RELOADED = ("FactorizerSegmentationLib", "factorizer_engine.protocol")
"""What *Reload* reads anew besides this file; of the engine no more is imported here."""
WATCHED_CLASSES = (
    "vtkMRMLScalarVolumeNode",
    "vtkMRMLSequenceNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLTableNode",
    "vtkMRMLMarkupsROINode",
    "vtkMRMLLinearTransformNode",
    "vtkMRMLTextNode",
)
"""Nodes that are inputs or results; when one is deleted, the panels have to know."""
FIRST = 100.0
"""Priority of an observer that acts before the selectors do."""


class FactorizerSegmentation(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Factorizer Segmentation")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["Factorizer Segmentation contributors"]
        self.parent.helpText = _(
            "Finds lesions in medical scans with Factorizer networks, as editable segments, and "
            "shows the matrix-factorisation components that drove the result as heatmaps over the "
            "scan. Choose a model and its scans, and press Segment. For research only; not a "
            "medical device."
        )
        self.parent.acknowledgementText = _(
            "Based on P. Ashtari, D. M. Sima, L. De Lathauwer, D. Sappey-Marinier, F. Maes and "
            "S. Van Huffel, Factorizer: A scalable interpretable approach to context modeling for "
            "medical image segmentation, Medical Image Analysis 84:102706, 2023."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData() -> None:
    """Offer the sample case in the Sample Data module."""
    from FactorizerSegmentationLib import sample_data

    sample_data.registerSampleData(Path(__file__).parent / "Resources" / "Icons")


class FactorizerSegmentationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Joins the panels, the logic and the scene."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: FactorizerSegmentationLogic | None = None
        self.workbench: Workbench | None = None
        self._refreshPending = False
        self._volumesAdded = False

    def __getattr__(self, name: str):
        """The panels, such as `reviewPanel`, are the workbench's."""
        workbench = vars(self).get("workbench")
        if workbench is None or not name.endswith("Panel"):
            raise AttributeError(name)
        return getattr(workbench, name)

    def setup(self) -> None:
        """Build the panels; called once, when the module is first opened."""
        ScriptedLoadableModuleWidget.setup(self)
        from FactorizerSegmentationLib.panels.workbench import Workbench

        self.logic = FactorizerSegmentationLogic()
        self.workbench = Workbench(self.logic, self.resourcePath("UI"))
        for section in self.workbench.sections:
            self.layout.addWidget(section.button)
        self.layout.addStretch(1)
        self._observeScene(slicer.mrmlScene)
        self._useParameterNode()

    def enter(self) -> None:
        """The module is shown."""
        if self.logic is not None:
            self.logic.inFront = True
        self._useParameterNode()

    def exit(self) -> None:
        """Another module is shown: the slice views become the user's again."""
        if self.logic is not None:
            self.logic.inFront = False
        if self.workbench is not None:
            self.workbench.leave()

    def cleanup(self) -> None:
        """The widget goes: nothing of it may stay behind."""
        self.removeObservers()
        if self.logic is not None:
            self.logic.close()
        if self.workbench is not None:
            self.workbench.release()

    def onReload(self) -> None:
        """Read the library and the protocol anew too; Slicer itself reloads only this file."""
        for name in [name for name in sys.modules if name.startswith(RELOADED)]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event) -> None:
        """A run has no scene to come back to."""
        if self.logic is not None:
            self.logic.cancel(ofScene=True)
        if self.workbench is not None:
            self.workbench.setParameters(None)

    def onSceneEndClose(self, caller, event) -> None:
        """Start afresh in the empty scene."""
        self._useParameterNode()

    def onSceneEndImport(self, caller, event) -> None:
        """The scene file may have brought choices and results."""
        if self.logic is not None:
            self.logic.getParameterNode().readAgain()
        self._useParameterNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAdded(self, caller, event, node) -> None:
        """A new volume may be a missing channel, a segmentation a start; names are set later."""
        self._volumesAdded |= self.workbench is not None and self.workbench.mayTake(node)
        if self._volumesAdded or node.IsA("vtkMRMLSegmentationNode"):
            self._refreshSoon()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, caller, event, node) -> None:
        """An input may be about to go."""
        if self.workbench is not None and not caller.IsClosing():
            self.workbench.onNodeAboutToBeRemoved(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeRemoved(self, caller, event, node) -> None:
        """An input or a result may be gone."""
        if any(node.IsA(name) for name in WATCHED_CLASSES):
            self._refreshSoon()

    def _observeScene(self, scene) -> None:
        events = slicer.vtkMRMLScene
        self.addObserver(scene, events.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, events.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, events.EndImportEvent, self.onSceneEndImport)
        self.addObserver(scene, events.NodeAddedEvent, self.onNodeAdded)
        leaving = events.NodeAboutToBeRemovedEvent
        self.addObserver(scene, leaving, self.onNodeAboutToBeRemoved, priority=FIRST)
        self.addObserver(scene, events.NodeRemovedEvent, self.onNodeRemoved)

    def _useParameterNode(self) -> None:
        scene = slicer.mrmlScene
        if self.logic is None or scene.IsClosing() or scene.IsBatchProcessing():
            return
        if self.workbench is not None:
            self.workbench.setParameters(self.logic.getParameterNode())
        self.logic.notify()

    def _refreshSoon(self) -> None:
        if not self._refreshPending:
            self._refreshPending = True
            qt.QTimer.singleShot(0, self._refresh)

    def _refresh(self) -> None:
        self._refreshPending = False
        if self.logic is None or self.logic.closed or slicer.mrmlScene.IsClosing():
            return
        if self.workbench is not None:
            self.workbench.onNodesChanged(self._volumesAdded)
        self._volumesAdded = False
        self.logic.notify()


class FactorizerSegmentationLogic(ScriptedLoadableModuleLogic):
    """Runs models on volumes of the scene, one run at a time, without a widget.

    Attributes:
        changed: Emitted when a run begins or ends, and when buttons have to look anew.
        helloed: Emitted with the `HelloResult` of a freshly started engine, and after each run.
        logged: Emitted with what was run, what came of it, and what the engine writes.
        selectedLesion: The `Lesion` that the user has selected in a table, or None.
        positions: Where the slice views were before the module moved them.
        history: What can be undone and redone in the results.
        inFront: Whether the user looks at the module; elsewhere the views are not ours to change.
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        from FactorizerSegmentationLib.engine.process import EngineProcess
        from FactorizerSegmentationLib.events import Event
        from FactorizerSegmentationLib.scene.history import History
        from FactorizerSegmentationLib.scene.slice_positions import SlicePositions

        self.changed = Event()
        self.helloed = Event()
        self.logged = Event()
        self.inFront = False
        self.selectedLesion = None
        self.history = History()
        self.positions = SlicePositions()
        self.closed = False
        self.engine = EngineProcess(None, self.helloed.emit, self.logged.emit)
        self._parameters: Parameters | None = None
        self._run: Run | None = None

    def getParameterNode(self):
        """The module's choices and results, kept in the scene."""
        from FactorizerSegmentationLib.parameters import Parameters

        node = ScriptedLoadableModuleLogic.getParameterNode(self)
        if self._parameters is None or self._parameters.node is not node:
            self._parameters = Parameters(node)
        return self._parameters

    @property
    def busy(self) -> bool:
        """Whether a run is on."""
        return self._run is not None

    @property
    def modelFolder(self) -> Path:
        """Where users put models of their own."""
        from factorizer_engine.protocol.locations import user_models_dirs

        return user_models_dirs()[0]

    def models(self) -> list:
        """The installed models, as `ModelDescription`."""
        from factorizer_engine.protocol.description import installed_models

        return installed_models()

    def heatmaps(self) -> list:
        """The heatmaps in the scene, one a component, oldest first, as `explanations.Step`."""
        from FactorizerSegmentationLib.scene.explanations import leadingIn

        return leadingIn(slicer.mrmlScene)

    def setPython(self, program: str) -> None:
        """Run the engine in another Python; the empty string means Slicer's own."""
        self.engine.python = program or None

    def prepareEngine(self, program: str = "", additional=(), here: bool = False) -> bool:
        """Make sure that the engine can start (if `here`, on this computer), or ask."""
        from FactorizerSegmentationLib.panels.install_dialog import ensurePackages

        self.setPython(program)
        if program or (self.engine.machine is not None and not here):
            return True
        problem = ensurePackages(additional)
        if problem:
            slicer.util.errorDisplay(problem)
        return not problem

    def segment(self, settings, callbacks) -> None:
        """Start to segment; returns at once.

        Args:
            settings: A `tasks.run.RunSettings`.
            callbacks: The protocol's `Callbacks`; `finished` gets a `tasks.segment.Segmented`.

        Raises:
            SceneError: If a volume cannot be used.
        """
        from FactorizerSegmentationLib.tasks.segment import SegmentRun

        self._start(SegmentRun, settings, callbacks)

    def explain(self, settings, callbacks, count: int = 6, region: str = "", lesion=None) -> None:
        """Start to look for the `count` components that drove the result; see `segment`.

        Args:
            callbacks: `finished` gets a `tasks.components.Explained`.
            region: Name of the region for which they are ranked; "" for any that was found.
            lesion: The protocol's `Lesion` that is explained; None for all that was found.
        """
        from FactorizerSegmentationLib.tasks.components import ComponentsRun

        self._start(ComponentsRun, settings, callbacks, count, region, lesion)

    def writeReport(self, order, callbacks) -> None:
        """Start to report, as a `tasks.report.ReportOrder` says; see `segment`."""
        from FactorizerSegmentationLib.tasks.report import ReportRun

        self._start(ReportRun, order, callbacks)

    def exportDicom(self, order, callbacks) -> None:
        """Start to export, as a `tasks.export_dicom.ExportOrder` says; see `segment`."""
        from FactorizerSegmentationLib.tasks.export_dicom import ExportDicomRun

        self._start(ExportDicomRun, order, callbacks)

    def followUp(self, order, callbacks) -> None:
        """Start to compare, as a `tasks.follow_up.FollowUpOrder` says; see `segment`."""
        from FactorizerSegmentationLib.tasks.follow_up import FollowUpRun

        self._start(FollowUpRun, order, callbacks)

    def refine(self, settings, callbacks, labels, clicks) -> None:
        """Start to have a label map corrected by clicks, as `tasks.refine.RefineRun` says."""
        from FactorizerSegmentationLib.tasks.refine import RefineRun

        self._start(RefineRun, settings, callbacks, labels, clicks)

    def prepareInputs(self, settings, callbacks) -> None:
        """Start to prepare the volumes; `finished` gets the protocol's `PrepareResult`."""
        from FactorizerSegmentationLib.tasks.prepare import PrepareRun

        self._start(PrepareRun, settings, callbacks)

    def changeModels(self, params, callbacks) -> None:
        """Start to install or remove a model, as the task's `params` say; returns at once."""
        from FactorizerSegmentationLib.tasks.models import ModelChange

        self._start(ModelChange, params, callbacks)

    def cancel(self, ofScene: bool = False) -> None:
        """Ask to stop the run, if there is one; if `ofScene`, only one on what is in the scene."""
        if self._run is not None and (self._run.usesScene or not ofScene):
            self._run.cancel()

    def close(self) -> None:
        """End the engine; the logic cannot be used afterwards."""
        self.closed = True
        self.cancel()
        self.engine.close()

    def notify(self) -> None:
        """Tell that something has changed that buttons depend on."""
        if not self.closed:
            self.changed.emit()

    def _start(self, runClass, settings, callbacks, *arguments) -> None:
        from factorizer_engine.protocol.conversation import Callbacks

        def finished(outcome) -> None:
            self._run = None
            callbacks.finished(outcome)
            self.logged.emit(_("Done."))
            self.engine.hello()

        def failed(error) -> None:
            self._run = None
            self.logged.emit(f"{error}\n{error.details}".strip())
            callbacks.failed(error)

        wrapped = Callbacks(finished, failed, callbacks.progress)
        run = runClass(slicer.mrmlScene, self.engine, settings, wrapped, *arguments)
        run.start()
        self._run = run
        self.logged.emit(run.summary)
        self.notify()


class FactorizerSegmentationTest(ScriptedLoadableModuleTest):
    """Segments the sample case; runs inside Slicer by Reload and Test and by ctest."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all tests."""
        self.setUp()
        self.test_theSampleTumourIsFound()

    def test_theSampleTumourIsFound(self) -> None:
        """What the button of the opened panel finds agrees with what experts have drawn."""
        from FactorizerSegmentationLib import selftest

        widget = selftest.openedWidget()
        self.delayDisplay(_("Segmenting the sample case"))
        self.assertGreater(selftest.wholeTumourDice(widget), selftest.LOWEST_DICE)
        self.delayDisplay(_("Test passed"))

"""`python -m demo.tutorial FOLDER`: the pictures of the tutorial, from loading to the report.

The real module in the stand-in window, with the sample case; every picture is what the window shows
after the clicks that the page `docs/start/tutorial.md` tells of.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from demo.sample import brain_tumour
from demo.screenshot import run_and_wait
from host.display import display_environment

WINDOW = (1280, 860)
WORDS = "Right-sided glioma with central necrosis, broad enhancement and little oedema."
SEGMENT, REVIEW, LOOK_INSIDE, REPORT = (
    "Segment lesions",
    "Review",
    "Look inside the network",
    "Report",
)


class Tutorial:
    """One session with the module.

    Args:
        host: The stand-in window.
        folder: Where the report goes.
    """

    def __init__(self, host, folder: Path) -> None:
        self._host = host
        self._folder = folder
        self._widget = host.select_module("FactorizerSegmentation")

    def steps(self) -> Iterator[str]:
        """Does one step after the other; yields the name of its picture."""
        yield from self._segmenting()
        yield from self._reviewing()
        yield from self._explaining()
        yield from self._reporting()

    def _segmenting(self) -> Iterator[str]:
        import slicer

        for channel in brain_tumour().channels.values():
            slicer.util.loadVolume(str(channel))
        slicer.util.setSliceViewerLayers(background=slicer.util.getNode("FLAIR"), fit=True)
        panel = self._widget.segmentPanel
        self._host.process_events(0.5)
        self._host.wait_until(lambda: not panel.inputs.checks.pending, 60)
        yield "1-scans"
        panel.ui.applyButton.click()
        self._host.wait_until(lambda: panel.ui.progressBar.value > 10, 60)
        yield "2-running"
        self._host.wait_until(lambda: not self._widget.logic.busy, 900)
        self._host.process_events(0.5)
        yield "3-result"

    def _reviewing(self) -> Iterator[str]:
        widget = self._widget
        review, adjust, proposals = widget.reviewPanel, widget.adjustPanel, widget.proposalPanel
        self._open(REVIEW)
        tree = review.ui.lesionsTree
        tree.setCurrentItem(tree.topLevelItem(0))
        tree.topLevelItem(0).setExpanded(True)
        yield "4-lesion"
        adjust.ui.adjustRegionComboBox.currentIndex = adjust.ui.adjustRegionComboBox.count - 1
        adjust.ui.thresholdSlider.value = 20
        self._wait_for_measures()
        yield "5-threshold"
        review.ui.undoButton.click()
        self._wait_for_measures()
        proposals.ui.removeLesionButton.click()
        self._click(review.lesions.current.long_axis.middle)
        yield "6-by-a-click"
        proposals.ui.discardProposalButton.click()
        widget.editPanel.ui.editByHandButton.click()
        yield "7-by-hand"
        widget.editPanel.ui.editByHandButton.click()

    def _explaining(self) -> Iterator[str]:
        self._open(LOOK_INSIDE)
        components, work = self._widget.componentsPanel, self._widget.componentWorkPanel
        run_and_wait(self._host, self._widget, components.ui.explainButton)
        components.ui.componentsTable.selectRow(1)
        self._mouse(self._widget.logic.selectedLesion.long_axis.middle, "Enter", "MouseMove")
        yield "8-components"
        work.ui.workOperationComboBox.currentIndex = 1
        work.ui.workPreviewButton.click()
        self._scroll_to(work.widget)
        yield "9-at-work"
        work.ui.workPreviewButton.click()
        components.ui.hideHeatmapButton.click()

    def _reporting(self) -> Iterator[str]:
        import qt

        self._open(REPORT)
        ui = self._widget.reportPanel.ui
        ui.wordsTextEdit.setPlainText(WORDS)
        path = str(self._folder / "report.html")
        qt.QFileDialog.getSaveFileName = lambda *arguments: path
        run_and_wait(self._host, self._widget, ui.reportButton)
        yield "10-report"

    def _open(self, title: str) -> None:
        """Fold all sections but one."""
        for section in self._widget.workbench.sections:
            if section.button.collapsed != (section.button.text != title):
                section.button.click()
        self._host.process_events(0.5)

    def _wait_for_measures(self) -> None:
        """The lesions are measured a moment after a change."""
        box = self._widget.reviewPanel.ui.lesionsBox
        self._host.wait_until(lambda: box.title != "Lesions", 3)
        self._host.wait_until(lambda: box.title == "Lesions", 30)

    def _scroll_to(self, widget) -> None:
        """Bring the lower end of a widget into view."""
        area = widget
        while not area.inherits("QScrollArea"):
            area = area.parentWidget()
        area.ensureWidgetVisible(widget, 0, 0)
        self._host.process_events(0.2)

    def _click(self, place: tuple[float, float, float]) -> None:
        """Click into the axial view at a place, RAS in mm."""
        self._mouse(place, "Enter", "MouseMove", "LeftButtonPress", "LeftButtonRelease")

    def _mouse(self, place: tuple[float, float, float], *events: str) -> None:
        """Let the mouse do something in the axial view at a place, RAS in mm."""
        import slicer

        view = slicer.app.layoutManager().sliceWidget("Red")
        to_view = np.linalg.inv(slicer.util.arrayFromVTKMatrix(view.mrmlSliceNode().GetXYToRAS()))
        x, y = (to_view @ [*place, 1])[:2]
        interactor = view.sliceView().interactorStyle().GetInteractor()
        interactor.SetEventInformation(round(x), round(y), 0, 0, "0", 0, None)
        for event in events:
            interactor.InvokeEvent(f"{event}Event")
        self._host.process_events(0.3)


def take_pictures(folder: Path) -> list[Path]:
    """Write the pictures as JPEG; returns their paths.

    Raises:
        RuntimeError: If a run does not end in time or without a result.
    """
    from host.application import HostApplication

    host = HostApplication(size=WINDOW)
    pictures = []
    try:
        with tempfile.TemporaryDirectory() as reports:
            for name in Tutorial(host, Path(reports)).steps():
                host.process_events(0.7)
                pictures.append(host.screenshot(folder / f"{name}.jpg"))
    finally:
        host.close()
    return pictures


if __name__ == "__main__":
    with display_environment() as variables:
        os.environ.update(variables)
        take_pictures(Path(sys.argv[1]))

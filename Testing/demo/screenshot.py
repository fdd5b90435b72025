"""`python -m demo.screenshot FILE.png`: the module with the sample case, for the README.

The real module in the stand-in window: loads the scans, presses Segment, then Explain, and
shows a heatmap.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from demo.pictures import most_focal
from demo.sample import brain_tumour
from demo.scene import widest_point
from host.display import display_environment

WINDOW = (1600, 1000)
RUN_SECONDS = 900
FILL = 0.15
"""Of the segments, so that the heatmap shows."""


def take_screenshot(path: Path) -> None:
    """Write what the window shows when everything is done.

    Raises:
        RuntimeError: If a run does not end in time or without a result.
    """
    # Qt comes in only here, where there is a display.
    import slicer

    from host.application import HostApplication

    host = HostApplication(size=WINDOW)
    try:
        widget = host.select_module("FactorizerSegmentation")
        for channel in brain_tumour().channels.values():
            slicer.util.loadVolume(str(channel))
        host.process_events(0.5)
        run_and_wait(host, widget, widget.segmentPanel.ui.applyButton)
        run_and_wait(host, widget, widget.componentsPanel.ui.explainButton)
        _show_heatmap(widget)
        host.process_events(1.0)
        host.screenshot(path)
    finally:
        host.close()


def run_and_wait(host, widget, button) -> None:
    """Click a button that starts a run, and let the window work until its end.

    Raises:
        RuntimeError: If it takes too long.
    """
    button.click()
    host.process_events(0.5)
    if not host.wait_until(lambda: not is_busy(widget), RUN_SECONDS):
        raise RuntimeError("The run did not end in time.")
    host.process_events(0.5)


def is_busy(widget) -> bool:
    """Whether a run is on, or waits until its scans have been looked at."""
    return widget.logic.busy or widget.segmentPanel.controls.running


def _show_heatmap(widget) -> None:
    """Show the heatmap that peaks within the lesion, over T1ce, in slices through the lesion."""
    import slicer

    from FactorizerSegmentationLib.panels.tables import selectKey

    label = nib.Nifti1Image.from_filename(brain_tumour().label)
    truth = np.asanyarray(label.dataobj)
    heatmaps = widget.logic.heatmaps()
    chosen = heatmaps[most_focal(heatmaps, slicer.util.getNode("FLAIR"), truth)]
    selectKey(widget.componentsPanel.ui.componentsTable, chosen.key)
    slicer.util.setSliceViewerLayers(background=slicer.util.getNode("T1ce"))
    for segmentation in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        segmentation.GetDisplayNode().SetOpacity2DFill(FILL)
    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        view.JumpSliceByOffsetting(*widest_point(truth, label.affine))


if __name__ == "__main__":
    with display_environment() as variables:
        os.environ.update(variables)
        take_screenshot(Path(sys.argv[1]))

"""Scans that are cropped or resampled in place, below what lies on them."""

from __future__ import annotations

import numpy as np
import slicer

from FactorizerSegmentationLib.scene.volumes import localAffine
from host import mouse
from host.windows.clicking import add_click, mask, place_of, settle, wait_for_lesions
from host.windows.test_clicks import points


def crop(scan, corner) -> None:
    """As *Crop Volume* does with the scan itself as its output."""
    voxels = slicer.util.arrayFromVolume(scan)[tuple(slice(start, None) for start in corner[::-1])]
    affine = localAffine(scan)
    affine[:3, 3] = affine[:3] @ [*corner, 1]
    slicer.util.updateVolumeFromArray(scan, voxels.copy())
    scan.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))


def test_clicks_go_on_where_their_scan_was_cropped(host, module, scan):
    """Steps from before would change other voxels than they did, so they are not offered."""
    add_click(host, module, scan, (10, 9, 11))
    wait_for_lesions(host, module, 1)
    crop(scan, (3, 2, 1))
    module.logic.notify()
    host.process_events(1)
    settle(host, module)
    assert mask(module, scan)[7, 7, 10]
    review = module.reviewPanel.ui
    assert not review.undoButton.enabled
    add_click(host, module, scan, (7, 7, 15))
    assert "mL changed" in module.clicksPanel.ui.clicksStatusLabel.text
    both = mask(module, scan)
    assert both[7, 7, 10] and both[7, 7, 15]
    wait_for_lesions(host, module, 2)
    review.undoButton.click()
    assert not mask(module, scan)[7, 7, 15] and np.count_nonzero(mask(module, scan)) > 0


def test_an_answer_on_a_scan_that_was_cropped_meanwhile_is_refused(host, module, scan, asked):
    module.clicksPanel.ui.clickAddButton.click()
    mouse.click(host, place_of(scan, (10, 9, 11)))
    assert host.wait_until(lambda: asked.clicks, 5)
    crop(scan, (3, 2, 1))
    asked.answer((10, 9, 11))
    host.process_events(0.1)
    assert "was cropped" in module.clicksPanel.ui.clicksStatusLabel.text
    assert points() == 0

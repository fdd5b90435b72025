"""Segments as surfaces in the 3D views, and whether the user wants to see them."""

from __future__ import annotations

import qt
import slicer

WANTED_SETTING = "FactorizerSegmentation/ShowIn3D"


def areWanted() -> bool:
    """Whether the user has wanted surfaces last; to make them takes a moment."""
    return bool(
        slicer.util.settingsValue(WANTED_SETTING, default=False, converter=slicer.util.toBool)
    )


def rememberWanted(wanted: bool) -> None:
    """See `areWanted`."""
    qt.QSettings().setValue(WANTED_SETTING, bool(wanted))


def showSurfaces(segmentationNode, shown: bool, looking: bool = True) -> None:
    """Show a segmentation in the 3D views, or do not.

    Args:
        looking: Whether the views are turned to it.
    """
    if shown:
        segmentationNode.CreateClosedSurfaceRepresentation()
    segmentationNode.GetDisplayNode().SetVisibility3D(bool(shown))
    if shown and looking:
        slicer.util.resetThreeDViews()

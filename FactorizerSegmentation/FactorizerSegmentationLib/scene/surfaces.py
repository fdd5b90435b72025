"""Segments as surfaces in the 3D views, and whether the user wants to see them."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any

import qt
import slicer

from FactorizerSegmentationLib.scene.turns import Turns

WANTED_SETTING = "FactorizerSegmentation/ShowIn3D"
REST_MS = 500
"""When segments have not changed for so long, their surfaces are made anew."""
DRAWN_MS = 100
"""After so long a new result is drawn in the slices, which come first."""


def areWanted() -> bool:
    """Whether results are shown in 3D; the user's last word."""
    return bool(
        slicer.util.settingsValue(WANTED_SETTING, default=True, converter=slicer.util.toBool)
    )


def rememberWanted(wanted: bool) -> None:
    """See `areWanted`."""
    qt.QSettings().setValue(WANTED_SETTING, bool(wanted))


def setShown(segmentationNode, shown: bool) -> None:
    """Whether a segmentation is to be seen in 3D; `Surfaces` makes what is seen then."""
    display = segmentationNode.GetDisplayNode() if segmentationNode is not None else None
    if display is not None:
        display.SetVisibility3D(bool(shown))


def isShown(segmentationNode) -> bool:
    """Whether a segmentation is to be seen in 3D."""
    display = segmentationNode.GetDisplayNode() if segmentationNode is not None else None
    return bool(display is not None and display.GetVisibility3D())


class Surfaces:
    """Keeps the surfaces of a segmentation as its segments are, while they are shown.

    They are made a segment at a time, between which the window has its turn.
    """

    def __init__(self) -> None:
        self._node: Any = None
        self._segmentation: Any = None
        self._tag = 0
        self._turns = Turns()
        self._looking = False
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._make)

    def watch(self, segmentationNode) -> None:
        """Keep those of this segmentation from now on, or of none."""
        self.forget()
        if segmentationNode is not None:
            self._node, self._segmentation = segmentationNode, segmentationNode.GetSegmentation()
            event = slicer.vtkSegmentation.SourceRepresentationModified
            self._tag = self._segmentation.AddObserver(event, self._onModified)

    def forget(self) -> None:
        """Keep none, as before the scene or the panel goes."""
        self._timer.stop()
        self._turns.cancel()
        if self._segmentation is not None:
            self._segmentation.RemoveObserver(self._tag)
        self._node = self._segmentation = None
        self._looking = False

    def show(self, looking: bool) -> None:
        """Make soon those that are missing, if they are to be seen.

        Args:
            looking: Whether the 3D views are turned to them when they are there.
        """
        self._looking = looking
        self._timer.start(DRAWN_MS)

    def _onModified(self, caller, event) -> None:
        self._timer.start(REST_MS)

    def _make(self) -> None:
        """Make those that are missing or older than their segments."""
        if not isShown(self._node):
            return

        def done(nothing: None) -> None:
            looking, self._looking = self._looking, False
            if looking:
                slicer.util.resetThreeDViews()

        def failed(error: Exception) -> None:
            logging.error("The surfaces of the segments could not be made.", exc_info=error)

        self._turns.start(self._made(), done, failed)

    def _made(self) -> Generator[None, None, None]:
        rule = _rule(self._segmentation)
        if rule is None:
            self._node.CreateClosedSurfaceRepresentation()
            return
        # The first comes last: as soon as it has a surface, Slicer makes those of all others.
        for segmentId in reversed(self._segmentation.GetSegmentIDs()):
            segment = self._segmentation.GetSegment(segmentId)
            if segment is not None and _isOutdated(segment):
                rule.Convert(segment)
                yield
            if not isShown(self._node):
                return
        self._node.GetDisplayNode().Modified()  # else the last one is not drawn
        yield


def _rule(segmentation):
    """How the segments become surfaces, with the segmentation's settings; None if not singly."""
    rule = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule()
    if segmentation.GetSourceRepresentationName() != rule.GetSourceRepresentationName():
        return None
    if segmentation.GetConversionParameter(rule.GetJointSmoothingParameterName()) == "1":
        return None
    for name in (
        rule.GetSmoothingFactorParameterName(),
        rule.GetDecimationFactorParameterName(),
        rule.GetComputeSurfaceNormalsParameterName(),
        rule.GetConversionMethodParameterName(),
    ):
        value = segmentation.GetConversionParameter(name)
        if value:  # otherwise the usual one
            rule.SetConversionParameter(name, value)
    return rule


def _isOutdated(segment) -> bool:
    surface, image = map(
        segment.GetRepresentation,
        (
            slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName(),
            slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName(),
        ),
    )
    return image is not None and (surface is None or surface.GetMTime() < image.GetMTime())

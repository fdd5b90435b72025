"""The Segment Editor of the application."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _


def openSegmentEditor(segmentationNode) -> None:
    """Show the Segment Editor with this segmentation and the scan that it belongs to."""
    if not hasattr(slicer.modules, "segmenteditor"):
        slicer.util.errorDisplay(_("This application has no Segment Editor."))
        return
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.SegmentEditorWidget.editor
    editor.setSegmentationNode(segmentationNode)
    role = segmentationNode.GetReferenceImageGeometryReferenceRole()
    editor.setSourceVolumeNode(segmentationNode.GetNodeReference(role))

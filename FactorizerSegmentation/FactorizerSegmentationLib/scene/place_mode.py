"""Slicer's place mode: clicks into the views become points of a markups node."""

from __future__ import annotations

import slicer

SELECTION = "vtkMRMLSelectionNodeSingleton"
"""The node that knows which markups are placed."""


def placeInto(node) -> None:
    """Let every click into a view become a point of a markups node, until `stopPlacing`."""
    logic = slicer.app.applicationLogic()
    selection, interaction = logic.GetSelectionNode(), logic.GetInteractionNode()
    selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
    selection.SetActivePlaceNodeID(node.GetID())
    interaction.SetPlaceModePersistence(1)
    interaction.SetCurrentInteractionMode(interaction.Place)


def addUnplaced(scene, node) -> None:
    """Add markups to a scene without placing into them: Slicer makes any new ones what is placed.

    A click of the user that is waited for would otherwise go into a ruler, say.
    """
    selection = scene.GetNodeByID(SELECTION)
    if selection is None:
        scene.AddNode(node)
        return
    className, nodeId = selection.GetActivePlaceNodeClassName(), selection.GetActivePlaceNodeID()
    scene.AddNode(node)
    selection.SetReferenceActivePlaceNodeClassName(className)
    selection.SetActivePlaceNodeID(nodeId)


def placingInto(node) -> bool:
    """Whether clicks become points of a node (None: of no node) now."""
    logic = slicer.app.applicationLogic()
    interaction = logic.GetInteractionNode()
    if node is None or interaction.GetCurrentInteractionMode() != interaction.Place:
        return False
    return logic.GetSelectionNode().GetActivePlaceNodeID() == node.GetID()


def stopPlacing() -> None:
    """Let clicks into the views mean what they usually do."""
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    interaction.SetPlaceModePersistence(0)
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)


def crosshairNode():
    """The node that knows where the mouse is over slice views, or None."""
    return slicer.mrmlScene.GetNodeByID("vtkMRMLCrosshairNodedefault")


def cursorPlace() -> tuple[float, float, float] | None:
    """Where the mouse is over a slice view, RAS in mm in the world; None if it is elsewhere."""
    crosshair = crosshairNode()
    place = [0.0, 0.0, 0.0]
    if crosshair is None or not crosshair.GetCursorPositionRAS(place):
        return None
    right, anterior, superior = place
    return right, anterior, superior

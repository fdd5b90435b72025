"""Nodes of views in the scene."""

from __future__ import annotations

import pytest


@pytest.fixture
def add_view(scene):
    """Gives the scene's node of a view: `add_view(slicer.vtkMRMLSliceNode(), "Red")`.

    Clearing the scene would leave it for the tests that follow, so it is taken away here. Where the
    application has such a node already, the scene gives that one instead: it stays.
    """
    added = []

    def add(node, layout_name):
        node.SetLayoutName(layout_name)
        added.append(node)
        return scene.AddNode(node)

    yield add
    for node in added:
        if scene.IsNodePresent(node):
            scene.RemoveNode(node)

"""Taking nodes out of a scene with what draws them."""

from __future__ import annotations


def removeWithDisplays(node) -> None:
    """Take a displayable node out of its scene, with its displays, its legend and its file node."""
    scene, count = node.GetScene(), node.GetNumberOfDisplayNodes()
    displays = [*map(node.GetNthDisplayNode, range(count))]
    for display in displays:
        if display is not None:
            display.SetVisibility(False)  # a view keeps what it drew of a node that only vanishes
    storage = node.GetStorageNode()
    scene.RemoveNode(node)
    for part in (*displays, storage):
        if part is not None:
            scene.RemoveNode(part)

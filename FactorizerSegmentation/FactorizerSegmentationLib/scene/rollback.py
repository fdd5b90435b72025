"""All nodes of a result, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def takenBackIfItFails(scene) -> Iterator[None]:
    """Remove what the block has added to the scene, if the block fails; the window must not act."""
    before = set(_nodeIds(scene))
    try:
        yield
    except BaseException:
        for nodeId in reversed(_nodeIds(scene)):
            node = scene.GetNodeByID(nodeId) if nodeId not in before else None
            if node is not None:  # it may have gone with another one
                scene.RemoveNode(node)
        raise


def _nodeIds(scene) -> list[str]:
    return [scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())]

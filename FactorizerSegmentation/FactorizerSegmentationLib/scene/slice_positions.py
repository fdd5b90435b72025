"""Where slice views look: changed for the user, and given back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import slicer

State = tuple[tuple[float, ...], ...]


class SlicePositions:
    """Moves slice views, and knows where they were; what the user has moved since stays."""

    def __init__(self) -> None:
        self._before: dict[str, State] = {}
        self._left: dict[str, State] = {}

    @contextmanager
    def moving(self, scene) -> Iterator[None]:
        """What moves inside the block is not the user's doing."""
        for node in _sliceNodes(scene):
            state, nodeId = _stateOf(node), node.GetID()
            if nodeId not in self._left or not _same(state, self._left[nodeId]):
                self._before[nodeId] = state
        try:
            yield
        finally:
            known = [node for node in _sliceNodes(scene) if node.GetID() in self._before]
            self._left = {node.GetID(): _stateOf(node) for node in known}

    def jump(self, scene, ras: Sequence[float], centered: bool = True) -> None:
        """Move all slice views through a point, RAS in mm; it comes into their middle or not."""
        with self.moving(scene):
            for node in _sliceNodes(scene):
                jump = node.JumpSliceByCentering if centered else node.JumpSliceByOffsetting
                jump(*map(float, ras))

    def restore(self, scene) -> None:
        """Views that are where they were moved to last go back to where the user had them."""
        for node in _sliceNodes(scene):
            left = self._left.get(node.GetID())
            if left is not None and _same(_stateOf(node), left):
                _setState(node, self._before[node.GetID()])
        self.forget()

    def forget(self) -> None:
        """Drop what was remembered, as when the scene was closed."""
        self._before.clear()
        self._left.clear()


def _sliceNodes(scene) -> list:
    return slicer.util.getNodesByClass("vtkMRMLSliceNode", scene)


def _stateOf(node) -> State:
    """Position and direction, field of view, and the middle of it."""
    matrix = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
    return tuple(matrix.ravel().tolist()), node.GetFieldOfView(), node.GetXYZOrigin()


def _setState(node, state: State) -> None:
    matrix, view, origin = state
    slicer.util.updateVTKMatrixFromArray(node.GetSliceToRAS(), np.reshape(matrix, (4, 4)))
    node.SetFieldOfView(*view)
    node.SetXYZOrigin(*origin)
    node.UpdateMatrices()


def _same(first: State, second: State) -> bool:
    return all(np.allclose(a, b, atol=1e-3) for a, b in zip(first, second, strict=True))

"""Slicer's widgets that know the MRML scene: containers and selectors."""

from __future__ import annotations

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from host.wrapping import Field, wraps_slicer_class


@wraps_slicer_class
class qMRMLWidget(QtWidgets.QWidget):  # noqa: N801
    """A widget that passes the scene on to its children."""

    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._scene = None

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


@wraps_slicer_class
class qMRMLSortFilterProxyModel(QtCore.QObject):  # noqa: N801
    """Decides which nodes a selector offers; here just the ones that are hidden by their ids."""

    hiddenNodeIDs = Field(())

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._onChanged = lambda: None

    def _changed(self, name: str) -> None:
        self._onChanged()


@wraps_slicer_class
class qMRMLNodeComboBox(QtWidgets.QWidget):  # noqa: N801
    """Chooses one node of the scene, of given classes and attributes."""

    currentNodeChanged = QtCore.Signal(object)
    currentNodeIDChanged = QtCore.Signal(str)
    nodeActivated = QtCore.Signal(object)

    nodeTypes = Field(None)
    showHidden = Field(False)
    showChildNodeTypes = Field(True)
    hideChildNodeTypes = Field(None)
    baseName = Field("")
    noneEnabled = Field(False)
    addEnabled = Field(True)
    removeEnabled = Field(True)
    editEnabled = Field(False)
    renameEnabled = Field(False)
    noneDisplay = Field("None")
    selectNodeUponCreation = Field(False)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._scene = None
        self._observations: list[tuple[vtk.vtkObject, int]] = []
        self._attributes: list[tuple[str, str, str | None]] = []
        self._ids: list[str | None] = []
        self._currentId: str | None = None
        self._leavingId: str | None = None
        self._proxy = qMRMLSortFilterProxyModel(self)
        self._proxy._onChanged = self._refresh
        self._combo = QtWidgets.QComboBox(self)
        self._combo.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._combo.connect("currentIndexChanged(int)", self._onIndexChanged)
        self._combo.connect("activated(int)", lambda: self.nodeActivated.emit(self.currentNode()))
        self.connect("destroyed()", self._removeObservers)

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene) -> None:
        self._removeObservers()
        self._scene = scene
        if scene is not None:
            for event in (scene.NodeAddedEvent, scene.EndBatchProcessEvent, scene.EndCloseEvent):
                self._observations.append((scene, scene.AddObserver(event, self._onScene)))
            # Early, so that nobody relies on coming first without having asked for it.
            leaving = scene.AddObserver(scene.NodeAboutToBeRemovedEvent, self._onLeaving, 10.0)
            removed = scene.AddObserver(scene.NodeRemovedEvent, self._onRemoved)
            self._observations += [(scene, leaving), (scene, removed)]
        self._refresh()

    def sortFilterProxyModel(self) -> qMRMLSortFilterProxyModel:
        return self._proxy

    def addAttribute(self, nodeType: str, name: str, value=None) -> None:
        self._attributes.append((nodeType, name, None if value is None else str(value)))
        self._refresh()

    def removeAttribute(self, nodeType: str, name: str) -> None:
        self._attributes = [a for a in self._attributes if a[:2] != (nodeType, name)]
        self._refresh()

    def nodeCount(self) -> int:
        return sum(nodeId is not None for nodeId in self._ids)

    def nodeFromIndex(self, index: int):
        nodes = [nodeId for nodeId in self._ids if nodeId is not None]
        return self._scene.GetNodeByID(nodes[index]) if index < len(nodes) else None

    def currentNode(self):
        if self._scene is None or self._currentId is None:
            return None
        return self._scene.GetNodeByID(self._currentId)

    def setCurrentNode(self, node) -> None:
        self.setCurrentNodeID(node if isinstance(node, str) or node is None else node.GetID())

    def setCurrentNodeID(self, nodeId: str | None) -> None:
        nodeId = nodeId or None
        if nodeId not in self._ids and nodeId is not None:
            self._refresh()
        self._choose(nodeId if nodeId in self._ids else self._default())

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNode(self.nodeFromIndex(index))

    currentNodeID = property(lambda self: self._currentId or "", setCurrentNodeID)

    def addNode(self, nodeType: str = ""):
        """Make a node of the (first) type and select it."""
        node = self._scene.AddNewNodeByClass(nodeType or self._types()[0], self.baseName)
        self._refresh()
        self.setCurrentNode(node)
        return node

    def _changed(self, name: str) -> None:
        self._refresh()

    def _types(self) -> list[str]:
        return [self.nodeTypes] if isinstance(self.nodeTypes, str) else list(self.nodeTypes or ())

    def _nodesOfTypes(self) -> list:
        kinds, scene = self._types(), self._scene
        if len(kinds) == 1:
            found = scene.GetNodesByClass(kinds[0])
            found.UnRegister(scene)
            return [found.GetItemAsObject(index) for index in range(found.GetNumberOfItems())]
        every = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes()))
        return [node for node in every if any(node.IsA(kind) for kind in kinds)]

    def _accepts(self, node) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        if node.GetID() in (self._leavingId, *self._proxy.hiddenNodeIDs):
            return False
        if not self.showChildNodeTypes and node.GetClassName() not in self._types():
            return False
        if any(node.IsA(kind) for kind in self.hideChildNodeTypes or ()):
            return False
        return all(
            not node.IsA(kind)
            or (node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name)))
            for kind, name, value in self._attributes
        )

    def _refresh(self) -> None:
        """Fill the list anew, keeping the choice where it is still possible.

        Where it is not, the node that comes into its row is chosen: a QComboBox does so by itself.
        """
        row = self._ids.index(self._currentId) if self._currentId else None
        nodes = []
        if self._scene is not None and not self._scene.IsBatchProcessing():
            nodes = [node for node in self._nodesOfTypes() if self._accepts(node)]
        self._observeNames(nodes)
        self._ids = [None] if self.noneEnabled or not nodes else []
        self._ids += [node.GetID() for node in nodes]
        self._combo.blockSignals(True)
        self._combo.clear()
        if self._ids[0] is None:
            self._combo.addItem(self.noneDisplay if self.noneEnabled else "")
        for node in nodes:
            self._combo.addItem(node.GetName())
        self._combo.blockSignals(False)
        if self._currentId in self._ids:
            self._choose(self._currentId)
        else:
            last = len(self._ids) - 1
            self._choose(self._default() if row is None else self._ids[min(row, last)])

    def _default(self) -> str | None:
        return None if self.noneEnabled else self._ids[0]

    def _choose(self, nodeId: str | None) -> None:
        self._combo.blockSignals(True)
        self._combo.currentIndex = self._ids.index(nodeId) if nodeId in self._ids else -1
        self._combo.blockSignals(False)
        if nodeId != self._currentId:
            self._currentId = nodeId
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(nodeId or "")

    def _onIndexChanged(self, index: int) -> None:
        if 0 <= index < len(self._ids):
            self._choose(self._ids[index])

    def _onScene(self, caller, event) -> None:
        self._leavingId = None
        if not self._isEmptyInBatch():
            self._refresh()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onLeaving(self, caller, event, node) -> None:
        self._leavingId = node.GetID()
        if self._leavingId in self._ids:
            self._refresh()

    def _onRemoved(self, caller, event) -> None:
        self._leavingId = None  # it left the list when it was about to leave the scene

    def _isEmptyInBatch(self) -> bool:
        """Whether the list is empty already, as it is while many nodes change at once."""
        return bool(self._scene.IsBatchProcessing()) and not any(self._ids)

    def _onNode(self, caller, event) -> None:
        if caller.GetID() in self._ids:
            self._combo.setItemText(self._ids.index(caller.GetID()), caller.GetName() or "")

    def _observeNames(self, nodes) -> None:
        keep = [(o, tag) for o, tag in self._observations if o is self._scene]
        for node, tag in self._observations:
            if node is not self._scene:
                node.RemoveObserver(tag)
        names = [(n, n.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onNode)) for n in nodes]
        self._observations = keep + names

    def _removeObservers(self) -> None:
        for observed, tag in self._observations:
            observed.RemoveObserver(tag)
        self._observations = []


CLASSES = {cls.__name__: cls for cls in (qMRMLWidget, qMRMLNodeComboBox, qMRMLSortFilterProxyModel)}


def install() -> None:
    """Publish the classes in the `slicer` namespace."""
    vars(slicer).update(CLASSES)

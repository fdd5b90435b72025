"""Where nodes stand in the subject hierarchy."""

from __future__ import annotations

import slicer


def putBeside(node, volumeNode) -> None:
    """Put `node` into the study or folder that holds `volumeNode`."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    _setParent(hierarchy, node, _parentOf(hierarchy, volumeNode))


def putIntoFolder(nodes, volumeNode, name: str) -> int:
    """Put `nodes` into a new folder beside `volumeNode`; returns the folder's item id."""
    nodes = list(nodes)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(nodes[0].GetScene())
    folder = hierarchy.CreateFolderItem(_parentOf(hierarchy, volumeNode), name)
    for node in nodes:
        _setParent(hierarchy, node, folder)
    hierarchy.SetItemExpanded(folder, False)
    return folder


def siblings(volumeNode) -> int:
    """The item under which `volumeNode` stands; volumes of one study have the same."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volumeNode.GetScene())
    return _parentOf(hierarchy, volumeNode)


def _parentOf(hierarchy, volumeNode) -> int:
    item = hierarchy.GetItemByDataNode(volumeNode) if volumeNode is not None else 0
    return hierarchy.GetItemParent(item) if item else hierarchy.GetSceneItemID()


def _setParent(hierarchy, node, parent: int) -> None:
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.SetItemParent(item, parent)
    else:
        hierarchy.CreateItem(parent, node)

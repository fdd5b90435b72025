"""Where nodes stand in the subject hierarchy."""

from __future__ import annotations

import slicer


def putBeside(node, volumeNode) -> None:
    """Put `node` into the study or folder that holds `volumeNode`."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    _setParent(hierarchy, node, _parentOf(hierarchy, volumeNode))


def dissolveFolder(nodes) -> str:
    """Put nodes beside the folder in which they stand; returns its name, "" if there is none.

    It goes if nothing else is in it.
    """
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(nodes[0].GetScene())
    folder = _parentOf(hierarchy, nodes[0])
    level = slicer.vtkMRMLSubjectHierarchyConstants.GetSubjectHierarchyLevelFolder()
    if hierarchy.GetItemLevel(folder) != level:
        return ""
    name = hierarchy.GetItemName(folder)
    for node in nodes:
        _setParent(hierarchy, node, hierarchy.GetItemParent(folder))
    if not hierarchy.GetNumberOfItemChildren(folder):
        hierarchy.RemoveItem(folder)
    return name


def siblings(volumeNode) -> int:
    """The item under which `volumeNode` stands; volumes of one study have the same."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volumeNode.GetScene())
    return _parentOf(hierarchy, volumeNode)


def studyItemOf(volumeNode) -> int:
    """The study under which `volumeNode` stands, 0 if there is none."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volumeNode.GetScene())
    level = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelStudy()
    item = hierarchy.GetItemByDataNode(volumeNode)
    return hierarchy.GetItemAncestorAtLevel(item, level) if item else 0


def _parentOf(hierarchy, volumeNode) -> int:
    item = hierarchy.GetItemByDataNode(volumeNode) if volumeNode is not None else 0
    return hierarchy.GetItemParent(item) if item else hierarchy.GetSceneItemID()


def _setParent(hierarchy, node, parent: int) -> None:
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.SetItemParent(item, parent)
    else:
        hierarchy.CreateItem(parent, node)

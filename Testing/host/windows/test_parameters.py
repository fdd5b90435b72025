"""Parameter nodes read and remember as those of a real Slicer."""

from __future__ import annotations

import slicer
from slicer.parameterNodeWrapper import parameterNodeWrapper


def test_a_node_that_comes_after_the_reference_to_it_is_found_when_the_parameter_node_has_changed(
    host, tmp_path
):
    @parameterNodeWrapper
    class Parameters:
        text: slicer.vtkMRMLTextNode

    scene, path = slicer.mrmlScene, str(tmp_path / "scene.mrml")
    scene.Clear(False)
    node = slicer.vtkMRMLScriptedModuleNode()
    node.SetSingletonTag("Remembering")
    scene.AddNode(node)
    parameters = Parameters(node)
    parameters.text = scene.AddNewNodeByClass("vtkMRMLTextNode", "Kept")
    assert parameters.text.GetName() == "Kept"
    scene.SetURL(path)
    scene.Commit(path)

    scene.Clear(False)
    assert parameters.text is None
    scene.Import()

    assert node.GetNodeReference("text").GetName() == "Kept"
    assert parameters.text is None
    node.Modified()
    assert parameters.text.GetName() == "Kept"
    scene.RemoveNode(node)

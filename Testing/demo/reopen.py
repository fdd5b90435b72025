"""`python -m demo.reopen FOLDER`: what Slicer's core finds in the demo's files, as JSON.

Runs in a process of its own, because a process has one scene.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from FactorizerSegmentationLib.scene import volumes
from host.core import start_core

SCENE_CLASSES = ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLTableNode")


def describe(folder: Path) -> dict[str, object]:
    """The nodes of `scene.mrb` and the segments of `segmentation.seg.nrrd` in `folder`."""
    scene = start_core().scene
    return {
        "segments": _describe_segments(_read_segmentation(scene, folder / "segmentation.seg.nrrd")),
        **_describe_scene(scene, folder / "scene.mrb"),
    }


def _describe_scene(scene, path: Path) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as cache_folder:
        cache = slicer.vtkCacheManager()
        cache.SetRemoteCacheDirectory(cache_folder)
        data_io = slicer.vtkDataIOManager()
        data_io.SetCacheManager(cache)
        scene.SetCacheManager(cache)
        scene.SetDataIOManager(data_io)
        scene.Clear()
        opened = scene.ReadFromMRB(str(path))
    nodes = [node for name in SCENE_CLASSES for node in slicer.util.getNodesByClass(name)]
    found: dict[str, Any] = {"opened": opened, "volumes": {}}
    for node in nodes:
        if node.IsA("vtkMRMLSegmentationNode"):
            found["scene_segments"] = _describe_segments(node)
        elif node.IsA("vtkMRMLTableNode"):
            found["lesions"] = node.GetTable().GetNumberOfRows()
        else:
            found["volumes"][node.GetName()] = _describe_volume(node)
    return found


def _describe_volume(node) -> dict[str, object]:
    voxels, display = volumes.voxelsOf(node), node.GetDisplayNode()
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
    return {
        "shape": voxels.shape,
        "affine": volumes.worldAffine(node).tolist(),
        "maximum": float(voxels.max()),
        "colors": display.GetColorNode().GetName(),
        "window": [display.GetWindowLevelMin(), display.GetWindowLevelMax()],
        "legend": legend is not None and bool(legend.GetTitleText()),
    }


def _read_segmentation(scene, path: Path):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    storage.ReadData(node)
    return node


def _describe_segments(node) -> dict[str, dict[str, object]]:
    segmentation = node.GetSegmentation()
    described = {}
    for segment_id in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segment_id)
        image = slicer.vtkOrientedImageData()
        node.GetBinaryLabelmapRepresentation(segment_id, image)
        described[segment.GetName()] = {
            "value": segment.GetLabelValue(),
            "voxels": _count_voxels(image),
            "color": list(segment.GetColor()),
            "terminology": _tag(segment),
        }
    return described


def _count_voxels(image) -> int:
    scalars = image.GetPointData().GetScalars()
    return 0 if scalars is None else int(vtk_to_numpy(scalars).astype(bool).sum())


def _tag(segment) -> str:
    text = vtk.reference("")
    segment.GetTag(segment.GetTerminologyEntryTagName(), text)
    return str(text)


if __name__ == "__main__":
    print(json.dumps(describe(Path(sys.argv[1]))))

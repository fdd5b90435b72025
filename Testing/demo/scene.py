"""The MRML scene of a run: scans in, segments, heatmaps and lesions out, saved for Slicer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from demo.sample import Sample
from factorizer_engine.protocol.tasks.components import ComponentsResult
from factorizer_engine.protocol.tasks.segment import SegmentResult
from factorizer_engine.protocol.volumes import ScanFile
from FactorizerSegmentationLib.scene import segments, tables, volumes
from FactorizerSegmentationLib.scene.explanations import Step, addStep, createExplanation
from FactorizerSegmentationLib.scene.heatmaps import EVIDENCE, compactInto, measured
from FactorizerSegmentationLib.scene.shown_map import ShownMap
from FactorizerSegmentationLib.scene.subjects import putBeside


class SceneFileError(Exception):
    """A file of the scene cannot be read or written; the message is one sentence."""


@dataclass(frozen=True)
class ResultNodes:
    """The nodes that a run adds to the scene.

    Attributes:
        segmentation: vtkMRMLSegmentationNode.
        steps: The evidence of each component, most influential first, in one sequence.
        heatmaps: A scalar volume per step, for who opens the scene without the module.
        lesions: vtkMRMLTableNode.
    """

    segmentation: object
    steps: tuple[Step, ...]
    heatmaps: tuple
    lesions: object


def load_scans(scene, sample: Sample) -> dict[str, Any]:
    """Load the sample's scans as volume nodes of one study, by channel name."""
    nodes = {}
    for name, path in sample.channels.items():
        node = slicer.modules.volumes.logic().AddArchetypeVolume(str(path), name)
        if node is None:
            raise SceneFileError(f"The sample scan {path} could not be read.")
        _stretch_contrast(node)
        nodes[name] = node
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    subject = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), sample.title)
    study = hierarchy.CreateStudyItem(subject, "MRI")
    for node in nodes.values():
        hierarchy.CreateItem(study, node)
    return nodes


def _stretch_contrast(node) -> None:
    """Show the brain's own range of intensities; around it the scan is zero."""
    voxels = volumes.voxelsOf(node)
    low, high = np.percentile(voxels[voxels > 0], (1, 99.5))
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevelMinMax(float(low), float(high))


def save_scans(nodes: dict[str, object], folder: Path) -> dict[str, ScanFile]:
    """Write the scans where the engine process reads them."""
    return {name: volumes.saveScan(node, folder / f"{name}.npy") for name, node in nodes.items()}


def add_results(
    scene, reference, result: SegmentResult, components: ComponentsResult
) -> ResultNodes:
    """Add the segmentation, the heatmaps and the lesion table, placed as the reference volume."""
    labelmap = result.labelmap.load()
    place = volumes.Place.of(reference, labelmap.shape, result.labelmap.matrix)
    title = result.model.title
    sequence, scan = (
        createExplanation(scene, f"{title}: components", place),
        volumes.voxelsOf(reference),
    )
    steps = []
    for component, file in zip(components.components, components.evidence, strict=True):
        values = file.load()
        heatmap = measured(component, values, scan, EVIDENCE)
        image = volumes.emptyImage(values.shape)
        list(compactInto(image, values, scan, heatmap.window))
        steps.append(addStep(sequence, heatmap, image, place.affine))
    heatmaps = tuple(ShownMap().show(scene, step) for step in steps)
    for node in heatmaps:
        putBeside(node, reference)
    return ResultNodes(
        segments.createSegmentation(scene, labelmap, result.model.labels, place, title),
        tuple(steps),
        heatmaps,
        tables.createLesionTable(scene, result.lesions, f"{title}: lesions"),
    )


def widest_point(labelmap: np.ndarray, affine: np.ndarray) -> tuple[float, float, float]:
    """The point (RAS, mm) in whose slices along each voxel axis most is labelled.

    Without any labelled voxel it is the middle of the volume.
    """
    voxels = (labelmap != 0) if labelmap.any() else np.ones(labelmap.shape, bool)
    areas = [voxels.sum(axis=other) for other in ((1, 2), (0, 2), (0, 1))]
    index = [float(np.median(np.flatnonzero(area == area.max()))) for area in areas]
    return tuple((affine @ [*index, 1.0])[:3].tolist())


def save_scene(scene, path: Path) -> None:
    """Write the scene with all its data as one .mrb file, which Slicer opens."""
    path.unlink(missing_ok=True)
    if not scene.WriteToMRB(str(path), None):
        raise SceneFileError(f"The scene could not be written to {path}.")

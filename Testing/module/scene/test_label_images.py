from __future__ import annotations

import numpy as np
import pytest
import slicer

from factorizer_engine.protocol.models import Label
from FactorizerSegmentationLib.scene.label_images import imageOf, sharedImageOf
from FactorizerSegmentationLib.scene.masses import maskOf
from FactorizerSegmentationLib.scene.segments import createSegmentation, segmentIdOf
from FactorizerSegmentationLib.scene.updates import Patch
from FactorizerSegmentationLib.scene.volumes import Place, localAffine, worldAffine
from module.geometry import tilted

LABELS = (Label(1, "Core", (200, 60, 50)), Label(2, "Oedema", (80, 170, 90)))
CORE, OEDEMA = (segmentIdOf(label.value) for label in LABELS)
SHAPE = (5, 6, 7)


@pytest.fixture
def reference(add_volume):
    return add_volume(affine=tilted(), shape=SHAPE)


@pytest.fixture
def node(scene, reference):
    labelmap = np.zeros(SHAPE, np.uint8)
    labelmap[1:3, 2:4, 2:5], labelmap[3, 2:4, 2:5] = 1, 2
    place = Place.of(reference, SHAPE, worldAffine(reference))
    return createSegmentation(scene, labelmap, LABELS, place, "Lesions")


def as_slicer_says(node, segment_id, reference) -> np.ndarray:
    array = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, reference)
    return array.transpose(2, 1, 0) != 0


def voxels(*indices) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(np.transpose(indices))] = True
    return mask


def test_masks_are_what_slicer_says(node, reference):
    for name in (CORE, OEDEMA):
        assert np.array_equal(maskOf(node, name, reference), as_slicer_says(node, name, reference))


def test_a_mask_on_another_grid_is_what_slicer_says(node, add_volume):
    other = add_volume(affine=tilted(), shape=(4, 6, 7))

    assert np.array_equal(maskOf(node, CORE, other), as_slicer_says(node, CORE, other))


def test_voxels_that_segments_trade_stay_in_the_image_that_they_share(node, reference):
    before = {name: maskOf(node, name, reference) for name in (CORE, OEDEMA)}
    traded = voxels((2, 2, 2), (2, 3, 4))
    patch = Patch(node, {OEDEMA: traded}, {CORE: traded}, localAffine(reference))

    patch.apply()

    assert sharedImageOf(node, (CORE, OEDEMA), reference) is not None
    assert np.array_equal(as_slicer_says(node, CORE, reference), before[CORE] & ~traded)
    assert np.array_equal(as_slicer_says(node, OEDEMA, reference), before[OEDEMA] | traded)

    patch.undo()

    for name, mask in before.items():
        assert np.array_equal(as_slicer_says(node, name, reference), mask)


def test_a_voxel_that_another_segment_has_is_taken_from_nobody(node, reference):
    before = {name: maskOf(node, name, reference) for name in (CORE, OEDEMA)}
    wanted = voxels((3, 2, 2), (4, 4, 4))

    Patch(node, {CORE: wanted}, {}, localAffine(reference)).apply()

    assert imageOf(node, CORE) is not imageOf(node, OEDEMA)
    assert np.array_equal(as_slicer_says(node, CORE, reference), before[CORE] | wanted)
    assert np.array_equal(as_slicer_says(node, OEDEMA, reference), before[OEDEMA])


def test_those_who_watch_the_segments_hear_of_a_change(node, reference):
    heard = []
    node.AddObserver(
        slicer.vtkSegmentation.SourceRepresentationModified, lambda *_: heard.append(1)
    )

    Patch(node, {CORE: voxels((0, 0, 0))}, {}, localAffine(reference)).apply()

    assert heard

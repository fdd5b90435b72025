"""Lesions found in label maps and their measures, against values known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.diameters import largest_diameter
from factorizer_engine.lesions.measuring import find_lesions
from factorizer_engine.protocol.models import Label, Region

REGIONS = (Region("ET", 4, "Enhancing"), Region("TC", 1, "Core"), Region("WT", 2, "Whole"))
LABELS = (
    Label(1, "Core", (255, 0, 0)),
    Label(2, "Oedema", (0, 255, 0)),
    Label(4, "Enhancing", (0, 0, 255)),
)


def lesions_of(array: np.ndarray, affine=None, probabilities=None):
    affine = np.eye(4) if affine is None else affine
    if probabilities is None:
        probabilities = np.ones((3, *array.shape), np.float32)
    return find_lesions(Scan.of(array, affine), REGIONS, LABELS, probabilities)


def random_affine(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.random(random_state=seed).as_matrix() * rng.uniform(0.5, 3, 3)
    affine[:3, 3] = rng.uniform(-90, 90, 3)
    return affine


def test_one_mass_is_one_lesion_with_its_parts_in_the_order_of_the_labels():
    array = np.zeros((20, 20, 20), np.uint8)
    array[1:3, 1:3, 1:3] = 4
    array[6:14, 6:14, 6:14] = 2
    array[8:12, 8:12, 8:12] = 4
    array[9:11, 9:11, 9:11] = 1
    whole, small = lesions_of(array)
    assert [(x.id, round(x.volume_ml * 1000)) for x in (whole, small)] == [(1, 512), (2, 8)]
    assert [(part.label, part.name) for part in whole.parts] == [
        (1, "Core"),
        (2, "Oedema"),
        (4, "Enhancing"),
    ]
    assert [round(part.volume_ml * 1000) for part in whole.parts] == [8, 448, 56]
    assert [part.label for part in small.parts] == [4]


def test_voxels_that_touch_at_a_corner_are_one_lesion_whatever_their_class():
    array = np.zeros((8, 8, 8), np.uint8)
    array[2, 2, 2] = array[3, 3, 3] = 1
    array[4, 4, 4] = 2
    array[6, 4, 4] = 1
    touching, apart = lesions_of(array)
    assert [part.label for part in touching.parts] == [1, 2]
    assert [part.label for part in apart.parts] == [1]


def test_the_probability_of_a_lesion_is_that_of_any_class():
    """Nested regions: that of the outermost; regions that exclude each other: their sum."""
    array = np.zeros((4, 4, 4), np.uint8)
    array[1, 1, 1], array[1, 1, 2] = 4, 2
    probabilities = np.zeros((3, 4, 4, 4), np.float32)
    probabilities[:, 1, 1, 1] = 0.7, 0.0, 0.9
    probabilities[:, 1, 1, 2] = 0.1, 0.0, 0.8
    nested = [Region(r.name, r.label, r.title, 2 - i) for i, r in enumerate(REGIONS)]
    labelmap = Scan.of(array, np.eye(4))
    (lesion,) = find_lesions(labelmap, nested, LABELS, probabilities)
    assert lesion.mean_probability == pytest.approx(0.85)
    (lesion,) = find_lesions(labelmap, REGIONS, LABELS, probabilities)
    assert lesion.mean_probability == pytest.approx((1.0 + 0.9) / 2)
    assert [part.mean_probability for part in lesion.parts] == pytest.approx([0.8, 0.7])


@pytest.mark.parametrize("seed", range(5))
def test_volume_and_centre_are_those_in_the_world(seed):
    affine = random_affine(seed)
    array = np.zeros((14, 12, 10), np.uint8)
    array[3:9, 2:7, 4:8] = 2
    (lesion,) = lesions_of(array, affine)
    volume = 6 * 5 * 4 * abs(np.linalg.det(affine[:3, :3]))
    assert lesion.volume_ml == pytest.approx(volume / 1000)
    centre = affine @ [5.5, 4.0, 5.5, 1.0]
    np.testing.assert_allclose(lesion.centroid_ras, centre[:3], atol=1e-9)


def test_the_largest_diameter_of_a_single_voxel_is_its_longest_edge():
    array = np.zeros((5, 5, 5), np.uint8)
    array[2, 2, 2] = 1
    (lesion,) = lesions_of(array, np.diag([0.5, 3.0, 1.0, 1.0]))
    assert lesion.max_diameter_mm == pytest.approx(3.0)


def test_the_largest_diameter_of_a_ball_is_twice_its_radius():
    indices = np.indices((61, 61, 61)) - 30
    array = ((indices**2).sum(axis=0) <= 25**2).astype(np.uint8)
    (lesion,) = lesions_of(array)
    assert lesion.max_diameter_mm == pytest.approx(50, abs=1.1)


@pytest.mark.parametrize("seed", range(8))
def test_the_largest_diameter_agrees_with_trying_all_pairs(seed):
    rng = np.random.default_rng(seed)
    affine = random_affine(seed)
    voxels = rng.integers(0, 9, (rng.integers(1, 60), 3))
    faces = np.concatenate([np.eye(3), -np.eye(3)]) / 2
    points = (np.unique(voxels, axis=0)[:, None] + faces).reshape(-1, 3) @ affine[:3, :3].T
    expected = pdist(points).max()
    assert largest_diameter(np.unique(voxels, axis=0), affine) == pytest.approx(expected)


def test_a_flat_lesion_has_a_diameter():
    slab = np.zeros((9, 9, 3), dtype=bool)
    slab[1:8, 1:8, 1] = True
    longest = np.hypot(7.0, 6.0)  # from the face of one corner to the far side of the opposite one
    assert largest_diameter(np.argwhere(slab), np.eye(4)) == pytest.approx(longest)


def test_the_mean_probability_is_that_of_the_region_which_painted_the_class():
    array = np.zeros((6, 6, 6), np.uint8)
    array[1, 1, 1:5] = 4
    array[4, 4, 4] = 1
    probabilities = np.zeros((3, 6, 6, 6), np.float16)
    probabilities[0, 1, 1, 1:5] = [0.5, 0.75, 1.0, 0.75]
    probabilities[1, 4, 4, 4] = 0.625
    enhancing, core = (lesion.parts[0] for lesion in lesions_of(array, probabilities=probabilities))
    assert core.mean_probability == pytest.approx(0.625)
    assert enhancing.mean_probability == pytest.approx(0.75)


def test_the_probability_of_a_class_leaves_out_what_lies_inside_its_region():
    array = np.zeros((4, 4, 4), np.uint8)
    array[1, 1] = 4, 1, 2, 2
    nested = [Region(r.name, r.label, r.title, 2 - i) for i, r in enumerate(REGIONS)]
    probabilities = np.zeros((3, 4, 4, 4), np.float32)
    probabilities[:, 1, 1] = [
        [0.9, 0.1, 0.0, 0.3],
        [0.9, 0.7, 0.2, 0.9],
        [1.0, 1.0, 0.8, 0.7],
    ]
    labelmap = Scan.of(array, np.eye(4))
    (lesion,) = find_lesions(labelmap, nested, LABELS, probabilities)
    found = {part.label: part.mean_probability for part in lesion.parts}
    assert found == pytest.approx({4: 0.9, 1: 0.6, 2: (0.6 + 0.0) / 2})
    assert lesion.mean_probability == pytest.approx((1.0 + 1.0 + 0.8 + 0.7) / 4)


def test_an_empty_label_map_and_unknown_values_give_no_lesions():
    assert lesions_of(np.zeros((4, 4, 4), np.uint8)) == []
    assert lesions_of(np.full((4, 4, 4), 9, np.uint8)) == []

"""Segmenting inside a box: the same as everywhere, with fewer windows."""

from __future__ import annotations

import numpy as np
import pytest

from engine import tiny
from factorizer_engine.bundles.settings import InferenceSettings, Preprocessing
from factorizer_engine.components import explain
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.inference.windows import plan_windows
from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.runs import RunOptions

SHAPE = (40, 38, 23)


@pytest.fixture(scope="module")
def scans():
    return tiny.scans(SHAPE)


@pytest.fixture(scope="module", params=[None, (2.0, 2.0, 2.0)], ids=["as it is", "respaced"])
def segmenter(request, tmp_path_factory) -> Segmenter:
    folder = tmp_path_factory.mktemp("bundle")
    return Segmenter(tiny.bundle(folder, preprocessing=Preprocessing(request.param)), "cpu")


@pytest.fixture(scope="module")
def everywhere(segmenter, scans):
    return segmenter.segment(scans)


def box_around(scan, index, half, turned=0.0) -> WorldBox:
    """A box of `half` edges (mm) around a voxel, turned about the S axis by an angle."""
    cosine, sine = np.cos(turned), np.sin(turned)
    rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    return WorldBox.of_matrix(rotation * half, scan.affine[:3, :3] @ index + scan.affine[:3, 3])


def mask_of(box: WorldBox, scan) -> np.ndarray:
    mask = np.zeros(scan.shape, dtype=bool)
    part = box.part_of(scan.shape, scan.affine)
    mask[part] = box.mask(part, scan.affine)
    return mask


@pytest.mark.parametrize("turned", [0.0, 0.5])
def test_inside_the_box_the_result_is_that_of_the_whole_scan(segmenter, scans, everywhere, turned):
    box = box_around(scans["FLAIR"], (12, 14, 11), (7.0, 5.0, 9.0), turned)
    inside = mask_of(box, scans["FLAIR"])
    assert 0 < everywhere.labelmap.array[inside].astype(bool).mean() < 1

    found = segmenter.segment(scans, options=RunOptions(box=box))

    np.testing.assert_allclose(
        found.probabilities[:, inside], everywhere.probabilities[:, inside], atol=1e-6
    )
    np.testing.assert_array_equal(found.labelmap.array[inside], everywhere.labelmap.array[inside])
    assert (found.probabilities[:, ~inside] == 0).all()
    assert (found.labelmap.array[~inside] == 0).all()


def test_only_windows_that_touch_the_box_are_run(segmenter, scans):
    network = segmenter.networks[0]
    windows = []
    hook = network.register_forward_hook(lambda module, x, y: windows.append(len(x[0])))
    segmenter.segment(scans)
    total = sum(windows)
    windows.clear()

    box = box_around(scans["FLAIR"], (4, 18, 11), (4.0, 4.0, 4.0))
    segmenter.segment(scans, options=RunOptions(box=box))

    hook.remove()
    assert 0 < sum(windows) < total


def test_a_quick_run_takes_one_window_and_is_confined_to_the_box(segmenter, scans, everywhere):
    network = segmenter.networks[0]
    windows = []
    hook = network.register_forward_hook(lambda module, x, y: windows.append(len(x[0])))
    box = box_around(scans["FLAIR"], (20, 19, 11), (4.0, 4.0, 4.0))

    found = segmenter.segment(scans, options=RunOptions(box=box, quick=True))

    hook.remove()
    inside = mask_of(box, scans["FLAIR"])
    assert sum(windows) == 1
    assert found.labelmap.array[inside].any()
    assert not found.labelmap.array[~inside].any()


@pytest.mark.parametrize("middle", [(2, 3, 3), (20, 19, 11), (37, 35, 20)])
@pytest.mark.parametrize("half", [2.0, 12.0])
def test_windows_of_a_quick_run_cover_the_box_wherever_it_lies(
    segmenter, scans, everywhere, middle, half
):
    array = np.ones_like(everywhere.prepared.array)
    box = box_around(scans["FLAIR"], middle, (half, half, half))
    scan = scans["FLAIR"]
    part = everywhere.prepared.needed_for(box.part_of(scan.shape, scan.affine))

    plan = plan_windows(array, InferenceSettings(tiny.WINDOW), part, quick=True)

    covered = np.zeros(plan.padded, dtype=bool)
    for window in plan.windows:
        assert covered[window].shape == tiny.WINDOW
        covered[window] = True
    offsets = zip(part, plan.before, strict=True)
    assert covered[tuple(slice(a.start + b, a.stop + b) for a, b in offsets)].all()


def test_lesions_are_measured_inside_the_box_only(segmenter, scans):
    box = box_around(scans["FLAIR"], (12, 14, 11), (7.0, 5.0, 9.0))

    found = segmenter.segment(scans, options=RunOptions(box=box))

    voxel_ml = abs(np.linalg.det(found.labelmap.affine[:3, :3])) / 1000
    volume = np.count_nonzero(found.labelmap.array) * voxel_ml
    assert sum(lesion.volume_ml for lesion in found.lesions) == pytest.approx(volume)


def test_a_box_over_the_background_finds_nothing(segmenter, scans):
    corner = box_around(scans["FLAIR"], (0, 0, 0), (1.0, 1.0, 1.0))

    found = segmenter.segment(scans, options=RunOptions(box=corner))

    assert not found.labelmap.array.any()
    assert found.lesions == ()


def test_a_box_outside_the_scan_is_refused_with_the_place_of_the_scan(segmenter, scans):
    outside = RunOptions(box=WorldBox.of_bounds([200, 210, 0, 10, 0, 10]))
    with pytest.raises(BadInputError, match=r"no voxel of FLAIR, which covers R -49 to 11, A -36"):
        segmenter.segment(scans, options=outside)


def test_components_of_a_result_in_a_box_stay_near_it(segmenter, scans):
    box = box_around(scans["FLAIR"], (12, 14, 11), (7.0, 5.0, 9.0))
    result = segmenter.segment(scans, options=RunOptions(box=box))

    maps = explain(segmenter, result, count=2).maps

    far = (slice(36, 40), slice(34, 38), slice(None))
    assert all(drawn.heatmap.array.any() for drawn in maps)
    assert all(not drawn.heatmap.array[far].any() for drawn in maps)


def test_components_in_a_box_over_the_background_are_empty(segmenter, scans):
    corner = box_around(scans["FLAIR"], (0, 0, 0), (1.0, 1.0, 1.0))
    result = segmenter.segment(scans, options=RunOptions(box=corner))

    maps = explain(segmenter, result, count=1).maps

    assert all(not drawn.heatmap.array.any() for drawn in maps)

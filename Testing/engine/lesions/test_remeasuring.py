"""Lesions that are measured again keep their numbers, and what was done by hand is told."""

from __future__ import annotations

import numpy as np
import pytest

from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.measuring import find_lesions
from factorizer_engine.lesions.remeasuring import measure_again
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Label, Region
from factorizer_engine.protocol.painting import compact
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.tasks.measure import MeasureParams
from factorizer_engine.protocol.volumes import ScanFile

LABELS = (Label(1, "Core", (255, 0, 0)), Label(2, "Oedema", (0, 255, 0)))
REGIONS = (Region("WT", 2, "Whole"),)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


@pytest.fixture
def labelmap() -> np.ndarray:
    """Three lesions: 1 is the largest, 3 the smallest."""
    array = np.zeros((30, 20, 20), np.uint8)
    array[2:12, 2:8, 2:8] = 2
    array[4:8, 4:6, 4:6] = 1
    array[16:22, 2:8, 2:8] = 2
    array[26:29, 2:5, 2:5] = 2
    return array


def measured(array, known=(), edited=None, gone=()):
    scan = Scan.of(array, AFFINE)
    probabilities = np.ones((1, *array.shape), np.float32)
    return measure_again(scan, REGIONS, LABELS, probabilities, None, edited, known, gone)


def first_run(array):
    probabilities = np.ones((1, *array.shape), np.float32)
    return find_lesions(Scan.of(array, AFFINE), REGIONS, LABELS, probabilities)


def test_without_a_change_nothing_changes(labelmap):
    before = first_run(labelmap)
    assert repr(measured(labelmap, before)) == repr(before)  # a NaN is no other NaN


def test_without_maps_the_probabilities_of_what_did_not_change_are_still_known(labelmap):
    before = first_run(labelmap)
    labelmap[26:28] = 0
    now = measure_again(Scan.of(labelmap, AFFINE), (), LABELS, None, None, None, before)
    assert [lesion.mean_probability for lesion in now[:2]] == [1.0, 1.0]
    assert [part.mean_probability for part in now[1].parts] == [1.0]
    assert np.isnan(now[2].mean_probability)


def test_a_lesion_that_outgrows_another_keeps_its_number(labelmap):
    before = first_run(labelmap)
    labelmap[16:22, 2:18, 2:18] = 2
    assert [lesion.id for lesion in measured(labelmap, before)] == [2, 1, 3]


def test_a_new_lesion_gets_a_new_number_even_if_another_has_gone(labelmap):
    before = first_run(labelmap)
    labelmap[26:29] = 0
    labelmap[16:18, 14:18, 14:18] = 1
    assert [lesion.id for lesion in measured(labelmap, before)] == [1, 2, 4]


def test_the_number_of_a_lesion_that_was_taken_out_goes_to_no_other(labelmap):
    before = first_run(labelmap)
    assert [lesion.id for lesion in measured(labelmap, before[:2], gone=[3])] == [1, 2, 4]


def test_of_two_that_grow_together_the_larger_stays(labelmap):
    before = first_run(labelmap)
    labelmap[12:16, 4:6, 4:6] = 2
    assert [lesion.id for lesion in measured(labelmap, before)] == [1, 3]


def test_of_the_parts_of_one_that_falls_apart_one_has_its_number(labelmap):
    before = first_run(labelmap)
    labelmap[10] = 0
    again = measured(labelmap, before)
    assert sorted(lesion.id for lesion in again) == [1, 2, 3, 4]
    assert again[0].id == 1


def test_what_was_edited_in_a_lesion_or_beside_it_is_told_in_ml(labelmap):
    before = first_run(labelmap)
    edited = np.zeros(labelmap.shape, bool)
    edited[2:4, 2:8, 2:8] = True  # painted: 72 voxels of 2 mm3
    edited[22, 2:8, 2:8] = True  # erased at the edge of the second: 36 voxels
    amounts = {lesion.id: lesion.edited_ml for lesion in measured(labelmap, before, edited)}
    assert amounts == {1: pytest.approx(0.144), 2: pytest.approx(0.072), 3: 0.0}


def test_nothing_is_left(labelmap):
    assert measured(np.zeros_like(labelmap), first_run(labelmap)) == []


def params_of(folder, labelmap, levels) -> MeasureParams:
    return MeasureParams(
        ScanFile.save(labelmap, AFFINE, folder / "labels.npy"),
        LABELS,
        REGIONS,
        (ScanFile.save(levels, AFFINE, folder / "map.npy"),),
    )


def test_the_job_takes_maps_of_eight_bits(labelmap, tmp_path):
    from factorizer_engine.service.engine import Engine
    from factorizer_engine.service.jobs.measure import run

    levels = compact(np.where(labelmap == 2, np.float32(0.6), np.float32(0)))
    result = run(Engine(), params_of(tmp_path, labelmap, levels), Monitor())

    second = next(lesion for lesion in result.lesions if lesion.id == 2)
    assert second.mean_probability == pytest.approx(0.6, abs=0.002)
    assert second.volume_ml == pytest.approx(6 * 6 * 6 * 2 / 1000)


def test_the_job_refuses_maps_of_another_grid(labelmap, tmp_path):
    from factorizer_engine.service.engine import Engine
    from factorizer_engine.service.jobs.measure import run

    levels = np.zeros((4, 4, 4), np.uint8)
    with pytest.raises(BadInputError, match="other voxels than the segmentation"):
        run(Engine(), params_of(tmp_path, labelmap, levels), Monitor())


def test_as_many_maps_as_regions_are_needed(labelmap, tmp_path):
    with pytest.raises(BadInputError, match="one probability map for each region"):
        MeasureParams(ScanFile.save(labelmap, AFFINE, tmp_path / "l.npy"), LABELS, REGIONS)

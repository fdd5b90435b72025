"""Clicks through the engine process: only what is new is computed."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.runs import ModelChoice, Study
from factorizer_engine.protocol.tasks.prepare import PREPARE, PrepareParams
from factorizer_engine.protocol.tasks.refine import REFINE, RefineParams
from factorizer_engine.protocol.tasks.segment import SEGMENT, SegmentParams
from factorizer_engine.protocol.volumes import ScanFile


@pytest.fixture
def params(tmp_path, scans) -> RefineParams:
    files = {}
    for name, path in scans.items():
        image = nib.load(path)
        array = np.asarray(image.dataobj)
        files[name] = ScanFile.save(array, image.affine, tmp_path / f"{name}.npy", name)
    return RefineParams(ModelChoice("tiny", "cpu"), Study(files), str(tmp_path / "result"))


def click_at(params: RefineParams, voxel, region="WT", add=True) -> Click:
    affine = params.study.channels["FLAIR"].matrix
    return Click(region, (tuple((affine[:3, :3] @ voxel + affine[:3, 3]).tolist()),), add)


def stages_of(engine, params: RefineParams):
    stages = []
    result = engine.request(REFINE, params, lambda progress: stages.append(progress.stage))
    return result, stages


def test_only_the_first_click_waits_for_a_run(engine, params):
    found = SegmentParams(params.choice, params.study, params.output_dir)
    before = engine.request(SEGMENT, found).labelmap.load().copy()
    outside = np.argwhere(before == 0)[len(before) // 2]
    inside = np.argwhere(before > 0)[0]
    clicks = (click_at(params, outside), click_at(params, inside, add=False))
    first, stages = stages_of(engine, replace(params, clicks=clicks[:1]))
    assert "segmenting" not in stages
    labelmap = first.labelmap.load().copy()
    assert labelmap[tuple(outside)] > 0 and before[tuple(outside)] == 0
    second, _ = stages_of(engine, replace(params, clicks=clicks, measure=True))
    assert second.labelmap.load()[tuple(inside)] == 0
    assert not first.lesions and second.lesions
    assert "has not learned from clicks" in second.note
    undone, _ = stages_of(engine, replace(params, clicks=()))
    np.testing.assert_array_equal(undone.labelmap.load(), before)


def test_another_start_begins_anew_and_is_left_alone(engine, params, tmp_path):
    affine = params.study.channels["FLAIR"].matrix
    drawn = np.zeros((20, 18, 16), dtype=np.uint8)
    drawn[5:9, 5:9, 5:9] = 2
    start = ScanFile.save(drawn, affine, tmp_path / "drawn.npy", "My drawing")
    clicks = (click_at(params, np.array((6, 6, 6)), add=False),)
    result, _ = stages_of(engine, replace(params, clicks=clicks, start=start))
    found = result.labelmap.load()
    assert found[6, 6, 6] == 0
    assert (found != drawn).sum() <= 64
    np.testing.assert_array_equal(start.load(), drawn)


def test_a_start_is_not_known_by_its_voxels_alone(engine, params, tmp_path):
    affine = params.study.channels["FLAIR"].matrix
    start = ScanFile.save(np.zeros((20, 18, 16), np.uint8), affine, tmp_path / "a.npy", "Mine")
    engine.request(REFINE, replace(params, start=start))
    affine[0, 3] += 50
    moved = ScanFile.save(start.load(), affine, tmp_path / "b.npy", "Mine")
    with pytest.raises(BadInputError, match="Mine to start from lies on another grid"):
        engine.request(REFINE, replace(params, start=moved))


def test_a_refused_click_leaves_the_others(engine, params):
    good = click_at(params, np.array((10, 9, 8)))
    expected = engine.request(REFINE, replace(params, clicks=(good,))).labelmap.load().copy()
    bad = click_at(params, np.array((40, 9, 8)))
    with pytest.raises(BadInputError, match="lies outside the scan"):
        engine.request(REFINE, replace(params, clicks=(good, bad)))
    again = engine.request(REFINE, replace(params, clicks=(good,)))
    np.testing.assert_array_equal(again.labelmap.load(), expected)


def test_a_start_on_another_grid_is_refused(engine, params, tmp_path):
    affine = params.study.channels["FLAIR"].matrix
    start = ScanFile.save(np.zeros((9, 9, 9), np.uint8), affine, tmp_path / "old.npy", "Old")
    with pytest.raises(BadInputError, match="Old to start from lies on another grid"):
        engine.request(REFINE, replace(params, start=start))


def test_a_click_on_prepared_scans_waits_for_no_run_and_no_sheet(engine, params, tmp_path):
    """Prepared anew with what the first preparation has found, they are the scans of the run."""
    given = PrepareParams("tiny", params.study, str(tmp_path / "prepared"))
    prepared = engine.request(PREPARE, given)
    assert prepared.sheet.endswith("preparation.html")
    study = Study(prepared.channels, "FLAIR")
    found = SegmentParams(params.choice, study, params.output_dir)
    before = engine.request(SEGMENT, found).labelmap.load().copy()

    moved = {step.channel: np.array(step.matrix) for step in prepared.steps if step.matrix}
    files = {
        name: replace(file, affine=tuple(map(tuple, (moved.get(name, np.eye(4)) @ file.matrix))))
        for name, file in params.study.channels.items()
    }
    again = replace(
        given, study=Study(files), placed=tuple(files), sheet=False, output_dir=str(tmp_path / "b")
    )
    known = engine.request(PREPARE, again)
    assert known.sheet == "" and not (tmp_path / "b" / "preparation.html").exists()
    click = click_at(params, np.argwhere(before == 0)[len(before) // 2])
    on_known = replace(params, study=Study(known.channels, "FLAIR"), clicks=(click,))
    _, stages = stages_of(engine, on_known)
    assert "segmenting" not in stages

"""What a simulated user gains by clicks."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from engine import tiny
from engine.training.blobs import changed_copy
from factorizer_engine.cli.evaluation import clicks_table
from factorizer_engine.images.scan import Scan
from factorizer_engine.interaction.correction import Correction
from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.evaluation import clicks
from factorizer_engine.training.evaluation.evaluation import evaluate
from factorizer_engine.training.evaluation.random_walker import RandomWalkerGuide
from factorizer_engine.training.evaluation.region_growing import RegionGrowingGuide
from factorizer_engine.training.export.export import export


@pytest.fixture
def model(run, tmp_path):
    return export(run, tmp_path / "blobs", weights="final").description.path


def test_clicks_are_told_by_method_region_and_count(run, model, tmp_path):
    result = evaluate(run, tmp_path / "out", model=str(model), use="all", interactive=True)
    assert result["counts"] == [0, 1, 2, 3, 5, 10]
    assert {"regression", "local thresholds"} <= set(result["methods"])
    courses = result["methods"]["regression"]["dice"]
    assert set(courses) == set(result["cases"])
    plain = evaluate(run, tmp_path / "plain", model=str(model), use="all")
    for case, regions in courses.items():
        for region, course in regions.items():
            assert len(course) == 11
            assert course[0] == pytest.approx(plain["cases"][case][region]["dice"])
    first, *_, last = np.mean([c for r in courses.values() for c in r.values()], axis=0)
    assert last > first
    assert json.loads((tmp_path / "out" / "clicks.json").read_text())["counts"] == result["counts"]
    with (tmp_path / "out" / "clicks.csv").open(newline="") as file:
        assert {row["clicks"] for row in csv.DictReader(file)} == {str(n) for n in range(11)}
    assert clicks_table(result).row_count == len(result["regions"]) * len(result["methods"])


def test_clicks_needed_are_counted_and_cases_that_never_get_there_are_told():
    cases = {
        "easy": {"WT": [0.86] * 11},
        "hard": {"WT": [0.5, 0.6, 0.7, 0.86, *[0.91] * 7]},
        "hopeless": {"WT": [0.1] * 11},
    }
    found = clicks._summary(cases, ["WT"])
    assert found["needed"]["WT"] == {"0.85": [3, pytest.approx(2 / 3)], "0.90": [11, 1 / 3]}
    assert found["mean"]["WT"][3] == pytest.approx((0.86 + 0.86 + 0.1) / 3)


def test_the_card_tells_of_clicks(run, tmp_path):
    run = changed_copy(run, tmp_path / "measured", "config.json", lambda config: None)
    model = str(export(run, tmp_path / "blobs").description.path)
    result = evaluate(run, run / "evaluation", model=model, cases=["blob_4"], interactive=True)
    card = export(run, model, overwrite=True).description.card
    assert "## Clicks" in card
    for method in result["methods"].values():
        for region, values in method["mean"].items():
            assert f"{values[4]:.3f}" in card
            assert f"{method['dice']['blob_4'][region][5]:.3f}" in card


def test_only_a_model_can_be_clicked(run, tmp_path):
    with pytest.raises(BadInputError, match="and clicks can only be measured of a model"):
        evaluate(run, tmp_path / "out", predictions=tmp_path, interactive=True)


@pytest.mark.parametrize("kind", ["interactive", "subsets"])
def test_regions_that_the_model_does_not_give_are_refused(
    model, settings, write_config, tmp_path, kind
):
    settings["data"]["regions"] = {"all": [1, 2], "whole": [1, 2]}
    path = write_config(settings)
    with pytest.raises(BadInputError, match="blobs has no region all; .* core and whole, or leave"):
        evaluate(path, tmp_path / "out", model=str(model), use="all", **{kind: True})


def test_users_may_begin_with_nothing(run, model, tmp_path):
    result = evaluate(
        run,
        tmp_path / "out",
        model=str(model),
        cases=["blob_4"],
        interactive=True,
        from_nothing=True,
    )
    courses = result["methods"]["local thresholds"]["dice"]
    assert {course[0] for regions in courses.values() for course in regions.values()} == {0.0}
    assert result["note"].endswith("from nothing")
    with pytest.raises(BadInputError, match="Give --from-nothing with --interactive"):
        evaluate(run, tmp_path / "out", model=str(model), from_nothing=True)


@pytest.mark.parametrize("guide", [RandomWalkerGuide, RegionGrowingGuide])
def test_baselines_find_the_bright_ball_around_a_click(tmp_path, guide):
    pytest.importorskip("skimage")
    from factorizer_engine.inference.segmenter import Segmenter

    segmenter = Segmenter(tiny.bundle(tmp_path), device="cpu")
    scans = tiny.scans((60, 56, 40))
    ball = np.linalg.norm(np.indices((60, 56, 40)) - np.reshape((30, 28, 20), (3, 1, 1, 1)), axis=0)
    bright = {n: s.with_array(s.array + 200 * (ball < 5)) for n, s in scans.items()}
    result = segmenter.segment(bright)
    empty = Scan.of(np.zeros((60, 56, 40), np.uint8), result.labelmap.affine)
    correction = Correction(result, 0.5, guide(), empty)
    world = result.labelmap.affine @ [30, 28, 20, 1]
    place = (tuple(world[:3].tolist()),)
    correction.answer(Click("WT", place))
    found, truth = correction.labelmap.array == 2, ball < 5
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8


def test_region_growing_takes_back_what_it_would_have_found(tmp_path):
    from factorizer_engine.inference.segmenter import Segmenter

    scans = tiny.scans((60, 56, 40))
    ball = np.linalg.norm(np.indices((60, 56, 40)) - np.reshape((30, 28, 20), (3, 1, 1, 1)), axis=0)
    bright = {n: s.with_array(s.array + 200 * (ball < 5)) for n, s in scans.items()}
    result = Segmenter(tiny.bundle(tmp_path), device="cpu").segment(bright)
    start = Scan.of((2 * (ball < 9)).astype(np.uint8), result.labelmap.affine)
    correction = Correction(result, 0.5, RegionGrowingGuide(), start)
    world = result.labelmap.affine @ [30, 28, 20, 1]
    correction.answer(Click("WT", (tuple(world[:3].tolist()),), add=False))
    left = correction.labelmap.array == 2
    assert left[ball < 5].mean() < 0.1 and left[(ball > 6) & (ball < 9)].mean() > 0.9

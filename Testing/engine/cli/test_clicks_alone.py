"""A model that finds nothing by itself, in the engine process and on the command line."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from engine import tiny
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.runs import ModelChoice, Study
from factorizer_engine.protocol.tasks.components import COMPONENTS, ComponentsParams
from factorizer_engine.protocol.tasks.refine import REFINE, RefineParams
from factorizer_engine.protocol.tasks.segment import SEGMENT, SegmentParams
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.training.evaluation.evaluation import evaluate


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny.bundle_for_clicks(tmp_path_factory.mktemp("models"))


@pytest.fixture
def params(bundle, tmp_path, scans) -> RefineParams:
    image = nib.load(scans["FLAIR"])
    file = ScanFile.save(np.asarray(image.dataobj), image.affine, tmp_path / "scan.npy", "Scan")
    choice = ModelChoice(str(bundle.description.path), "cpu")
    return RefineParams(choice, Study({"Scan": file}), str(tmp_path / "result"))


def place(params: RefineParams, voxel) -> tuple[float, float, float]:
    affine = params.study.channels["Scan"].matrix
    return tuple((affine[:3, :3] @ voxel + affine[:3, 3]).tolist())


def test_clicks_begin_with_nothing_and_the_network_is_run_around_them_only(engine, params):
    nothing = engine.request(REFINE, params)
    assert not nothing.labelmap.load().any()
    stages = []
    click = Click("lesion", (place(params, (10, 9, 8)),), True)
    asked = replace(params, clicks=(click,), measure=True)
    found = engine.request(REFINE, asked, lambda progress: stages.append(progress.stage))
    labelmap = found.labelmap.load()
    assert "preparing" not in stages  # as they were by the request before
    assert labelmap[10, 9, 8] == 1 and 0 < (labelmap > 0).sum() < labelmap.size
    assert len(found.lesions) == 1 and not found.note


@pytest.mark.parametrize(
    ("task", "kind"), [(SEGMENT, SegmentParams), (COMPONENTS, ComponentsParams)]
)
def test_without_clicks_there_is_nothing_to_run_or_to_explain(engine, params, task, kind):
    with pytest.raises(BadInputError, match="finds nothing by itself: it outlines what you click"):
        engine.request(task, kind(params.choice, params.study, params.output_dir))


def test_the_command_line_begins_with_a_click(bundle, params, scans, cli, tmp_path):
    model = str(bundle.description.path)
    given = ("-m", model, "--input", f"Scan={scans['FLAIR']}", "-o", tmp_path / "out")
    refused = cli("segment", *given)
    assert refused.code != 0 and "finds nothing by itself" in " ".join(refused.errors.split())
    text = ",".join(f"{value:.1f}" for value in place(params, (10, 9, 8)))
    outcome = cli("refine", *given, "--add", text)
    assert outcome.code == 0, outcome.errors
    labels = np.asarray(nib.load(tmp_path / "out" / "segmentation.nii.gz").dataobj)
    assert labels[10, 9, 8] == 1


def test_it_is_evaluated_by_clicks_only(bundle, dataset_of_one, tmp_path):
    model = str(bundle.description.path)
    with pytest.raises(BadInputError, match="Measure it with --interactive"):
        evaluate(dataset_of_one, tmp_path / "out", model=model)
    result = evaluate(dataset_of_one, tmp_path / "out", model=model, interactive=True)
    assert "local thresholds" not in result["methods"]
    course = result["methods"]["network"]["dice"]["case"]["lesion"]
    assert course[0] == 0 < course[10]


@pytest.fixture
def dataset_of_one(tmp_path, scans):
    """A case of one scan whose lesion is a box."""
    image = nib.load(scans["FLAIR"])
    label = np.zeros(image.shape, np.uint8)
    label[8:14, 6:12, 5:11] = 1
    root = tmp_path / "data"
    for folder, name, array in (
        ("imagesTr", "case_0000", np.asarray(image.dataobj)),
        ("labelsTr", "case", label),
    ):
        (root / folder).mkdir(parents=True)
        nib.save(nib.Nifti1Image(array, image.affine), root / folder / f"{name}.nii.gz")
    description = '{"channel_names": {"0": "Scan"}, "labels": {"lesion": 1}}'
    (root / "dataset.json").write_text(description)
    return root


def test_a_model_for_clicks_must_read_them(tmp_path):
    with pytest.raises(BadModelError, match="is for clicks, but its network reads none"):
        load_bundle(tiny.bundle(tmp_path, by_clicks=True).description.path)

"""Data in another order, with other values, than those that the model was trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from engine.training.blobs import make_dataset, write_image
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.evaluation.evaluation import evaluate
from factorizer_engine.training.export.export import export


@pytest.fixture(scope="module")
def model(finished_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "blobs"
    export(finished_run, folder)
    return str(folder)


@pytest.fixture
def elsewhere(tmp_path):
    """The same cases with the channels the other way round, and a core of 7 in place of 2."""
    root = tmp_path / "elsewhere"
    make_dataset(root)
    for path in (root / "labelsTr").iterdir():
        label = np.asarray(nib.load(path).dataobj).copy()
        label[label == 2] = 7
        write_image(path, label)
    for path in sorted((root / "imagesTr").glob("*_0000*")):
        other = path.with_name(path.name.replace("_0000", "_0001"))
        kept = shutil.move(path, tmp_path / path.name)
        shutil.move(other, path)
        shutil.move(kept, other)
    describe(root, ["B", "A"], {"whole": [1, 7], "core": 7})
    return root


def describe(root: Path, channels: list[str], labels: dict) -> None:
    names = {str(number): name for number, name in enumerate(channels)}
    content = {"channel_names": names, "labels": {"background": 0, **labels}}
    (root / "dataset.json").write_text(json.dumps(content))


@pytest.mark.parametrize("kind", [{}, {"robustness": True}, {"subsets": True}])
def test_channels_and_values_in_another_order_give_the_same_scores(
    dataset_dir, elsewhere, model, tmp_path, kind
):
    describe(dataset_dir, ["A", "B"], {"whole": [1, 2], "core": 2})
    one, other = (
        evaluate(data, tmp_path / "out", model=model, cases=["blob_4"], **kind)
        for data in (dataset_dir, elsewhere)
    )
    for key in ("summary", "perturbations", "subsets"):
        assert one.get(key) == other.get(key)


def test_channels_of_other_names_are_not_taken_by_their_order(elsewhere, model, tmp_path):
    describe(elsewhere, ["B", "C"], {"whole": [1, 7], "core": 7})
    with pytest.raises(BadInputError, match="takes A and B, but the data have B and C.*called A"):
        evaluate(elsewhere, tmp_path / "out", model=model)


@pytest.mark.parametrize("kind", [{}, {"calibration": True}])
def test_a_region_that_the_model_does_not_know_is_not_scored_by_its_value(
    elsewhere, model, tmp_path, kind
):
    describe(elsewhere, ["B", "A"], {"oedema": [1], "core": 7})
    with pytest.raises(BadInputError, match="has no region oedema; name the regions"):
        evaluate(elsewhere, tmp_path / "out", model=model, **kind)


def test_regions_are_known_by_titles_and_labels_too(elsewhere, model, tmp_path):
    describe(elsewhere, ["B", "A"], {"Whole": [1, 7], "RIM": 1})
    result = evaluate(elsewhere, tmp_path / "out", model=model, cases=["blob_4"])
    assert result["summary"]["Whole"]["dice"]["mean"] > 0.3
    assert result["summary"]["RIM"]["dice"]["mean"] > 0.1


def test_a_label_that_lies_elsewhere_than_its_scans_is_told(dataset_dir, model, tmp_path):
    describe(dataset_dir, ["A", "B"], {"whole": [1, 2], "core": 2})
    path = dataset_dir / "labelsTr" / "blob_4.nii.gz"
    label = nib.load(path)
    affine = label.affine.copy()
    affine[0, 3] += 40
    nib.save(nib.Nifti1Image(np.asarray(label.dataobj), affine), path)
    with pytest.raises(BadInputError, match="blob_4: The label lies elsewhere in space than its"):
        evaluate(dataset_dir, tmp_path / "out", model=model, cases=["blob_4"])

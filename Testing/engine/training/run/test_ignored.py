"""Voxels of which nothing is known count neither in training nor in scores."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import torch

from engine.training.blobs import write_image
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import (
    AugmentationSection,
    DataSection,
    PreprocessingSection,
    load_config,
)
from factorizer_engine.training.data.cases import UNKNOWN, CaseCache
from factorizer_engine.training.data.checks import check_dataset
from factorizer_engine.training.data.dataset import open_dataset
from factorizer_engine.training.data.sampling import WindowDataset
from factorizer_engine.training.evaluation.scoring import score_case
from factorizer_engine.training.run.distributed import Team
from factorizer_engine.training.run.losses import DeepSupervisionLoss, RegionLoss
from factorizer_engine.training.run.run import train
from factorizer_engine.training.run.validation import Validator


@pytest.fixture
def partly_known(dataset_dir):
    """The blobs, with a border of six voxels of which nothing is known."""
    for path in (dataset_dir / "labelsTr").iterdir():
        label = np.asarray(nib.load(path).dataobj).copy()
        label[:6] = 7
        write_image(path, label)
    path = dataset_dir / "dataset.json"
    description = json.loads(path.read_text())
    description["labels"]["ignore"] = 7
    path.write_text(json.dumps(description))
    return dataset_dir


def opened(root, **section):
    return open_dataset(DataSection(root=str(root), **section))


def cached(root, tmp_path, **section):
    dataset = opened(root, **section)
    return CaseCache(tmp_path / "cache", dataset, PreprocessingSection(crop_margin=0))


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"regions": {"whole": (1, 2), "core": (2,), "rim": (1,)}},
        {"labels": {"rim": 1, "core": 2, "Ignore": 7}},
        {"ignore": 7},
    ],
)
def test_the_label_ignore_is_no_region(partly_known, section):
    dataset = opened(partly_known, **section)
    assert dataset.ignore == 7
    assert dataset.regions == {"whole": (1, 2), "core": (2,), "rim": (1,)}
    assert 7 not in dataset.labels.values()
    assert not check_dataset(dataset).problems


def test_a_label_of_another_name_can_be_ignored(partly_known):
    path = partly_known / "dataset.json"
    path.write_text(path.read_text().replace("ignore", "unsure"))
    assert "unsure" in opened(partly_known).regions
    dataset = opened(partly_known, ignore=7)
    assert "unsure" not in dataset.regions and dataset.ignore == 7


def test_a_region_of_what_is_to_be_ignored_is_refused(partly_known):
    with pytest.raises(BadInputError, match="The region all holds the value 7"):
        opened(partly_known, regions={"all": (1, 2, 7)})


def test_a_prepared_case_knows_what_to_ignore(partly_known, tmp_path):
    for _ in range(2):  # made, and read
        case = cached(partly_known, tmp_path).get("blob_0")
        assert case.ignored.shape == (1, 20, 22, 18)
        assert case.ignored[:, :6].all() and not case.ignored[:, 6:].any()
        assert not (case.target.bool() & case.ignored.bool()).any()


def test_windows_say_where_nothing_is_known(partly_known, tmp_path):
    settings = AugmentationSection(affine=0.5, lesions_of_others=0.5, lesion_contrast=0.5)
    cache = cached(partly_known, tmp_path)
    windows = WindowDataset(cache, ["blob_0", "blob_1"], (16, 16, 16), settings, 0.5, 1)
    masks = torch.stack([windows[n][1] for n in range(12)])
    assert set(masks.unique().tolist()) == {UNKNOWN, 0.0, 1.0}
    unknown = masks < 0
    assert (unknown.all(dim=1) == unknown.any(dim=1)).all()


@pytest.mark.parametrize("deep", [False, True])
def test_what_the_network_says_there_does_not_change_the_loss(deep):
    torch.manual_seed(0)
    target = (torch.rand(1, 2, 8, 8, 8) > 0.5).float()
    target[:, :, :4] = UNKNOWN
    loss = DeepSupervisionLoss(RegionLoss(), (1, 0.5), partly_known=True)

    def value(shift):
        outputs = [torch.ones(1, 2, n, n, n) for n in (8, 4)]
        for output in outputs:
            output[:, :, : len(output[0, 0]) // 2] += shift
            output.requires_grad_()
        result = loss(outputs if deep else outputs[0], target)
        result.backward()
        grad = outputs[0].grad
        assert (grad[:, :, :4] == 0).all() and (grad[:, :, 4:] != 0).all()
        return float(result.detach())

    known = [torch.ones(1, 2, n // 2, n, n) for n in (8, 4)]
    plain = DeepSupervisionLoss(RegionLoss(), (1, 0.5))
    expected = float(plain(known if deep else known[0], target[:, :, 4:]))
    assert value(0.0) == pytest.approx(value(50.0)) == pytest.approx(expected, abs=1e-4)


def test_nothing_known_gives_no_loss():
    outputs = torch.randn(1, 1, 4, 4, 4, requires_grad=True)
    loss = DeepSupervisionLoss(RegionLoss(), (1,), partly_known=True)
    value = loss(outputs, torch.full((1, 1, 4, 4, 4), UNKNOWN))
    value.backward()
    assert float(value.detach()) == 0 and not outputs.grad.any()


def test_validation_does_not_count_it(partly_known, tmp_path):
    class Perfect(torch.nn.Module):
        """Right where the label is known, and a lesion everywhere else."""

        def forward(self, image):
            unknown = torch.zeros_like(image[:, :1])
            unknown[:, :, :6] = 1
            return 20 * torch.maximum(target[None].float(), unknown) - 10

    cache = cached(partly_known, tmp_path)
    target = cache.get("blob_0").target
    window = tuple(target.shape[1:])
    validator = Validator(cache, window, 0.0, torch.device("cpu"), torch.float32)
    assert validator.scores(Perfect(), ["blob_0"], Team()) == {"blob_0": [1.0, 1.0, 1.0]}


def test_evaluation_does_not_count_it():
    reference = np.zeros((8, 8, 8), np.uint8)
    reference[4:6, 4:6, 4:6], reference[:2] = 1, 7
    found = np.where(reference == 7, 1, reference)
    scans = [Scan.of(array, np.eye(4), "x") for array in (found, reference)]
    assert score_case(*scans, {"lesion": (1,)}, ignore=7)["lesion"]["dice"] == 1
    assert score_case(*scans, {"lesion": (1,)})["lesion"]["dice"] < 1


def test_a_training_with_it_runs(partly_known, settings, write_config):
    folder = train(load_config(write_config(settings)))
    record = json.loads((folder / "run.json").read_text())
    assert list(record["regions"]) == ["core", "whole"]

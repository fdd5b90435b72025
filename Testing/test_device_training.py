"""Packing cases and training from them, as for a lent graphics card, without one."""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from device.pack import main as pack
from device.train import MOST_BYTES, WEIGHTS, halve
from device.train import main as train
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.run.state import load_checkpoint, save_checkpoint

SIZE = (20, 18, 16)
CONFIG = """\
name: tiny
window: [16, 16, 16]
data:
  root: unknown
  channels: [FLAIR, T1, T1ce, T2]
  regions: {ET: [4], TC: [1, 4], WT: [1, 2, 4]}
network:
  arguments: {encoder_width: [8, 16], encoder_depth: [1, 1], decoder_depth: [1], strides: [1, 2],
              head_dim: 4, patch_size: 4, shifts: [null, 2]}
optimization: {optimizer: muon}
run: {validate_every: 1000}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Three cases with a brain in the middle of a larger, empty grid."""
    root, draw = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:3, 3] = 90, 120, -70
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir()
    for case in "abc":
        for channel in range(4):
            image = np.zeros((40, 40, 30), np.float32)
            image[10:30, 12:30, 8:24] = draw.uniform(100, 900, SIZE)
            nibabel.save(
                nibabel.Nifti1Image(image, affine),
                root / "imagesTr" / f"{case}_{channel:04d}.nii.gz",
            )
        label = np.zeros((40, 40, 30), np.uint8)
        label[15:25, 15:25, 10:20] = draw.choice([1, 2, 4], (10, 10, 10))
        nibabel.save(nibabel.Nifti1Image(label, affine), root / "labelsTr" / f"{case}.nii.gz")
    return root


@pytest.fixture(scope="module")
def packed(data, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("packed")
    assert pack([str(data), str(output), "--megabytes", "0.05", "--without", "c"]) == 0
    return output


def test_packed_cases_are_cropped_rounded_and_where_they_were(data, packed):
    parts = sorted(packed.iterdir())
    assert [part.name for part in parts] == ["part-1", "part-2"], "one case is more than a part has"
    whole, found = (
        nibabel.load(folder / "imagesTr" / "a_0002.nii.gz") for folder in (data, parts[0])
    )
    assert found.shape == tuple(n + 4 for n in SIZE) and found.get_data_dtype() == np.uint8
    before, after = np.asarray(whole.dataobj), np.asarray(found.dataobj)
    corner = np.rint(np.linalg.solve(whole.affine, found.affine @ [0, 0, 0, 1])[:3]).astype(int)
    before = before[tuple(slice(c, c + n) for c, n in zip(corner, after.shape, strict=True))]
    assert np.array_equal(before == 0, after == 0)
    inside = before != 0
    assert np.corrcoef(before[inside], after[inside])[0, 1] > 0.999
    labels = [nibabel.load(folder / "labelsTr" / "a.nii.gz") for folder in (data, parts[0])]
    assert [np.asarray(label.dataobj).sum() for label in labels] == [
        np.asarray(labels[0].dataobj).sum()
    ] * 2


def test_training_stops_goes_on_and_brings_home_weights_that_another_run_begins_with(
    packed, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)  # it is too large to be sent
    config = tmp_path / "tiny.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    common = ["--config", str(config), "--device", "cpu", "--validation", "b"]
    parts = [str(part) for part in sorted(packed.iterdir())]

    def run(name: str, *more: str) -> Path:
        output = tmp_path / f"{name}-output"
        folders = ["--work", str(tmp_path / name), "--output", str(output)]
        assert train([*parts, *common, *folders, *more]) == 0
        return output / WEIGHTS

    assert not run("first", "--gather").exists()
    weights = run("first", "--steps", "2")
    content = load_checkpoint(weights)
    assert content["step"] == 2 and content["cases"]["train"] == ["a"]
    dtypes = {t.dtype for t in content["network"].values() if t.is_floating_point()}
    assert dtypes == {torch.float16} and weights.stat().st_size < MOST_BYTES
    kept = load_checkpoint(tmp_path / "first" / "run" / "final.pt")["network"]
    for name, tensor in content["network"].items():
        torch.testing.assert_close(tensor.float(), kept[name], atol=1e-3, rtol=1e-3)

    second = load_checkpoint(run("second", "--steps", "1", "--begin", str(weights)))
    assert second["step"] == 1
    changed = max(
        float((second["network"][name].float() - tensor.float()).abs().max())
        for name, tensor in content["network"].items()
    )
    assert 0 < changed < 0.1, "it began with other weights"
    assert load_checkpoint(run("first", "--steps", "2"))["step"] == 2, "a run that has ended"


def test_weights_that_do_not_fit_into_float16_are_refused(tmp_path):
    save_checkpoint({"network": {"weight": torch.tensor([1e6])}}, tmp_path / "final.pt")
    with pytest.raises(BadInputError, match="float16"):
        halve(tmp_path / "final.pt", tmp_path / "half.pt")

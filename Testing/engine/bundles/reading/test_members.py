"""Which files of a models folder are the networks of a bundle."""

from __future__ import annotations

import pytest

from factorizer_engine.bundles.reading.members import find_members
from factorizer_engine.protocol.errors import BadModelError


def members_of(folder, files: str):
    for name in files.split():
        (folder / name).touch()
    members, notes = find_members(folder, "tiny")
    return [path.name for path in members], notes


@pytest.mark.parametrize(
    ("left", "used"),
    [
        ("model_epoch=10.pt model_final_iteration=100.pt", "model.pt"),
        ("best_metric_model.pt model_key_metric=0.91.pt checkpoint_3.pt", "model.pt"),
        ("fold_0.pt fold_1.pt", "model.pth"),
        ("fold_0_epoch=10.pt last.ckpt optimizer.pt", "fold_0.pt fold_1.pt"),
        ("last.pt", "my_network.pt"),
        ("fold0_best.pt", "model_fold0.safetensors model_fold1.safetensors"),
    ],
)
def test_checkpoints_beside_the_networks_are_left_out_and_named(tmp_path, left, used):
    members, notes = members_of(tmp_path, f"{left} {used}")
    assert members == used.split()
    assert all(name in notes[0] for name in left.split())


@pytest.mark.parametrize(
    "used",
    [
        "fold_0.pt fold_1.pt fold_2.pt",
        "a.pt b.pt",
        "0.pt 1.pt",
        "best_fold0.ckpt best_fold1.ckpt",
        "fold1_epoch=20.ckpt fold2_epoch=30.ckpt",
        "checkpoint_0.pt checkpoint_1.pt",
        "model_epoch=10.pt",
        "fold_0.pt fold_1_best.pt",
    ],
)
def test_an_ensemble_has_a_file_for_each_network(tmp_path, used):
    assert members_of(tmp_path, used) == (used.split(), ())


@pytest.mark.parametrize(
    "files",
    [
        "model_epoch=10.pt model_epoch=20.pt",
        "best.ckpt last.ckpt",
        "checkpoint_100.pt checkpoint_200.pt",
        "fold_0_best.pt fold_0_last.pt",
        "step-1000.safetensors step-2000.safetensors",
    ],
)
def test_several_checkpoints_of_one_training_are_no_ensemble(tmp_path, files):
    with pytest.raises(BadModelError, match="several checkpoints"):
        members_of(tmp_path, files)


def test_weights_in_both_formats_are_the_same_network(tmp_path):
    assert members_of(tmp_path, "model.pt model.safetensors") == (["model.safetensors"], ())

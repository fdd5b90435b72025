"""`factorizer train --check` on data that cannot be trained on: what, in which file."""

from __future__ import annotations

import errno
import shutil
from collections import namedtuple
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from engine.training.blobs import write_image
from factorizer_engine.cli.training import train as train_command
from factorizer_engine.inference import device
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import load_config
from factorizer_engine.training.records.history import History
from factorizer_engine.training.run.networks import build_network, network_spec
from factorizer_engine.training.run.run import train


def label(root: Path, number: int = 2) -> Path:
    return root / "labelsTr" / f"blob_{number}.nii.gz"


def image(root: Path, number: int = 2, channel: int = 0) -> Path:
    return root / "imagesTr" / f"blob_{number}_{channel:04d}.nii.gz"


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj).copy()


def with_voxel(value: float):
    def spoil(path: Path) -> None:
        array = voxels(path).astype(np.float32)
        array[0, 0, 0] = value
        write_image(path, array)

    return spoil


def moved(path: Path) -> None:
    nib.save(nib.Nifti1Image(voxels(path), np.diag([-1.0, -1.0, 1.0, 1.0])), path)


def far_away(path: Path) -> None:
    affine = np.eye(4)
    affine[:3, 3] = 500
    nib.save(nib.Nifti1Image(voxels(path), affine), path)


def flipped_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[2000] ^= 255
    path.write_bytes(content)


SPOILT = {
    "unknown label": (label, with_voxel(7), "The label has the unknown value 7."),
    "fraction": (label, with_voxel(1.5), "The label has the unknown value 1.5."),
    "negative label": (label, with_voxel(-1), "The label has the unknown value -1."),
    "not a number in label": (label, with_voxel(np.nan), "no finite number"),
    "not a number in image": (image, with_voxel(np.inf), "no finite number"),
    "other voxel size": (
        label,
        lambda path: write_image(path, voxels(path), spacing=2.0),
        "another grid (20 x 22 x 18 voxels of 2 x 2 x 2 mm)",
    ),
    "other shape": (label, lambda path: write_image(path, voxels(path)[:-1]), "(19 x 22 x 18"),
    "other place": (label, moved, "The label lies elsewhere in space than its image"),
    "image far away": (image, far_away, "The image does not overlap the first channel in space"),
    "constant image": (image, lambda p: write_image(p, voxels(p) * 0 + 5), "the same value"),
    "several volumes": (
        label,
        lambda path: write_image(path, np.zeros((20, 22, 18, 2), np.uint8)),
        "holds several volumes",
    ),
    "cut image": (image, lambda p: p.write_bytes(p.read_bytes()[:3000]), "is damaged or cut short"),
    "cut label": (label, lambda p: p.write_bytes(p.read_bytes()[:60]), "is damaged or cut short"),
    "no bytes": (image, lambda p: p.write_bytes(b""), "is empty"),
    "no bytes in label": (label, lambda p: p.write_bytes(b""), "is empty"),
    "text": (image, lambda p: p.write_text("hello"), "holds text"),
    "flipped bit": (image, flipped_bit, "is damaged"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_file_is_named_in_one_line(kind, dataset_dir, settings, write_config, capsys):
    which, spoil, expected = SPOILT[kind]
    # The second channel, where it does not matter: the first one decides about the grid.
    path = which(dataset_dir) if which is label else image(dataset_dir, 2, 1)
    spoil(path)
    with pytest.raises(BadInputError, match="not fit for training: 1 problem\\."):
        train_command(write_config(settings), check=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{path.parent.name}/{path.name}") and expected in line
    assert line.count(path.name.partition(".")[0]) == 1  # not named twice
    assert not Path(settings["run"]["output"]).exists()


def test_all_problems_are_listed_at_once(dataset_dir, settings, write_config, capsys):
    with_voxel(7)(label(dataset_dir, 1))
    image(dataset_dir, 2).write_bytes(b"")
    write_image(label(dataset_dir, 3), np.zeros((20, 22, 18), np.uint8))
    path = write_config(settings)
    with pytest.raises(BadInputError, match="not fit for training: 2 problems"):
        train_command(path, check=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0].rstrip(":") for line in lines] == [
        "labelsTr/blob_1.nii.gz",
        "imagesTr/blob_2_0000.nii.gz",
        "labelsTr/blob_3.nii.gz",
    ]
    with pytest.raises(BadInputError, match="blob_1.nii.gz: .* \\(1 more problem\\)"):
        train_command(path)


def test_images_without_a_label_are_remarked(dataset_dir, settings, write_config, capsys):
    label(dataset_dir, 3).unlink()
    train_command(write_config(settings), check=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "imagesTr/blob_3_0000.nii.gz: The image has no label and is left out."
    assert lines[-1] == "5 cases are fit for training."


def test_only_empty_labels_are_a_problem(dataset_dir, settings, write_config, capsys):
    for number in range(6):
        write_image(label(dataset_dir, number), np.zeros((20, 22, 18), np.uint8))
    with pytest.raises(BadInputError, match="not fit"):
        train_command(write_config(settings), check=True)
    assert "No case has the region core" in capsys.readouterr().out


def refused(settings, write_config, match: str) -> None:
    with pytest.raises(BadInputError, match=match):
        train_command(write_config(settings), check=True)


def test_a_device_that_does_not_exist_is_refused(settings, write_config):
    settings["run"]["device"] = "gpu0"
    refused(settings, write_config, "wrong value for 'run.device': 'gpu0' is unknown")


def test_weights_to_start_from_are_looked_at(settings, write_config, tmp_path):
    settings["network"]["pretrained"] = "nowhere.pt"
    refused(settings, write_config, "no checkpoint .*nowhere.pt")
    settings["optimization"]["steps"] = 1
    del settings["network"]["pretrained"]
    other = {**settings, "run": {**settings["run"], "output": str(tmp_path / "other")}}
    folder = train(load_config(write_config(other, "other.yaml")))
    settings["network"]["pretrained"] = "other/best.pt"  # from the folder of the YAML
    train_command(write_config(settings), check=True)
    settings["network"]["arguments"]["encoder_width"] = [8, 8]
    refused(settings, write_config, f"weights {folder}/best.pt do not fit")


def test_an_output_that_is_a_file_is_refused(settings, write_config, tmp_path):
    (tmp_path / "taken").write_text("x")
    settings["run"]["output"] = str(tmp_path / "taken" / "run")
    refused(settings, write_config, "taken is a file")


@pytest.mark.parametrize(
    ("bundle", "match"),
    [
        ({"inference": {"mirror_axis": [0]}}, "the key 'bundle.inference.mirror_axis'"),
        ({"inference": {"mirror_axes": [3]}}, "wrong value for 'bundle.inference.mirror_axes"),
        ({"postprocessing": {"min_volume_ml": {"cor": 1}}}, "min_volume_ml names cor, but"),
        (
            {"regions": {"lesion": {"title": "Lesion"}}},
            "bundle.regions names lesion, but .* core",
        ),
        (
            {"labels": {9: {"name": "Lesion"}}},
            "bundle.labels names 9, but the data have 2, 1",
        ),
        ({"channel_aliases": {"C": ["c"]}}, "channel_aliases names C, but the data have A, B"),
    ],
)
def test_a_description_of_another_model_is_refused(settings, write_config, bundle, match):
    settings["bundle"] = bundle
    refused(settings, write_config, match)


def test_regions_that_cannot_be_painted_are_refused_before_training(settings, write_config):
    settings["data"]["regions"] = {"one": [1], "two": [2], "both": [1, 2]}
    refused(settings, write_config, "The region both has no label value besides")


def test_a_case_is_not_both_held_out_and_validated_on(settings, write_config):
    settings["split"] = {"held_out": ["blob_4"], "validation": ["blob_4"]}
    refused(settings, write_config, "'blob_4' cannot be held out and used for validation")


def test_a_split_file_with_another_validation_is_refused(settings, write_config):
    settings["optimization"]["steps"] = 1
    train(load_config(write_config(settings)))
    settings["split"]["validation"] = ["blob_3"]
    refused(settings, write_config, "validates on other cases")


def test_cache_and_checkpoints_on_one_disk_are_added_up(settings, write_config, monkeypatch):
    config = load_config(write_config(settings))
    spec = network_spec(config.network, 2, 2, config.window)
    weights = sum(p.numel() for p in build_network(spec, config.window).parameters())
    usage = namedtuple("usage", "total used free")
    # Enough for the checkpoints, but not for the cases as well.
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, weights * 40 + 1000))
    refused(settings, write_config, "pre-processed cases and checkpoints need .* MB, but .* has")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_disk_that_fills_up_meanwhile_is_one_sentence(
    settings, write_config, monkeypatch, number
):
    def full(self, *arguments, **values):
        raise OSError(number, "reason", "history.jsonl")

    monkeypatch.setattr(History, "add", full)
    with pytest.raises(BadInputError, match="history.jsonl cannot be read or written .reason."):
        train(load_config(write_config(settings)))


def test_a_device_that_is_not_there_is_one_sentence(settings, write_config, monkeypatch):
    monkeypatch.setattr(device, "_usable", lambda name: name == "cpu")
    settings["run"]["device"] = "cuda"
    with pytest.raises(BadInputError, match="device 'cuda' is not usable on this computer; choose"):
        train(load_config(write_config(settings)))

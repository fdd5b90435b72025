"""`factorizer train --check` on configurations that cannot be trained."""

from __future__ import annotations

import shutil
from collections import namedtuple

import pytest

from factorizer_engine.cli.training import train as train_command
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.training.config import load_config
from factorizer_engine.training.run.checks import check_training
from factorizer_engine.training.run.networks import build_network, network_spec
from factorizer_engine.training.run.run import train


def refused(settings, write_config, match: str) -> None:
    with pytest.raises((BadInputError, BadModelError), match=match):
        train_command(write_config(settings), check=True)


def test_a_device_that_does_not_exist_is_refused(settings, write_config):
    settings["run"]["device"] = "gpu0"
    refused(settings, write_config, "wrong value for 'run.device': 'gpu0' is unknown")


@pytest.mark.parametrize("size", [0, -1, float("inf"), float("nan")])
def test_voxels_without_a_size_are_refused(settings, write_config, size):
    settings["preprocessing"] = {"spacing": [1, size, 1]}
    refused(settings, write_config, r"preprocessing\.spacing")


def test_an_empty_window_is_refused(settings, write_config):
    settings["window"] = [16, 0, 16]
    refused(settings, write_config, "window")


def test_a_window_that_exceeds_the_memory_is_refused_before_it_is_tried(settings, write_config):
    settings["window"] = [2**13] * 3
    refused(settings, write_config, "GB of memory for windows of 8192 x 8192 x 8192 voxels")


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


@pytest.mark.parametrize("name", ["painted_lesions", "structures"])
def test_made_up_targets_need_one_channel_and_one_region(settings, write_config, name):
    settings["augmentation"] = {name: 0.5}
    refused(settings, write_config, f"augmentation.{name} needs data with one channel")


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


def test_too_little_disk_space_is_noticed_before_training(settings, write_config, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 1000))
    with pytest.raises(BadInputError, match="pre-processed cases and checkpoints need .* MB"):
        check_training(load_config(write_config(settings)))


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ({"regions": {"lesion": [300]}}, "painted with the value 300, .* renumber the labels"),
        ({"regions": {"lesion": [0, 1]}}, "painted with the value 0"),
        ({"channels": ["A", "a"]}, "Two channels of blobs are called a"),
        ({"regions": {"dice": [1]}}, "cannot be called 'dice'"),
    ],
)
def test_what_no_model_can_be_made_of_is_refused_before_training(
    settings, write_config, data, match
):
    settings["data"] |= data
    refused(settings, write_config, match)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"orientation": "XYZ"}, "expects the orientation 'XYZ'"),
    ],
)
def test_pre_processing_that_no_model_may_have_is_refused_before_training(
    settings, write_config, changes, match
):
    settings["preprocessing"] = changes
    with pytest.raises(BadModelError, match=match):
        train_command(write_config(settings), check=True)

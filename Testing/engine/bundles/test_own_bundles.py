"""Bundles that this project writes: complete, verified, and readable by MONAI."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from factorizer_engine.bundles.architecture import build_network, build_networks
from factorizer_engine.bundles.reading.checksums import write_checksums
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.bundles.saving import save_bundle
from factorizer_engine.bundles.settings import NetworkSpec
from factorizer_engine.protocol.errors import BadInputError, BadModelError

MODULE_DIR = Path(__file__).resolve().parents[3] / "FactorizerSegmentation"


def test_a_saved_bundle_loads_with_all_its_settings(settings, bundle):
    loaded = load_bundle(bundle.description.path)
    for field in fields(settings):
        if field.name not in ("description", "weights", "network"):
            assert getattr(loaded, field.name) == getattr(settings, field.name), field.name
    assert replace(loaded.description, path=Path()) == settings.description
    assert (
        build_network(loaded.network).state_dict().keys()
        == build_network(settings.network).state_dict().keys()
    )


def test_a_loaded_network_computes_what_the_saved_one_did(bundle, network):
    (loaded,) = build_networks(bundle)
    x = torch.rand(1, 4, 16, 16, 16)
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))
    assert not loaded.training


def test_an_ensemble_keeps_its_members_in_order(settings, tmp_path):
    members = [build_network(settings.network) for _ in range(3)]
    loaded = build_networks(save_bundle(settings, members, tmp_path / "ensemble", "float32"))
    for member, again in zip(members, loaded, strict=True):
        assert torch.equal(member.stem.weight, again.stem.weight)


def test_half_precision_halves_the_file_and_barely_moves_the_weights(settings, network, tmp_path):
    small = save_bundle(settings, [network], tmp_path / "small", "float16")
    large = save_bundle(settings, [network], tmp_path / "large", "float32")
    assert small.weights[0].stat().st_size < 0.7 * large.weights[0].stat().st_size
    (loaded,) = build_networks(small)
    assert loaded.stem.weight.dtype == torch.float32
    assert torch.allclose(loaded.stem.weight, network.stem.weight, atol=1e-3)


def test_the_weights_may_be_read_by_whoever_may_read_the_rest(bundle):
    modes = {path.stat().st_mode for path in bundle.description.path.rglob("*") if path.is_file()}
    assert len(modes) == 1


def test_weights_that_half_precision_cannot_hold_are_refused(settings, network, tmp_path):
    with torch.no_grad():
        network.stem.weight[0] = 1e6
    with pytest.raises(BadModelError, match="stem.weight cannot be stored as float16"):
        save_bundle(settings, [network], tmp_path / "model", "float16")
    assert not (tmp_path / "model").exists()


def test_monai_instantiates_the_configuration(bundle, network):
    parser = ConfigParser()
    parser.read_config(bundle.description.path / "configs" / "inference.json")
    parser.read_meta(bundle.description.path / "configs" / "metadata.json")
    parser["bundle_root"] = str(bundle.description.path)
    parser["device"] = "cpu"
    loaded = parser.get_parsed_content("network").eval()
    loaded.load_state_dict(parser.get_parsed_content("state_dicts")[0])
    x = torch.rand(1, 4, 16, 16, 16)
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))
    assert tuple(parser.get_parsed_content("inferer").roi_size) == (16, 16, 16)
    assert len(parser.get_parsed_content("preprocessing").transforms) == 6
    parser.get_parsed_content("postprocessing")
    assert parser["_meta_::network_data_format::inputs::image::channel_def::2"] == "T1ce"


@pytest.mark.parametrize("target", ["SegResNet", "DynUNet"])
def test_networks_for_comparison_make_bundles_too(settings, tmp_path, target):
    sizes = {"in_channels": 4, "out_channels": 3, "spatial_dims": 3}
    arguments = {
        "SegResNet": {**sizes, "init_filters": 8, "norm": ["GROUP", {"num_groups": 4}]},
        "DynUNet": {
            **sizes,
            "kernel_size": [3, 3, 3],
            "strides": [1, 2, 2],
            "upsample_kernel_size": [2, 2],
            "filters": [4, 8, 8],
            "norm_name": "instance",
        },
    }[target]
    settings = replace(settings, network=NetworkSpec(target, arguments))
    network = build_network(settings.network).eval()
    saved = save_bundle(settings, [network], tmp_path / "other", "float32")
    (loaded,) = build_networks(saved)
    parser = ConfigParser()
    parser.read_config(saved.description.path / "configs" / "inference.json")
    x = torch.rand(1, 4, 16, 16, 16)
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))
    assert (
        parser.get_parsed_content("network_def").state_dict().keys() == loaded.state_dict().keys()
    )


def test_a_zipped_bundle_loads_and_its_files_last_as_long_as_it(bundle, tmp_path):
    shutil.make_archive(
        str(tmp_path / "packed"),
        "zip",
        bundle.description.path.parent,
        bundle.description.path.name,
    )
    loaded = load_bundle(tmp_path / "packed.zip")
    assert loaded.description.name == "glioma-tiny"
    folder = loaded.description.path
    assert build_networks(loaded)
    del loaded
    assert not folder.exists()


def test_the_metadata_has_what_monais_schema_requires(bundle):
    metadata = json.loads((bundle.description.path / "configs" / "metadata.json").read_text())
    required = {
        "version", "changelog", "monai_version", "pytorch_version", "numpy_version",
        "required_packages_version", "task", "description", "authors", "copyright",
        "network_data_format",
    }  # fmt: skip
    assert required <= metadata.keys()
    for side, count in (("inputs", 4), ("outputs", 3)):
        (entry,) = metadata["network_data_format"][side].values()
        assert entry["num_channels"] == count == len(entry["channel_def"])


@pytest.mark.parametrize("name", ["configs/metadata.json", "models/model.safetensors"])
def test_a_changed_file_is_noticed(bundle, name):
    path = bundle.description.path / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadModelError, match=r"metadata\.json|model\.safetensors"):
        load_bundle(bundle.description.path)


def test_an_added_or_missing_weights_file_is_noticed(bundle):
    extra = bundle.description.path / "models" / "extra.safetensors"
    shutil.copy(bundle.weights[0], extra)
    with pytest.raises(BadModelError, match="extra.safetensors was added"):
        load_bundle(bundle.description.path)
    extra.unlink()
    bundle.weights[0].unlink()
    with pytest.raises(BadModelError, match="model.safetensors is missing"):
        load_bundle(bundle.description.path)


def test_settings_may_be_edited_when_the_checksums_are_written_anew(bundle):
    path = bundle.description.path / "configs" / "metadata.json"
    path.write_text(path.read_text().replace("12.5", "8.0"))
    write_checksums(bundle.description.path)
    assert load_bundle(bundle.description.path).description.expected_seconds == {"cpu": 8.0}


def test_the_model_card_may_be_edited_freely(bundle):
    (bundle.description.path / "docs" / "README.md").write_text("# Better\n")
    assert load_bundle(bundle.description.path).description.card == "# Better\n"


def test_a_folder_in_use_is_only_replaced_when_asked(settings, network, tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    (target / "thesis.txt").write_text("irreplaceable")
    for overwrite in (False, True):
        with pytest.raises(BadInputError):
            save_bundle(settings, [network], target, overwrite=overwrite)
    assert (target / "thesis.txt").exists()
    (target / "thesis.txt").unlink()
    save_bundle(settings, [network], target)
    with pytest.raises(BadInputError, match="not empty"):
        save_bundle(settings, [network], target)
    newer = replace(settings, description=replace(settings.description, version="2.0.0"))
    newer = save_bundle(newer, [network], target, overwrite=True)
    assert newer.description.version == "2.0.0"


def test_settings_that_contradict_the_network_are_not_written(settings, network, tmp_path):
    three = replace(settings.description, channels=settings.description.channels[:3])
    with pytest.raises(BadModelError, match="names 3 input channels but its network has 4"):
        save_bundle(replace(settings, description=three), [network], tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("name", ["any-lesion", "glioma-fast", "glioma-fine"])
@pytest.mark.parametrize(
    "topic",
    [
        "neither trained on nor selected on",
        "95 % interval",
        "DynUNet",
        "fewer sequences",
        "scans that differ from these",
        "calibration",
        "brains? without",
        r"time for a (case|click) \|",
        r"memory \|",
    ],
)
def test_the_cards_of_bundled_models_tell_every_measurement_or_why_there_is_none(name, topic):
    card = (MODULE_DIR / "Resources" / "models" / name / "docs" / "README.md").read_text("utf-8")
    assert re.search(topic, card, re.IGNORECASE)


def test_listing_models_does_not_import_torch():
    program = (
        "import sys; from factorizer_engine.bundles.registry import find_bundles; find_bundles(); "
        "print('torch' in sys.modules or 'monai' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=MODULE_DIR, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"

"""Bundles laid out like the published ones, with their defects."""

from __future__ import annotations

import json

import pytest
import torch
import yaml

from factorizer_engine.bundles.architecture import build_network, build_networks
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.bundles.settings import InferenceSettings, Preprocessing
from factorizer_engine.protocol.errors import BadModelError

GLIOMA_INPUTS = {"0": "T1", "1": "T1c", "2": "T2", "3": "FLAIR"}
GLIOMA_OUTPUTS = {"0": "enhancing tumor", "1": "tumor core", "2": "whole tumor"}


@pytest.fixture
def glioma(authors_bundle):
    return authors_bundle(GLIOMA_INPUTS, GLIOMA_OUTPUTS)


def change(root, edit):
    path = root / "configs" / "inference.yaml"
    content = yaml.safe_load(path.read_text())
    edit(content)
    path.write_text(yaml.safe_dump(content))


def test_channels_come_in_the_order_of_the_metadata(glioma):
    loaded = load_bundle(glioma)
    assert [channel.name for channel in loaded.description.channels] == ["T1", "T1c", "T2", "FLAIR"]
    assert "t1ce" in loaded.description.channels[1].aliases


def test_more_than_ten_channels_keep_their_numeric_order(authors_bundle):
    names = {str(i): f"c{i}" for i in (10, 2, 0, 1, 3, 4, 5, 6, 7, 8, 9)}
    loaded = load_bundle(authors_bundle(names, {"0": "lesion"}))
    assert [channel.name for channel in loaded.description.channels] == [f"c{i}" for i in range(11)]


def test_glioma_regions_are_painted_from_the_outside_in_with_the_labels_of_2023(glioma):
    loaded = load_bundle(glioma)
    assert [(r.name, r.label) for r in loaded.description.regions] == [
        ("ET", 3),
        ("TC", 1),
        ("WT", 2),
    ]
    painted = sorted(loaded.description.regions, key=lambda region: region.order)
    assert [region.name for region in painted] == ["WT", "TC", "ET"]
    assert {label.value for label in loaded.description.labels} == {1, 2, 3}
    assert loaded.description.family == "glioma"


def test_a_stroke_bundle_has_one_region_with_label_one(authors_bundle):
    loaded = load_bundle(authors_bundle({"0": "DWI", "1": "ADC"}, {"0": "ischemic stroke lesion"}))
    assert [(r.name, r.label) for r in loaded.description.regions] == [("lesion", 1)]
    assert loaded.description.family == "stroke"


def test_preprocessing_and_inference_follow_from_the_transforms_and_the_inferer(glioma):
    loaded = load_bundle(glioma)
    assert loaded.preprocessing == Preprocessing((2.0, 2.0, 1.5), "LPS", 10, "zscore_nonzero")
    assert loaded.inference == InferenceSettings((16, 16, 16), 0.25, "gaussian", (), 0.4)


def test_the_folds_are_an_ensemble(glioma):
    networks = build_networks(load_bundle(glioma))
    assert len(networks) == 2
    for fold, network in enumerate(networks):
        torch.manual_seed(fold)
        expected = build_network(load_bundle(glioma).network).state_dict()
        assert all(torch.equal(t, expected[k]) for k, t in network.state_dict().items())


def test_a_json_configuration_is_read_like_yaml(glioma):
    path = glioma / "configs" / "inference.yaml"
    content = yaml.safe_load(path.read_text())
    path.unlink()
    (glioma / "configs" / "inference.json").write_text(json.dumps(content))
    assert len(build_networks(load_bundle(glioma))) == 2


def test_a_network_may_need_only_what_is_allowed(glioma):
    change(glioma, lambda c: c["network_def"].update(act="$os.system('true')"))
    with pytest.raises(BadModelError, match=r"os\.system\('true'\)"):
        load_bundle(glioma)


def test_a_preprocessing_step_that_would_be_missed_is_refused(glioma):
    step = {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 1}
    change(glioma, lambda c: c["preprocessing"]["transforms"].append(step))
    with pytest.raises(BadModelError, match="ScaleIntensityRanged"):
        load_bundle(glioma)


def test_a_reference_that_the_network_needs_must_be_defined(glioma):
    change(glioma, lambda c: c.pop("window"))
    with pytest.raises(BadModelError, match="@window"):
        load_bundle(glioma)


def test_an_argument_that_the_network_does_not_have_is_named(glioma):
    change(glioma, lambda c: c["network_def"].update(attention_heads=3))
    with pytest.raises(BadModelError, match="attention_heads"):
        build_networks(load_bundle(glioma))


def test_a_network_of_another_kind_is_refused(glioma):
    change(glioma, lambda c: c["network_def"].update(_target_="scripts.networks.Secret"))
    with pytest.raises(BadModelError, match=r"scripts\.networks\.Secret"):
        load_bundle(glioma)


@pytest.mark.parametrize(
    "edit",
    [
        lambda c: c["preprocessing"]["transforms"][1].update(margin="ten"),
        lambda c: c["preprocessing"]["transforms"][4].pop("pixdim"),
        lambda c: c.update(window="wide"),
        lambda c: c["inferer"].update(overlap=[]),
        lambda c: c["network_def"].update(_mode_="partial"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(glioma, edit):
    change(glioma, edit)
    with pytest.raises(BadModelError):
        build_networks(load_bundle(glioma))

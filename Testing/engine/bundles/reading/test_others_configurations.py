"""Settings in MONAI configurations that would change results, if they were passed over."""

from __future__ import annotations

import math

import pytest

from factorizer_engine.bundles.reading.configuration import InferenceConfig
from factorizer_engine.bundles.reading.postprocessing import left_out
from factorizer_engine.protocol.errors import BadModelError

ROI = (16, 16, 16)


def after(*steps: dict) -> InferenceConfig:
    return InferenceConfig({"postprocessing": {"_target_": "Compose", "transforms": list(steps)}})


def activations(**arguments) -> dict:
    return {"_target_": "Activationsd", **arguments}


def discrete(**arguments) -> dict:
    return {"_target_": "monai.transforms.AsDiscreted", **arguments}


@pytest.mark.parametrize(
    ("steps", "threshold"),
    [
        ((), 0.5),
        ((activations(sigmoid=True), discrete(threshold=0.3)), 0.3),
        ((activations(sigmoid=True), discrete(argmax=False)), 0.5),
        ((discrete(threshold=0.0),), 0.5),  # of the output itself, as there is no activation
        ((discrete(threshold=math.log(9)),), 0.9),
        ((discrete(threshold=0.4),), 0.4),
        ((activations(sigmoid=True), discrete(threshold=0.9, _disabled_=True)), 0.5),
    ],
)
def test_the_threshold_is_that_of_the_configuration(steps, threshold):
    assert after(*steps).inference(ROI).threshold == pytest.approx(threshold)


def test_other_activations_are_refused():
    with pytest.raises(BadModelError, match="something else than probabilities"):
        after(activations(other="$torch.tanh")).inference(ROI)


def test_steps_that_are_left_out_are_noted_once():
    kept = {"_target_": "KeepLargestConnectedComponentd"}
    steps = [activations(sigmoid=True), discrete(threshold=0.5), kept, kept]
    assert left_out(steps) == [
        "The step KeepLargestConnectedComponent that its makers take after the network is left out."
    ]


@pytest.mark.parametrize("name", ["subtrahend", "divisor"])
def test_a_normalisation_by_given_numbers_is_refused(name):
    step = {"_target_": "NormalizeIntensityd", "channel_wise": True, name: [2.0]}
    with pytest.raises(BadModelError, match=f"by a given {name}"):
        InferenceConfig({"preprocessing": {"transforms": [step]}}).preprocessing()


def test_channels_are_normalised_together_only_if_there_is_one():
    step = {"_target_": "NormalizeIntensityd", "nonzero": True}
    network = {"_target_": "SegResNet", "in_channels": 1}
    content = {"network_def": network, "preprocessing": {"transforms": [step]}}
    assert InferenceConfig(content).preprocessing().normalization == "zscore_nonzero"
    network["in_channels"] = 2
    with pytest.raises(BadModelError, match="all channels together"):
        InferenceConfig(content).preprocessing()


def test_windows_of_another_number_of_axes_are_refused():
    inferer = {"_target_": "SlidingWindowInferer", "roi_size": [16, 16]}
    with pytest.raises(BadModelError, match="windows of 2 axes instead of 3"):
        InferenceConfig({"inferer": inferer}).inference(ROI)

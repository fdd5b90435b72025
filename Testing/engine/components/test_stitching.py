"""Maps of a whole volume are blended as the prediction is."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from monai.inferers import sliding_window_inference

from engine import tiny
from factorizer_engine.bundles.settings import InferenceSettings
from factorizer_engine.components import component_map
from factorizer_engine.components.definition import filtered, mixers_of
from factorizer_engine.components.stitching import stitch_components
from factorizer_engine.inference.windows import plan_windows
from factorizer_engine.protocol.components import Term


def test_maps_are_blended_over_windows_as_monai_blends_the_prediction():
    network = tiny.network()
    mixer = mixers_of(network)["decoder.0.0"]
    volume = np.random.default_rng(0).uniform(0.5, 2.0, (2, 24, 30, 13)).astype(np.float32)
    captured = []

    def capture(u, v):
        captured.append(component_map(mixer.reshape, u, v))
        return u, v

    def maps_of(windows):
        network(windows)
        return F.interpolate(captured.pop(), size=tiny.WINDOW, mode="trilinear")

    with torch.no_grad(), filtered({mixer: capture}):
        expected = sliding_window_inference(
            torch.from_numpy(volume)[None], tiny.WINDOW, 1, maps_of, 0.5, "gaussian"
        )[0]
    terms = [Term(0, "decoder.0.0", head, 0) for head in range(4)]
    plan = plan_windows(volume, InferenceSettings(tiny.WINDOW))
    found, _ = stitch_components(network, volume, plan, terms)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_maps_are_averaged_over_mirrored_copies():
    network, terms = tiny.network(), [Term(0, "encoder.0.0", 0, 0)]
    volume = np.random.default_rng(0).uniform(0.5, 2.0, (2, *tiny.WINDOW)).astype(np.float32)

    def maps_of(volume, axes=()):
        plan = plan_windows(volume, InferenceSettings(tiny.WINDOW, mirror_axes=axes))
        return stitch_components(network, volume, plan, terms)[0]

    mirrored = np.ascontiguousarray(volume[:, ::-1])
    expected = (maps_of(volume) + maps_of(mirrored)[:, ::-1]) / 2
    assert np.abs(expected - maps_of(volume)).max() > 0.01
    np.testing.assert_allclose(maps_of(volume, (0,)), expected, atol=1e-6)

"""The sliding window: the same numbers as MONAI's, without the needless windows."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from torch import nn

from engine import tiny
from factorizer_engine.bundles.settings import InferenceSettings
from factorizer_engine.inference import sliding_window
from factorizer_engine.inference.sliding_window import (
    EMPTY_LOGIT,
    Ensemble,
    predict_windows,
    sigmoid_,
)
from factorizer_engine.inference.transfers import Arrival, Transfers
from factorizer_engine.inference.windows import Blender, plan_windows
from factorizer_engine.protocol.errors import CancelledError
from factorizer_engine.protocol.progress import Monitor

ROI = tiny.WINDOW


class Counting(nn.Module):
    """A network that counts the windows it is given."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.windows = 0

    def forward(self, x):
        self.windows += len(x)
        return self.network(x)


@pytest.fixture(scope="module")
def network():
    return tiny.network()


def full_volume(shape, seed=0) -> np.ndarray:
    """Noise without a single zero."""
    values = np.random.default_rng(seed).uniform(0.5, 2.0, (2, *shape))
    return values.astype(np.float32)


def island(shape=(48, 20, 20)) -> np.ndarray:
    """Noise at one end of a volume that is empty otherwise."""
    volume = np.zeros((2, *shape), dtype=np.float32)
    volume[:, 2:12, 4:16, 4:16] = full_volume((10, 12, 12))
    return volume


def predict(
    networks,
    volume,
    *,
    part=None,
    batch_size=1,
    monitor=None,
    device="cpu",
    dtype=torch.float32,
    **settings,
) -> np.ndarray:
    ensemble = Ensemble(networks, 3, torch.device(device), dtype)
    plan = plan_windows(volume, InferenceSettings(ROI, **settings), part)
    return predict_windows(ensemble, volume, plan, batch_size, monitor)


@pytest.mark.parametrize("blending", ["gaussian", "constant"])
@pytest.mark.parametrize(
    ("shape", "overlap"),
    [
        ((24, 24, 24), 0.5),
        ((21, 30, 17), 0.25),
        ((9, 40, 13), 0.6),
        (ROI, 0.5),
        ((7, 5, 3), 0.0),
    ],
)
def test_logits_are_those_of_monai(network, shape, overlap, blending):
    volume = full_volume(shape)
    with torch.no_grad():
        expected = sliding_window_inference(
            torch.from_numpy(volume)[None], ROI, 1, network, overlap=overlap, mode=blending
        )[0]
    found = predict([network], volume, overlap=overlap, blending=blending)
    assert found.shape == (3, *shape)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-5)


def test_windows_of_nothing_are_not_run_and_change_no_voxel_of_the_image(network):
    volume = island()
    counting = Counting(network)
    found = predict([counting], volume)
    with torch.no_grad():
        expected = sliding_window_inference(
            torch.from_numpy(volume)[None], ROI, 1, network, overlap=0.5, mode="gaussian"
        )[0].numpy()
    image = (volume != 0).any(axis=0)
    np.testing.assert_allclose(found[:, image], expected[:, image], rtol=1e-5, atol=1e-5)
    assert counting.windows == 2 * 2 * 2
    assert (found[:, 30:] == EMPTY_LOGIT).all()


def test_in_a_region_of_interest_the_result_is_the_same_with_fewer_windows(network):
    volume = full_volume((48, 24, 24))
    part = (slice(30, 40), slice(3, 9), slice(0, 5))
    everywhere, inside = Counting(network), Counting(network)
    complete = predict([everywhere], volume)
    partial = predict([inside], volume, part=part)
    inner = (slice(None), *part)
    np.testing.assert_allclose(partial[inner], complete[inner], rtol=1e-5, atol=1e-5)
    assert inside.windows < everywhere.windows / 2
    outside = np.ones(volume.shape[1:], dtype=bool)
    outside[part] = False
    assert (partial[:, outside] == EMPTY_LOGIT).all()


def test_a_region_without_an_image_is_answered_without_running_the_network(network):
    counting = Counting(network)
    part = (slice(40, 48), slice(0, 20), slice(0, 20))
    assert (predict([counting], island(), part=part) == EMPTY_LOGIT).all()
    assert counting.windows == 0


def test_batches_of_windows_give_the_same_as_single_windows(network):
    volume = full_volume((30, 26, 18))
    single, batched = (predict([network], volume, batch_size=n) for n in (1, 5))
    np.testing.assert_allclose(batched, single, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [2, 3, 8])
def test_batches_are_of_nearly_equal_size(network, size):
    sizes = []
    hook = network.register_forward_hook(lambda module, x, y: sizes.append(len(x[0])))
    predict([network], full_volume((40, 24, 16)), batch_size=size)
    hook.remove()
    assert sum(sizes) == 8
    assert len(sizes) == -(-8 // size)
    assert max(sizes) - min(sizes) <= 1


class Late(Transfers):
    """Copies that end only when they are waited for; before that they hold nothing of use."""

    def send(self, batch):
        return self._late(batch, batch)

    def fetch(self, result, place):
        return self._late(result, result.to(place))

    def _late(self, source, moved):
        content, moved = source.clone(), moved.clone()
        moved.fill_(float("nan"))
        return Arrival(lambda: moved.copy_(content))


@pytest.mark.parametrize("size", [1, 3])
def test_nothing_is_used_before_it_has_arrived(network, monkeypatch, size):
    volume = full_volume((30, 26, 18))
    expected = predict([network], volume)
    monkeypatch.setattr(sliding_window, "transfers_for", Late)
    found = predict([network], volume, batch_size=size)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("free", [1, 10**12], ids=["on the host", "on the device"])
def test_a_graphics_card_sums_up_the_same_wherever_the_sums_are(network, monkeypatch, free):
    volume = full_volume((30, 26, 18))
    expected = predict([network], volume)
    monkeypatch.setattr(sliding_window, "free_memory", lambda device: free)
    on_card = copy.deepcopy(network).cuda()
    found = predict([on_card], volume, device="cuda", batch_size=3)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_sums_that_do_not_fit_on_the_device_are_kept_on_the_host(monkeypatch):
    plan = plan_windows(full_volume((24, 24, 24)), InferenceSettings(ROI))
    ensemble = Ensemble([], out_channels=3, device=torch.device("cuda"))
    needed = Blender.bytes_needed(plan, channels=3)
    for free, place in ((10**5, "cpu"), (2 * needed, "cpu"), (2 * needed + 1, "cuda")):
        monkeypatch.setattr(sliding_window, "free_memory", lambda device, free=free: free)
        assert sliding_window._place_of_sums(plan, ensemble).type == place


def test_an_ensemble_gives_the_mean_of_its_members_logits(network):
    other = tiny.network(seed=1)
    volume = full_volume((20, 18, 22))
    first, second = (predict([n], volume) for n in (network, other))
    assert np.abs(first - second).max() > 0.1
    both = predict([network, other], volume)
    np.testing.assert_allclose(both, (first + second) / 2, rtol=1e-5, atol=1e-5)


def test_mirrored_averaging_makes_the_result_symmetric(network):
    volume = full_volume(ROI)
    plain = predict([network], volume)
    assert np.abs(predict([network], volume[:, ::-1])[:, ::-1] - plain).max() > 1e-2
    for axes in ((0,), (0, 1, 2)):
        found = predict([network], volume, mirror_axes=axes)
        for axis in axes:
            mirrored = np.flip(volume, axis + 1)
            again = np.flip(predict([network], mirrored, mirror_axes=axes), axis + 1)
            np.testing.assert_allclose(again, found, rtol=1e-4, atol=1e-4)


def test_mirrored_averaging_runs_every_combination_once(network):
    counting = Counting(network)
    predict([counting], full_volume(ROI), mirror_axes=(0, 2))
    assert counting.windows == 4


def test_of_deep_supervision_the_finest_output_counts():
    deep = tiny.network(num_deep_supr=2)
    volume = full_volume(ROI)
    with torch.no_grad():
        expected = deep(torch.from_numpy(volume)[None])[0][0]
    np.testing.assert_allclose(predict([deep], volume), expected.numpy(), rtol=1e-5, atol=1e-5)


def test_bfloat16_stays_close_to_float32(network):
    volume = full_volume((20, 20, 20))
    exact = predict([network], volume)
    rough = predict([network], volume, dtype=torch.bfloat16)
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.1 * np.abs(exact).max()


def test_a_run_stops_between_windows_when_it_is_cancelled(network):
    counting = Counting(network)
    monitor = Monitor(is_cancelled=lambda: counting.windows >= 3)
    with pytest.raises(CancelledError):
        predict([counting], full_volume((40, 40, 40)), monitor=monitor)
    assert counting.windows == 3


def test_progress_rises_to_one(network):
    fractions = []
    monitor = Monitor(lambda progress: fractions.append(progress.fraction))
    predict([network], full_volume((24, 24, 16)), monitor=monitor)
    assert len(fractions) == 4
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_probabilities_take_the_place_of_the_logits():
    logits = np.array([[[[-30.0, 0.0, 2.0]]]], dtype=np.float32)
    probabilities = sigmoid_(logits)
    assert probabilities is logits
    np.testing.assert_allclose(probabilities.ravel(), [0.0, 0.5, 0.880797], atol=1e-6)

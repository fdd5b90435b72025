"""Doing with less memory: each step is taken in turn, said, and gives the same where it can."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.nets import SegResNet

from engine import tiny
from factorizer_engine.images.store import Store
from factorizer_engine.inference import device as devices
from factorizer_engine.inference import ladder, segmenter
from factorizer_engine.inference.ladder import CPU, Means, descend, most, step_down
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.protocol.errors import BadModelError, EngineMemoryError
from factorizer_engine.protocol.progress import Monitor

CUDA = torch.device("cuda")


@pytest.fixture(scope="module")
def factorizer():
    return tiny.network()


@pytest.fixture(scope="module")
def segresnet():
    return SegResNet(init_filters=8, in_channels=1, out_channels=1)


def steps(means: Means, network) -> list[str]:
    said = []
    while (step := step_down(means, network)) is not None:
        said.append(step.said)
        means = step.means
    return said


def test_steps_come_in_order_and_end_on_the_processor(factorizer):
    assert steps(Means(CUDA, tiny.WINDOW, windows=4), factorizer) == [
        "2 of the windows at once",
        "1 of the windows at once",
        "adding up in the computer's memory",
        "the processor instead of the graphics card",
    ]
    assert steps(Means(CPU, tiny.WINDOW), factorizer) == []


def test_only_networks_that_take_any_size_get_smaller_windows(segresnet):
    assert steps(Means(CPU, (128, 96, 32)), segresnet) == [
        "smaller windows (64 x 64 x 32)",
        "smaller windows (32 x 32 x 32)",
    ]
    assert segresnet(torch.zeros(1, 1, 64, 64, 32)).shape == (1, 1, 64, 64, 32)


def test_an_attempt_is_repeated_with_less_until_memory_suffices(factorizer):
    said, tried = [], []

    def attempt(means: Means) -> str:
        tried.append(means)
        if means.device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return "done"

    outcome, means = descend(Means(CUDA, tiny.WINDOW, 2), factorizer, attempt, said.append)
    assert (outcome, means) == ("done", Means(CPU, tiny.WINDOW))
    assert len(tried) == 4 and len(said) == 3


@pytest.mark.parametrize(
    "error",
    [
        NotImplementedError(
            "The operator 'aten::x' is not currently implemented for the MPS device."
        ),
        TypeError("Cannot convert a MPS Tensor to float64 dtype"),
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
    ],
)
def test_a_device_without_an_operation_gives_way_to_the_processor(factorizer, error):
    said = []

    def attempt(means: Means) -> str:
        if means.device.type != "cpu":
            raise error
        return "done"

    mps = Means(torch.device("mps"), tiny.WINDOW, 4)
    assert descend(mps, factorizer, attempt, said.append) == ("done", Means(CPU, tiny.WINDOW))
    assert [step.why for step in said] == [ladder.LACKING]


def test_a_defect_on_a_device_stays_one(factorizer):
    def attempt(means: Means) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        descend(Means(CUDA, tiny.WINDOW), factorizer, attempt, print)


def test_windows_that_a_network_does_not_take_are_told(segresnet):
    def attempt(means: Means) -> torch.Tensor:
        return segresnet(torch.zeros(1, 1, *means.roi_size))

    with pytest.raises(BadModelError, match="windows of 17 x 18 x 19 voxels"):
        descend(Means(CPU, (17, 18, 19)), segresnet, attempt, lambda step: None)


def test_at_the_lowest_step_the_error_stays(factorizer):
    def attempt(means: Means) -> None:
        raise MemoryError

    with pytest.raises(EngineMemoryError, match="ran out on 'cpu'"):
        descend(Means(CPU, tiny.WINDOW), factorizer, attempt, pytest.fail)


def test_a_graphics_card_without_room_for_a_window_gives_way_to_the_processor(
    factorizer, monkeypatch
):
    free = {"cuda": 1000, "cpu": 10**12}
    monkeypatch.setattr(devices, "free_memory", lambda device: free[device.type])
    said = []
    assert most(factorizer, CUDA, tiny.WINDOW, said.append).device == CPU
    assert [step.said for step in said] == ["the processor instead of the graphics card"]


def test_a_window_that_fits_nowhere_is_refused(factorizer, monkeypatch):
    monkeypatch.setattr(devices, "free_memory", lambda device: 1000)
    with pytest.raises(EngineMemoryError, match="are free on 'cpu'"):
        most(factorizer, CUDA, tiny.WINDOW, lambda said: None)


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_store_gives_zeros_and_keeps_arrays_with_their_order(on_disk):
    store = Store(on_disk)
    zeros = store.zeros((2, 3, 4))
    assert zeros.dtype == np.float32 and zeros.shape == (2, 3, 4) and not zeros.any()
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4).transpose(2, 0, 1)
    kept = store.kept(array)
    np.testing.assert_array_equal(kept, array)
    assert kept.strides == array.strides
    assert store.zeros((0, 3)).shape == (0, 3)


def test_a_run_with_volumes_on_the_disk_gives_the_same_and_says_so(tmp_path, monkeypatch):
    scans = tiny.scans(shape=(70, 19, 23))
    for scan in scans.values():
        scan.array.flags.writeable = False  # as mapped files are
    built = Segmenter(tiny.bundle(tmp_path), "cpu")
    usual = built.segment(scans)
    monkeypatch.setattr(segmenter, "store_for_case", lambda **sizes: Store(on_disk=True))
    stages = []
    frugal = built.segment(scans, monitor=Monitor(lambda progress: stages.append(progress.stage)))
    np.testing.assert_allclose(frugal.probabilities, usual.probabilities, atol=1e-5)
    np.testing.assert_array_equal(frugal.labelmap.array, usual.labelmap.array)
    assert usual.note == ""
    assert frugal.note == (
        "Memory was short, so the run made do with less: keeping volumes on the disk."
    )
    assert "memory is short: keeping volumes on the disk" in stages


def test_a_run_goes_on_with_smaller_windows(tmp_path, monkeypatch):
    built = Segmenter(tiny.bundle(tmp_path), "cpu")
    calls = []

    def run_out(*arguments, **watched):
        calls.append(arguments)
        if len(calls) == 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")
        return predict(*arguments, **watched)

    predict = segmenter.predict_windows
    monkeypatch.setattr(segmenter, "predict_windows", run_out)
    monkeypatch.setattr(ladder, "smaller_window", lambda size, network: size)
    result = built.segment(tiny.scans())
    assert len(calls) == 2
    assert "smaller windows (16 x 16 x 16)" in result.note

"""What is kept, while models segment, of where their components are active."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import tiny
from factorizer_engine.components import explain
from factorizer_engine.components.capture import Captures, capture_bytes, from_finest
from factorizer_engine.components.definition import mixers_of
from factorizer_engine.images.store import Store
from factorizer_engine.inference.windows import Copy
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.runs import RunOptions


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("mirroring", [False, True])
def test_what_was_captured_while_segmenting_is_drawn_without_another_run(
    segmenter, mirroring, on_disk, monkeypatch
):
    if on_disk:
        monkeypatch.setattr("factorizer_engine.components.capture.MOST_IN_MEMORY", 0)
    options = RunOptions(mirroring=mirroring)
    plain = segmenter.segment(tiny.scans(), options=options)
    watched = segmenter.segment(
        tiny.scans(), options=options, watch=lambda plan: Captures.of(segmenter.networks, plan)
    )
    np.testing.assert_array_equal(watched.probabilities, plain.probabilities)
    expected, calls = explain(segmenter, plain, count=2).maps, []
    with _counted(segmenter.networks[0], calls):
        found = explain(segmenter, watched, count=2).maps
    assert not calls
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.component.window == pytest.approx(theirs.component.window, rel=1e-3)
        same = replace(ours.component, window=theirs.component.window)
        assert same == theirs.component
        rounded = 2.0**-11 * float(theirs.heatmap.array.max())  # captures are kept with 16 bits
        np.testing.assert_allclose(ours.heatmap.array, theirs.heatmap.array, rtol=0, atol=rounded)


def test_captures_too_large_for_sixteen_bits_are_kept_as_they_are(result):
    network, plan = tiny.network(), result.plan
    with torch.no_grad():
        for mixer in mixers_of(network).values():
            mixer.in_proj.linear.weight *= 1e6
    captures = Captures([network], plan)
    with captures.watching(network, plan.windows[:1], Copy()), torch.inference_mode():
        network(torch.randn(1, 2, *plan.roi_size))
    found = captures.found(network, plan.windows[0], Copy())
    assert all(values.isfinite().all() for values in found.values())
    assert max(float(values.max()) for values in found.values()) > torch.finfo(torch.float16).max


@contextmanager
def _counted(network, calls: list):
    hook = network.register_forward_pre_hook(lambda *_: calls.append(1))
    yield
    hook.remove()


def test_nothing_is_captured_that_would_take_too_much_room(segmenter, result, monkeypatch):
    networks = segmenter.networks
    assert Captures.of(networks, result.plan) is not None
    assert Captures.of([*networks, torch.nn.Identity()], result.plan) is None
    monkeypatch.setattr("factorizer_engine.components.capture.MOST_IN_MEMORY", 10_000)
    assert Captures.of(networks, result.plan) is not None  # on the disk
    monkeypatch.setattr("factorizer_engine.components.capture.MOST_ON_DISK", 10_000)
    assert Captures.of(networks, result.plan) is None


@pytest.mark.parametrize("place", ["MEMORY", "DISK"])
def test_captures_that_do_not_fit_are_made_again_from_the_deepest_block_on(
    segmenter, result, monkeypatch, place
):
    mixers = mixers_of(segmenter.networks[0])
    order = from_finest(mixers)
    assert order[:2] == ["encoder.0.0", "decoder.1.0"]
    windows = len(result.plan.windows)
    room = windows * sum(capture_bytes(mixers[block]) for block in order[:3])
    most = {"MOST_IN_MEMORY": 0, "MOST_ON_DISK": 0}  # where more is left, they are kept
    most |= {name: room for name in most if name.endswith(place)}
    for name, count in most.items():
        monkeypatch.setattr(f"factorizer_engine.components.capture.{name}", count)
    watched = segmenter.segment(
        tiny.scans(), watch=lambda plan: Captures.of(segmenter.networks, plan)
    )
    for window in watched.plan.windows:
        kept = watched.watcher.found(segmenter.networks[0], window, Copy())
        assert set(kept) == set(order[:3])
    found, expected = (explain(segmenter, one, count=16).maps for one in (watched, result))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.component.term == theirs.component.term
        rounded = 2.0**-11 * float(theirs.heatmap.array.max())  # captures are kept with 16 bits
        np.testing.assert_allclose(ours.heatmap.array, theirs.heatmap.array, rtol=0, atol=rounded)


def test_captures_for_which_a_disk_has_no_room_after_all_are_made_again(
    segmenter, result, monkeypatch
):
    given, zeros = [], Store.zeros

    def full(store, shape, dtype):
        if store.on_disk and len(given) == 2:
            raise BadInputError("The disk is full.")
        given.append(shape)
        return zeros(store, shape, dtype)

    monkeypatch.setattr("factorizer_engine.components.capture.MOST_IN_MEMORY", 0)
    monkeypatch.setattr(Store, "zeros", full)
    captures = Captures.of(segmenter.networks, result.plan)
    assert len(given) == 2  # before any window is run
    network, window = segmenter.networks[0], result.plan.windows[0]
    with torch.no_grad(), captures.watching(network, [window], Copy()):
        network(torch.zeros(1, 2, *tiny.WINDOW))
    order = from_finest(mixers_of(network))
    assert set(captures.found(network, window, Copy())) == set(order[:2])

    assert Captures.of(segmenter.networks, result.plan) is None  # now it has none at all


def test_networks_of_an_ensemble_may_have_other_blocks(result):
    shallow = tiny.network(
        encoder_depth=[1, 1], encoder_width=[8, 16], strides=[1, 2], decoder_depth=[1]
    )
    captures = Captures.of([tiny.network(), shallow], result.plan)
    window = result.plan.windows[0]
    with torch.no_grad(), captures.watching(shallow, [window], Copy()):
        shallow(torch.zeros(1, 2, *tiny.WINDOW))
    assert set(captures.found(shallow, window, Copy())) == set(mixers_of(shallow))

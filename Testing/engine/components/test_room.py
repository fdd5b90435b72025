"""Where memory is short, fewer blocks are looked into, and less is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine import tiny
from factorizer_engine.components import explain
from factorizer_engine.components.capture import Captures, capture_bytes, from_finest
from factorizer_engine.components.definition import mixers_of
from factorizer_engine.components.question import pose
from factorizer_engine.components.room import explanation_bytes, room_for
from factorizer_engine.inference.windows import Copy
from factorizer_engine.protocol.errors import EngineMemoryError
from factorizer_engine.protocol.progress import Monitor


@pytest.fixture
def free(monkeypatch):
    """Says how much memory is free."""

    def set_free(count: float) -> None:
        monkeypatch.setattr("factorizer_engine.components.room.free_memory", lambda _: count)

    return set_free


def needed(segmenter, result, blocks) -> int:
    asked = pose(segmenter, result, None, None, None)
    counts = (len(asked.decisive), len(asked.probes))
    return explanation_bytes(segmenter.networks[0], blocks, *counts)


def test_blocks_that_lie_deepest_behind_the_output_are_dropped_first(segmenter, result, free):
    every = list(mixers_of(segmenter.networks[0]))
    asked = pose(segmenter, result, None, None, None)
    free(1e12)
    assert room_for(asked).blocks == tuple(every) and room_for(asked).note == ""
    free(needed(segmenter, result, every[2:]) / 0.9 + 1)
    room = room_for(asked)
    assert room.blocks == tuple(every[2:])
    assert room.note.startswith("Not looked into: Encoder 1, Encoder 2. All blocks would take ")
    free(needed(segmenter, result, every[-1:]) / 0.9 - 1)
    with pytest.raises(EngineMemoryError, match="Explaining takes about .* GB of memory but"):
        room_for(asked)


def test_the_explanation_says_what_it_takes_and_what_was_left_out(segmenter, result, free):
    every, stages = list(mixers_of(segmenter.networks[0])), []
    free(needed(segmenter, result, every[-2:]) / 0.9 + 1)
    found = explain(segmenter, result, count=20, monitor=Monitor(lambda p: stages.append(p.stage)))
    assert {one.component.term.block for one in found.maps} == set(every[-2:])
    assert "Not looked into: Encoder 1, Encoder 2, Encoder 3." in found.note
    gigabytes = needed(segmenter, result, every[-2:]) / 1e9
    assert f"estimating components, in {gigabytes:.1f} GB" in stages[:3]

    free(1e12)
    whole = explain(segmenter, result, count=20, blocks=every[-2:])
    for ours, theirs in zip(found.maps, whole.maps, strict=True):
        assert ours.component == theirs.component
        np.testing.assert_array_equal(ours.evidence.array, theirs.evidence.array)


def test_captures_that_do_not_fit_are_made_again_from_the_deepest_block_on(
    segmenter, result, monkeypatch
):
    mixers = mixers_of(segmenter.networks[0])
    order = from_finest(mixers)
    assert order[:2] == ["encoder.0.0", "decoder.1.0"]
    windows = len(result.plan.windows)
    room = windows * sum(capture_bytes(mixers[block]) for block in order[:3])
    monkeypatch.setattr("factorizer_engine.components.capture.MOST_IN_MEMORY", 0)
    monkeypatch.setattr("factorizer_engine.components.capture.MOST_ON_DISK", room)
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


def test_networks_of_an_ensemble_may_have_other_blocks(result):
    shallow = tiny.network(
        encoder_depth=[1, 1], encoder_width=[8, 16], strides=[1, 2], decoder_depth=[1]
    )
    captures = Captures.of([tiny.network(), shallow], result.plan)
    window = result.plan.windows[0]
    with torch.no_grad(), captures.watching(shallow, [window], Copy()):
        shallow(torch.zeros(1, 2, *tiny.WINDOW))
    assert set(captures.found(shallow, window, Copy())) == set(mixers_of(shallow))

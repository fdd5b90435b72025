"""Where memory is short, fewer blocks are looked into."""

from __future__ import annotations

import numpy as np
import pytest

from engine import tiny
from factorizer_engine.components import explain
from factorizer_engine.components.definition import mixers_of
from factorizer_engine.components.estimates import estimate_all
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.components.question import pose
from factorizer_engine.components.room import explanation_bytes, room_for
from factorizer_engine.inference.segmenter import Segmenter
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


@pytest.mark.parametrize("last_only", [False, True])
def test_what_the_passes_of_all_windows_and_networks_keep_has_room(
    tmp_path, result, free, last_only
):
    free(1e12)
    needed = {}
    for count in (1, 2):
        networks = [tiny.network(seed) for seed in range(count)]
        several = Segmenter(tiny.bundle(tmp_path / str(count), networks), "cpu")
        asked = pose(several, result, None, None, None)
        if last_only:
            asked = asked.within(list(asked.mixers)[-1:])
        needed[count] = room_for(asked).needed
    passes = [[], []]
    estimate_all(asked, passes, Monitor())
    assert needed[2] - needed[1] >= sum(map(kept_bytes, passes[1]))


def kept_bytes(recorded: RecordedPass) -> int:
    """What a pass keeps when its graph is gone."""
    found = (recorded.mixed, recorded._inputs, recorded._skips, {0: recorded.logits})
    storages = [tensor.untyped_storage() for kept in found for tensor in kept.values()]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())

"""Which sequence is which, tried on traits of a few numbers."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from factorizer_engine.images.plausibility import sequences
from factorizer_engine.images.plausibility.posture import Outlines, known_outlines
from factorizer_engine.images.plausibility.sequences import NEGATIVE, SequenceModel, known_sequences

LEVELS = {"A": 0.0, "B": 3.0, "C": 7.0, "-A": 12.0, "-B": 16.0, "-C": 21.0}


def pairs(kinds: dict[str, str], generator=None) -> dict[tuple[str, str], np.ndarray]:
    """The traits of every two scans: the differences of their levels, with some noise."""
    noise = np.zeros(2) if generator is None else generator.normal(0, 0.3, 2)
    return {
        (first, second): noise + [LEVELS[kinds[first]] - LEVELS[kinds[second]], 1.0]
        for first, second in permutations(kinds, 2)
    }


@pytest.fixture(scope="module")
def learnt() -> SequenceModel:
    generator = np.random.default_rng(0)
    right = {name: name for name in "ABC"}
    examples = []
    for _ in range(30):
        examples += pairs(right, generator).items()
        for name in right:
            negative = {NEGATIVE + n if n == name else n: n for n in right}
            kinds = {key: key for key in negative}
            examples += [(k, v) for k, v in pairs(kinds, generator).items() if "-" in "".join(k)]
    return SequenceModel.fit(examples)


GIVEN = {"x": "A", "y": "B", "z": "C"}


def test_right_scans_have_no_likelier_order_and_no_negative(learnt):
    assert learnt.sequences == ["A", "B", "C"]
    assert learnt.likelier(GIVEN, pairs(GIVEN))[0] == 0
    assert learnt.likelier_negative(GIVEN, pairs(GIVEN))[0] < 0


def test_exchanged_scans_are_told(learnt):
    gain, best = learnt.likelier(GIVEN, pairs({"x": "B", "y": "A", "z": "C"}))
    assert gain > 1
    assert best == {"x": "B", "y": "A", "z": "C"}


def test_a_negative_is_told(learnt):
    gain, name = learnt.likelier_negative(GIVEN, pairs(GIVEN | {"y": "-B"}))
    assert gain > 1
    assert name == "y"


def test_what_was_learnt_is_written_and_read_again(learnt, tmp_path, monkeypatch):
    monkeypatch.setattr(sequences, "_FILE", tmp_path / "sequences.json")
    learnt.save(tmp_path / "sequences.json")
    known_sequences.cache_clear()
    again = known_sequences()
    known_sequences.cache_clear()
    np.testing.assert_allclose(again.precision, learnt.precision, rtol=1e-4)
    assert again.means.keys() == learnt.means.keys()


def test_the_shipped_numbers_know_the_usual_sequences_and_their_negatives():
    names = ["FLAIR", "T1", "T1ce", "T2"]
    assert known_sequences().sequences == names
    for first, second in permutations(names, 2):
        assert (first, NEGATIVE + second) in known_sequences().means


@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (1, 2)])
def test_the_shipped_outline_of_a_brain_tells_half_turns(axes):
    outlines = known_outlines()
    brain = np.kron(outlines.brain, np.ones((4, 4, 4))) > 0.5
    assert outlines.is_upright(brain, stripped=True)
    assert not outlines.is_upright(np.rot90(brain, 2, axes), stripped=True)


def test_outlines_are_learnt_from_masks_and_written(tmp_path, monkeypatch):
    from factorizer_engine.images.plausibility import posture

    ticks = np.meshgrid(*[np.linspace(-1, 1, 40)] * 3, indexing="ij")
    egg = (ticks[0] / 0.7) ** 2 + (ticks[1] / 0.9) ** 2 + (
        ticks[2] / (0.6 - 0.2 * ticks[1])
    ) ** 2 < 1
    learnt = Outlines.fit([egg], [egg])
    assert learnt.is_upright(egg, stripped=True)
    assert not learnt.is_upright(np.rot90(egg, axes=(0, 1)), stripped=False)
    learnt.save(tmp_path / "outlines.json")
    monkeypatch.setattr(posture, "_FILE", tmp_path / "outlines.json")
    known_outlines.cache_clear()
    again = known_outlines()
    known_outlines.cache_clear()
    np.testing.assert_allclose(again.brain, learnt.brain, atol=0.006)

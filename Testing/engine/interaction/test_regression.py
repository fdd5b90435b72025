"""What a logistic regression says of the voxels around a click."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factorizer_engine.interaction.regression import (
    MAPS,
    NETWORK_ADDS,
    NETWORK_REMOVES,
    Surroundings,
    features,
    log_odds,
)

SHAPE = (40, 40, 40)
CLICK = np.array([[26, 20, 20]])


def bright_block() -> np.ndarray:
    """Booleans: a lesion of which only the part below the middle of the first axis was found."""
    block = np.zeros(SHAPE, dtype=bool)
    block[10:32, 12:28, 12:28] = True
    return block


@pytest.fixture
def around() -> Surroundings:
    """Half of a bright block was found; the maps say nothing of the other half."""
    generator = np.random.default_rng(0)
    scan = np.where(bright_block(), 2.0, -0.5) + generator.normal(0, 0.2, SHAPE)
    found = bright_block()
    found[20:] = False
    distance = np.linalg.norm(np.indices(SHAPE) - CLICK.reshape(3, 1, 1, 1), axis=0)
    return Surroundings(
        towards=np.where(found, 3.0, -2.7).astype(np.float32),
        settled=found,
        found=found,
        distance=distance.astype(np.float32),
        places=CLICK,
        scans=scan[None].astype(np.float32),
        add=True,
        spacing=(1.0, 1.0, 1.0),
        opposite=np.zeros((1, 0), np.float32),
    )


def told_apart(around: Surroundings) -> float:
    """How much surer it is of what was missed than of what lies as far away, but looks healthy."""
    near = ~around.settled & (around.distance < 12)
    says = np.full(SHAPE, np.nan)
    says[near] = log_odds(around, near, MAPS)
    return float(np.nanmean(says[bright_block()]) - np.nanmean(says[~bright_block()]))


def test_what_looks_like_the_click_goes_with_it(around):
    assert told_apart(around) > 2.0
    alike = replace(around, scans=np.ones_like(around.scans))
    assert told_apart(alike) < 0.5 * told_apart(around)


def test_a_click_that_removes_takes_what_looks_like_what_lies_around(around):
    everything = np.zeros(SHAPE, dtype=bool)
    everything[10:38, 12:28, 12:28] = True
    places = np.array([[35, 20, 20]])
    distance = np.linalg.norm(np.indices(SHAPE) - places.reshape(3, 1, 1, 1), axis=0)
    removing = replace(
        around,
        towards=np.where(everything, -0.5, 3.0).astype(np.float32),
        settled=~everything,
        found=everything,
        distance=distance.astype(np.float32),
        places=places,
        add=False,
    )
    near = everything & (distance < 8)
    says = np.full(SHAPE, np.nan)
    says[near] = log_odds(removing, near, MAPS)
    assert np.nanmean(says[~bright_block()]) > np.nanmean(says[bright_block()]) + 2.0


def test_near_voxels_are_surer_than_those_far_away(around):
    alike = replace(around, scans=np.ones_like(around.scans))
    asked = ~around.settled
    says = log_odds(alike, asked, MAPS)
    distance = around.distance[asked]
    assert says[distance < 3].mean() > says[(distance > 10) & (distance < 14)].mean() + 0.5


def test_all_features_that_have_weights_are_finite(around):
    some = ~around.settled & (around.distance < 5)
    found = features(around, some)
    assert {*MAPS, *NETWORK_ADDS, *NETWORK_REMOVES} <= found.keys()
    nothing = replace(around, found=np.zeros(SHAPE, bool), settled=np.zeros(SHAPE, bool))
    for values in (*found.values(), *features(nothing, some).values()):
        assert values.shape == (some.sum(),) and values.dtype == np.float32
        assert np.isfinite(values).all()
    assert not features(nothing, some)["likeness"].any()  # nothing was found to be alike to
    assert features(nothing, some)["nothing yet"].all() and not found["nothing yet"].any()


@pytest.mark.parametrize("dark", [False, True])
def test_beside_a_network_it_takes_what_stands_out_as_the_click_does(around, dark):
    """The network says the same everywhere; bright and dark lesions are outlined alike."""
    scans = -around.scans if dark else around.scans
    empty = np.zeros(SHAPE, dtype=bool)
    places = np.array([[20, 20, 20]])
    distance = np.linalg.norm(np.indices(SHAPE) - places.reshape(3, 1, 1, 1), axis=0)
    begun = replace(
        around,
        towards=np.zeros(SHAPE, np.float32),
        settled=empty,
        found=empty,
        distance=distance.astype(np.float32),
        places=places,
        scans=scans,
    )
    near = distance < 15
    says = np.full(SHAPE, np.nan)
    says[near] = log_odds(begun, near, NETWORK_ADDS)
    assert np.nanmean(says[bright_block()]) > np.nanmean(says[~bright_block()]) + 1.0


def test_what_looks_like_an_earlier_click_that_wanted_the_opposite_is_left(around):
    some = ~around.settled & (around.distance < 8)
    before = log_odds(around, some, NETWORK_ADDS)
    against = replace(around, opposite=np.array([[-0.5]], np.float32))
    change = np.full(SHAPE, np.nan)
    change[some] = log_odds(against, some, NETWORK_ADDS) - before
    assert np.nanmean(change[~bright_block()]) < -1.0 < np.nanmean(change[bright_block()])

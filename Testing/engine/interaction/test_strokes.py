"""Clicks and scribbles as channels that a network reads."""

from __future__ import annotations

import numpy as np

from factorizer_engine.bundles.settings import PromptSettings
from factorizer_engine.interaction.strokes import Stroke, prompt_channels

SPACING = (2.0, 1.0, 1.0)


def drawn(strokes, masks=None, shape=(16, 20, 18), radius_mm=3.0):
    return prompt_channels(strokes, masks, 2, shape, SPACING, PromptSettings(radius_mm))


def test_a_click_is_a_ball_of_its_size_in_mm_in_the_channel_of_its_kind():
    channels = drawn([Stroke(1, np.array([[8.0, 10.0, 9.0]]), add=False)])
    assert channels.shape == (6, 16, 20, 18)
    others = [index for index in range(6) if index != 4]
    assert not channels[others].any()
    ball = channels[4]
    assert ball[8, 10, 9] == 1
    volume = ball.sum() * np.prod(SPACING)
    np.testing.assert_allclose(volume, 4 / 3 * np.pi * 3**3, rtol=0.1)
    where = np.argwhere(ball >= 0.5)
    np.testing.assert_array_equal(np.ptp(where, axis=0), [2, 6, 6])  # voxels of 2, 1 and 1 mm


def test_places_between_voxels_count():
    left, right = (
        drawn([Stroke(0, np.array([[8.0, at, 9.0]]), add=True)])[0] for at in (10.0, 10.4)
    )
    first, second = (
        np.average(np.arange(20), weights=ball.sum(axis=(0, 2))) for ball in (left, right)
    )
    np.testing.assert_allclose([first, second], [10.0, 10.4], atol=0.05)


def test_balls_at_the_border_are_cut_and_those_outside_leave_nothing():
    points = np.array([[0.0, 0.0, 0.0], [-40.0, 3.0, 3.0], [90.0, 3.0, 3.0]])
    channel = drawn([Stroke(0, points, add=True)])[0]
    assert channel[0, 0, 0] == 1
    assert not channel[4:].any() and not channel[:, 5:].any()


def test_a_scribble_covers_what_its_points_cover():
    points = np.array([[8.0, at, 9.0] for at in range(4, 16)])
    line = drawn([Stroke(0, points, add=True)])[0]
    alone = [drawn([Stroke(0, point[None], add=True)])[0] for point in points]
    np.testing.assert_array_equal(line, np.max(alone, axis=0))


def test_the_segmentation_to_correct_has_channels_of_its_own():
    masks = np.random.default_rng(0).random((2, 16, 20, 18)) > 0.5
    channels = drawn([], masks)
    np.testing.assert_array_equal(channels[[2, 5]], masks)
    assert not channels[[0, 1, 3, 4]].any()

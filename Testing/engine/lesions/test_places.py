"""The side of a lesion, by the head in the image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.places import find_head

RADII = np.array([66.0, 90.0, 82.0])


def head_scan(centre=(0.0, 0.0, 0.0), yaw=0.0, roll=0.0, spacing=3.0, axes="RAS") -> Scan:
    """An egg-shaped head with a nose, turned about S and A by some degrees."""
    size = np.array([90, 90, 80])
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -spacing * size / 2
    scan = Scan.of(np.zeros(size, np.float32), affine)
    grid = scan.grid.oriented(axes)
    indices = np.moveaxis(np.indices(grid.shape), 0, -1)
    points = indices @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    own = (points - centre) @ turned(yaw, roll)
    inside = (((own / RADII) ** 2).sum(axis=-1) <= 1) | (
        (np.abs(own[..., 0]) < 10)
        & (own[..., 1] > 0)
        & (own[..., 1] < 100)
        & (abs(own[..., 2] + 20) < 9)
    )
    noise = np.random.default_rng(0).normal(0, 20, grid.shape)
    return Scan.of((inside * (300 + noise) + np.abs(noise)).astype(np.float32), grid.affine)


def turned(yaw: float, roll: float) -> np.ndarray:
    """From the head to the world."""
    return Rotation.from_euler("zy", [yaw, roll], degrees=True).as_matrix()


def lesion_at(own, centre, yaw=0.0, roll=0.0) -> np.ndarray:
    """Points around one that is given as the head sees it: right, front, up."""
    middle = turned(yaw, roll) @ np.array(own, dtype=float) + centre
    return middle + np.random.default_rng(1).normal(0, 1.5, (200, 3))


@pytest.mark.parametrize("axes", ["RAS", "ASR"])
@pytest.mark.parametrize("centre", [(0.0, 0.0, 0.0), (45.0, 5.0, -8.0), (-40.0, -12.0, 10.0)])
def test_the_side_is_that_of_the_head_wherever_it_lies(axes, centre):
    head = find_head(head_scan(centre, axes=axes))
    assert head.place_of(lesion_at((12, 0, 0), centre))[0] == "right"
    assert head.place_of(lesion_at((-12, 0, 0), centre))[0] == "left"
    assert head.place_of(lesion_at((0, 0, 0), centre))[0] == "both sides"


@pytest.mark.parametrize("yaw, roll", [(14.0, 0.0), (-14.0, 0.0), (0.0, 10.0), (10.0, -8.0)])
def test_the_middle_turns_with_the_head(yaw, roll):
    """In front, 10 mm from the middle of a turned head, the world's axis tells the wrong side."""
    centre = (20.0, 0.0, 0.0)
    head = find_head(head_scan(centre, yaw, roll))
    for own, side in (((10, 60, 0), "right"), ((-10, 60, 0), "left"), ((10, -60, 0), "right")):
        assert head.place_of(lesion_at(own, centre, yaw, roll))[0] == side
    for own, side in (((10, 0, 45), "right"), ((-10, 0, -45), "left")):
        assert head.place_of(lesion_at(own, centre, yaw, roll))[0] == side


def test_thirds_of_the_head_have_words():
    head = find_head(head_scan())
    assert head.place_of(lesion_at((-30, 60, 0), 0)) == ("left", "anterior")
    assert head.place_of(lesion_at((30, -60, 0), 0)) == ("right", "posterior")
    assert head.place_of(lesion_at((30, 0, 50), 0)) == ("right", "superior")
    assert head.place_of(lesion_at((30, 0, -50), 0)) == ("right", "inferior")


def test_what_is_no_whole_head_has_no_sides():
    scan = head_scan()
    half = scan.array.copy()
    half[scan.shape[0] // 2 :] = 0
    assert find_head(scan.with_array(half)) is None
    noise = np.random.default_rng(0).normal(100, 10, (40, 50, 40)).astype(np.float32)
    assert find_head(Scan.of(noise, np.eye(4))) is None
    assert find_head(Scan.of(np.zeros((9, 9, 9), np.float32), np.eye(4))) is None


def seen(scan: Scan, axis: int, low: float, high: float) -> Scan:
    """The part of a scan between two places along R, A or S, in mm."""
    places = scan.affine[axis, axis] * np.arange(scan.shape[axis]) + scan.affine[axis, 3]
    inside = np.flatnonzero((places >= low) & (places <= high))
    box = [slice(0, size) for size in scan.shape]
    box[axis] = slice(int(inside[0]), int(inside[-1]) + 1)
    return Scan.of(scan.array[tuple(box)], scan.grid.crop(tuple(box)).affine)


def test_where_the_field_of_view_cuts_the_head_there_are_no_thirds_of_it():
    front = find_head(seen(head_scan(), 1, 0, 110))
    assert front.place_of(lesion_at((30, 20, 50), 0)) == ("right", "superior")
    top = find_head(seen(head_scan(), 2, -10, 90))
    assert top.place_of(lesion_at((30, 60, 0), 0)) == ("right", "anterior")
    low = find_head(seen(head_scan(), 2, -90, 30))
    assert low.place_of(lesion_at((30, 0, 20), 0)) == ("right",)


def test_a_scan_that_just_holds_the_head_or_ends_at_its_neck_has_thirds():
    close = head_scan()
    for axis, radius in enumerate(RADII):
        close = seen(close, axis, -radius - 3, radius + 12)
    assert find_head(close).place_of(lesion_at((30, 60, 0), 0)) == ("right", "anterior")
    above_neck = find_head(seen(head_scan(), 2, -60, 90))
    assert above_neck.place_of(lesion_at((30, 0, 50), 0)) == ("right", "superior")

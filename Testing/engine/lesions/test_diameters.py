"""Diameters within a slice, against ellipsoids and shapes of known size."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from factorizer_engine.lesions.diameters import axes_in_slice, slice_axis
from factorizer_engine.protocol.lesions import Ruler


def affine_of(spacing, turned=0.0, about="z") -> np.ndarray:
    """Voxels of `spacing` mm whose grid is turned by some degrees, somewhere in the world."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler(about, turned, degrees=True).as_matrix() * spacing
    affine[:3, 3] = (-40.0, 25.0, 60.0)
    return affine


def ellipsoid(radii, affine, tilt=0.0) -> np.ndarray:
    """Voxels of an ellipsoid with half axes in mm, turned about S, at the centre of the grid."""
    reach = np.ceil(max(radii) / np.linalg.norm(affine[:3, :3], axis=0)).astype(int) + 1
    indices = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1)
    points = indices @ affine[:3, :3].T @ Rotation.from_euler("z", tilt, degrees=True).as_matrix()
    return np.argwhere(((points / radii) ** 2).sum(axis=-1) <= 1)


def direction(ruler: Ruler) -> np.ndarray:
    line = np.subtract(ruler.end, ruler.start)
    return line / np.linalg.norm(line)


GRIDS = {
    "isotropic": affine_of((1.0, 1.0, 1.0)),
    "anisotropic": affine_of((0.8, 1.2, 1.0)),
    "thick": affine_of((0.7, 0.7, 4.0)),
    "oblique": affine_of((1.0, 1.0, 1.0), 17.0, "z"),
    "thick and oblique": affine_of((0.7, 0.7, 4.0), 12.0, "x"),
}


@pytest.mark.parametrize("tilt", [0.0, 30.0, 75.0])
@pytest.mark.parametrize("grid", GRIDS)
def test_the_axes_of_an_ellipsoid_are_found(grid, tilt):
    affine, radii = GRIDS[grid], (24.0, 13.0, 18.0)
    voxels = ellipsoid(radii, affine, tilt)

    long_axis, short_axis = axes_in_slice(voxels, affine)

    blur = 1.6 * max(np.linalg.norm(affine[:3, :2], axis=0))
    assert long_axis.length_mm == pytest.approx(2 * radii[0], abs=blur)
    assert short_axis.length_mm == pytest.approx(2 * radii[1], abs=blur)
    assert direction(long_axis) @ direction(short_axis) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("grid", GRIDS)
def test_both_rulers_lie_in_the_slice_through_the_middle_and_end_at_the_border(grid):
    affine, radii = GRIDS[grid], (24.0, 13.0, 18.0)
    voxels = ellipsoid(radii, affine)
    across = slice_axis(affine)
    middle = (voxels.min(axis=0) + voxels.max(axis=0))[across] / 2

    for ruler in axes_in_slice(voxels, affine):
        ends = np.array([ruler.start, ruler.end])
        indices = (ends - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
        assert np.ptp(indices[:, across]) == pytest.approx(0, abs=1e-6)
        assert indices[0, across] == pytest.approx(middle, abs=3)
        for end in indices:
            assert np.abs(voxels - end).max(axis=1).min() <= 0.76


def test_slices_are_axial_or_those_that_were_acquired():
    sagittal = affine_of((1.0, 1.0, 1.0))[:, [1, 2, 0, 3]]
    assert slice_axis(affine_of((1.0, 1.0, 1.0))) == 2
    assert slice_axis(sagittal) == 1
    assert slice_axis(affine_of((5.0, 0.5, 0.5))) == 0
    assert slice_axis(affine_of((1.0, 1.0, 1.0), 30.0, "x")) == 2


def test_the_line_across_stays_inside_the_lesion():
    """A horseshoe 10 wide whose arms are 2 thick: across the gap would be 10."""
    mask = np.zeros((30, 14, 3), bool)
    mask[2:28, 2:4, 1] = mask[2:28, 10:12, 1] = True
    mask[2:4, 2:12, 1] = True
    long_axis, short_axis = axes_in_slice(np.argwhere(mask), np.eye(4))
    assert long_axis.length_mm > 26
    points = np.linspace(short_axis.start, short_axis.end, 50)[1:-1]
    assert mask[tuple(np.rint(points).astype(int).T)].all()
    assert short_axis.length_mm < 9


def test_a_single_voxel_has_its_edges():
    long_axis, short_axis = axes_in_slice(np.array([[3, 4, 5]]), np.diag([2.0, 1.0, 1.5, 1.0]))
    assert long_axis.length_mm == pytest.approx(2.0)
    assert short_axis.length_mm == pytest.approx(1.0, abs=0.25)
    assert long_axis.middle == pytest.approx((6.0, 4.0, 7.5))


def test_a_line_of_voxels_is_as_wide_as_one():
    voxels = np.stack([np.arange(20), np.zeros(20, int), np.zeros(20, int)], axis=1)
    long_axis, short_axis = axes_in_slice(voxels, np.eye(4))
    assert long_axis.length_mm == pytest.approx(20.0)
    assert short_axis.length_mm == pytest.approx(1.0, abs=0.3)


def block(*sizes) -> np.ndarray:
    return np.argwhere(np.ones(sizes, bool)) + 3


def ball(radius) -> np.ndarray:
    reach = np.arange(-int(radius) - 1, int(radius) + 2)
    return np.argwhere((np.stack(np.meshgrid(reach, reach, reach)) ** 2).sum(axis=0) <= radius**2)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("shape", ["one voxel", "two", "square", "large square", "round"])
def test_no_line_at_a_right_angle_is_longer_than_the_longest_diameter(grid, shape):
    voxels = {
        "one voxel": block(1, 1, 1),
        "two": block(2, 1, 1),
        "square": block(2, 2, 2),
        "large square": block(15, 15, 1),
        "round": ball(8.0),
    }[shape]

    long_axis, short_axis = axes_in_slice(voxels, GRIDS[grid])

    assert short_axis.length_mm <= long_axis.length_mm + 1e-9


def test_the_line_at_a_right_angle_is_as_long_as_it_is_and_no_part_of_a_voxel_more_or_less():
    assert axes_in_slice(ball(8.0), np.eye(4))[1].length_mm == pytest.approx(17.0)
    assert axes_in_slice(block(1, 1, 1), np.eye(4))[1].length_mm == pytest.approx(1.0)
    bar = axes_in_slice(block(30, 9, 2), np.eye(4))
    along = np.subtract(bar[0].end, bar[0].start)
    slope = along[1] / along[0]
    assert bar[1].length_mm == pytest.approx(9.0 * np.hypot(1, slope), abs=1e-6)

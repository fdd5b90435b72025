"""Resampling in physical space: properties that hold between any two grids."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from engine.images.grids import random_affine, world
from factorizer_engine.images.geometry import Grid, same_grid
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan

SEEDS = range(12)


def ramp(grid: Grid) -> np.ndarray:
    """A linear function of the world, which linear interpolation reproduces exactly."""
    return world(grid) @ [0.5, -1.5, 2.0] + 3.0


def inner(grid: Grid, source: Grid) -> np.ndarray:
    """Where voxel centres of `grid` lie between voxel centres of `source`."""
    indices = source.indices_of(world(grid).reshape(-1, 3)).reshape(*grid.shape, 3)
    return ((indices >= 0) & (indices <= np.asarray(source.shape) - 1)).all(axis=-1)


def around(source: Grid, affine: np.ndarray, shape: tuple[int, int, int]) -> Grid:
    """A grid with the axes of `affine` whose centre is the centre of `source`."""
    centre = source.corners().mean(axis=0)
    affine = affine.copy()
    affine[:3, 3] = centre - affine[:3, :3] @ (np.asarray(shape) - 1) / 2
    return Grid(shape, affine)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_linear_function_of_the_world_survives_resampling_between_any_two_grids(seed):
    rng = np.random.default_rng(seed)
    source = Grid((21, 18, 15), random_affine(rng, shear=0.3))
    target = around(source, random_affine(rng, shear=0.3), (14, 17, 12))
    moved = resample(Scan(ramp(source), source), target)
    seen = inner(target, source)
    assert seen.any()
    np.testing.assert_allclose(moved.array[seen], ramp(target)[seen], atol=2e-3)
    np.testing.assert_array_equal(moved.affine, target.affine)


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_resampling_agrees_with_an_independent_interpolator(seed, parallel):
    rng = np.random.default_rng(seed)
    source = Grid((26, 24, 22), random_affine(rng, shear=0.2))
    scan = Scan(rng.normal(size=source.shape).astype(np.float32), source)
    change = np.eye(3)[rng.permutation(3)] * rng.uniform(0.4, 1.9, 3) * rng.choice([-1, 1], 3)
    if not parallel:
        change = Rotation.random(random_state=seed).as_matrix() @ change
    target = around(source, source.affine @ nib.affines.from_matvec(change), (13, 12, 11))
    target.affine[:3, 3] += rng.uniform(-0.4, 0.4, 3)
    indices = source.indices_of(world(target).reshape(-1, 3)).reshape(*target.shape, 3)
    inside = ((indices >= -0.5) & (indices <= np.asarray(source.shape) - 0.5)).all(axis=-1)

    for order, number in (("nearest", 0), ("linear", 1)):
        expected = map_coordinates(
            scan.array, np.moveaxis(indices, -1, 0), order=number, mode="nearest"
        )
        result = resample(scan, target, order, fill=-5.0).array
        np.testing.assert_allclose(result[inside], expected[inside], atol=1e-3)
        assert (result[~inside] == -5.0).all()

    longer = np.linalg.norm(change, axis=1)
    sigmas = np.sqrt(np.maximum(longer**2 - 1, 0)) / 2.3548
    smooth = gaussian_filter(scan.array.astype(np.float64), sigmas, truncate=5)
    expected = map_coordinates(smooth, np.moveaxis(indices, -1, 0), order=1, mode="nearest")
    central = ((indices > 6) & (indices < np.asarray(source.shape) - 7)).all(axis=-1)
    result = resample(scan, target, antialias=True).array
    assert central.any()
    np.testing.assert_allclose(result[central], expected[central], atol=3e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_permuting_flipping_cropping_and_padding_never_change_a_value(seed):
    rng = np.random.default_rng(seed)
    source = Grid((9, 11, 13), random_affine(rng, shear=0.2))
    scan = Scan(rng.integers(1, 1000, source.shape, dtype=np.int16), source)
    axes = rng.permutation(3)
    matrix = np.zeros((3, 3))
    matrix[axes, np.arange(3)] = rng.choice([-1, 1], 3)
    change = nib.affines.from_matvec(matrix, rng.integers(-4, 14, 3))
    target = Grid(tuple(int(n) for n in rng.integers(4, 16, 3)), source.affine @ change)
    moved = resample(scan, target, fill=-1).array
    assert moved.dtype == np.int16
    indices = np.round(source.indices_of(world(target).reshape(-1, 3))).astype(int)
    for value, index in zip(moved.ravel(), indices, strict=True):
        inside = ((index >= 0) & (index < source.shape)).all()
        assert value == (scan.array[tuple(index)] if inside else -1)


def test_headers_rounded_to_single_precision_still_count_as_aligned(oblique_scan):
    rounded = oblique_scan.affine.astype(np.float32).astype(np.float64)
    grid = Grid(oblique_scan.shape, rounded)
    assert same_grid(grid, oblique_scan.grid)
    moved = resample(oblique_scan, grid)
    np.testing.assert_array_equal(moved.array, oblique_scan.array)


@pytest.mark.parametrize("order", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.float16, np.bool_, ">i2"])
def test_every_type_and_order_keeps_a_constant(order, kind):
    scan = Scan.of(np.ones((8, 8, 8), kind), np.eye(4))
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_rotvec([0.2, 0.1, 0.3]).as_matrix()
    for affine in (turned, np.diag([0.7, 0.7, 0.7, 1.0]), np.diag([-1.0, 1, 1, 1])):
        target = around(scan.grid, affine, (4, 4, 4))
        result = resample(scan, target, order).array
        np.testing.assert_allclose(result.astype(float), 1.0, atol=1e-5)
        if order == "nearest":
            assert result.dtype == np.dtype(kind).newbyteorder("=") or result.dtype == kind


def test_outside_the_outer_box_lies_the_fill_value():
    scan = Scan.of(np.full((4, 4, 4), 3.0), np.eye(4))
    target = Grid((12, 4, 4), nib.affines.from_matvec(np.diag([0.5, 1, 1]), [-1.4, 0, 0]))
    line = resample(scan, target, fill=9.0).array[:, 0, 0]
    np.testing.assert_allclose(line, [9, 9, 3, 3, 3, 3, 3, 3, 3, 3, 9, 9])


def test_antialiasing_keeps_a_checkerboard_grey_where_plain_sampling_does_not():
    indices = np.indices((32, 32, 32)).sum(axis=0)
    scan = Scan.of((indices % 2).astype(np.float32), np.eye(4))
    target = Grid((8, 8, 8), nib.affines.from_matvec(np.diag([4.0, 4.0, 4.0]), [1, 1, 1]))
    plain = resample(scan, target).array
    smooth = resample(scan, target, antialias=True).array
    assert set(np.unique(plain)) == {1.0}
    assert np.abs(smooth[1:-1, 1:-1, 1:-1] - 0.5).max() < 0.02


def test_an_unknown_order_is_a_programming_error(oblique_scan):
    with pytest.raises(ValueError, match="quintic"):
        resample(oblique_scan, oblique_scan.grid, "quintic")

"""Model space and back: orientation, cropping, spacing, normalisation and the way home."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest

from factorizer_engine.bundles.settings import Preprocessing
from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.preprocessing import Preprocessor, foreground_box, normalize
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError

ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for letters in itertools.product(*axes)
]
SETTINGS = {
    "own spacing": Preprocessing(spacing=None, crop_margin=2),
    "coarser": Preprocessing(spacing=(3.5, 3.5, 3.5), crop_margin=1),
    "finer": Preprocessing(spacing=(2.0, 2.0, 2.0), crop_margin=0, normalization="zscore"),
}


def load(path) -> Scan:
    image = nib.load(path)
    return Scan.of(np.asarray(image.dataobj), image.affine, path.name)


@pytest.fixture(scope="module")
def brain(data_dir) -> Scan:
    scan = load(data_dir / "geometry_orient48" / "RAS.nii.gz")
    return scan.with_array(np.where(scan.array > 20, scan.array, 0))


def reoriented(scan: Scan, axes: str) -> Scan:
    return resample(scan, scan.grid.oriented(axes))


def blob(scan: Scan, centre=(20.0, -10.0, 15.0), radius=22.0) -> np.ndarray:
    """A smooth ball at a place in the world, sampled on the scan's voxels."""
    indices = np.moveaxis(np.indices(scan.shape), 0, -1).reshape(-1, 3)
    world = indices @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    distance = np.linalg.norm(world - centre, axis=1).reshape(scan.shape)
    return 1.0 / (1.0 + np.exp((distance - radius) / 4.0))


@pytest.mark.parametrize("kind", SETTINGS)
def test_all_48_axis_orders_of_a_brain_prepare_to_the_same_array(data_dir, kind):
    preprocessor = Preprocessor(SETTINGS[kind])
    prepared = {}
    for axes in ORIENTATIONS:
        scan = load(data_dir / "geometry_orient48" / f"{axes}.nii.gz")
        assert scan.orientation == axes
        scan = scan.with_array(np.where(scan.array > 20, scan.array, 0))
        prepared[axes] = preprocessor.prepare([scan], scan)
    expected = prepared["RAS"]
    assert expected.grid.orientation == "RAS"
    for result in prepared.values():
        assert result.array.shape == expected.array.shape
        np.testing.assert_allclose(result.array, expected.array, atol=2e-4)
        np.testing.assert_allclose(result.grid.affine, expected.grid.affine, atol=1e-3)


@pytest.mark.parametrize("kind", SETTINGS)
def test_restored_maps_land_where_they_were_in_the_world_for_all_48_axis_orders(data_dir, kind):
    preprocessor = Preprocessor(SETTINGS[kind])
    for axes in ORIENTATIONS:
        scan = load(data_dir / "geometry_orient48" / f"{axes}.nii.gz")
        prepared = preprocessor.prepare([scan], scan)
        model_space = Scan(prepared.array[0], prepared.grid)
        restored = preprocessor.restore(blob(model_space)[None], prepared)
        assert restored.dtype == np.float32
        assert restored.shape == (1, *scan.shape)
        assert np.abs(restored[0] - blob(scan)).max() < 0.04


def test_a_channel_stored_in_another_axis_order_joins_the_reference_unchanged(brain):
    expected = Preprocessor(SETTINGS["own spacing"]).prepare([brain, brain], brain)
    other = reoriented(brain, "SLP")
    result = Preprocessor(SETTINGS["own spacing"]).prepare([brain, other], brain)
    np.testing.assert_array_equal(result.array, expected.array)


def test_a_channel_on_another_grid_is_brought_onto_the_reference(brain):
    grid = brain.grid
    turn = nib.affines.from_matvec(
        np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]]), [8.0, -5.0, 3.0]
    )
    smooth = brain.with_array(blob(brain))
    elsewhere = Grid((90, 90, 80), turn @ grid.affine @ np.diag([0.9, 0.9, 0.9, 1]))
    moved = Scan(blob(Scan(np.empty(elsewhere.shape), elsewhere)), elsewhere)
    raw = Preprocessing(spacing=None, normalization="none")
    prepared = Preprocessor(raw).prepare([smooth, moved], smooth)
    seen = resample(Scan(np.ones(elsewhere.shape), elsewhere), prepared.grid).array > 0
    difference = np.abs(prepared.array[0] - prepared.array[1])
    assert seen.mean() > 0.5
    assert difference[seen].max() < 0.04


def test_restored_maps_are_zero_outside_the_crop(brain):
    lonely = np.zeros(brain.shape, np.float32)
    lonely[20:30, 25:40, 30:45] = 5.0
    lonely[24, 30, 33] = 6.0
    for spacing in (None, (3.1, 3.1, 3.1)):
        preprocessor = Preprocessor(Preprocessing(spacing=spacing, crop_margin=2))
        prepared = preprocessor.prepare([brain.with_array(lonely)], brain)
        restored = preprocessor.restore(np.ones((2, *prepared.grid.shape)), prepared)
        expected = np.zeros(brain.shape)
        expected[18:32, 23:42, 28:47] = 1.0
        np.testing.assert_allclose(restored, np.stack([expected] * 2), atol=1e-6)


def test_without_a_change_of_spacing_maps_come_back_bit_for_bit(brain):
    scan = reoriented(brain, "PIL")
    preprocessor = Preprocessor(Preprocessing(spacing=None))
    prepared = preprocessor.prepare([scan], scan)
    noise = np.random.default_rng(0).random((3, *prepared.grid.shape)).astype(np.float32)
    restored = preprocessor.restore(noise, prepared)
    inside = resample(Scan(restored[1], scan.grid), prepared.grid).array
    np.testing.assert_array_equal(inside, noise[1])


def test_a_sheared_reference_is_straightened_and_maps_still_land_in_place(brain):
    shear = np.eye(4)
    shear[1, 2] = np.tan(np.deg2rad(18))
    scan = Scan.of(brain.array, shear @ brain.affine, "tilted")
    preprocessor = Preprocessor(Preprocessing(spacing=(2.0, 2.0, 2.0)))
    prepared = preprocessor.prepare([scan], scan)
    axes = prepared.grid.affine[:3, :3] / prepared.grid.spacing
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    model_space = Scan(prepared.array[0], prepared.grid)
    restored = preprocessor.restore(blob(model_space)[None], prepared)[0]
    inside = scan.array > 0
    assert np.abs(restored - blob(scan))[inside].max() < 0.04


def test_the_crop_is_the_foreground_of_any_channel_plus_the_margin():
    first, second = np.zeros((20, 20, 20)), np.zeros((20, 20, 20))
    first[5:8, 4, 9] = 1
    second[6, 15, 1] = -2
    assert foreground_box([first, second], 0) == (slice(5, 8), slice(4, 16), slice(1, 10))
    assert foreground_box([first, second], 3) == (slice(2, 11), slice(1, 19), slice(0, 13))
    assert foreground_box([np.zeros((4, 4, 4))], 1) is None


def test_normalisation_counts_nonzero_voxels_only_and_keeps_zeros():
    volume = np.random.default_rng(1).normal(400, 30, (12, 12, 12))
    volume[:4] = 0
    result = normalize(volume.astype(np.int16), "zscore_nonzero")
    assert result.dtype == np.float32
    assert (result[:4] == 0).all()
    assert abs(result[4:].mean()) < 1e-5
    assert abs(result[4:].std() - 1) < 1e-5


def test_normalisation_over_all_voxels_and_none_do_what_they_say():
    volume = np.random.default_rng(1).normal(400, 30, (12, 12, 12))
    assert abs(normalize(volume, "zscore").std() - 1) < 1e-5
    np.testing.assert_allclose(normalize(volume, "none"), volume, rtol=1e-6)
    assert (normalize(np.full((3, 3, 3), 7), "zscore_nonzero") == 0).all()


def test_scans_that_are_empty_on_the_reference_are_refused_in_one_sentence(brain):
    far = brain.affine.copy()
    far[:3, 3] += 5000
    empty = brain.with_array(np.zeros(brain.shape))
    with pytest.raises(BadInputError, match="no image where"):
        Preprocessor(Preprocessing()).prepare([Scan.of(brain.array, far)], empty)


@pytest.mark.parametrize("spacing", [None, (2.0, 2.0, 2.0)])
def test_empty_voxels_around_a_scan_change_nothing(spacing):
    generator = np.random.default_rng(0)
    voxels = np.zeros((14, 15, 16), np.float32)
    voxels[1:12, :14, 3:] = generator.uniform(10, 20, (11, 14, 13))
    affine = np.diag([1.0, 1.5, 1.0, 1.0])
    wider = affine.copy()
    wider[:3, 3] = affine[:3, :3] @ [-8.0, -8.0, -8.0]
    preprocessor = Preprocessor(Preprocessing(spacing=spacing, crop_margin=5))
    tight, loose = (
        preprocessor.prepare([scan], scan)
        for scan in (Scan.of(voxels, affine), Scan.of(np.pad(voxels, 8), wider))
    )
    np.testing.assert_allclose(loose.grid.affine, tight.grid.affine, atol=1e-9)
    np.testing.assert_allclose(loose.array, tight.array, atol=1e-5)
    back, again = (preprocessor.restore(prepared.array, prepared)[0] for prepared in (tight, loose))
    np.testing.assert_allclose(again[8:-8, 8:-8, 8:-8], back, atol=1e-5)

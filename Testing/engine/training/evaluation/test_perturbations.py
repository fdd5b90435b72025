"""Changed scans."""

from __future__ import annotations

import numpy as np
import pytest

from factorizer_engine.images.geometry import same_grid
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.training.evaluation.perturbations import PERTURBATIONS, is_stripped

LPS = np.diag([-1.0, -1.0, 2.0, 1.0])


def ball(shape=(40, 44, 20), affine=LPS) -> np.ndarray:
    """A stripped head of 28 mm: positive numbers in a ball, zero outside."""
    middle = (np.array(shape) - 1) / 2
    offsets = (np.moveaxis(np.indices(shape), 0, -1) - middle) * np.abs(np.diag(affine)[:3])
    return (np.linalg.norm(offsets, axis=-1) < 14).astype(np.float32)


@pytest.fixture
def scans() -> dict[str, Scan]:
    generator = np.random.default_rng(0)
    head = ball()
    return {
        name: Scan.of(head * (100 + 10 * generator.normal(size=head.shape)), LPS.copy(), name)
        for name in ("FLAIR", "T1", "T2")
    }


def change(name: str, scans: dict[str, Scan], seed: int = 1) -> dict[str, Scan]:
    perturbation = next(p for p in PERTURBATIONS if p.name == name)
    return perturbation.change(scans, np.random.default_rng(seed))


@pytest.mark.parametrize("name", [p.name for p in PERTURBATIONS])
def test_the_same_seed_gives_the_same_scans_and_the_originals_stay(name, scans):
    before = {key: scan.array.copy() for key, scan in scans.items()}
    first, again = change(name, scans), change(name, scans)
    for key, scan in first.items():
        assert np.array_equal(scan.array, again[key].array), key
        assert np.array_equal(scan.affine, again[key].affine), key
        assert np.isfinite(scan.array).all() and np.array_equal(scans[key].array, before[key])
    assert list(first) == list(scans)
    if name in ("unchanged", "thick_slices"):
        return
    other = change(name, scans, seed=5)
    assert any(
        not np.array_equal(first[k].array, other[k].array)
        or not np.array_equal(first[k].affine, other[k].affine)
        for k in first
    )


def test_unchanged_scans_are_the_scans(scans):
    assert change("unchanged", scans) == scans


def test_other_units_multiply_every_channel(scans):
    for name, scan in change("units", scans).items():
        head = scans[name].array != 0
        factors = scan.array[head] / scans[name].array[head]
        assert np.isclose(factors[0], 10.0) or np.isclose(factors[0], 0.1)
        assert np.allclose(factors, factors[0])


def test_another_contrast_keeps_the_order_and_the_extremes(scans):
    changed = change("contrast", scans)["T1"].array
    original = scans["T1"].array
    order = np.argsort(original, axis=None)
    assert (np.diff(changed.ravel()[order]) >= -1e-3).all()
    assert changed.max() == pytest.approx(original.max(), rel=1e-5)
    assert not changed[original == 0].any()
    assert np.abs(changed - original).max() > 3


def test_a_bias_field_is_smooth_and_as_strong_as_said(scans):
    for name, scan in change("bias_field", scans).items():
        head = scans[name].array != 0
        field = np.ones_like(scan.array)
        field[head] = scan.array[head] / scans[name].array[head]
        assert 0.6 < field.min() < 0.95 and 1.05 < field.max() < 1.66
        inside = head[1:] & head[:-1]
        assert np.abs(np.diff(field, axis=0)[inside]).max() < 0.1


def test_thick_slices_are_five_millimetres_along_head_and_foot_only(scans):
    thick = change("thick_slices", scans)["FLAIR"]
    assert thick.spacing == pytest.approx((1.0, 1.0, 5.0))
    assert thick.shape == (40, 44, 8)
    middle = thick.grid.corners().mean(axis=0)
    assert middle == pytest.approx(scans["FLAIR"].grid.corners().mean(axis=0))
    assert 5 < thick.array[18:22, 20:24].std() < 0.9 * scans["FLAIR"].array[18:22, 20:24].std() + 60
    assert not thick.array[0].any()


def test_slices_that_are_thick_already_stay(scans):
    sparse = {k: Scan.of(s.array, np.diag([-1.0, -1.0, 6.0, 1.0]), k) for k, s in scans.items()}
    thick = change("thick_slices", sparse)["T1"]
    assert same_grid(thick.grid, sparse["T1"].grid)


def test_misregistration_moves_all_channels_but_the_reference(scans):
    moved = change("misregistered", scans)
    assert moved["FLAIR"] is scans["FLAIR"]
    for name in ("T1", "T2"):
        motion = moved[name].affine @ np.linalg.inv(scans[name].affine)
        angle = np.degrees(np.arccos((np.trace(motion[:3, :3]) - 1) / 2))
        assert angle == pytest.approx(2.0)
        middle = scans[name].grid.corners().mean(axis=0)
        away = motion[:3, :3] @ middle + motion[:3, 3] - middle
        assert np.linalg.norm(away) == pytest.approx(2.0)
        assert np.array_equal(moved[name].array, scans[name].array)


def test_a_skull_is_put_around_the_brain_without_touching_it(scans):
    with_skull = change("skull", scans)
    for name, scan in with_skull.items():
        own = scans[name]
        inside = resample(scan, own.grid).array
        head = own.array != 0
        assert np.allclose(inside[head], own.array[head])
        shell = scan.array.copy()
        brain = resample(own, scan.grid).array != 0
        shell[brain] = 0
        volume_ml = (shell != 0).sum() * np.prod(scan.spacing) / 1000
        assert 30 < volume_ml < 150  # between 10 and 17 mm around a ball of 14 mm
        assert not scan.array[0].any() and not scan.array[:, :, -1].any()
    fat = {name: np.percentile(scan.array, 99.5) for name, scan in with_skull.items()}
    assert fat["T1"] > 1.5 * fat["FLAIR"]  # as in a study with fat suppression


def test_noisy_air_is_nowhere_black(scans):
    quiet, noisy = change("skull", scans)["T1"], change("skull_noise", scans)["T1"]
    assert (noisy.array > 0).all()
    air = quiet.array == 0
    assert 0.5 < noisy.array[air].mean() < 2.5  # 1 % of 100, Rayleigh


def test_a_spoilt_channel_is_never_the_reference(scans):
    for seed in range(6):
        changed = change("spoilt_channel", scans, seed)
        spoilt = [n for n in scans if not np.array_equal(changed[n].array, scans[n].array)]
        assert len(spoilt) == 1 and spoilt[0] != "FLAIR"
        assert np.array_equal(changed[spoilt[0]].array != 0, scans[spoilt[0]].array != 0)


def test_a_stripped_head_is_recognised(scans):
    assert is_stripped(scans["T1"])
    assert not is_stripped(change("skull_noise", scans)["T1"])
    assert not is_stripped(Scan.of(np.ones((5, 5, 5)), np.eye(4)))

"""Sequences of one head are brought onto each other; what does not fit is told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from engine.preparation.heads import T1, T2, head, tissues
from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.scan import Scan
from factorizer_engine.preparation import registration
from factorizer_engine.preparation.heads import points_of
from factorizer_engine.preparation.registration import Freedom, Registration, register
from factorizer_engine.protocol.errors import CancelledError
from factorizer_engine.protocol.progress import Monitor


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """The heads have voxels of 3 mm: finer levels would only take time."""
    monkeypatch.setattr(registration, "LEVELS_MM", (10.0, 5.0))
    monkeypatch.setattr(registration, "SAMPLES", 10_000)


def motion(degrees: float, shift: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array([0.6, -0.48, 0.64]))
    matrix[:3, :3], matrix[:3, 3] = turn.as_matrix(), shift
    return matrix


def moved(scan: Scan, matrix: np.ndarray) -> Scan:
    return Scan(scan.array, Grid(scan.shape, matrix @ scan.affine), scan.name)


def error_mm(found: np.ndarray, added: np.ndarray, scan: Scan) -> float:
    """Mean distance over the brain from where its points were before they were moved."""
    points = points_of(scan.with_array(tissues()["brain"]))
    there = points @ (found @ added)[:3, :3].T + (found @ added)[:3, 3]
    return float(np.linalg.norm(there - points, axis=1).mean())


@pytest.mark.parametrize("freedom", Freedom)
def test_a_moved_sequence_of_another_contrast_is_brought_back(freedom):
    added = motion(10.0, (12.0, -14.0, 8.0))
    found = register(moved(head(T2, 1), added), head(T1), freedom)
    assert not found.failed
    assert error_mm(found.matrix, added, head(T1)) < 2.5  # half a voxel
    assert found.moved_mm > 10.0
    assert found.overlap > 0.95


def test_a_registered_scan_has_the_same_voxels_at_another_place():
    scan = head(T1)
    found = Registration(motion(5.0, (5.0, 0.0, 0.0)), 0.6, 0.3, 0.4, 0.9, 5.0)
    placed = found.apply(scan)
    assert placed.array is scan.array
    np.testing.assert_allclose(placed.affine, found.matrix @ scan.affine)


def test_what_is_no_head_is_called_a_failure():
    noise = np.random.default_rng(5).normal(100, 30, head(T1).shape).astype(np.float32)
    assert register(head(T1).with_array(noise), head(T2, 1)).failed


def test_a_registration_can_be_cancelled():
    asked = iter([False] * 5 + [True] * 1000)
    with pytest.raises(CancelledError):
        register(head(T2, 1), head(T1), monitor=Monitor(is_cancelled=lambda: next(asked)))

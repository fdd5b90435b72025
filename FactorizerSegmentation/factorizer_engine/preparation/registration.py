"""Where one sequence lies relative to another of the same patient.

Mattes' mutual information (Mattes et al., IEEE TMI 22(1), 2003) is maximised by ITK over three
resolutions. At the coarsest one several poses are tried, so that no motion between two sequences
of a study is lost: as the headers say, with the heads' centres on each other, and turned from
there about each axis. Voxels are not changed: a registration is a matrix in world space, and
a registered scan has the same voxels at another place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from factorizer_engine.images.files.itk import itk_image
from factorizer_engine.images.orientation import LPS_TO_RAS
from factorizer_engine.images.scan import Scan
from factorizer_engine.preparation.heads import (
    centre_of,
    head_mask,
    isotropic,
    part_inside,
    points_of,
)
from factorizer_engine.protocol.errors import CancelledError
from factorizer_engine.protocol.progress import Monitor

LEVELS_MM = (6.0, 3.0, 1.5)
"""Voxel size of the images compared, from coarse to fine."""

SAMPLES = 60_000
"""How many voxels of the head, drawn at random with a fixed seed, the metric looks at."""

HEAD_MARGIN_MM = 6.0
"""The metric looks this far beyond the head; air, which all scans share, says nothing."""

START_DEGREES = 20.0
"""How far the starting poses are turned about each axis."""

BINS = 50

SEED = 1

RELAXATION = 0.8
"""Steps shrink slowly, since one that is halved at every turn stops far from the maximum."""

TOLERANCE = 0.01
"""Part of the information that a registration may lose, which is what resampling changes."""

MIN_OVERLAP = 0.6
"""Part of the smaller head that must lie in the other one."""

PROBE_MM = 15.0
"""At a true maximum, mutual information is clearly lower this far away in every direction."""

MIN_PEAK = 0.2
"""Part of its mutual information that a registered pair must lose there."""


Pose = sitk.Euler3DTransform | sitk.AffineTransform


class Freedom(str, Enum):
    """What a registration may change."""

    rigid = "rigid"
    affine = "affine"


@dataclass(frozen=True, eq=False)
class Registration:
    """How a scan is to be moved to lie on another, and whether that is to be believed.

    Attributes:
        matrix: 4x4, world to world in mm RAS, from where the moving scan says it lies to where
            it lies in the world of the fixed one.
        information: Mutual information in nats of the two afterwards.
        before: The same, before.
        peak: Part of the information that is lost by moving `PROBE_MM` away; 0 to 1.
        overlap: Part of the smaller head that lies in the other one.
        moved_mm: How far the points of the head move on average.
    """

    matrix: np.ndarray
    information: float
    before: float
    peak: float
    overlap: float
    moved_mm: float

    @property
    def failed(self) -> bool:
        """Whether the result is no better than the headers, or no match at all."""
        worse = self.information < self.before * (1.0 - TOLERANCE)
        return worse or self.peak < MIN_PEAK or self.overlap < MIN_OVERLAP

    def apply(self, scan: Scan) -> Scan:
        """The voxels of `scan` where they belong."""
        return scan.brought(self.matrix)


def register(
    moving: Scan,
    fixed: Scan,
    freedom: Freedom = Freedom.rigid,
    monitor: Monitor | None = None,
) -> Registration:
    """Find where `moving` lies in the world of `fixed`, another image of the same head.

    Args:
        moving: The scan to be moved; any grid.
        fixed: The scan that stays.
        freedom: Rotation and translation, or also stretching and shearing.
        monitor: Told of the progress, and asked whether to stop.

    Raises:
        CancelledError: If the monitor was cancelled.
    """
    monitor = monitor or Monitor()
    levels = [(isotropic(fixed, size), isotropic(moving, size)) for size in LEVELS_MM]
    coarse, *finer = levels
    heads = head_mask(coarse[0]), head_mask(coarse[1])
    starts = list(_starting_poses(*heads))
    spans = monitor.span(0.0, 0.5).parts(len(starts))
    coarse_search = _Search(*coarse)
    found = [coarse_search.climb(pose, span) for pose, span in zip(starts, spans, strict=True)]
    pose = max(found, key=lambda candidate: candidate.information).pose
    spans = monitor.span(0.5, 0.95).parts(len(finer))
    for (own, other), span in zip(finer, spans, strict=True):
        pose = _Search(own, other).climb(pose, span).pose
    if freedom is Freedom.affine:
        pose = _Search(*finer[-1]).climb(_with_stretching(pose), monitor).pose
    monitor.report("registering", 1.0)
    return _judged(_world_matrix(pose), coarse, heads)


@dataclass(frozen=True)
class _Candidate:
    pose: Pose
    information: float


class _Search:
    """The climb to the pose with most information, at one resolution."""

    def __init__(self, fixed: Scan, moving: Scan) -> None:
        self._fixed, self._moving = itk_image(fixed), itk_image(moving)
        self._step = 0.5 * min(fixed.spacing)
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(BINS)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetMetricFixedMask(itk_image(_around_head(fixed)))
        if fixed.array.size > SAMPLES:
            method.SetMetricSamplingStrategy(method.RANDOM)
            method.SetMetricSamplingPercentage(SAMPLES / fixed.array.size, SEED)
        self._method = method

    def information(self, pose: Pose) -> float:
        """Mutual information in nats; 0 where the images do not meet."""
        self._method.SetInitialTransform(pose)
        try:
            return -float(self._method.MetricEvaluate(self._fixed, self._moving))
        except RuntimeError:
            return 0.0

    def climb(self, pose: Pose, monitor: Monitor) -> _Candidate:
        """The best pose that can be reached from `pose`, which stays if it is better."""
        monitor.report("registering", 0.0)
        method, reached = self._method, pose.__class__(pose)
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=2.0 * self._step,
            minStep=0.02 * self._step,
            numberOfIterations=100,
            relaxationFactor=RELAXATION,
            gradientMagnitudeTolerance=1e-8,
        )
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetInitialTransform(reached, inPlace=True)
        stop = _Stop(method, monitor)
        try:
            method.Execute(self._fixed, self._moving)
        except RuntimeError:
            reached = pose  # the images have left each other
        stop.raise_if_cancelled()
        ends = [_Candidate(end, self.information(end)) for end in (pose, reached)]
        return max(ends, key=lambda candidate: candidate.information)


def _around_head(scan: Scan) -> Scan:
    """The head with a margin, uint8, on the scan's grid."""
    steps = max(1, round(HEAD_MARGIN_MM / min(scan.spacing)))
    grown = ndimage.binary_dilation(head_mask(scan).array, iterations=steps)
    return scan.with_array(grown.astype(np.uint8))


class _Stop:
    """Ends a climb when the monitor was cancelled; ITK lets no exception through."""

    def __init__(self, method: sitk.ImageRegistrationMethod, monitor: Monitor) -> None:
        self._method, self._monitor = method, monitor
        self._error: CancelledError | None = None
        method.RemoveAllCommands()
        method.AddCommand(sitk.sitkIterationEvent, self._look)

    def _look(self) -> None:
        try:
            self._monitor.check()
        except CancelledError as error:
            self._error = error
            self._method.StopRegistration()

    def raise_if_cancelled(self) -> None:
        if self._error is not None:
            raise self._error


def _starting_poses(fixed: Scan, moving: Scan) -> Iterator[sitk.Euler3DTransform]:
    """As the headers say; with the centres of the heads on each other; and turned from there."""
    centre, other = (LPS_TO_RAS[:3, :3] @ centre_of(head) for head in (fixed, moving))
    yield _rigid(centre, np.zeros(3), np.zeros(3))
    yield _rigid(centre, other - centre, np.zeros(3))
    for axis in range(3):
        for sign in (-1.0, 1.0):
            angles = np.zeros(3)
            angles[axis] = sign * np.radians(START_DEGREES)
            yield _rigid(centre, other - centre, angles)


def _rigid(centre: np.ndarray, shift: np.ndarray, angles: np.ndarray) -> sitk.Euler3DTransform:
    return sitk.Euler3DTransform(centre.tolist(), *angles.tolist(), shift.tolist())


def _with_stretching(pose: Pose) -> sitk.AffineTransform:
    """The same pose, free to stretch and shear."""
    return sitk.AffineTransform(pose.GetMatrix(), pose.GetTranslation(), pose.GetCenter())


def _world_matrix(pose: Pose) -> np.ndarray:
    """From the moving scan's world to the fixed one's, RAS; ITK maps the other way, in LPS."""
    linear = np.array(pose.GetMatrix()).reshape(3, 3)
    centre, shift = np.array(pose.GetCenter()), np.array(pose.GetTranslation())
    to_moving = np.eye(4)
    to_moving[:3, :3] = linear
    to_moving[:3, 3] = shift + centre - linear @ centre
    return LPS_TO_RAS @ np.linalg.inv(to_moving) @ LPS_TO_RAS


def _judged(
    matrix: np.ndarray, images: tuple[Scan, Scan], heads: tuple[Scan, Scan]
) -> Registration:
    """The registration, with what speaks for and against it."""
    fixed, moving = images
    search = _Search(fixed, moving)
    information = search.information(_as_pose(matrix))
    around = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            away = matrix.copy()
            away[axis, 3] += sign * PROBE_MM
            around.append(search.information(_as_pose(away)))
    own, other = heads
    moved = Scan.of(other.array, matrix @ other.affine)
    points = points_of(other)
    steps = points @ matrix[:3, :3].T + matrix[:3, 3] - points
    return Registration(
        matrix=matrix,
        information=information,
        before=search.information(_as_pose(np.eye(4))),
        peak=1.0 - max(around) / information if information > 0 else 0.0,
        overlap=max(part_inside(own, moved), part_inside(moved, own)),
        moved_mm=float(np.linalg.norm(steps, axis=1).mean()),
    )


def _as_pose(matrix: np.ndarray) -> sitk.AffineTransform:
    """The inverse of `_world_matrix`."""
    to_moving = LPS_TO_RAS @ np.linalg.inv(matrix) @ LPS_TO_RAS
    pose = sitk.AffineTransform(3)
    pose.SetMatrix(to_moving[:3, :3].ravel().tolist())
    pose.SetTranslation(to_moving[:3, 3].tolist())
    return pose

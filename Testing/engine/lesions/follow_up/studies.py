"""Made-up pairs of studies, of which it is known what has changed."""

from __future__ import annotations

import numpy as np

from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.follow_up.comparison import MeasuredStudy
from factorizer_engine.lesions.measuring import find_lesions
from factorizer_engine.protocol.models import Label

LABELS = (Label(1, "Enhancing tumour", (240, 200, 60)), Label(2, "Oedema", (90, 180, 90)))
SHAPE = (80, 80, 40)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    """Voxels within so many mm of a point, given in mm of the array."""
    mm = np.indices(SHAPE) * np.array([1, 1, 2]).reshape(3, 1, 1, 1)
    return np.linalg.norm(mm - np.reshape(centre, (3, 1, 1, 1)), axis=0) <= radius


def measured(name: str, scan: Scan, labelmap: Scan) -> MeasuredStudy:
    """A study whose scan tells the sides of lesions."""
    lesions = find_lesions(labelmap, (), LABELS, None, scan)
    return MeasuredStudy(name, scan, labelmap, LABELS, lesions)


def study(name: str, *lesions: tuple[int, np.ndarray]) -> MeasuredStudy:
    """A study with lesions of a label each."""
    labelmap = np.zeros(SHAPE, np.uint8)
    for value, mask in lesions:
        labelmap[mask] = value
    scan = Scan.of(np.random.default_rng(1).normal(100, 9, SHAPE).astype(np.float32), AFFINE, name)
    return measured(name, scan, Scan.of(labelmap, AFFINE))


def moved(item: MeasuredStudy, matrix: np.ndarray) -> MeasuredStudy:
    """The same study in another world."""
    scan = Scan.of(item.scan.array, matrix @ item.scan.affine, item.name)
    labelmap = Scan.of(item.labelmap.array, matrix @ item.labelmap.affine)
    return measured(item.name, scan, labelmap)

"""A component is the same in a patient whom nothing was measured on."""

from __future__ import annotations

import numpy as np
import pytest

from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.components.profiling import profile_case
from factorizer_engine.images.files import read_scan, read_scans
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.locations import model_folders
from factorizer_engine.protocol.matching import match_channels
from factorizer_engine.protocol.runs import RunOptions

SAMPLE = model_folders()[-1].parent / "SampleData" / "BrainTumour"
LABELS = {"ET": [4], "TC": [1, 4], "WT": [1, 2, 4]}
SPEAKS = 0.1


@pytest.fixture(scope="module")
def both() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """What components that speak do on training cases and in the sample case, and their blocks."""
    bundle = load_bundle(model_folders()[-1] / "glioma-fast")
    segmenter = Segmenter(bundle, "cpu")
    channels = bundle.description.channels
    scans = read_scans(match_channels(sorted(SAMPLE.iterdir()), channels))
    label = read_scan(SAMPLE / "label.nii.gz")
    middle = label.affine @ [*np.argwhere(label.array > 0).mean(axis=0), 1]
    box = WorldBox(tuple(middle[:3].tolist()), tuple(map(tuple, np.diag([20.0] * 3).tolist())))
    result = segmenter.segment(scans, options=RunOptions(box=box, quick=True))
    assert len(result.plan.windows) == 1
    truth = {
        name: Scan(np.isin(label.array, values).astype(np.float32), label.grid)
        for name, values in LABELS.items()
    }
    found = profile_case(segmenter, result, "sample", truth)
    known = [p for p in bundle.profiles.components if max(map(abs, p.contributions.values())) > 0]
    rows = [row for row, p in enumerate(known) if max(map(abs, p.contributions.values())) > SPEAKS]
    groups = ("intensities", "edges", "places", "inside")
    before = [[v for g in groups for v in getattr(known[row], g).values()] for row in rows]
    here = [[values[row] for g in groups for values in found.responses[g].values()] for row in rows]
    return np.array(before), np.array(here), [known[row].term.block for row in rows]


def test_its_profile_is_the_one_of_the_training_cases(both):
    before, here, _ = both
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(before, here, strict=True)]
    assert np.median(alike) > 0.8


def test_its_profile_is_more_alike_than_those_of_others_in_its_block(both):
    before, here, blocks = both
    count = len(before)
    alike = np.corrcoef(before, here)[:count, count:]
    own, others = np.diag(alike), ~np.eye(count, dtype=bool)
    beside = others & (np.array(blocks)[:, None] == np.array(blocks))
    assert np.median(own) > np.median(alike[beside]) + 0.3

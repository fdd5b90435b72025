"""The report's job: numbers and probabilities of lesions that are as they were stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.measuring import find_lesions
from factorizer_engine.protocol.models import Label
from factorizer_engine.protocol.segmentations import SegmentationFile
from factorizer_engine.protocol.tasks.report import REPORT, ReportParams
from factorizer_engine.protocol.volumes import ScanFile

LABELS = (Label(1, "Enhancing tumour", (240, 200, 60)),)


def test_lesions_keep_their_numbers_and_what_only_the_run_could_tell(engine, tmp_path):
    labelmap = np.zeros((20, 20, 20), np.uint8)
    labelmap[2:8, 2:8, 2:8] = 1
    labelmap[12:16, 12:16, 12:16] = 1
    scan = np.random.default_rng(0).normal(100, 5, labelmap.shape).astype(np.float32)
    measured = find_lesions(Scan.of(labelmap, np.eye(4)), (), LABELS, None)
    known = tuple(
        replace(lesion, id=number, mean_probability=0.75)
        for lesion, number in zip(measured, (7, 3), strict=True)
    )
    labelmap[15, 15, 15] = 0
    by_hand = np.zeros_like(labelmap)
    by_hand[15, 15, 15] = 1
    params = ReportParams(
        SegmentationFile(
            ScanFile.save(labelmap, np.eye(4), tmp_path / "l.npy"),
            LABELS,
            by_hand=ScanFile.save(by_hand, np.eye(4), tmp_path / "h.npy"),
            known=known,
        ),
        {"T1ce": ScanFile.save(scan, np.eye(4), tmp_path / "s.npy", "T1ce")},
        str(tmp_path / "page.html"),
        "Case",
    )
    result = engine.request(REPORT, params)
    same, changed = result.lesions
    assert (same.id, same.mean_probability) == (7, 0.75)
    assert changed.id == 3 and np.isnan(changed.mean_probability)
    assert (same.edited_ml, changed.edited_ml) == (0.0, 0.001)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Lesion 7" in page and page.count("0.0010 mL edited by hand") == 1
    assert (tmp_path / "page.csv").is_file()


def test_a_class_that_was_renamed_keeps_its_volume_on_the_page(engine, tmp_path):
    labelmap = np.zeros((20, 20, 20), np.uint8)
    labelmap[2:12, 2:12, 2:12] = 1
    known = tuple(find_lesions(Scan.of(labelmap, np.eye(4)), (), LABELS, None))
    params = ReportParams(
        SegmentationFile(
            ScanFile.save(labelmap, np.eye(4), tmp_path / "l.npy"),
            (replace(LABELS[0], name="Active tumour"),),
            known=known,
        ),
        {"T1ce": ScanFile.save(100.0 + labelmap, np.eye(4), tmp_path / "s.npy", "T1ce")},
        str(tmp_path / "page.html"),
        "Case",
    )
    (lesion,) = engine.request(REPORT, params).lesions
    assert [part.name for part in lesion.parts] == ["Active tumour"]
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Enhancing tumour" not in page and "0.0 mL" not in page

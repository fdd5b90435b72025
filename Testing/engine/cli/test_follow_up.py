"""Comparing studies from the command line, with a real registration."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from engine.conftest import save_scan
from engine.preparation.heads import T1, affine, head, tissues
from engine.preparation.test_registration import motion
from factorizer_engine.images.files import read_scan, write_seg_nrrd
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.models import Label

LABELS = (Label(1, "Enhancing tumour", (240, 200, 60)),)


@pytest.fixture
def studies(tmp_path) -> list[tuple[Path, Path]]:
    """Segmentation and scan of two studies; in the second the head lies elsewhere, and the tumour
    has grown."""
    found = []
    indices = np.stack(np.meshgrid(*map(np.arange, head(T1).shape), indexing="ij"), -1)
    points = indices @ affine()[:3, :3].T + affine()[:3, 3]
    grown = (((points - (-35, 25, 15)) / (20, 22, 18)) ** 2).sum(axis=-1) < 1
    for number, (mask, matrix) in enumerate(
        ((tissues()["tumour"], motion(8.0, (10.0, -6.0, 5.0))), (grown, np.eye(4)))
    ):
        scan = head(T1, seed=number)
        place = matrix @ scan.affine
        path = save_scan(tmp_path / f"t1_{number}.nii.gz", scan.array, place)
        segments = tmp_path / f"study{number}.seg.nrrd"
        write_seg_nrrd(Scan.of(mask.astype(np.uint8), place), LABELS, segments)
        found.append((segments, path))
    return found


def call(studies, *more: object) -> list[object]:
    scans = [part for _, scan in studies for part in ("--scan", scan)]
    return ["follow-up", *(segments for segments, _ in studies), *scans, *more]


def test_a_tumour_that_has_grown_is_found_again_where_the_head_has_moved(cli, studies, tmp_path):
    page = tmp_path / "page.html"
    outcome = cli(*call(studies, "-o", page))
    assert outcome.code == 0, outcome.errors
    assert "grown" in outcome.output and "progressive disease" in outcome.output
    with page.with_suffix(".csv").open(encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    assert row["change"] == "grown"
    np.testing.assert_allclose([float(row[f"{axis}_mm"]) for axis in "ras"], (-35, 25, 15), atol=6)
    volumes = [read_scan(scan) for _, scan in studies]
    assert len(volumes) == 2 and "Study 1 to Study 2" in page.read_text(encoding="utf-8")

    again = cli(*call(studies, "-o", page))
    assert again.code == 2 and "--overwrite" in again.sentence
    named = ("--name", "2025-01-01", "--name", "2026-01-01", "--no-registration", "--overwrite")
    assert cli(*call(studies, "-o", page, *named)).code == 0
    assert "2025-01-01 to 2026-01-01" in page.read_text(encoding="utf-8")


def test_what_cannot_be_compared_is_refused(cli, studies, tmp_path):
    (segments, scan), (other, _) = studies
    output = ("-o", tmp_path / "page.html")
    assert "--scan" in cli("follow-up", segments, other, *output).sentence
    assert "given twice" in cli("follow-up", segments, segments, *output).sentence
    assert "two studies" in cli("follow-up", segments, "--scan", scan, *output).sentence
    twice = cli("follow-up", segments, other, "--scan", scan, "--scan", scan, *output)
    assert "Study 1 and Study 2 are results of one and the same scan" in twice.sentence
    sentence = cli("follow-up", segments, other, "--scan", scan, *output).sentence
    assert "--scan once for each of the 2" in sentence
    assert not (tmp_path / "page.html").exists()

"""The page that shows what was prepared."""

from __future__ import annotations

import base64
import re

import numpy as np
import SimpleITK as sitk

from engine.preparation.heads import T1, T2, head, tissues
from factorizer_engine.preparation.sheet import YELLOW, placed, write_sheet
from factorizer_engine.protocol.preparation import Step


def pictures(page: str, folder) -> list[np.ndarray]:
    found = []
    for text in re.findall(r"base64,([^\"]+)", page):
        path = folder / "picture.png"
        path.write_bytes(base64.b64decode(text))
        found.append(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))
    return found


def test_the_page_shows_every_pair_the_outline_and_every_step(tmp_path):
    scans = {"FLAIR": head(T2, 1), "T1": head(T1)}
    brain = scans["FLAIR"].with_array(tissues()["brain"].astype(np.uint8))
    steps = [Step("T1", "registration", "failed <b>", True, {"peak": 0.1})]
    write_sheet(tmp_path / "page.html", scans, "FLAIR", brain, steps, {"torch": "2.13"})
    page = (tmp_path / "page.html").read_text()
    assert "FLAIR and T1" in page and "peak 0.1" in page and "torch 2.13" in page
    assert 'class="look"' in page and "failed &lt;b&gt;" in page
    alone, *_ = shown = pictures(page, tmp_path)
    assert [picture.shape for picture in shown[:3]] == [(210, 180, 3), (160, 180, 3), (160, 210, 3)]
    assert len(shown) == 6
    assert (alone == YELLOW).all(axis=-1).sum() > 300
    # Fluid is bright in one sequence and dark in the other: only some tiles change.
    changed = (shown[3] != alone).any(axis=-1).mean()
    assert 0.1 < changed < 0.6


def test_a_scan_is_shown_where_it_was_put():
    matrix = np.eye(4)
    matrix[0, 3] = 5.0
    rows = tuple(tuple(row) for row in matrix.tolist())
    steps = [Step("T1", "registration", "moved", matrix=rows)]
    scan = head(T1)
    assert placed(scan, steps, "T2") is scan
    np.testing.assert_allclose(placed(scan, steps, "T1").affine, matrix @ scan.affine)


def test_a_head_that_is_upside_down_is_shown_turned_up(tmp_path):
    scan = head(T1)
    turned = scan.with_array(np.flip(scan.array, 2))
    write_sheet(tmp_path / "upright.html", {"T1": scan}, "T1", None, [], {})
    write_sheet(tmp_path / "turned.html", {"T1": turned}, "T1", None, [], {}, turned_up=True)
    upright, page = ((tmp_path / f"{n}.html").read_text() for n in ("upright", "turned"))
    assert "T1, turned up" in page and "turned up" not in upright
    for expected, found in zip(pictures(upright, tmp_path), pictures(page, tmp_path), strict=True):
        assert np.abs(expected.astype(int) - found).mean() < 4

"""Mosaics of Siemens are taken apart, or refused if they do not say where their slices lie."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from engine.images.files.dicom_samples import csa_header, mosaic
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.files.dicom import list_series
from factorizer_engine.images.scan import Scan

CSA = 0x0029_1010


@pytest.fixture
def upright(oblique_scan) -> Scan:
    """A scan whose slices follow in the direction of their normal."""
    first, second, third = (np.diag([-1, -1, 1, 1]) @ oblique_scan.affine)[:3, :3].T
    return oblique_scan if np.cross(first, second) @ third > 0 else upside_down(oblique_scan)


def upside_down(scan: Scan) -> Scan:
    """The same image with its slices listed in the other order."""
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (scan.shape[2] - 1)
    affine[:3, 2] *= -1
    return Scan.of(scan.array[:, :, ::-1], affine)


@pytest.fixture
def save(tmp_path):
    def save_as(data: pydicom.Dataset, name: str = "a.dcm"):
        data.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    return save_as


@pytest.mark.parametrize("downwards", [False, True])
def test_slices_lie_where_the_private_header_says(save, upright, downwards):
    listed = upside_down(upright) if downwards else upright
    scan = read_scan(save(mosaic(listed, generate_uid(), downwards)))
    np.testing.assert_array_equal(scan.array, upright.array)
    np.testing.assert_allclose(scan.affine, upright.affine, atol=1e-4)


def test_weightings_in_one_series_are_told_apart(tmp_path, save, upright):
    uid = generate_uid()
    for b_value in (0, 1000):
        data = mosaic(upright.with_array(upright.array + np.int16(b_value)), uid)
        data.DiffusionBValue = float(b_value)
        save(data, f"{b_value}.dcm")
    names = [series.name for series in list_series(tmp_path)]
    assert names == ["ep2d_diff (b = 0)", "ep2d_diff (b = 1000)"]
    scan = read_scan(f"{tmp_path}::{names[1]}")
    np.testing.assert_array_equal(scan.array, upright.array + 1000)


def remove_private(data: pydicom.Dataset) -> None:
    data.remove_private_tags()


def cut_private(data: pydicom.Dataset) -> None:
    data[CSA].value = data[CSA].value[:60]


def forget_normal(data: pydicom.Dataset) -> None:
    data[CSA].value = csa_header({"NumberOfImagesInMosaic": [4]})


def count_wrongly(data: pydicom.Dataset) -> None:
    fields = {"NumberOfImagesInMosaic": [10_000], "SliceNormalVector": [0.0, 0.0, 1.0]}
    data[CSA].value = csa_header(fields)


def forget_distance(data: pydicom.Dataset) -> None:
    del data.SpacingBetweenSlices


@pytest.mark.parametrize(
    "spoil", [remove_private, cut_private, forget_normal, count_wrongly, forget_distance]
)
def test_a_mosaic_that_does_not_say_where_slices_lie_is_refused(
    tmp_path, save, upright, refused, spoil
):
    data = mosaic(upright, generate_uid())
    spoil(data)
    for path in (save(data), tmp_path):
        assert "a mosaic of Siemens" in refused(read_scan, path)

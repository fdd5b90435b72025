"""Pictures of pages as text."""

from __future__ import annotations

import base64

import numpy as np
import pytest
import SimpleITK as sitk

from factorizer_engine.images.encoding import jpeg_text, png_text


def read(text: str, path) -> np.ndarray:
    path.write_bytes(base64.b64decode(text))
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 7, 3), (64, 48, 3)])
def test_other_programs_read_a_picture_as_it_was_drawn(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(read(png_text(pixels[::-1]), tmp_path / "a.png"), pixels[::-1])


def test_smooth_pictures_pack_well_and_no_folder_is_needed(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", "/where/nothing/is")
    ramp = np.add.outer(np.arange(256), np.arange(256)) // 2
    picture = np.repeat(ramp[..., None], 3, axis=-1).astype(np.uint8)
    assert len(base64.b64decode(png_text(picture))) < 0.1 * picture.size
    seen = read(jpeg_text(picture, 72), tmp_path / "a.jpg")
    assert np.abs(seen.astype(int) - picture).max() < 12

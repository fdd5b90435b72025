"""Files below folders like C:\\Users\\Jürgen, where ITK finds nothing on Windows."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from factorizer_engine.images.files import itk_paths
from factorizer_engine.images.files.itk import read_itk
from factorizer_engine.images.files.seg import write_seg_nrrd
from factorizer_engine.images.files.seg_reading import read_seg_nrrd
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Label


@pytest.fixture
def on_windows(monkeypatch, tmp_path):
    """ITK finds plain paths only; what comes back has folders with short names by long ones."""
    short_names: dict[str, str] = {}

    def checked(function, *arguments):
        for text in arguments:
            if isinstance(text, str) and not text.isascii():
                raise RuntimeError(f"The file {text} does not exist.")
        return function(*arguments)

    class Reader(sitk.ImageFileReader):
        def SetFileName(self, name):
            checked(super().SetFileName, name)

    read, write = sitk.ReadImage, sitk.WriteImage
    monkeypatch.setattr(sitk, "ReadImage", lambda path: checked(read, path))
    monkeypatch.setattr(
        sitk,
        "WriteImage",
        lambda image, path, **options: checked(lambda p: write(image, p, **options), path),
    )
    monkeypatch.setattr(sitk, "ImageFileReader", Reader)
    monkeypatch.setattr(itk_paths, "takes_utf_8", lambda: False)

    def short(path):
        text = str(path)
        for long, plain in short_names.items():
            text = text.replace(long, plain)
        return text

    monkeypatch.setattr(itk_paths, "short_path", short)
    return short_names


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "Jürgen Müller"
    folder.mkdir()
    return folder


def write_scan(path: Path) -> np.ndarray:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    plain = path.parent.parent / f"plain{path.suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(plain))
    shutil.move(plain, path)
    return voxels.transpose(2, 1, 0)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_a_scan_in_a_folder_with_an_umlaut_is_read(on_windows, home, ending):
    voxels = write_scan(home / f"größe{ending}")
    assert np.array_equal(read_itk(home / f"größe{ending}").array, voxels)


def test_short_names_of_windows_save_the_copy(on_windows, home, tmp_path, monkeypatch):
    voxels = write_scan(home / "a.nrrd")
    (tmp_path / "JRGENM~1").symlink_to(home)
    on_windows[str(home)] = str(tmp_path / "JRGENM~1")
    monkeypatch.setattr(shutil, "copyfile", None)
    assert np.array_equal(read_itk(home / "a.nrrd").array, voxels)


def test_a_header_whose_voxels_lie_beside_it_is_refused_in_words(on_windows, home):
    (home / "a.mhd").write_text("ObjectType = Image\nNDims = 3\n", encoding="utf-8")
    with pytest.raises(BadInputError, match="letters such as ü"):
        read_itk(home / "a.mhd")


@pytest.mark.parametrize("short_name", [False, True])
def test_a_segmentation_is_written_and_read_in_a_folder_with_an_umlaut(
    on_windows, home, tmp_path, short_name
):
    if short_name:
        (tmp_path / "JRGENM~1").symlink_to(home)
        on_windows[str(home)] = str(tmp_path / "JRGENM~1")
    labelmap = Scan.of(np.eye(4, dtype=np.uint8)[..., None].repeat(3, 2), np.eye(4), "a")
    path = home / "segmentation.seg.nrrd"
    write_seg_nrrd(labelmap, [Label(1, "lesion", (255, 0, 0))], path)
    again, labels = read_seg_nrrd(path)
    assert np.array_equal(again.array, labelmap.array)
    assert [label.name for label in labels] == ["lesion"]
    assert [file.name for file in home.iterdir()] == [path.name]


def test_where_no_folder_is_plain_the_sentence_says_so(on_windows, home, monkeypatch):
    write_scan(home / "a.nrrd")
    monkeypatch.setattr("tempfile.tempdir", str(home))
    with pytest.raises(BadInputError, match="letters such as ü"):
        read_itk(home / "a.nrrd")

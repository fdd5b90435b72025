"""Results on disk: refused in one sentence where they cannot be written, whatever the format."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.images.files.samples import LABELS
from factorizer_engine.images.files import write_nifti, write_seg_nrrd
from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.tables import write_lesions_csv


@pytest.mark.parametrize("name", ["a.nii.gz", "a.seg.nrrd", "a.csv"])
def test_an_unwritable_folder_is_refused(tmp_path, labelmap, refused, name):
    (tmp_path / "file").write_text("in the way")
    assert "choose another folder" in refused(write, labelmap, tmp_path / "file" / name)


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path, labelmap, refused):
    (tmp_path / "a.nii.gz").mkdir()
    assert "is a folder" in refused(write, labelmap, tmp_path / "a.nii.gz")


def test_names_of_other_formats_are_refused(tmp_path, labelmap, refused):
    assert "must end with" in refused(write_nifti, labelmap, tmp_path / "a.png")
    assert "must end with" in refused(write_seg_nrrd, labelmap, LABELS, tmp_path / "a.nrrd")


def write(labelmap: Scan, path: Path) -> None:
    """Write something of the format that the name asks for."""
    if path.name.endswith(".nii.gz"):
        write_nifti(labelmap, path)
    elif path.name.endswith(".seg.nrrd"):
        write_seg_nrrd(labelmap, LABELS, path)
    else:
        write_lesions_csv([], [], path)

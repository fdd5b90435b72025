"""Files told by their names and by what they hold."""

from __future__ import annotations

import gzip

import pytest

from engine.images.files.samples import nifti_bytes
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.files.recognition import scan_name


def test_endings_of_image_formats_do_not_belong_to_a_scans_name():
    assert scan_name("/data/case.1_flair.nii.gz") == "case.1_flair"
    assert scan_name("result.seg.nrrd") == "result"
    assert scan_name("folder") == "folder"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        # Compressed without the time: both processes that test must collect the same.
        ("a.nii.gz", b"some text\n", "holds text"),
        ("a.nii.gz", nifti_bytes(), "holds uncompressed NIfTI"),
        ("a.nii", gzip.compress(nifti_bytes(), mtime=0), "holds compressed NIfTI"),
        ("a.nii", b"\x89PNG" + bytes(1000), "holds a PNG picture"),
        ("a.nii.gz", gzip.compress(b"some text\n" * 99, mtime=0), "holds compressed text"),
        ("a.nrrd", b"\xff\xd8\xff" + bytes(1000), "holds a JPEG picture"),
        ("a.mha", nifti_bytes(), "holds uncompressed NIfTI"),
        ("a.txt", b"some text\n", "holds text and is no scan"),
        ("a.png", b"\x89PNG" + bytes(1000), "a PNG picture and is no scan"),
        (
            "a.nii.gz",
            b"version https://git-lfs.github.com/spec/v1\n",
            "which 'git lfs pull' fetches",
        ),
        ("a.mha", b"/annex/objects/MD5E-s123--0.mha\n", "which 'git annex get' fetches"),
        ("a.nrrd", b"<!DOCTYPE html><html>404</html>", "a web page"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path, refused, name, content, words):
    (tmp_path / name).write_bytes(content)
    assert words in refused(read_scan, tmp_path / name)

"""NRRD and MetaImage, in the ways that other programs write them."""

from __future__ import annotations

import bz2
import os
import zlib

import numpy as np
import pytest

from engine.images.files.samples import save_itk
from factorizer_engine.images.files import read_scan


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_compressed_itk_files_are_read(tmp_path, oblique_scan, ending):
    save_itk(oblique_scan, tmp_path / f"scan{ending}", compress=True)
    np.testing.assert_array_equal(read_scan(tmp_path / f"scan{ending}").array, oblique_scan.array)


def test_nrrd_in_ras_space_is_placed_right(tmp_path):
    voxels = np.arange(60, dtype=np.uint8)
    header = (
        "NRRD0004\ntype: uchar\ndimension: 3\nspace: right-anterior-superior\nsizes: 3 4 5\n"
        "space directions: (2,0,0) (0,3,0) (0,0,4)\nencoding: raw\nspace origin: (7,8,9)\n\n"
    )
    (tmp_path / "ras.nrrd").write_bytes(header.encode() + voxels.tobytes())
    scan = read_scan(tmp_path / "ras.nrrd")
    np.testing.assert_allclose(
        scan.affine, [[2, 0, 0, 7], [0, 3, 0, 8], [0, 0, 4, 9], [0, 0, 0, 1]]
    )
    assert scan.array[1, 0, 0] == 1


def test_what_itk_prints_of_a_broken_file_is_not_seen(tmp_path, oblique_scan, refused, capfd):
    save_itk(oblique_scan, tmp_path / "a.mha")
    content = (tmp_path / "a.mha").read_bytes()
    (tmp_path / "a.mha").write_bytes(content.replace(b"DimSize", b"DimSiez"))
    assert refused(read_scan, tmp_path / "a.mha")
    (tmp_path / "a.mha").write_bytes(content[:-50])
    assert refused(read_scan, tmp_path / "a.mha")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("ending", [".mha", ".mhd"])
@pytest.mark.parametrize("fault", ["no size", "smaller", "damaged", "not compressed", "fewer"])
def test_compressed_voxels_that_itk_makes_up_are_refused(
    tmp_path, oblique_scan, refused, ending, fault
):
    """It hands out what its memory held before."""
    path, voxels = tmp_path / f"a{ending}", tmp_path / "a.zraw"
    save_itk(oblique_scan, path, compress=True)
    header, body = path.read_bytes(), b""
    if ending == ".mha":
        header, mark, body = header.partition(b"ElementDataFile = LOCAL\n")
        header, voxels = header + mark, path
    else:
        body = voxels.read_bytes()
    size = f"CompressedDataSize = {len(body)}\n".encode()
    assert size in header
    if fault == "no size":
        header = header.replace(size, b"")
    elif fault == "smaller":
        header = header.replace(size, b"CompressedDataSize = 50\n")
    elif fault == "damaged":
        body = body[:100] + bytes(20) + body[120:]
    elif fault == "fewer":
        other = zlib.compress(oblique_scan.array.tobytes()[:-8])
        header, body = header.replace(size, f"CompressedDataSize = {len(other)}\n".encode()), other
    else:
        body = oblique_scan.array.tobytes()[: len(body)]
    path.write_bytes(header)
    with voxels.open("ab" if voxels == path else "wb") as file:
        file.write(body)
    assert refused(read_scan, path)


def test_a_compression_that_itk_does_not_read_is_named(tmp_path, refused):
    header = (
        "NRRD0004\ntype: uchar\ndimension: 3\nspace: right-anterior-superior\nsizes: 3 4 5\n"
        "space directions: (2,0,0) (0,3,0) (0,0,4)\nencoding: bzip2\nspace origin: (7,8,9)\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bz2.compress(bytes(60)))
    assert "save it with gzip" in refused(read_scan, tmp_path / "a.nrrd")


def test_a_name_in_letters_of_an_old_system_is_refused(tmp_path, oblique_scan, refused):
    """ITK would end the process."""
    save_itk(oblique_scan, tmp_path / "a.nrrd")
    try:
        path = (tmp_path / "a.nrrd").rename(tmp_path / os.fsdecode(b"M\xfcller.nrrd"))
    except OSError:
        pytest.skip("this system takes UTF-8 only")
    assert "not in UTF-8" in refused(read_scan, path)

"""NRRD and MetaImage, in the ways that other programs write them."""

from __future__ import annotations

import bz2
import os
import zlib
from pathlib import Path

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


DATA = np.arange(60, dtype=np.uint8)
NRRD = {
    "type": "uchar",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "3 4 5",
    "space directions": "(2,0,0) (0,3,0) (0,0,4)",
    "encoding": "raw",
}
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "ElementSpacing": "2 3 4",
    "DimSize": "3 4 5",
    "ElementType": "MET_UCHAR",
    "ElementDataFile": "LOCAL",
}


def save_nrrd(path: Path, **fields: str) -> Path:
    """Write a small file; fields with underscores for blanks."""
    header = {**NRRD, **{name.replace("_", " "): value for name, value in fields.items()}}
    lines = [f"{name}: {value}" for name, value in header.items()]
    path.write_bytes("\n".join(["NRRD0004", *lines, "", ""]).encode() + DATA.tobytes())
    return path


def save_meta(path: Path, **fields: str) -> Path:
    """Write a small file, and its slices beside it."""
    last = fields.pop("ElementDataFile", META["ElementDataFile"])
    header = {**META, **fields}
    del header["ElementDataFile"]
    header["ElementDataFile"] = last  # which ends the header
    lines = "".join(f"{name} = {value}\n" for name, value in header.items())
    path.write_bytes(lines.encode() + (DATA.tobytes() if last == "LOCAL" else b""))
    for number, voxels in enumerate(DATA.reshape(5, 12)):
        (path.parent / f"slice{number}.raw").write_bytes(voxels.tobytes())
    return path


@pytest.mark.parametrize("unit", ["cm", "um", "m"])
def test_sizes_in_another_unit_than_mm_are_refused(tmp_path, refused, unit):
    for path in (
        save_nrrd(tmp_path / "a.nrrd", space_units=f'"mm" "mm" "{unit}"'),
        save_meta(tmp_path / "a.mha", DistanceUnits=unit),
    ):
        assert f"in {unit}, which ITK and Slicer take for mm" in refused(read_scan, path)
    np.testing.assert_allclose(
        read_scan(save_nrrd(tmp_path / "b.nrrd", space_units='"mm" "mm" "mm"')).spacing, (2, 3, 4)
    )


@pytest.mark.parametrize("steps", ["(2,0,0) none (0,0,4)", "(2,0,0) (nan,nan,nan) (0,0,4)"])
def test_an_axis_without_a_size_is_refused(tmp_path, refused, steps):
    path = save_nrrd(tmp_path / "a.nrrd", space_directions=steps)
    assert "how far apart its voxels are" in refused(read_scan, path)


SLICES = [f"slice{number}.raw" for number in range(5)]


@pytest.mark.parametrize("files", ["\n".join(["LIST", *SLICES]), "slice%d.raw 0 4 1"])
def test_slices_in_files_of_their_own_are_read(tmp_path, files):
    scan = read_scan(save_meta(tmp_path / "a.mhd", ElementDataFile=files))
    np.testing.assert_array_equal(scan.array.ravel(order="F"), DATA)


@pytest.mark.parametrize(
    "files",
    [
        "\n".join(["LIST", *SLICES[:3]]),
        "LIST",
        "\n".join(["LIST 3", *SLICES]),
        "slice%d.raw 0 3 1",
        "slice%d.raw 0 4 2",
        "slice%d.raw 0 4",
        "slice%d.raw 0 9 1",
    ],
)
def test_other_numbers_of_files_than_of_slices_are_refused(tmp_path, refused, files):
    """ITK makes up the missing ones, and writes beyond its memory where there are too many."""
    path = save_meta(tmp_path / "a.mhd", ElementDataFile=files)
    assert "not as many as its slices" in refused(read_scan, path)


def test_compressed_slices_in_files_of_their_own_are_refused(tmp_path, refused):
    path = save_meta(tmp_path / "a.mhd", ElementDataFile=SLICES[0], CompressedData="True")
    listed = path.read_text().replace(SLICES[0], "\n".join(["LIST", *SLICES]))
    path.write_text(listed)
    assert "several files, which are compressed" in refused(read_scan, path)


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

"""`factorizer train --check` on data that cannot be trained on: what, in which file."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from engine.training.blobs import make_case, write_image
from factorizer_engine.cli.training import train as train_command
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import DataSection
from factorizer_engine.training.data.checks import check_dataset
from factorizer_engine.training.data.dataset import open_dataset


def label(root: Path, number: int = 2) -> Path:
    return root / "labelsTr" / f"blob_{number}.nii.gz"


def image(root: Path, number: int = 2, channel: int = 0) -> Path:
    return root / "imagesTr" / f"blob_{number}_{channel:04d}.nii.gz"


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj).copy()


def with_voxel(value: float):
    def spoil(path: Path) -> None:
        array = voxels(path).astype(np.float32)
        array[3, 3, 3] = value
        write_image(path, array)

    return spoil


def moved(path: Path) -> None:
    nib.save(nib.Nifti1Image(voxels(path), np.diag([-1.0, -1.0, 1.0, 1.0])), path)


def far_away(path: Path) -> None:
    affine = np.eye(4)
    affine[:3, 3] = 500
    nib.save(nib.Nifti1Image(voxels(path), affine), path)


def flipped_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[2000] ^= 255
    path.write_bytes(content)


SPOILT = {
    "unknown label": (label, with_voxel(7), "The label has the unknown value 7."),
    "fraction": (label, with_voxel(1.5), "The label has the unknown value 1.5."),
    "negative label": (label, with_voxel(-1), "The label has the unknown value -1."),
    "not a number in label": (label, with_voxel(np.nan), "no finite number"),
    "not a number in image": (image, with_voxel(np.inf), "no finite number"),
    "other voxel size": (
        label,
        lambda path: write_image(path, voxels(path), spacing=2.0),
        "another grid (20 x 22 x 18 voxels of 2 x 2 x 2 mm)",
    ),
    "other shape": (label, lambda path: write_image(path, voxels(path)[:-1]), "(19 x 22 x 18"),
    "other place": (label, moved, "The label lies elsewhere in space than its image"),
    "image far away": (image, far_away, "The image does not overlap the first channel in space"),
    "constant image": (image, lambda p: write_image(p, voxels(p) * 0 + 5), "the same value"),
    "several volumes": (
        label,
        lambda path: write_image(path, np.zeros((20, 22, 18, 2), np.uint8)),
        "holds several volumes",
    ),
    "cut image": (image, lambda p: p.write_bytes(p.read_bytes()[:3000]), "is damaged or cut short"),
    "cut label": (label, lambda p: p.write_bytes(p.read_bytes()[:60]), "is damaged or cut short"),
    "no bytes": (image, lambda p: p.write_bytes(b""), "is empty"),
    "no bytes in label": (label, lambda p: p.write_bytes(b""), "is empty"),
    "text": (image, lambda p: p.write_text("hello"), "holds text"),
    "flipped bit": (image, flipped_bit, "is damaged"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_file_is_named_in_one_line(kind, dataset_dir, settings, write_config, capsys):
    which, spoil, expected = SPOILT[kind]
    # The second channel, where it does not matter: the first one decides about the grid.
    path = which(dataset_dir) if which is label else image(dataset_dir, 2, 1)
    spoil(path)
    with pytest.raises(BadInputError, match="not fit for training: 1 problem\\."):
        train_command(write_config(settings), check=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{path.parent.name}/{path.name}") and expected in line
    assert line.count(path.name.partition(".")[0]) == 1  # not named twice
    assert not Path(settings["run"]["output"]).exists()


def test_all_problems_are_listed_at_once(dataset_dir, settings, write_config, capsys):
    with_voxel(7)(label(dataset_dir, 1))
    image(dataset_dir, 2).write_bytes(b"")
    write_image(label(dataset_dir, 3), np.zeros((20, 22, 18), np.uint8))
    path = write_config(settings)
    with pytest.raises(BadInputError, match="not fit for training: 2 problems"):
        train_command(path, check=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0].rstrip(":") for line in lines] == [
        "labelsTr/blob_1.nii.gz",
        "imagesTr/blob_2_0000.nii.gz",
        "labelsTr/blob_3.nii.gz",
    ]
    with pytest.raises(BadInputError, match="blob_1.nii.gz: .* \\(1 more problem\\)"):
        train_command(path)


def test_images_without_a_label_are_remarked(dataset_dir, settings, write_config, capsys):
    label(dataset_dir, 3).unlink()
    train_command(write_config(settings), check=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "imagesTr/blob_3_0000.nii.gz: The image has no label and is left out."
    assert lines[-1] == "5 cases are fit for training."


def test_only_empty_labels_are_a_problem(dataset_dir, settings, write_config, capsys):
    for number in range(6):
        write_image(label(dataset_dir, number), np.zeros((20, 22, 18), np.uint8))
    with pytest.raises(BadInputError, match="not fit"):
        train_command(write_config(settings), check=True)
    assert "No case has the region core" in capsys.readouterr().out


def problems(root) -> list[str]:
    return [str(p) for p in check_dataset(open_dataset(DataSection(root=str(root)))).problems]


def test_a_sound_dataset_has_no_problems(dataset_dir):
    assert problems(dataset_dir) == []


def test_unknown_label_values_are_named_by_file(dataset_dir):
    path = dataset_dir / "labelsTr" / "blob_2.nii.gz"
    label = np.asarray(nib.load(path).dataobj).copy()
    label[0, 0, 0] = 7
    write_image(path, label)
    assert problems(dataset_dir) == ["labelsTr/blob_2.nii.gz: The label has the unknown value 7."]


def test_a_label_on_another_grid_is_named_by_file(dataset_dir):
    path = dataset_dir / "labelsTr" / "blob_1.nii.gz"
    write_image(path, np.asarray(nib.load(path).dataobj), spacing=2.0)
    found = problems(dataset_dir)
    assert len(found) == 1
    assert found[0].startswith("labelsTr/blob_1.nii.gz: The label lies on another grid")


def test_a_truncated_image_is_named_by_file(dataset_dir):
    path = dataset_dir / "imagesTr" / "blob_4_0001.nii.gz"
    path.write_bytes(path.read_bytes()[:200])
    found = problems(dataset_dir)
    assert len(found) == 1
    assert found[0].startswith("imagesTr/blob_4_0001.nii.gz")


def test_an_empty_label_is_remarked_but_allowed(dataset_dir):
    path = dataset_dir / "labelsTr" / "blob_0.nii.gz"
    write_image(path, np.zeros((20, 22, 18), np.uint8))
    report = check_dataset(open_dataset(DataSection(root=str(dataset_dir))))
    assert not report.problems
    assert [remark.file for remark in report.remarks] == ["labelsTr/blob_0.nii.gz"]


def test_a_region_that_no_case_has_is_a_problem(dataset_dir):
    section = DataSection(root=str(dataset_dir), regions={"whole": (1, 2), "cyst": (9,)})
    found = check_dataset(open_dataset(section)).problems
    assert [p.message for p in found] == ["No case has the region cyst (values [9])."]


def test_a_dataset_of_one_case_is_refused(tmp_path):
    make_case(tmp_path / "one", "only", 0)
    section = DataSection(
        root=str(tmp_path / "one"), channels=("A", "B"), regions={"whole": (1, 2)}
    )
    with pytest.raises(BadInputError, match="only the case only"):
        check_dataset(open_dataset(section))


def test_copies_and_label_maps_among_the_images_are_remarked(dataset_dir):
    image(dataset_dir, 3).write_bytes(image(dataset_dir, 1).read_bytes())
    image(dataset_dir, 2, 1).write_bytes(image(dataset_dir, 2, 0).read_bytes())
    with_big_blob = np.zeros((20, 22, 18), np.uint8)
    with_big_blob[2:18, 2:20, 2:16] = 1
    with_big_blob[9:14, 5:15, 4:12] = 2
    write_image(image(dataset_dir, 4, 1), with_big_blob)
    report = check_dataset(open_dataset(DataSection(root=str(dataset_dir))))
    copy = ".nii.gz: The image has the very voxels of"
    assert report.problems == ()
    assert sorted(map(str, report.remarks)) == [
        f"imagesTr/blob_2_0001{copy} imagesTr/blob_2_0000.nii.gz.",
        f"imagesTr/blob_3_0000{copy} imagesTr/blob_1_0000.nii.gz.",
        "imagesTr/blob_4_0001.nii.gz: The image seems to be a label map or mask, not a scan.",
    ]

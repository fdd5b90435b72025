"""Which files make up a case, in every known layout."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from engine.training.blobs import write_image
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import DataSection
from factorizer_engine.training.data.cases import read_channels
from factorizer_engine.training.data.checks import check_dataset
from factorizer_engine.training.data.dataset import open_dataset


def test_an_nnunet_folder_describes_itself(dataset_dir):
    dataset = open_dataset(DataSection(root=str(dataset_dir)))
    assert dataset.channels == ("A", "B")
    assert dataset.regions == {"whole": (1, 2), "core": (2,), "rim": (1,)}
    assert [len(case.images) for case in dataset.cases] == [2] * 6


def test_an_msd_folder_with_four_dimensional_images_is_understood(tmp_path):
    root = tmp_path / "msd"
    for number in range(2):
        image = np.random.default_rng(number).normal(size=(8, 9, 10, 3)).astype(np.float32)
        write_image(root / "imagesTr" / f"case_{number:03d}.nii.gz", image)
        label = np.zeros((8, 9, 10), np.uint8)
        label[2:4] = 1
        write_image(root / "labelsTr" / f"case_{number:03d}.nii.gz", label)
    description = {
        "modality": {"0": "FLAIR", "1": "T1", "2": "T2"},
        "labels": {"0": "background", "1": "lesion"},
    }
    (root / "dataset.json").write_text(json.dumps(description))
    dataset = open_dataset(DataSection(root=str(root)))
    assert dataset.channels == ("FLAIR", "T1", "T2")
    assert dataset.regions == {"lesion": (1,)}
    scans = read_channels(dataset.cases[1])
    expected = nib.load(dataset.cases[1].images[0]).get_fdata()
    assert [np.abs(s.array - expected[..., i]).max() for i, s in enumerate(scans)] == [0, 0, 0]
    assert not check_dataset(dataset).problems


def test_a_bids_folder_with_derivatives_is_understood(tmp_path):
    root = tmp_path / "stroke"
    for number in (1, 2):
        session = f"sub-{number}/ses-1"
        name = f"sub-{number}_ses-1"
        for channel in ("dwi", "adc", "FLAIR"):
            write_image(root / "rawdata" / session / f"{name}_{channel}.nii.gz", np.eye(8)[None])
        write_image(root / "derivatives" / session / f"{name}_msk.nii.gz", np.ones((1, 8, 8)))
    section = DataSection(
        root=str(root),
        channels=("DWI", "FLAIR"),
        regions={"lesion": (1,)},
        exclude=("sub-2_ses-1",),
    )
    (case,) = open_dataset(section).cases
    assert case.name == "sub-1_ses-1"
    assert [p.name for p in case.images] == ["sub-1_ses-1_dwi.nii.gz", "sub-1_ses-1_FLAIR.nii.gz"]
    with pytest.raises(BadInputError, match="sub-1_ses-1 lacks the channel T1"):
        open_dataset(section.model_copy(update={"channels": ("T1",)}))


def test_a_missing_channel_is_named_by_file(dataset_dir):
    (dataset_dir / "imagesTr" / "blob_3_0001.nii.gz").unlink()
    with pytest.raises(BadInputError, match="blob_3 lacks channel 1 .B.: imagesTr/blob_3_0001"):
        open_dataset(DataSection(root=str(dataset_dir)))


@pytest.mark.parametrize(
    ("labels", "regions"),
    [
        ({"background": 0, "1": 1, "2": 2}, {"1": (1,), "2": (2,)}),
        ({"background": 0, "2": 1, "1": [1, 2]}, {"2": (1,), "1": (1, 2)}),
        ({"0": 0, "1": 1}, {"1": (1,)}),
        ({"0": "background", "1": "1", "2": "3"}, {"1": (1,), "3": (2,)}),
        ({"background": "0", "2": "1"}, {"2": (1,)}),
        ({"background": 0, "1": "oedema", "2": 2}, {"oedema": (1,), "2": (2,)}),
        ({"background": 0, "lesion": 1.0}, {"lesion": (1,)}),
    ],
)
def test_labels_may_be_called_by_numbers(dataset_dir, labels, regions):
    description = {"channel_names": {"0": 0, "1": 1}, "labels": labels}
    (dataset_dir / "dataset.json").write_text(json.dumps(description))
    dataset = open_dataset(DataSection(root=str(dataset_dir)))
    assert dataset.regions == regions
    assert dataset.channels == ("0", "1")


@pytest.mark.parametrize(
    "labels", [{"lesion": 1.5}, {"lesion": "1.5"}, {"0": "background", "1": "a", "2": "a"}]
)
def test_labels_that_would_be_read_wrongly_are_refused(dataset_dir, labels):
    description = {"channel_names": {"0": "A", "1": "B"}, "labels": labels}
    (dataset_dir / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(BadInputError, match="cannot be understood"):
        open_dataset(DataSection(root=str(dataset_dir)))


def test_a_configuration_may_call_labels_by_numbers(dataset_dir):
    section = DataSection(root=str(dataset_dir), channels=(0, 1), labels={1: 1}, regions={1: [1]})
    assert open_dataset(section).regions == {"1": (1,)}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"channel_names": {"0": "A", "1": "B"},}', "it is no JSON from line 1, column 40 on"),
        ("[]", "numbers and names"),
        ('{"channel_names": {"0": "A", "2": "B"}}', "the numbers 0, 2 instead of 0 to 1"),
        ('{"channel_names": {"0": "A"}, "labels": {"lesion": "one"}}', "the label one is no whole"),
    ],
)
def test_what_is_wrong_with_a_description_is_told(dataset_dir, content, words):
    (dataset_dir / "dataset.json").write_text(content)
    with pytest.raises(BadInputError, match=words):
        open_dataset(DataSection(root=str(dataset_dir)))


def test_a_description_may_bear_the_mark_of_windows(dataset_dir):
    path = dataset_dir / "dataset.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert open_dataset(DataSection(root=str(dataset_dir))).channels == ("A", "B")


def test_endings_may_be_in_capitals(dataset_dir):
    for path in dataset_dir.rglob("*.nii.gz"):
        path.rename(path.with_name(path.name.replace(".nii.gz", ".NII.GZ")))
    assert [case.name for case in open_dataset(DataSection(root=str(dataset_dir))).cases] == [
        f"blob_{number}" for number in range(6)
    ]


@pytest.mark.parametrize("name", ["imagesTr/blob_3_0001", "labelsTr/blob_3"])
def test_two_files_for_the_same_are_refused(dataset_dir, name):
    (dataset_dir / f"{name}.nrrd").touch()
    with pytest.raises(BadInputError, match=r"blob_3.*\.nii\.gz and blob_3.*\.nrrd; remove one"):
        open_dataset(DataSection(root=str(dataset_dir)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"labels": {"background": 0, "core": 2, "core": 1}}', "'core' stands there twice"),
        ('{"channel_names": {"0": "A", "0": "B"}}', "'0' stands there twice"),
        ('{"labels": {"background": 1, "core": 0}}', "another value than 0"),
        ('{"labels": {"background": 0, "Core": 1, "core": 2}}', "two labels are called core"),
        ('{"labels": {"a": [1, 2], "b": [2, 1]}}', "a and b are the same values"),
        ('{"labels": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    ],
)
def test_a_description_that_means_two_things_is_refused(dataset_dir, text, words):
    (dataset_dir / "dataset.json").write_text(text, encoding="utf-8")
    with pytest.raises(BadInputError, match=words):
        open_dataset(DataSection(root=str(dataset_dir), channels=("A", "B"), regions={"x": (1,)}))


@pytest.mark.parametrize(
    ("names", "words"),
    [(["MR", "mr"], "Two channels of .* are called mr"), (["A", None], "channel 1 .* no name")],
)
def test_channels_have_names_of_their_own(dataset_dir, names, words):
    path = dataset_dir / "dataset.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    described["channel_names"] = dict(enumerate(names))
    path.write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(BadInputError, match=words):
        open_dataset(DataSection(root=str(dataset_dir)))
    assert open_dataset(DataSection(root=str(dataset_dir), channels=("A", "B"))).cases

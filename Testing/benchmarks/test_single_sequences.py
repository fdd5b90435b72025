"""One lesion in one sequence, made of data sets of several sequences."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import single_sequences
from factorizer_engine.images.files import read_scan, write_nifti
from factorizer_engine.images.scan import Scan

SHAPE = (12, 10, 8)


def write(path, *values):
    """A label map or image with these values in the first row."""
    array = np.zeros(SHAPE, np.uint8)
    array[: len(values), 0, 0] = values
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(Scan.of(array, np.eye(4)), path)


@pytest.fixture
def made(tmp_path, monkeypatch):
    data, output = tmp_path / "data", tmp_path / "made"
    for patient in ("Brats18_CBICA_AVG_1", "Brats18_CBICA_ALU_1"):
        write(data / "brats18" / "labelsTr" / f"{patient}.nii.gz", 1, 2, 2, 4)
        for number in range(4):
            write(data / "brats18" / "imagesTr" / f"{patient}_{number:04d}.nii.gz", number + 1)
    write(data / "open_ms_mni" / "labelsTr" / "patient07.nii.gz", 1, 0, 0, 1, 1)
    for number in range(4):
        write(data / "open_ms_mni" / "imagesTr" / f"patient07_{number:04d}.nii.gz", 7)
    write(data / "isles22" / "derivatives" / "a_msk.nii.gz", 1)
    for sequence in ("dwi", "adc"):
        write(data / "isles22" / "rawdata" / f"a_{sequence}.nii.gz", 5)
    for folder in ("imagesTr", "labelsTr"):
        write(data / "msd_hippocampus" / folder / "hippocampus_001.nii.gz", 1, 2)
    for case, sequences in {
        "brats13/pat1": ("FLAIR", "T1ce"),
        "brats_ped/child": ("FLAIR", "T1", "T1ce", "T2"),
    }.items():
        write(data / case / "seg.nii.gz", 2)
        for sequence in sequences:
            write(data / case / f"{sequence}.nii.gz", 3)
    monkeypatch.setattr(single_sequences, "_FEWEST_VOXELS", 1)
    single_sequences.main(data, output)
    return output


def names(folder) -> set[str]:
    return {path.name.removesuffix(".nii.gz") for path in (folder / "labelsTr").iterdir()}


def test_what_was_not_to_be_seen_is_not_trained_on(made):
    assert names(made / "training") == {
        *(
            f"Brats18_CBICA_ALU_1-{part}"
            for part in ("FLAIR-WT", "FLAIR-TC", "T1-WT", "T1ce-TC", "T1ce-ET", "T1ce-necrosis")
        ),
        "pat1-FLAIR-WT", "child-FLAIR-WT", "child-T1-WT",  # without a core, and without T2
    }  # fmt: skip
    unseen = names(made / "unseen")
    assert {"Brats18_CBICA_AVG_1-T2-WT", "stroke-DWI", "stroke-ADC", "hippocampus_001"} <= unseen
    assert {"ms-T2-all", "ms-T2-1", "ms-T2-2"} <= unseen and "ms-T2-3" not in unseen


def test_every_case_is_one_image_with_one_outline(made):
    def voxels(name):
        return read_scan(made / "unseen" / "labelsTr" / f"{name}.nii.gz").array

    assert voxels("Brats18_CBICA_AVG_1-FLAIR-WT").sum() == 4
    assert voxels("Brats18_CBICA_AVG_1-T1ce-TC")[:4, 0, 0].tolist() == [1, 0, 0, 1]
    assert voxels("Brats18_CBICA_AVG_1-T1ce-ET")[:4, 0, 0].tolist() == [0, 0, 0, 1]
    assert voxels("ms-FLAIR-1")[:5, 0, 0].tolist() == [0, 0, 0, 1, 1]  # the largest one first
    assert voxels("ms-FLAIR-all").sum() == 3
    assert voxels("hippocampus_001").sum() == 2
    image = read_scan(made / "unseen" / "imagesTr" / "Brats18_CBICA_AVG_1-T2-WT_0000.nii.gz")
    assert image.array[0, 0, 0] == 4


def test_what_is_trained_on_is_there_again_with_larger_voxels(made):
    own, near = made / "training", made / "training-near"
    assert names(near) == {name + end for name in names(own) for end in ("", "-near")}
    for file in ("imagesTr/child-T1-WT{}_0000.nii.gz", "labelsTr/child-T1-WT{}.nii.gz"):
        before, after = read_scan(own / file.format("")), read_scan(near / file.format("-near"))
        np.testing.assert_array_equal(after.array, before.array)
        assert after.spacing == pytest.approx([1.5, 1.5, 1.5])

"""`factorizer inspect` of folders that are neither one result nor DICOM."""

from __future__ import annotations

import re

import nibabel as nib
import numpy as np
import pytest

from engine.conftest import make_array, save_scan
from engine.training.blobs import make_dataset
from factorizer_engine.cli.studies.outcomes import Outcome, write_summary
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.files.itk import itk_image


@pytest.mark.parametrize("below", ["", "anna"])
def test_a_folder_of_scans_lists_them_by_their_headers(cli, tmp_path, below):
    folder = tmp_path / "scans" / below
    folder.mkdir(parents=True)
    save_scan(folder / "FLAIR.nii.gz", make_array(1))
    write_nrrd(read_scan(folder / "FLAIR.nii.gz"), folder / "T1.nrrd")
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6, 3), np.uint8), np.eye(4)), folder / "DTI.nii")
    (folder / "broken.nii.gz").write_bytes(b"nothing")

    outcome = cli("inspect", tmp_path / "scans")

    assert outcome.code == 0 and "Scans in" in outcome.output
    for name in ("FLAIR.nii.gz", "T1.nrrd"):
        assert re.search(rf"{name} +\W 20 x 18 x 16 +\W", outcome.output)
    assert re.search(r"DTI.nii +\W 4 x 5 x 6 x 3 +\W +1 x 1 x 1", outcome.output)
    assert re.search(r"broken.nii.gz +\W cannot be read", outcome.output)


def write_nrrd(scan, path) -> None:
    import SimpleITK as sitk

    sitk.WriteImage(itk_image(scan), str(path))


def test_a_training_dataset_is_told_as_a_training_reads_it(cli, tmp_path):
    make_dataset(tmp_path / "blobs")
    for path in (tmp_path / "blobs" / "imagesTr").iterdir():
        path.write_bytes(path.read_bytes()[:40])  # no voxels are needed

    output = cli("inspect", tmp_path / "blobs").output

    assert "Training dataset" in output
    for name, value in (
        ("Cases", "6"),
        ("Channels", "A, B"),
        ("Regions", r"whole \(1, 2\), core \(2\)"),
    ):
        assert re.search(rf"{name} +\W {value}", output)


def test_a_dataset_that_no_training_takes_says_why(cli, tmp_path):
    make_dataset(tmp_path / "blobs")
    (tmp_path / "blobs" / "dataset.json").unlink()

    assert "channels of blobs are unknown" in cli("inspect", tmp_path / "blobs").sentence


def test_the_results_of_many_studies_are_listed(cli, tmp_path):
    outcomes = [
        Outcome("anna", lesions=2, volumes_ml={"Core": 1.5}),
        Outcome("björn", reason="The scan is empty."),
    ]
    write_summary(outcomes, (), tmp_path / "studies.csv")

    outcome = cli("inspect", tmp_path)

    assert outcome.code == 0 and "Studies in" in outcome.output
    assert re.search(r"anna +\W done +\W +2 +\W +1.5", outcome.output)
    assert re.search(r"björn +\W failed +\W +\W +\W The scan is empty", outcome.output)

"""How long clicks take, and lesions to click on."""

from __future__ import annotations

import pytest

from benchmarks import click_times, painted_lesions
from engine import tiny
from factorizer_engine.images.files import read_labels, read_scan


@pytest.fixture
def data(tmp_path):
    """A case of one scan whose lesion is a box."""
    return tiny.dataset_of_one_scan(tmp_path, "case-FLAIR-WT", tiny.scans((60, 56, 48))["FLAIR"])


def test_every_click_is_timed_also_with_finer_voxels(data, tmp_path, capsys):
    model = str(tiny.bundle_for_clicks(tmp_path / "bundle").description.path)
    click_times.main([str(data), model, "--finer", "--scribbles"])
    told = capsys.readouterr().out
    assert "case-FLAIR-WT lesion: Dice 0.000" in told
    assert "case-FLAIR-WT finer lesion: Dice 0.000" in told
    assert told.count("slowest") == 2
    assert told.count("90 slices") == 2 and "case-FLAIR-WT finer lesion, 30 slices" in told


def test_painted_lesions_have_their_size_and_spare_the_tumour(data, tmp_path):
    painted_lesions.main(data, tmp_path / "painted")
    tumour = read_labels(data / "labelsTr" / "case-FLAIR-WT.nii.gz").array > 0
    before = read_scan(data / "imagesTr" / "case-FLAIR-WT_0000.nii.gz").array
    found = sorted((tmp_path / "painted" / "labelsTr").iterdir())
    assert found
    for file in found:
        lesion, name = read_labels(file), file.name.removesuffix(".nii.gz")
        low, high = painted_lesions.SIZES_ML[name.rsplit("-", 1)[1]]
        volume = lesion.grid.volume_ml(int(lesion.array.sum()))
        assert low <= volume <= high and not (tumour & (lesion.array > 0)).any()
        after = read_scan(tmp_path / "painted" / "imagesTr" / f"{name}_0000.nii.gz").array
        assert ((after != before) & (lesion.array > 0)).any()
        assert ((after == 0) == (before == 0)).all()

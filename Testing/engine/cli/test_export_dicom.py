"""DICOM objects from the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from engine.cli.test_series import save_series
from factorizer_engine.images.files import read_scan, write_seg_nrrd
from factorizer_engine.images.files.dicom.source import source_with
from factorizer_engine.images.files.seg_reading import read_seg_nrrd
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Label
from factorizer_engine.protocol.segmentations import MODEL_TAG, SegmentationFile
from factorizer_engine.protocol.tasks.export_dicom import (
    EVIDENCE,
    EXPORT_DICOM,
    ExportDicomParams,
    MapFile,
)
from factorizer_engine.protocol.volumes import ScanFile


@pytest.fixture
def study(scans, tmp_path) -> Path:
    """A folder with one series for each channel of the tiny model, as archives keep them."""
    folder = tmp_path / "study"
    for number, (name, path) in enumerate(scans.items(), start=1):
        save_series(read_scan(path), folder, f"AX {name}", number)
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.FrameOfReferenceUID, data.StudyInstanceUID = "1.2.3.4.5", "1.2.3.4"
        data.save_as(path)
    return folder


@pytest.fixture
def result(cli, study, tmp_path) -> Path:
    """A folder that `segment` wrote."""
    named = [f"--input={name}={study}::AX {name}" for name in ("FLAIR", "T1")]
    outcome = cli("segment", "--model", "tiny", *named, "-o", tmp_path / "result", "-d", "cpu")
    assert outcome.code == 0, outcome.errors
    return tmp_path / "result"


def segments_of(path: Path) -> dict[str, pydicom.Dataset]:
    return {item.SegmentLabel: item for item in pydicom.dcmread(path).SegmentSequence}


def edit_one_voxel(path: Path) -> str:
    """Erase a voxel of a segment that has others; returns the segment's name."""
    labelmap, labels = read_seg_nrrd(path)
    label = next(label for label in labels if (labelmap.array == label.value).sum() > 1)
    changed = labelmap.array.copy()
    changed[tuple(np.argwhere(changed == label.value)[0])] = 0
    write_seg_nrrd(labelmap.with_array(changed), labels, path)
    return label.name


def test_a_result_is_exported_beside_the_series_that_was_segmented(cli, result, tmp_path):
    outcome = cli("export-dicom", result, "-o", tmp_path / "dicom")
    assert outcome.code == 0, outcome.errors
    segmentation = pydicom.dcmread(tmp_path / "dicom" / "segmentation.dcm")
    report = pydicom.dcmread(tmp_path / "dicom" / "report.dcm")
    assert (segmentation.Modality, report.Modality) == ("SEG", "SR")
    assert segmentation.StudyInstanceUID == report.StudyInstanceUID == "1.2.3.4"
    labelmap, labels = read_seg_nrrd(result / "segmentation.seg.nrrd")
    found = [label.name for label in labels if (labelmap.array == label.value).any()]
    assert list(segments_of(tmp_path / "dicom" / "segmentation.dcm")) == found
    for segment in segmentation.SegmentSequence:
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("tiny", "1.0.0")

    told = cli("inspect", tmp_path / "dicom" / "segmentation.dcm").output
    assert "DICOM segmentation (SEG)" in told and "tiny 1.0.0" in told

    again = cli("export-dicom", result, "-o", tmp_path / "dicom")
    assert again.code == 2 and "--overwrite" in again.sentence
    assert cli("export-dicom", result, "-o", tmp_path / "dicom", "--overwrite").code == 0


def test_what_was_corrected_by_hand_is_told(cli, result, tmp_path):
    name = edit_one_voxel(result / "segmentation.seg.nrrd")
    assert cli("export-dicom", result, "-o", tmp_path / "dicom").code == 0
    kinds = {
        name: item.SegmentAlgorithmType
        for name, item in segments_of(tmp_path / "dicom" / "segmentation.dcm").items()
    }
    assert kinds.pop(name) == "SEMIAUTOMATIC"
    assert set(kinds.values()) <= {"AUTOMATIC"}


def test_a_segment_that_people_have_added_names_no_model(cli, result, tmp_path):
    path = result / "segmentation.seg.nrrd"
    labelmap, labels = read_seg_nrrd(path)
    changed = labelmap.array.copy()
    changed[tuple(np.argwhere(changed == 0)[:20].T)] = 9
    added = [*labels, Label(9, "Mine", (255, 0, 0))]
    write_seg_nrrd(labelmap.with_array(changed), added, path)
    assert cli("export-dicom", result, "-o", tmp_path / "dicom").code == 0
    segments = segments_of(tmp_path / "dicom" / "segmentation.dcm")
    assert segments.pop("Mine").SegmentAlgorithmType == "MANUAL"
    assert {item.SegmentAlgorithmType for item in segments.values()} == {"AUTOMATIC"}


@pytest.fixture
def saved_by_slicer(loaded_by_slicer):
    """What Slicer makes of a file, in which the user has drawn one of the segments anew."""

    def save(path: Path, into: Path, drawn: Label) -> Path:
        node, storage = loaded_by_slicer(path)
        node.GetSegmentation().GetSegment(f"Label_{drawn.value}").RemoveTag(MODEL_TAG)
        storage.SetFileName(str(into))
        assert storage.WriteData(node) == 1
        return into

    return save


def test_a_result_that_slicer_has_saved_elsewhere_tells_its_model(
    cli, result, study, tmp_path, saved_by_slicer
):
    path = result / "segmentation.seg.nrrd"
    labelmap, labels = read_seg_nrrd(path)
    drawn = next(label for label in labels if (labelmap.array == label.value).any())
    saved = saved_by_slicer(path, tmp_path / "new.seg.nrrd", drawn)
    outcome = cli("export-dicom", saved, "--series", f"{study}::AX FLAIR", "-o", tmp_path / "dicom")
    assert outcome.code == 0, outcome.errors
    segments = segments_of(tmp_path / "dicom" / "segmentation.dcm")
    assert segments.pop(drawn.name).SegmentAlgorithmType == "MANUAL"
    assert segments
    for segment in segments.values():
        assert segment.SegmentAlgorithmType == "SEMIAUTOMATIC"
        assert segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "tiny"


def test_what_answers_clicks_is_told_to_be_semiautomatic(cli, study, tmp_path):
    named = [f"--input={name}={study}::AX {name}" for name in ("FLAIR", "T1")]
    scan = read_scan(f"{study}::AX FLAIR")
    place = scan.affine @ [10, 9, 8, 1]
    click = f"--add=WT={','.join(map(str, place[:3]))}"
    outcome = cli("refine", "-m", "tiny", *named, click, "-o", tmp_path / "result", "-d", "cpu")
    assert outcome.code == 0, outcome.errors
    outcome = cli("export-dicom", tmp_path / "result", "-o", tmp_path / "dicom")
    assert outcome.code == 0, outcome.errors
    for segment in segments_of(tmp_path / "dicom" / "segmentation.dcm").values():
        assert segment.SegmentAlgorithmType == "SEMIAUTOMATIC"
        assert segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "tiny"


def test_a_segmentation_drawn_by_people_needs_to_be_told_its_series(cli, study, tmp_path):
    scan = read_scan(f"{study}::AX T1")
    mask = np.zeros(scan.shape, np.uint8)
    mask[5:9, 5:9, 5:9] = 1
    path = tmp_path / "drawn.seg.nrrd"
    write_seg_nrrd(Scan(mask, scan.grid), [Label(1, "Lesion", (255, 0, 0))], path)
    assert "--series" in cli("export-dicom", path, "-o", tmp_path / "dicom").sentence
    assert not (tmp_path / "dicom").exists()
    outcome = cli("export-dicom", path, "-s", f"{study}::AX T1", "-o", tmp_path / "dicom")
    assert outcome.code == 0, outcome.errors
    (segment,) = segments_of(tmp_path / "dicom" / "segmentation.dcm").values()
    assert segment.SegmentAlgorithmType == "MANUAL"


def test_a_result_of_other_files_needs_to_be_told_its_series(cli, scans, tmp_path):
    named = [f"--input={name}={path}" for name, path in scans.items()]
    cli("segment", "-m", "tiny", *named, "-o", tmp_path / "result", "-d", "cpu")
    sentence = cli("export-dicom", tmp_path / "result", "-o", tmp_path / "dicom").sentence
    assert "case_FLAIR.nii.gz" in sentence and "--series" in sentence


def test_heatmaps_are_exported_beside_the_series(cli, result, study, tmp_path):
    named = [f"--input={name}={study}::AX {name}" for name in ("FLAIR", "T1")]
    folder, out = tmp_path / "components", tmp_path / "dicom"
    assert cli("components", "-m", "tiny", *named, "-o", folder, "-n", "2", "-d", "cpu").code == 0
    outcome = cli("export-dicom", result, "-o", out, "--components", folder)
    assert outcome.code == 0, outcome.errors
    maps = [f"{kind}_{number}" for number in (1, 2) for kind in ("evidence", "component")]
    assert {path.stem for path in out.iterdir()} == {"segmentation", "report", *maps}
    for name in maps:
        own = read_scan(folder / f"{name}.nii.gz").array
        data = pydicom.dcmread(out / f"{name}.dcm")
        assert data.StudyInstanceUID == "1.2.3.4" and data.FrameOfReferenceUID == "1.2.3.4.5"
        values = np.frombuffer(data.FloatPixelData, "<f4")
        np.testing.assert_array_equal(np.sort(values), np.sort(own, axis=None))
    assert f"{out / 'evidence_1.dcm'}" in outcome.output.replace("\n", "")
    again = cli("export-dicom", result, "-o", out, "--components", folder)
    assert again.code == 2 and "--overwrite" in again.sentence


def test_what_is_no_result_is_refused_in_a_sentence(cli, scans, tmp_path):
    output = ("-o", tmp_path / "dicom")
    assert "holds no segmentation.seg.nrrd" in cli("export-dicom", tmp_path, *output).sentence
    scan = next(iter(scans.values()))
    assert "no Slicer segmentation" in cli("export-dicom", scan, *output).sentence
    missing = tmp_path / "x.seg.nrrd"
    assert "does not exist" in cli("export-dicom", missing, *output).sentence


def test_the_engine_finds_the_series_of_a_scan_by_its_voxels(engine, study, tmp_path):
    scan = read_scan(f"{study}::AX T1")
    mask = np.zeros(scan.shape, np.uint8)
    mask[5:9, 5:9, 5:9] = 1
    given = ScanFile.save(scan.array, scan.affine, tmp_path / "scan.npy", "T1")
    labelmap = ScanFile.save(mask, scan.affine, tmp_path / "labels.npy")
    segmentation = SegmentationFile(labelmap, (Label(1, "Lesion", (255, 0, 0)),), "m", "2")
    evidence = ScanFile.save(mask * np.float32(-0.1), scan.affine, tmp_path / "map.npy", "Map")
    params = ExportDicomParams(
        segmentation,
        given,
        str(study),
        str(tmp_path / "dicom"),
        maps=(MapFile(evidence, "Decoder 1, component 2", EVIDENCE, 1, (-1.0, 1.0)),),
    )
    written = engine.request(EXPORT_DICOM, params)
    data = pydicom.dcmread(written.segmentation)
    (series,) = data.ReferencedSeriesSequence
    titles = {
        item.SeriesInstanceUID: item.SeriesDescription
        for item in map(pydicom.dcmread, study.iterdir())
    }
    assert titles[series.SeriesInstanceUID] == "AX T1"
    assert Path(written.report).is_file()
    (path,) = written.maps
    values = np.frombuffer(pydicom.dcmread(path).FloatPixelData, "<f4")
    assert np.unique(values).tolist() == [np.float32(-0.1), 0]

    other = ScanFile.save(scan.array + 5, scan.affine, tmp_path / "other.npy", "T1 changed")
    with pytest.raises(BadInputError, match="No DICOM series in study has the voxels of T1 ch"):
        engine.request(EXPORT_DICOM, replace(params, scan=other))


def test_a_series_of_small_values_is_told_from_the_others(study):
    for path in study.iterdir():
        data = pydicom.dcmread(path)
        data.RescaleSlope, data.RescaleIntercept = "0.000001", "0"  # as of diffusion in mm2/s
        data.save_as(path)
    source = source_with(study, read_scan(f"{study}::AX T1"))
    assert source.title == "AX T1"

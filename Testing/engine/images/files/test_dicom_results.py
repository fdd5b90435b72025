"""DICOM results are told for what they are, and are never taken for scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.dicom_writing import FRAME, STRAIGHT, write_dicom
from engine.images.files.samples import LABELS
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.files.dicom import series_in
from factorizer_engine.images.files.dicom.derived import Algorithm
from factorizer_engine.images.files.dicom.parametric_map import (
    ComponentVolume,
    write_parametric_maps,
)
from factorizer_engine.images.files.dicom.results import result_facts
from factorizer_engine.images.files.dicom.source import read_source
from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.dicom import write_dicom_objects
from factorizer_engine.protocol.errors import BadInputError


@pytest.fixture(params=[1, 2])
def study(request, tmp_path, oblique_scan) -> Path:
    """A folder with a series, and with its results: one or two segments, a report and a map."""
    folder = tmp_path / "study"
    scan = Scan.of(oblique_scan.array, STRAIGHT)
    write_dicom(folder, scan, change=lambda data: setattr(data, "FrameOfReferenceUID", FRAME))
    source = read_source(folder)
    array = np.zeros(scan.shape, np.uint8)
    array[1:5, 2:9, 1:5] = 2
    array[2:4, 3:6, 2:4] = 4 if request.param == 2 else 2
    labelmap = scan.with_array(array)
    model = Algorithm("glioma", "1.2")
    write_dicom_objects(labelmap, LABELS, source, model, folder)
    values = scan.with_array(array.astype(np.float32))
    volume = ComponentVolume(values, "Decoder 3, component 4", "evidence", 1, (-1.0, 1.0))
    write_parametric_maps([volume], LABELS, source, folder, model)
    return folder


def test_a_series_is_read_although_its_results_lie_beside_it(study, oblique_scan):
    assert read_scan(study).name == "FLAIR"
    np.testing.assert_array_equal(
        np.sort(read_scan(study).array, None), np.sort(oblique_scan.array, None)
    )
    assert f"{study}::FLAIR" in series_in(study)
    assert not [name for name in series_in(study) if "Lesions" in name]


def test_segments_are_never_read_as_a_scan(study, tmp_path, refused):
    sentence = "is a DICOM segmentation (SEG) and no scan"
    assert sentence in refused(read_scan, study / "segmentation.dcm")
    assert sentence in refused(read_scan, f"{study}::Lesions on FLAIR")
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("segmentation.dcm", "evidence_1.dcm", "report.dcm"):
        (study / name).rename(alone / name)
    assert "no scan but what was made of one" in refused(read_scan, alone)


def test_a_segmentation_tells_its_model_and_its_segments(study):
    kind, facts = result_facts(study / "segmentation.dcm")
    assert kind == "DICOM segmentation (SEG)" and facts["Model"] == "glioma 1.2"
    assert facts["Segment 1 Oedema"] == "Neoplasm, Brain, automatic"
    assert facts["Frames"].endswith("of 10 x 12")
    assert "Test" not in str(facts), "nobody asked for the patient"


def test_a_report_tells_its_model_and_its_measures(study, oblique_scan):
    kind, facts = result_facts(study / "report.dcm")
    assert kind == "DICOM structured report (SR)"
    assert facts["Model"].startswith("glioma 1.2 (factorizer")
    assert facts["Oedema"].endswith(" ml") and facts["Lesion 1"].endswith(" ml")


def test_a_map_tells_its_component_model_and_unit(study):
    kind, facts = result_facts(study / "evidence_1.dcm")
    assert kind == "DICOM parametric map"
    assert facts["Shows"] == "Decoder 3, component 4" and facts["Model"] == "glioma 1.2"
    assert (facts["Kind"], facts["Unit"]) == ("evidence", "logits per millilitre")


def test_other_files_are_no_results(study, tmp_path):
    image = next(path for path in study.iterdir() if "_" in path.stem and path.stem[0].isdigit())
    assert result_facts(image) is None
    (tmp_path / "notes.txt").write_text("no DICOM at all")
    assert result_facts(tmp_path / "notes.txt") is None
    cut = tmp_path / "cut.dcm"
    cut.write_bytes((study / "segmentation.dcm").read_bytes()[:900])
    with pytest.raises(BadInputError, match="damaged DICOM file"):
        result_facts(cut)

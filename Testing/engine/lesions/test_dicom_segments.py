"""What DICOM results say of each segment: its name, its codes, who has drawn it, its measures."""

from __future__ import annotations

import re
from dataclasses import replace

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from engine.conftest import MODULE_DIR
from engine.images.files.samples import LABELS
from engine.lesions.test_dicom import MODEL, lesions_in
from factorizer_engine.images.files.dicom.codes import codes_of
from factorizer_engine.lesions.dicom import write_dicom_objects
from factorizer_engine.protocol import conventions
from factorizer_engine.protocol.models import Label

LEFT_SIDED = (
    "Segmentation category and type - DICOM master list"
    "~SCT^49755003^Morphologically Altered Structure~SCT^108369006^Neoplasm~SCT^86049000^Primary"
    "~Anatomic codes - DICOM master list~SCT^12738006^Brain~SCT^7771000^Left"
)


@pytest.fixture
def objects(straight_scan, write_series, tmp_path):
    """Writes two segments, of the values 2 and 4; gives the segmentation and the report, read."""

    def write(labels, algorithm=MODEL):
        labelmap, source = lesions_in(straight_scan), write_series(straight_scan)
        paths = write_dicom_objects(labelmap, labels, source, algorithm, tmp_path)
        return pydicom.dcmread(paths[0]), hd.sr.srread(paths[1]), labelmap

    return write


def named(*names: str) -> list[Label]:
    return [replace(label, name=name) for label, name in zip(LABELS[1:], names, strict=True)]


@pytest.mark.parametrize("name", ["Lesion", "x" * 100, "a\\b", "two\nlines", ""])
def test_segments_of_whatever_names_have_their_own_measures_and_tracks(objects, name):
    segmentation, report, labelmap = objects(named(name, name))
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == len(segmentation.SegmentSequence) == 2
    for group, segment, value in zip(groups, segmentation.SegmentSequence, (2, 4), strict=True):
        assert segment.SegmentLabel and len(segment.SegmentLabel) <= 64
        assert pydicom.dataelem.DataElement("SegmentLabel", "LO", segment.SegmentLabel).VM == 1
        assert group.tracking_uid == segment.TrackingUID
        assert group.tracking_identifier == segment.TrackingID
        assert group.referenced_segment.referenced_segment_numbers == [segment.SegmentNumber]
        (volume,) = group.get_measurements()
        voxels = np.count_nonzero(labelmap.array == value)
        assert volume.value == pytest.approx(voxels * labelmap.grid.voxel_ml, abs=1e-4)
        assert volume.method.value == "126030", "sum of segmented voxels"


def test_what_people_alone_have_drawn_names_no_model(objects):
    labels = named("Oedema", "Mine")
    segmentation, report, _ = objects(labels, replace(MODEL, added=("Mine",)))
    oedema, mine = segmentation.SegmentSequence
    assert (oedema.SegmentAlgorithmType, mine.SegmentAlgorithmType) == ("SEMIAUTOMATIC", "MANUAL")
    assert "SegmentationAlgorithmIdentificationSequence" not in mine
    groups = report.content.get_volumetric_roi_measurement_groups()
    told = ["Algorithm Name" in str(group) for group in groups]
    assert told == [True, False]


def test_what_narrows_a_code_comes_along(objects):
    segmentation, _, _ = objects([replace(LABELS[1], terminology=LEFT_SIDED), LABELS[2]])
    segment = segmentation.SegmentSequence[0]
    (kind,), (region,) = segment.SegmentedPropertyTypeCodeSequence, segment.AnatomicRegionSequence
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Primary"
    assert region.AnatomicRegionModifierSequence[0].CodeMeaning == "Left"


def test_a_code_has_one_meaning_that_of_the_standard(objects):
    segmentation, report, _ = objects(LABELS)
    segment = segmentation.SegmentSequence[0]
    meaning = segment.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning
    assert meaning == "Morphologically Abnormal Structure"
    assert "Altered" not in str(report)
    (procedure,) = [
        item.ConceptCodeSequence[0]
        for item in report.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Procedure reported"
    ]
    assert (procedure.CodingSchemeDesignator, procedure.CodeValue) == ("LN", "25056-3")


OTHERS = {
    "55641003": "Infarct, in SNOMED CT, but in no context group",
    "123037004": "Anatomical Structure, as earlier editions and Slicer's list have it",
}


def entries_of_our_own() -> list[str]:
    """Terminology entries in the code, in bundled models and in training configurations."""
    found = [str(value) for name, value in vars(conventions).items() if name.isupper()]
    for path in (MODULE_DIR / "Resources").rglob("*.*"):
        if path.name == "metadata.json" or path.suffix == ".yaml":
            found += re.findall(r"Segmentation category[^\"\n}]*", path.read_text("utf-8"))
    return sorted({entry for entry in found if entry.count("~") == 6})


@pytest.mark.parametrize("entry", entries_of_our_own())
def test_every_code_of_our_own_is_one_that_the_standard_knows(entry):
    found = codes_of(Label(1, "x", (0, 0, 0), entry))
    for code in filter(None, (found.category, found.kind, found.region)):
        if code.value in OTHERS:
            continue
        group = getattr(codes, code.scheme_designator)
        known = [getattr(group, name) for name in group.dir()]
        assert (code.value, code.meaning) in [(other.value, other.meaning) for other in known]

"""What DICOM results say of themselves: segmentations, reports and parametric maps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pydicom

from factorizer_engine.images.files.dicom.elements import Elements
from factorizer_engine.images.files.dicom.headers import is_dicom_file, read_elements
from factorizer_engine.images.files.dicom.series import SEGMENTATIONS
from factorizer_engine.images.files.dicom.texts import text_of
from factorizer_engine.protocol.errors import BadInputError

MODEL_OF_COMPONENT = "Model whose component is shown"
"""What a parametric map of ours says that one of its contributors is."""
_SEGMENTATION = "DICOM segmentation (SEG)"
_REPORT = "DICOM structured report (SR)"
_MAP = "DICOM parametric map"
_ALGORITHM_NAME, _ALGORITHM_VERSION, _VOLUME = "111001", "111003", "118565006"
"""Codes of what a report names."""
_TRACKING_IDENTIFIER = "112039"
_CODED = ("SegmentedPropertyTypeCodeSequence", "AnatomicRegionSequence")


def result_facts(path: Path) -> tuple[str, dict[str, str]] | None:
    """What a DICOM file is if it is a result, and what is to be told of it; else None.

    The patient is not named.

    Raises:
        BadInputError: If it is one that is damaged.
    """
    if not is_dicom_file(path):
        return None
    try:
        with path.open("rb") as file:
            data = read_elements(file, stop_before_pixels=True)
        kind = _kind(data)
        if kind is None:
            return None
        own = {
            _SEGMENTATION: _of_segmentation,
            _REPORT: _of_report,
            _MAP: _of_map,
        }[kind](data)
        return kind, {**_common(data), **own}
    except Exception as error:  # pydicom fails in many ways on broken values
        raise BadInputError(
            f"{path.name} is a damaged DICOM file; copy or export it again.", type(error).__name__
        ) from error


def _kind(data: pydicom.Dataset) -> str | None:
    named = data.get("SOPClassUID")
    if named in SEGMENTATIONS:
        return _SEGMENTATION
    if named is not None and "SR Storage" in named.name:
        return _REPORT
    if named is not None and "Parametric Map Storage" in named.name:
        return _MAP
    return None


def _common(data: pydicom.Dataset) -> dict[str, str]:
    made = f"{_text(data, 'Manufacturer')} {_made(data)}".strip()
    return {"Series": _text(data, "SeriesDescription"), "Made by": made}


def _of_segmentation(data: pydicom.Dataset) -> dict[str, str]:
    facts = {"Model": ", ".join(dict.fromkeys(_models(data)))}
    for segment in data.SegmentSequence:
        told = [
            *(_meaning(segment, name) for name in _CODED),
            str(segment.get("SegmentAlgorithmType") or "").lower(),
        ]
        name = f"{segment.SegmentNumber} {_text(segment, 'SegmentLabel')}"
        facts[f"Segment {name}"] = ", ".join(filter(None, told))
    return {**facts, **_grid(data)}


def _models(data: pydicom.Dataset) -> Iterator[str]:
    for segment in data.SegmentSequence:
        for item in segment.get("SegmentationAlgorithmIdentificationSequence") or ():
            yield f"{_text(item, 'AlgorithmName')} {_text(item, 'AlgorithmVersion')}".strip()


def _of_report(data: pydicom.Dataset) -> dict[str, str]:
    items = list(_content(data))
    texts = {code: text for item in items for code, text in [_coded_text(item)] if text}
    model = [texts.get(code, "") for code in (_ALGORITHM_NAME, _ALGORITHM_VERSION)]
    facts = {
        "Title": _meaning(data, "ConceptNameCodeSequence"),
        "Model": " ".join(filter(None, model)),
    }
    for group in items:
        inner = list(group.get("ContentSequence") or ())
        name = next((t for c, t in map(_coded_text, inner) if c == _TRACKING_IDENTIFIER), "")
        volume = next((v for v in map(_volume, inner) if v), "")
        if name and volume:
            facts[name] = volume
    return facts


def _content(data: pydicom.Dataset) -> Iterator[pydicom.Dataset]:
    """All items of a report's tree."""
    for item in data.get("ContentSequence") or ():
        yield item
        yield from _content(item)


def _coded_text(item: pydicom.Dataset) -> tuple[str, str]:
    """The code of what a content item is about, and its text."""
    (concept,) = list(item.get("ConceptNameCodeSequence") or ())[:1] or (pydicom.Dataset(),)
    return str(concept.get("CodeValue", "")), _text(item, "TextValue")


def _volume(item: pydicom.Dataset) -> str:
    if _coded_text(item)[0] != _VOLUME:
        return ""
    (measured,) = item.MeasuredValueSequence
    return f"{measured.NumericValue} {measured.MeasurementUnitsCodeSequence[0].CodeValue}"


def _of_map(data: pydicom.Dataset) -> dict[str, str]:
    units = Elements(data).get("MeasurementUnitsCodeSequence")
    return {
        "Model": " ".join(_models_of_map(data)),
        "Shows": _text(data, "ContentDescription"),
        "Kind": _text(data, "ContentLabel").lower(),
        "Unit": _text(units.value[0], "CodeMeaning") if units is not None else "",
        **_grid(data),
    }


def _models_of_map(data: pydicom.Dataset) -> Iterator[str]:
    for item in data.get("ContributingEquipmentSequence") or ():
        if _text(item, "ContributionDescription") == MODEL_OF_COMPONENT:
            yield _made(item)


def _made(item: pydicom.Dataset) -> str:
    """Name and version of what has contributed."""
    return f"{_text(item, 'ManufacturerModelName')} {_text(item, 'SoftwareVersions')}".strip()


def _grid(data: pydicom.Dataset) -> dict[str, str]:
    frames = int(data.get("NumberOfFrames") or 1)
    return {"Frames": f"{frames} of {data.Columns} x {data.Rows}"}


def _meaning(data: pydicom.Dataset, keyword: str) -> str:
    """The meaning of the first code in a sequence."""
    (code,) = list(data.get(keyword) or ())[:1] or (pydicom.Dataset(),)
    return _text(code, "CodeMeaning")


def _text(data: pydicom.Dataset, keyword: str) -> str:
    return text_of(data.get(keyword) or "")

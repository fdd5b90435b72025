"""What the DICOM header of a series says of how it was acquired."""

from __future__ import annotations

import pydicom
from pydicom.tag import Tag

from factorizer_engine.images.files.dicom.series import Series
from factorizer_engine.protocol.series import Facts

_TAGS = [
    "ImageType",
    "SeriesDescription",
    "ProtocolName",
    "SequenceName",
    "ScanningSequence",
    "EchoTime",
    "RepetitionTime",
    "InversionTime",
    "ContrastBolusAgent",
    "DiffusionBValue",
    "PatientID",
    "StudyInstanceUID",
    "StudyDate",
    "SharedFunctionalGroupsSequence",
]

_SIEMENS_B_VALUE = 0x0019_100C
_GE_B_VALUE = 0x0043_1039
_GE_B_OFFSET = 1_000_000_000
"""GE adds it to the b-value of some series."""


def read_facts(series: Series) -> Facts:
    """The facts of a series, from the header of one of its files."""
    data = pydicom.dcmread(
        series.slices[0].file,
        stop_before_pixels=True,
        specific_tags=[*(Tag(name) for name in _TAGS), Tag(_SIEMENS_B_VALUE), Tag(_GE_B_VALUE)],
        force=True,
    )
    techniques = _values(data, "ScanningSequence")
    return Facts(
        words=" ".join(
            str(data.get(name) or "")
            for name in ("SeriesDescription", "ProtocolName", "SequenceName")
        ),
        image_type=frozenset(value.upper() for value in _values(data, "ImageType")),
        echo_ms=_number(data, "EchoTime", "EffectiveEchoTime"),
        repetition_ms=_number(data, "RepetitionTime"),
        inversion_ms=_number(data, "InversionTime", "InversionTimes"),
        gradient_echo="GR" in techniques and "SE" not in techniques,
        agent=str(data.get("ContrastBolusAgent") or "").strip(),
        b_value=_b_value(data),
        patient=str(data.get("PatientID") or ""),
        study=str(data.get("StudyInstanceUID") or ""),
        date=str(data.get("StudyDate") or ""),
    )


def _values(data: pydicom.Dataset, keyword: str) -> list[str]:
    value = data.get(keyword)
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) else [str(item) for item in value]


def _number(data: pydicom.Dataset, *keywords: str) -> float | None:
    """A number at the top, or in what the frames of an enhanced image share."""
    for place in (data, *_shared_groups(data)):
        for keyword in keywords:
            value = place.get(keyword)
            if isinstance(value, (list, tuple, pydicom.multival.MultiValue)):
                value = value[0] if len(value) else None
            try:
                if value not in (None, ""):
                    return float(value)
            except (TypeError, ValueError):
                continue
    return None


def _shared_groups(data: pydicom.Dataset) -> list[pydicom.Dataset]:
    shared = data.get("SharedFunctionalGroupsSequence") or []
    return [
        macro[0]
        for group in shared
        for element in group
        if element.VR == "SQ" and (macro := element.value)
    ]


def _b_value(data: pydicom.Dataset) -> float | None:
    """The standard's element, else the makers' own."""
    standard = _number(data, "DiffusionBValue")
    if standard is not None:
        return standard
    for tag in (_SIEMENS_B_VALUE, _GE_B_VALUE):
        element = data.get(tag)
        if element is None:
            continue
        value = element.value
        if isinstance(value, bytes):
            value = value.decode("ascii", "ignore")
        first = str(value[0] if isinstance(value, pydicom.multival.MultiValue) else value)
        try:
            return float(first.split("\\")[0]) % _GE_B_OFFSET
        except ValueError:
            continue
    return None

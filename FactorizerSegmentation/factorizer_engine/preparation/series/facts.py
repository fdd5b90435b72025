"""What the DICOM header of a series says of how it was acquired."""

from __future__ import annotations

import pydicom
from pydicom.tag import Tag

from factorizer_engine.images.files.dicom.elements import ACQUISITION_TAGS, Elements
from factorizer_engine.images.files.dicom.series import Series
from factorizer_engine.images.files.dicom.texts import text_of
from factorizer_engine.protocol.series import Facts

_TAGS: list[str | int] = [
    *ACQUISITION_TAGS,
    "PatientID", "StudyInstanceUID", "StudyDate",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip


def read_facts(series: Series) -> Facts:
    """The facts of a series, from one of its images."""
    first = series.slices[0]
    data = pydicom.dcmread(
        first.file,
        stop_before_pixels=True,
        specific_tags=[Tag(name) for name in _TAGS],
        force=True,
    )
    elements = Elements(data, first.frame)
    names = ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName")
    types = f"{elements.text('ImageType')}\\{elements.text('FrameType')}"
    return Facts(
        words=" ".join(filter(None, map(elements.text, names))),
        image_type=frozenset(types.upper().split("\\")) - {""},
        echo_ms=elements.number("EffectiveEchoTime", "EchoTime"),
        repetition_ms=elements.number("RepetitionTime"),
        inversion_ms=elements.number("InversionTimes", "InversionTime"),
        gradient_echo=_is_gradient_echo(elements),
        agent=_agent(elements),
        b_value=elements.b_value,
        patient=text_of(data.get("PatientID") or ""),
        study=str(data.get("StudyInstanceUID") or ""),
        date=str(data.get("StudyDate") or ""),
        number=float(series.number) if series.number.isdigit() else None,
    )


def _is_gradient_echo(elements: Elements) -> bool:
    techniques = elements.text("ScanningSequence").split("\\")
    enhanced = elements.text("EchoPulseSequence")
    return enhanced == "GRADIENT" or ("GR" in techniques and "SE" not in techniques)


def _agent(elements: Elements) -> str:
    """The contrast agent; enhanced images tell it in a sequence."""
    for item in elements.values("ContrastBolusAgentSequence"):
        meaning = Elements(item).text("CodeMeaning")
        if meaning:
            return meaning
    return elements.text("ContrastBolusAgent")

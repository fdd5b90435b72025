"""What holds for one frame of a DICOM file, wherever the file says it."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import pydicom
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from factorizer_engine.images.files.dicom.texts import text_of

B_VALUES = (0x0018_9087, 0x0019_100C, 0x2001_1003, 0x0043_1039, 0x0065_1009)
"""Of diffusion weighting: the standard's element, then those of Siemens, Philips, GE and UIH."""

ACQUISITION_TAGS: list[str | int] = [
    "SpecificCharacterSet", "ImageType", "SeriesDescription", "ProtocolName", "SequenceName",
    "ScanningSequence", "EchoPulseSequence", "EchoTime", "RepetitionTime", "InversionTime",
    "ContrastBolusAgent", "ContrastBolusAgentSequence",
    "AcquisitionNumber", "AcquisitionTime", "TemporalPositionIdentifier",
    "PulseSequenceName", "AcquisitionContrast", "AcquisitionDateTime",
    *B_VALUES,
]  # fmt: skip
"""Elements at the top of a file that say how its images were acquired."""

_GE_B_OFFSET = 1_000_000_000
"""GE adds it to the b-value of some series."""

_FLOAT_BYTES = {4: "<f", 8: "<d"}


class Elements:
    """The elements of a frame: its own, else what all frames share, else those of the file.

    Args:
        data: The file.
        frame: Index of the frame in it.
    """

    def __init__(self, data: pydicom.Dataset, frame: int = 0) -> None:
        own = list(data.get("PerFrameFunctionalGroupsSequence") or [])[frame : frame + 1]
        shared = list(data.get("SharedFunctionalGroupsSequence") or [])
        self._places = [*_macros(own), *_macros(shared), data]

    def get(self, *names: str | int) -> DataElement | None:
        """The first of these elements, by keyword or tag, that is there, whole and not empty."""
        for tag in map(Tag, names):
            for place in self._places:
                try:
                    element = place[tag]
                except KeyError:
                    continue
                except Exception:  # pydicom fails in many ways on broken values
                    return None
                if element.value not in (None, "", b""):
                    return element
        return None

    def values(self, *names: str) -> list[Any]:
        """The values of the first of these elements; none if none is there."""
        element = self.get(*names)
        if element is None:
            return []
        value = element.value
        return list(value) if isinstance(value, (list, tuple, MultiValue)) else [value]

    def text(self, *names: str) -> str:
        """The same as text, with the backslashes between them."""
        return "\\".join(text_of(value) for value in self.values(*names)).strip()

    def number(self, *names: str) -> float | None:
        """The first value as a number; None if there is none or it is no number."""
        for value in self.values(*names)[:1]:
            try:
                return float(str(value))
            except ValueError:
                return None
        return None

    @property
    def b_value(self) -> float | None:
        """Strength of diffusion weighting in s/mm2: the standard's element, or the makers' own."""
        for tag in B_VALUES:
            element = self.get(tag)
            value = None if element is None else _private_number(element)
            if value is not None:
                return value % _GE_B_OFFSET
        return None


def _macros(groups: Iterable[pydicom.Dataset]) -> list[pydicom.Dataset]:
    """What functional groups hold, each of which is a sequence of one item."""
    return [
        element.value[0]
        for group in groups
        for element in group
        if element.VR == "SQ" and element.value
    ]


def _private_number(element: DataElement) -> float | None:
    """The first number in an element whose kind a file may leave open, as text or as bits."""
    value = element.value
    if isinstance(value, MultiValue):
        value = value[0] if len(value) else None
    if isinstance(value, bytes):
        bits = _FLOAT_BYTES.get(len(value))
        if bits and not value.strip(b" \0").isdigit():
            return float(struct.unpack(bits, value)[0])
        value = value.decode("ascii", "ignore")
    try:
        return float(str(value).strip(" \0").split("\\")[0])
    except ValueError:
        return None

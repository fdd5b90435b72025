"""What segments are, in codes: from Slicer's terminology entries to DICOM's."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.sr.coding import Code

from factorizer_engine.protocol.models import Label

CATEGORY = Code("49755003", "SCT", "Morphologically Abnormal Structure")
LESION = Code("52988006", "SCT", "Lesion")
_PARTS = 7
"""Of a terminology entry: context, category, type, modifier, context, region, modifier."""


@dataclass(frozen=True)
class SegmentCodes:
    """What a segment is, and where.

    Attributes:
        category: Such as "Morphologically Abnormal Structure".
        kind: Such as "Edema".
        region: Such as "Brain", or None.
    """

    category: Code
    kind: Code
    region: Code | None


def codes_of(label: Label) -> SegmentCodes:
    """The codes of a label; those of a lesion somewhere where it has no terminology entry."""
    parts = label.terminology.split("~")
    if len(parts) != _PARTS:
        return SegmentCodes(CATEGORY, LESION, None)
    return SegmentCodes(_code(parts[1]) or CATEGORY, _code(parts[2]) or LESION, _code(parts[5]))


def _code(text: str) -> Code | None:
    """The code that "SCHEME^VALUE^MEANING" tells, or None."""
    scheme, _, rest = text.partition("^")
    value, _, meaning = rest.partition("^")
    return Code(value, scheme, meaning) if scheme and value and meaning else None

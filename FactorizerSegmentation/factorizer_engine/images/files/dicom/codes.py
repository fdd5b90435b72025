"""What segments are, in codes: from Slicer's terminology entries to DICOM's."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.sr.coding import Code

from factorizer_engine.images.files.dicom.texts import short_text
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
        kind_modifier, region_modifier: What narrows these, such as "Left", or None.
    """

    category: Code
    kind: Code
    region: Code | None
    kind_modifier: Code | None = None
    region_modifier: Code | None = None


def codes_of(label: Label) -> SegmentCodes:
    """The codes of a label; those of a lesion somewhere where it has no terminology entry."""
    parts = label.terminology.split("~")
    if len(parts) != _PARTS:
        return SegmentCodes(CATEGORY, LESION, None)
    category = _code(parts[1])
    if category is None or category == CATEGORY:
        category = CATEGORY  # Slicer's list has an older meaning of that code
    return SegmentCodes(
        category,
        _code(parts[2]) or LESION,
        _code(parts[5]),
        kind_modifier=_code(parts[3]),
        region_modifier=_code(parts[6]),
    )


def _code(text: str) -> Code | None:
    """The code that "SCHEME^VALUE^MEANING" tells, or None."""
    scheme, _, rest = text.partition("^")
    value, _, meaning = rest.partition("^")
    return Code(value, scheme, short_text(meaning)) if scheme and value and meaning else None

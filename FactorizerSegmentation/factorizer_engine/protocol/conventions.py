"""What channels, regions and label values are usually called, and how they are coded.

Bundles that only name their channels and outputs get aliases, titles, colours and terminology here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from factorizer_engine.protocol.models import Channel, Label, Region
from factorizer_engine.protocol.sequences import SEQUENCES
from factorizer_engine.protocol.wording import capitalised

_REGION_NAMES = {
    "enhancing tumor": "ET",
    "et": "ET",
    "tumor core": "TC",
    "tc": "TC",
    "whole tumor": "WT",
    "wt": "WT",
    "ischemic stroke lesion": "lesion",
    "stroke lesion": "lesion",
}
_TITLES = {
    "ET": "Enhancing tumour",
    "TC": "Tumour core",
    "WT": "Whole tumour",
    "lesion": "Lesion",
}
_STROKE = re.compile(r"\b(stroke|isch(a)?emi|infarct)", re.IGNORECASE)
_BLEEDING = re.compile(r"ha?emorrhag", re.IGNORECASE)
PALETTE = ((230, 75, 53), (77, 187, 213), (0, 160, 135), (243, 155, 127), (132, 145, 180))


def terminology(code: str, meaning: str, scheme: str = "SCT", region: str = "") -> str:
    """Slicer's seven-part terminology entry for a morphological abnormality.

    Args:
        code: Code value of the type.
        meaning: Code meaning of the type.
        scheme: Coding scheme of the type.
        region: Anatomic region as "scheme^code^meaning", or "".
    """
    return "~".join(
        (
            "Segmentation category and type - DICOM master list",
            "SCT^49755003^Morphologically Altered Structure",
            f"{scheme}^{code}^{meaning}",
            "^^",
            "Anatomic codes - DICOM master list",
            region or "^^",
            "^^",
        )
    )


BRAIN = "SCT^12738006^Brain"
NECROSIS = terminology("6574001", "Necrosis", region=BRAIN)
EDEMA = terminology("79654002", "Edema", region=BRAIN)
ENHANCING = terminology("C113842", "Enhancing Lesion", "NCIt", BRAIN)
INFARCT = terminology("55641003", "Infarct", region=BRAIN)
LESION = terminology("52988006", "Lesion")
LESION_IN_BRAIN = terminology("52988006", "Lesion", region=BRAIN)


def says_infarct(*words: str) -> bool:
    """Whether names or texts speak of strokes, other than bleedings."""
    text = " ".join(words).replace("_", " ").replace("-", " ")
    return bool(_STROKE.search(text)) and not _BLEEDING.search(text)


def is_lesion(region: str) -> bool:
    """Whether a region is called a lesion, of whatever kind, as the only region often is."""
    return _REGION_NAMES.get(_plain(region), region.lower()) == "lesion"


def as_lesion(entry: str) -> str:
    """The terminology entry of a lesion that lies where another one does."""
    parts = entry.split("~")
    return "~".join((*LESION.split("~")[:4], *parts[4:])) if len(parts) == 7 else LESION


def channel(name: str) -> Channel:
    """The channel called `name`, with the usual other spellings."""
    wanted = name.lower()
    for standard, known in SEQUENCES.items():
        spellings = (standard.lower(), *known.aliases)
        if wanted in spellings:
            return Channel(name, tuple(s for s in spellings if s != wanted))
    return Channel(name)


def glioma_regions(enhancing_label: int = 4) -> tuple[Region, Region, Region]:
    """Enhancing tumour, tumour core and whole tumour, nested; painted from the outside in.

    Args:
        enhancing_label: 4 in the BraTS challenges to 2022, 3 from 2023.
    """
    return (
        Region("ET", enhancing_label, _TITLES["ET"], 2),
        Region("TC", 1, _TITLES["TC"], 1),
        Region("WT", 2, _TITLES["WT"], 0),
    )


def glioma_labels(enhancing_label: int = 4) -> tuple[Label, Label, Label]:
    """What the label values are that painting the three glioma regions leaves."""
    return (
        Label(1, "Necrotic and non-enhancing core", (220, 60, 60), NECROSIS),
        Label(2, "Oedema", (90, 180, 90), EDEMA),
        Label(enhancing_label, "Enhancing tumour", (240, 200, 60), ENHANCING),
    )


def stroke_regions() -> tuple[Region]:
    """The ischaemic lesion as the only region."""
    return (Region("lesion", 1, "Ischaemic lesion"),)


def stroke_labels() -> tuple[Label]:
    """The label value of the ischaemic lesion."""
    return (Label(1, "Ischaemic lesion", (230, 75, 53), INFARCT),)


def regions_and_labels(
    names: Sequence[str],
) -> tuple[tuple[Region, ...], tuple[Label, ...], str]:
    """Regions, labels and family for network outputs that are only known by name.

    Outputs called ET, TC and WT (or so in words), in any order, are the nested glioma regions of
    BraTS 2023; any others are taken to be painted in the order given, with label values from 1.
    """
    short = [_REGION_NAMES.get(_plain(name), name) for name in names]
    if sorted(short) == ["ET", "TC", "WT"]:
        known = {region.name: region for region in glioma_regions(3)}
        return tuple(known[name] for name in short), glioma_labels(3), "glioma"
    if short == ["lesion"] and says_infarct(names[0]):
        return stroke_regions(), stroke_labels(), "stroke"
    regions = tuple(
        Region(name, index + 1, _TITLES.get(name, capitalised(name)), index)
        for index, name in enumerate(short)
    )
    labels = tuple(
        Label(region.label, region.title, PALETTE[index % len(PALETTE)], LESION)
        for index, region in enumerate(regions)
    )
    return regions, labels, "lesion"


def _plain(name: str) -> str:
    words = re.sub(r"\(.*?\)", "", name).replace("_", " ").lower().replace("tumour", "tumor")
    return " ".join(words.replace("ischaemic", "ischemic").split())

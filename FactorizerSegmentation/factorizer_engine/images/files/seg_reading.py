"""Slicer segmentations (.seg.nrrd), read, whoever wrote them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from factorizer_engine.images.checks import check_affine
from factorizer_engine.images.files.itk import itk_affine
from factorizer_engine.images.files.itk_paths import readable_by_itk
from factorizer_engine.images.files.native_output import native_output_discarded
from factorizer_engine.images.files.recognition import damaged, first_bytes, scan_name
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Label
from factorizer_engine.protocol.segmentations import MODEL_TAG

_OWN_ID = re.compile(r"Label_([1-9]\d{0,2})")
"""What this project calls the segment of a label value."""
_LARGEST = 255
_GREY = "0.5 0.5 0.5"


@dataclass(frozen=True)
class _Segment:
    """One segment of a file: what it is, and which voxels of which layer it has."""

    id: str
    label: Label
    layer: int
    stored: int
    model: str


def read_seg_nrrd(path: Path) -> tuple[Scan, tuple[Label, ...]]:
    """Read a segmentation as a label map, uint8, and what its values mean.

    Segments of this project keep the values of their labels; others get free ones.

    Raises:
        BadInputError: If the file is no segmentation, is damaged, or its segments overlap.
    """
    if not path.is_file():
        raise BadInputError(f"{path} does not exist; check the path.")
    if not path.name.lower().endswith(".seg.nrrd") or not first_bytes(path).startswith(b"NRRD"):
        raise BadInputError(
            f"{path.name} is no Slicer segmentation; give a .seg.nrrd file, as Slicer and "
            "'factorizer segment' write them."
        )
    try:
        with readable_by_itk(path) as place, native_output_discarded():
            image = sitk.ReadImage(place)
    except RuntimeError as error:
        raise damaged(path, error) from error
    if image.GetDimension() != 3:
        raise BadInputError(f"{path.name} holds no volume; save the segmentation again in Slicer.")
    segments = _segments(image)
    if not segments:
        raise BadInputError(f"{path.name} holds no segment; save the segmentation again in Slicer.")
    affine = itk_affine(image)
    check_affine(path.name, affine)
    layers = sitk.GetArrayFromImage(image)
    layers = layers[..., None] if layers.ndim == 3 else layers
    voxels = _paint(path.name, layers, segments)
    labelmap = Scan.of(voxels.transpose(2, 1, 0), affine, scan_name(path))
    return labelmap, tuple(segment.label for segment in segments)


def models_told(path: Path) -> dict[str, str]:
    """The model that has drawn each label, by the label's name, if the segments of a file tell.

    Args:
        path: What `read_seg_nrrd` has read.
    """
    reader = sitk.ImageFileReader()
    with readable_by_itk(path) as place:
        reader.SetFileName(place)
        reader.ReadImageInformation()
    return {segment.label.name: segment.model for segment in _segments(reader) if segment.model}


def _segments(image: sitk.Image | sitk.ImageFileReader) -> list[_Segment]:
    rows = list(_fields(image))
    taken = {int(match[1]) for row in rows if (match := _OWN_ID.fullmatch(row.get("ID", "")))}
    free = (value for value in count(1) if value not in taken)
    segments = []
    for row in rows:
        own = _OWN_ID.fullmatch(row.get("ID", ""))
        value = int(own[1]) if own else next(free)
        if value > _LARGEST:
            raise BadInputError(f"A segmentation of more than {_LARGEST} segments cannot be read.")
        terminology = _tag(row, "TerminologyEntry")
        label = Label(value, row.get("Name") or f"Segment {value}", _color(row), terminology)
        layer, stored = int(row.get("Layer", "0")), int(row.get("LabelValue", "1"))
        segments.append(_Segment(row.get("ID", ""), label, layer, stored, _tag(row, MODEL_TAG)))
    return segments


def _fields(image: sitk.Image | sitk.ImageFileReader) -> Iterator[dict[str, str]]:
    """What the file says of each segment, by field."""
    keys = image.GetMetaDataKeys()
    for number in count():
        prefix = f"Segment{number}_"
        own = [key for key in keys if key.startswith(prefix)]
        if not own:
            return
        yield {key.removeprefix(prefix): image.GetMetaData(key).strip() for key in own}


def _color(row: dict[str, str]) -> tuple[int, int, int]:
    parts = [float(part) for part in row.get("Color", _GREY).split()]
    red, green, blue = (round(255 * min(max(part, 0.0), 1.0)) for part in (*parts, 0, 0, 0)[:3])
    return red, green, blue


def _tag(row: dict[str, str], wanted: str) -> str:
    tags = (tag.partition(":") for tag in row.get("Tags", "").split("|"))
    return next((text for name, _, text in tags if name == wanted), "")


def _paint(name: str, layers: np.ndarray, segments: list[_Segment]) -> np.ndarray:
    """One label map (K, J, I) of the layers (K, J, I, L)."""
    painted = np.zeros(layers.shape[:3], np.uint8)
    for segment in segments:
        if segment.layer >= layers.shape[3]:
            raise BadInputError(f"{name} lacks the voxels of a segment; save it again in Slicer.")
        mask = layers[..., segment.layer] == segment.stored
        below = np.unique(painted[mask])
        for other in segments:
            if other.label.value in below[below > 0]:
                raise BadInputError(
                    f"The segments '{other.label.name}' and '{segment.label.name}' of {name} "
                    "overlap; take the common part from one of them in Slicer's Segment Editor."
                )
        painted[mask] = segment.label.value
    return painted

"""Label maps as DICOM segmentations (SEG), beside the series on which they were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import highdicom as hd
import numpy as np
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr import CodedConcept
from pydicom.sr.coding import Code

from factorizer_engine.images.files.dicom.codes import codes_of
from factorizer_engine.images.files.dicom.derived import (
    MAKER,
    SERIES_NUMBER,
    Algorithm,
    header_errors,
    on_planes,
    planes_to_lps,
)
from factorizer_engine.images.files.dicom.source import SourceSeries
from factorizer_engine.images.files.dicom.texts import short_text
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Label


def make_dicom_seg(
    labelmap: Scan, labels: Sequence[Label], source: SourceSeries, algorithm: Algorithm
) -> Segmentation:
    """A DICOM segmentation with one binary segment per label that has any voxel.

    The frames have the planes of the series where the label map lies on its voxels, in whatever
    order; otherwise those of the label map's own grid, in the series' frame of reference.

    Raises:
        BadInputError: If the label map is empty, or does not lie where the series does.
    """
    if labelmap.grid.is_sheared:
        raise BadInputError("The axes of the segmentation are not at right angles, as DICOM wants.")
    present = [label for label in labels if (labelmap.array == label.value).any()]
    if not present:
        raise BadInputError("The segmentation is empty; there is nothing to export.")
    placed = on_planes(replace(labelmap, name="The segmentation"), source)
    numbers = np.zeros(placed.shape, np.uint8)
    for number, label in enumerate(present, start=1):
        numbers[placed.array == label.value] = number
    volume = hd.Volume(
        np.ascontiguousarray(numbers.transpose(2, 1, 0)),
        planes_to_lps(placed.grid),
        coordinate_system="PATIENT",
        frame_of_reference_uid=source.frame_of_reference,
    )
    with header_errors(source, "segmentation"):
        return Segmentation(
            source_images=list(source.headers),
            pixel_array=volume,
            segmentation_type="BINARY",
            segment_descriptions=[
                _description(number, label, algorithm)
                for number, label in enumerate(present, start=1)
            ],
            series_instance_uid=hd.UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            **MAKER,
            content_label="LESIONS",
            content_description="Lesions",
            series_description=short_text(f"Lesions on {source.title}"),
        )


def _description(number: int, label: Label, algorithm: Algorithm) -> SegmentDescription:
    codes = codes_of(label)
    name = short_text(label.name) or f"Segment {number}"
    described = SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.category,
        segmented_property_type=codes.kind,
        algorithm_type=algorithm.type_of(label),
        algorithm_identification=algorithm.identification_of(label),
        tracking_id=name,
        tracking_uid=hd.UID(),
        anatomic_regions=[codes.region] if codes.region is not None else None,
        display_color=hd.color.CIELabColor.from_rgb(*label.color),
    )
    if codes.kind_modifier is not None:
        (item,) = described.SegmentedPropertyTypeCodeSequence
        item.SegmentedPropertyTypeModifierCodeSequence = [_concept(codes.kind_modifier)]
    if codes.region is not None and codes.region_modifier is not None:
        (item,) = described.AnatomicRegionSequence
        item.AnatomicRegionModifierSequence = [_concept(codes.region_modifier)]
    return described


def _concept(code: Code) -> CodedConcept:
    return CodedConcept.from_code(code)

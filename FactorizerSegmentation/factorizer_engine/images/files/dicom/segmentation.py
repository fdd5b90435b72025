"""Label maps as DICOM segmentations (SEG), beside the series on which they were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from pydicom.sr.coding import Code

from factorizer_engine import __version__
from factorizer_engine.images.files.dicom.codes import codes_of
from factorizer_engine.images.files.dicom.source import SourceSeries
from factorizer_engine.images.geometry import Grid, overlap_fraction
from factorizer_engine.images.labelmaps import on_whole_grid
from factorizer_engine.images.orientation import LPS_TO_RAS
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import written_atomically
from factorizer_engine.protocol.models import Label

MANUFACTURER = "FactorizerExtension"
PRODUCT = "factorizer"
AI = Code("123110", "DCM", "Artificial Intelligence")
LEAST_OVERLAP = 0.5
"""Part of a label map that must lie within its series."""
SERIES_NUMBER = 9001
"""Far above those of scanners."""


@dataclass(frozen=True)
class Algorithm:
    """What drew the segments.

    Attributes:
        model: Name of the model; "" if people drew them.
        version: Version of the model.
        edited: Names of the labels that people have changed since.
    """

    model: str = ""
    version: str = ""
    edited: tuple[str, ...] = ()

    def type_of(self, label: Label) -> SegmentAlgorithmTypeValues:
        """Whether the segment of a label was drawn by a program, by people, or both."""
        if not self.model:
            return SegmentAlgorithmTypeValues.MANUAL
        if label.name in self.edited:
            return SegmentAlgorithmTypeValues.SEMIAUTOMATIC
        return SegmentAlgorithmTypeValues.AUTOMATIC

    @property
    def identification(self) -> hd.AlgorithmIdentificationSequence | None:
        """The model as DICOM tells it; None if there is none."""
        if not self.model:
            return None
        return hd.AlgorithmIdentificationSequence(
            name=self.model, family=AI, version=self.version or "unknown", source=MANUFACTURER
        )


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
    placed = _on_planes(labelmap, source)
    numbers = np.zeros(placed.shape, np.uint8)
    for number, label in enumerate(present, start=1):
        numbers[placed.array == label.value] = number
    volume = hd.Volume(
        np.ascontiguousarray(numbers.transpose(2, 1, 0)),
        _planes_to_lps(placed.grid),
        coordinate_system="PATIENT",
        frame_of_reference_uid=source.frame_of_reference,
    )
    try:
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
            manufacturer=MANUFACTURER,
            manufacturer_model_name=PRODUCT,
            software_versions=__version__,
            device_serial_number="0",
            content_label="LESIONS",
            content_description="Lesions",
            series_description=f"Lesions on {source.title}"[:64],
        )
    except (AttributeError, TypeError, ValueError) as error:  # as highdicom finds the headers
        raise BadInputError(
            f"The headers of the DICOM series {source.title} lack or contradict something that a "
            "DICOM segmentation repeats; export the series anew from its archive.",
            repr(error),
        ) from error


def save_dicom(data: hd.base.SOPClass, path: Path) -> None:
    """Write a DICOM object to a file.

    Raises:
        BadInputError: If it cannot be written.
    """
    with written_atomically(path) as temporary:
        data.save_as(temporary)


def _on_planes(labelmap: Scan, source: SourceSeries) -> Scan:
    """The label map on the series' own voxels, if it has these or a part of them."""
    whole = on_whole_grid(labelmap, source.grid)
    if whole.grid is source.grid:
        return whole
    if overlap_fraction(labelmap.grid, source.grid) < LEAST_OVERLAP:
        raise BadInputError(
            f"The segmentation does not lie where the DICOM series {source.title} does; give the "
            "series on which it was made."
        )
    return labelmap


def _planes_to_lps(grid: Grid) -> np.ndarray:
    """4x4, from (slice, row, column) to mm in LPS; of voxels (column, row, slice) in RAS."""
    turned = grid.affine[:, [2, 1, 0, 3]]
    return LPS_TO_RAS @ turned


def _description(number: int, label: Label, algorithm: Algorithm) -> SegmentDescription:
    codes = codes_of(label)
    kind = algorithm.type_of(label)
    return SegmentDescription(
        segment_number=number,
        segment_label=label.name[:64],
        segmented_property_category=codes.category,
        segmented_property_type=codes.kind,
        algorithm_type=kind,
        algorithm_identification=algorithm.identification,
        tracking_id=label.name,
        tracking_uid=hd.UID(),
        anatomic_regions=[codes.region] if codes.region is not None else None,
        display_color=hd.color.CIELabColor.from_rgb(*label.color),
    )

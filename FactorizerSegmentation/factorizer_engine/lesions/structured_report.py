"""Measures of lesions as a DICOM structured report (SR, template TID 1500)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import highdicom as hd
import numpy as np
from highdicom.sr import (
    Comprehensive3DSR,
    CoordinatesForMeasurement3D,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    ReferencedSegment,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from factorizer_engine import __version__
from factorizer_engine.images.files.dicom.codes import LESION, SegmentCodes, codes_of
from factorizer_engine.images.files.dicom.derived import (
    MAKER,
    MANUFACTURER,
    PRODUCT,
    SERIES_NUMBER,
    Algorithm,
    header_errors,
)
from factorizer_engine.images.files.dicom.source import SourceSeries
from factorizer_engine.images.files.dicom.texts import short_text
from factorizer_engine.images.orientation import LPS_TO_RAS
from factorizer_engine.protocol.lesions import (
    BOTH_SIDES,
    LEFT,
    RIGHT,
    Lesion,
    LesionPart,
    Measures,
    Ruler,
    volume_by_label,
)
from factorizer_engine.protocol.models import Label
from factorizer_engine.protocol.wording import rounded

MILLILITRE = Code("ml", "UCUM", "milliliter")
MAXIMUM = Code("56851009", "SCT", "Maximum")
LATERALITY = {
    LEFT: Code("7771000", "SCT", "Left"),
    RIGHT: Code("24028007", "SCT", "Right"),
    BOTH_SIDES: Code("51440002", "SCT", "Right and left"),
}
PROCEDURES = {
    "MR": codes.LN.MRIUnspecifiedBodyRegion,
    "CT": codes.LN.CTUnspecifiedBodyRegion,
    "PT": codes.LN.PETUnspecifiedBodyRegion,
}
"""Of context group 100, from which the template takes them."""
VOXELS = codes.DCM.SumOfSegmentedVoxelMethodForVolume


def make_structured_report(
    lesions: Sequence[Lesion],
    labels: Sequence[Label],
    segmentation: hd.seg.Segmentation,
    source: SourceSeries,
    algorithm: Algorithm,
) -> Comprehensive3DSR:
    """A measurement report: of each class its volume, of each lesion and its parts all measures.

    The group of a class refers to its segment. That of a lesion has its volume and its largest
    diameter, and the two axes in a slice with their end points in the frame of reference.

    Args:
        lesions: What was measured in the label map of `segmentation`.
        labels: The classes.
        segmentation: See `make_dicom_seg`.
        source: The series on which it was made.
        algorithm: What drew the segments.
    """
    volumes = volume_by_label(lesions)
    present = [label for label in labels if label.value in volumes]
    groups = [
        _class_group(number, label, volumes[label.value], segmentation, source, algorithm)
        for number, label in enumerate(present, start=1)  # as `make_dicom_seg` numbers them
    ]
    writer = _LesionGroups(labels, source.frame_of_reference, algorithm)
    report = MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(
                observer_type=codes.DCM.Device,
                observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                    uid=hd.UID(), manufacturer_name=MANUFACTURER, model_name=PRODUCT
                ),
            )
        ),
        procedure_reported=PROCEDURES.get(
            str(source.headers[0].get("Modality")), codes.SCT.ImagingProcedure
        ),
        imaging_measurements=[*groups, *writer.groups(lesions)],
        title=codes.DCM.ImagingMeasurementReport,
    )
    with header_errors(source, "report"):
        return Comprehensive3DSR(
            evidence=[*source.headers, segmentation],  # the first tells the patient and the scanner
            content=report[0],
            series_instance_uid=hd.UID(),
            series_number=SERIES_NUMBER + 1,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            **MAKER,
            is_complete=True,
            series_description=short_text(f"Measures of lesions on {source.title}"),
        )


class _LesionGroups:
    """The measurement groups of lesions and of their parts."""

    def __init__(self, labels: Sequence[Label], frame: str, algorithm: Algorithm) -> None:
        self._labels = {label.value: label for label in labels}
        self._codes = {label.value: codes_of(label) for label in labels}
        self._frame = frame
        self._algorithm = algorithm

    def groups(self, lesions: Sequence[Lesion]) -> Iterator[MeasurementsAndQualitativeEvaluations]:
        """Of each lesion its own group, then those of its parts."""
        for lesion in lesions:
            site = self._site(lesion)
            title = f"Lesion {lesion.id}"
            yield self._group(title, LESION, lesion, lesion.parts, site)
            for part in lesion.parts if len(lesion.parts) > 1 else ():
                kind = self._codes[part.label].kind
                yield self._group(f"{title}, {part.name}", kind, part, [part], site)

    def _site(self, lesion: Lesion) -> list[FindingSite]:
        known = (self._codes[part.label].region for part in lesion.parts)
        region = next((code for code in known if code is not None), None)
        side = next((word for word in lesion.place if word in LATERALITY), None)
        return [FindingSite(region, LATERALITY[side] if side else None)] if region else []

    def _group(
        self,
        title: str,
        kind: Code,
        measures: Measures,
        parts: Sequence[LesionPart],
        sites: list[FindingSite],
    ) -> MeasurementsAndQualitativeEvaluations:
        drawn = [self._labels[part.label] for part in parts]
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(hd.UID(), title),
            finding_category=codes.SCT.MorphologicallyAbnormalStructure,
            finding_type=kind,
            finding_sites=sites or None,
            algorithm_id=_identification(self._algorithm, drawn),
            measurements=[
                _volume(measures.volume_ml),
                Measurement(
                    codes.SCT.Diameter,
                    round(measures.max_diameter_mm, 2),
                    codes.UCUM.Millimeter,
                    derivation=MAXIMUM,
                ),
                self._axis(codes.SCT.LongAxis, measures.long_axis),
                self._axis(codes.SCT.ShortAxis, measures.short_axis),
            ],
        )

    def _axis(self, name: Code, ruler: Ruler) -> Measurement:
        ends = np.array([ruler.start, ruler.end]) @ LPS_TO_RAS[:3, :3]
        line = CoordinatesForMeasurement3D("POLYLINE", ends, self._frame)
        return Measurement(
            name,
            round(ruler.length_mm, 2),
            codes.UCUM.Millimeter,
            referenced_coordinates=[line],
        )


def _class_group(
    number: int,
    label: Label,
    volume: float,
    segmentation: hd.seg.Segmentation,
    source: SourceSeries,
    algorithm: Algorithm,
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    """The volume of a class over all lesions, with its segment."""
    found: SegmentCodes = codes_of(label)
    segment = segmentation.get_segment_description(number)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(segment.tracking_uid, segment.tracking_id),
        referenced_segment=ReferencedSegment(
            segmentation.SOPClassUID,
            segmentation.SOPInstanceUID,
            number,
            source_series=SourceSeriesForSegmentation(source.headers[0].SeriesInstanceUID),
        ),
        finding_category=found.category,
        finding_type=found.kind,
        finding_sites=[FindingSite(found.region)] if found.region is not None else None,
        algorithm_id=_identification(algorithm, [label]),
        measurements=[_volume(volume)],
    )


def _volume(millilitres: float) -> Measurement:
    return Measurement(codes.SCT.Volume, float(rounded(millilitres, 4)), MILLILITRE, method=VOXELS)


def _identification(
    algorithm: Algorithm, labels: Iterable[Label]
) -> hd.sr.AlgorithmIdentification | None:
    """The model, if it has drawn any of these labels."""
    if all(algorithm.identification_of(label) is None for label in labels):
        return None
    version = algorithm.version or "unknown"
    return hd.sr.AlgorithmIdentification(
        f"{algorithm.model}", f"{version} ({PRODUCT} {__version__})"
    )

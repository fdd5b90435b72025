"""Lesions as DICOM objects: the segmentation and the report of its measures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from factorizer_engine.images.files.dicom.derived import Algorithm, save_dicom
from factorizer_engine.images.files.dicom.segmentation import make_dicom_seg
from factorizer_engine.images.files.dicom.source import SourceSeries
from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.remeasuring import measure_again
from factorizer_engine.lesions.structured_report import make_structured_report
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.models import Label
from factorizer_engine.protocol.tasks.export_dicom import REPORT_FILE, SEGMENTATION_FILE


def write_dicom_objects(
    labelmap: Scan,
    labels: Sequence[Label],
    source: SourceSeries,
    algorithm: Algorithm,
    folder: Path,
    scan: Scan | None = None,
    known: Sequence[Lesion] = (),
    gone: Iterable[int] = (),
) -> tuple[Path, Path]:
    """Write segmentation.dcm and report.dcm, both of the study of the series.

    Args:
        labelmap: Integer voxels.
        labels: What they mean.
        source: The series on which the label map was made.
        algorithm: What drew it.
        folder: An existing folder.
        scan: The scan, which tells the sides of lesions; None leaves them open.
        known, gone: Lesions and their numbers from before, see `measure_again`.

    Raises:
        BadInputError: If there is nothing to export, it does not belong to the series, or a file
            cannot be written.
    """
    segmentation = make_dicom_seg(labelmap, labels, source, algorithm)
    lesions = measure_again(labelmap, (), labels, None, scan, None, known, gone)
    report = make_structured_report(lesions, labels, segmentation, source, algorithm)
    paths = folder / SEGMENTATION_FILE, folder / REPORT_FILE
    for data, path in zip((segmentation, report), paths, strict=True):
        save_dicom(data, path)
    return paths

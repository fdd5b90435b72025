"""The files of a segmentation, as every command writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from factorizer_engine.cli.records import RunRecord
from factorizer_engine.protocol.tasks.segment import SegmentResult


def write_results(
    result: SegmentResult,
    record: RunRecord,
    folder: Path,
    doubts: Sequence[str] = (),
    **noted: object,
) -> None:
    """Write segmentation.nii.gz, segmentation.seg.nrrd, lesions.csv, run.json, and what else is.

    Args:
        result: What the engine found.
        record: Of what, and how.
        folder: Where to write.
        doubts: What looked wrong about the scans.
        noted: More entries for run.json.

    Raises:
        BadInputError: If a file cannot be written.
    """
    from factorizer_engine.images.files import write_nifti, write_seg_nrrd
    from factorizer_engine.images.scan import Scan
    from factorizer_engine.lesions.tables import write_lesions_csv

    labelmap = Scan.of(result.labelmap.load(), result.labelmap.matrix, "Segmentation")
    write_nifti(labelmap, folder / "segmentation.nii.gz")
    write_seg_nrrd(
        labelmap,
        result.model.labels,
        folder / "segmentation.seg.nrrd",
        record.scans[record.reference].name,
        record.remarks,
    )
    write_lesions_csv(result.lesions, result.model.labels, folder / "lesions.csv")
    if result.probabilities:
        volumes = np.stack([item.load() for item in result.probabilities], axis=-1)
        stack = Scan.of(volumes, labelmap.affine, "Probabilities")
        write_nifti(stack, folder / "probabilities.nii.gz")
    seconds = {stage: round(spent, 3) for stage, spent in result.timings.items()}
    remarks = [*doubts, *filter(None, [result.note])]
    found = {"computed_on": result.device, "seconds": seconds, "remarks": remarks}
    record.write(folder, **noted, **found)

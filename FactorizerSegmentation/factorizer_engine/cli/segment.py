"""`factorizer segment`: scans in, lesions out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from factorizer_engine.cli import options
from factorizer_engine.cli.prepare import assign_study, show_steps, write_preparation
from factorizer_engine.cli.session import Session, open_session, run_options
from factorizer_engine.cli.terminal import TERMINAL, Quiet, Verbose, format_seconds, make_table
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import prepare_output_folder, written_at_once
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.preparation import PreparationOptions
from factorizer_engine.protocol.runs import ModelChoice
from factorizer_engine.protocol.tasks.segment import SEGMENT, SegmentResult

if TYPE_CHECKING:
    from rich.table import Table

    from factorizer_engine.images.scan import Scan

SHOWN_LESIONS = 12
BYTES_PER_VOXEL = 2
BYTES_PER_PROBABILITY = 4


def segment(
    output: options.Output,
    model: options.Model = "",
    inputs: options.Inputs = [],  # noqa: B006 (typer copies it)
    input_dir: options.InputFolder = None,
    reference: options.Reference = None,
    device: options.Device = "auto",
    precision: options.PrecisionOption = options.Precision.float32,
    mirroring: options.Mirroring = None,
    overlap: options.Overlap = None,
    box: options.Bounds = None,
    quick: options.Quick = False,
    compile: options.Compile = False,
    probabilities: options.Probabilities = False,
    prepare: options.Prepare = False,
    n4: options.BiasField = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find lesions: writes segmentation.nii.gz, segmentation.seg.nrrd and lesions.csv."""
    choice = ModelChoice(model, device, precision.value, compile)
    applied = run_options(mirroring, overlap, box, quick)
    folder = prepare_output_folder(output)
    if n4 and not prepare:
        raise BadInputError("--n4 is a part of the preparation; give --prepare, too.")
    if prepare and input_dir is not None and not inputs:
        inputs, input_dir = [str(input_dir)], None
    assign = partial(assign_study, complete=True) if prepare else None
    with open_session(choice, inputs, input_dir, assign) as session:
        channel, scan = session.reference(reference)
        prepare_output_folder(folder, _space_needed(session, scan, probabilities))
        prepared = None
        if prepare:
            prepared = session.prepare(channel, PreparationOptions(bias_field=n4))
            show_steps(prepared)
            session = session.with_prepared(prepared)
        result = session.run(SEGMENT, channel, applied, probabilities=probabilities)
        with written_at_once(folder) as unfinished:
            _write(result, scan, unfinished)
            if prepared:
                write_preparation(session, prepared, channel, unfinished)
    _show(result, folder)


def _space_needed(session: Session, scan: Scan, probabilities: bool) -> int:
    """Bytes that the results may take at worst, when nothing can be compressed."""
    maps = len(session.model.regions) * BYTES_PER_PROBABILITY if probabilities else 0
    return scan.array.size * (BYTES_PER_VOXEL + maps)


def _write(result: SegmentResult, reference: Scan, folder: Path) -> None:
    from factorizer_engine.images.files import write_nifti, write_seg_nrrd
    from factorizer_engine.images.scan import Scan
    from factorizer_engine.lesions.tables import write_lesions_csv

    labelmap = Scan.of(result.labelmap.load(), result.labelmap.matrix, "Segmentation")
    write_nifti(labelmap, folder / "segmentation.nii.gz")
    write_seg_nrrd(labelmap, result.model.labels, folder / "segmentation.seg.nrrd", reference.name)
    write_lesions_csv(result.lesions, folder / "lesions.csv")
    if result.probabilities:
        volumes = np.stack([item.load() for item in result.probabilities], axis=-1)
        stack = Scan.of(volumes, labelmap.affine, "Probabilities")
        write_nifti(stack, folder / "probabilities.nii.gz")


def _show(result: SegmentResult, folder: Path) -> None:
    if result.lesions:
        TERMINAL.print(_lesion_table(result.lesions))
    else:
        TERMINAL.print("No lesion was found.")
    if len(result.lesions) > SHOWN_LESIONS:
        rest = len(result.lesions) - SHOWN_LESIONS
        TERMINAL.print(f"{rest} smaller ones are listed in lesions.csv.")
    seconds = format_seconds(sum(result.timings.values()))
    TERMINAL.print(
        f"{result.model.title} {result.model.version} on {result.device}, {seconds}. "
        f"Results are in {folder}"
    )


def _lesion_table(lesions: Sequence[Lesion]) -> Table:
    """The largest lesions, in the order of their numbers."""
    largest = sorted(lesions, key=lambda lesion: -lesion.volume_ml)[:SHOWN_LESIONS]
    table = make_table(
        "Lesions", "##", "Class", "Volume (mL)", "Diameter (mm)", "Probability (mean)"
    )
    for lesion in sorted(largest, key=lambda lesion: lesion.id):
        table.add_row(
            str(lesion.id),
            lesion.name,
            f"{lesion.volume_ml:.2f}",
            f"{lesion.max_diameter_mm:.1f}",
            f"{lesion.mean_probability:.2f}",
        )
    return table

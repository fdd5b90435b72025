"""`factorizer segment`: scans in, lesions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from factorizer_engine.cli import options
from factorizer_engine.cli.early_checks import Caution
from factorizer_engine.cli.outputs import (
    check_scans_stay,
    folder_of_one_run,
    results_written_at_once,
)
from factorizer_engine.cli.prepare import (
    assign_raw_study,
    bias_mode,
    show_steps,
    write_preparation,
)
from factorizer_engine.cli.results import write_results
from factorizer_engine.cli.session import Session, assign_study, open_session, run_options
from factorizer_engine.cli.studies.command import segment_studies, unpacked
from factorizer_engine.cli.terminal import TERMINAL, Quiet, Verbose, format_seconds, make_table
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import output_folder, prepare_output_folder
from factorizer_engine.protocol.lesions import Lesion, Measures
from factorizer_engine.protocol.preparation import SLICES, PreparationOptions, doubts_of
from factorizer_engine.protocol.runs import ModelChoice
from factorizer_engine.protocol.tasks.prepare import PrepareResult
from factorizer_engine.protocol.tasks.segment import SEGMENT, SegmentResult
from factorizer_engine.protocol.wording import rounded

if TYPE_CHECKING:
    from rich.table import Table

    from factorizer_engine.images.scan import Scan

SHOWN_LESIONS = 12
FALSE_ALARM = "false alarm?"
BYTES_PER_VOXEL = 2
BYTES_PER_PROBABILITY = 4


def segment(
    output: options.Output,
    model: options.Model = "",
    inputs: options.Inputs = [],  # noqa: B006 (typer copies it)
    input_dir: options.InputFolder = None,
    reference: options.Reference = None,
    device: options.Device = "auto",
    on: options.On = None,
    precision: options.PrecisionOption = options.Precision.float32,
    quality: options.QualityOption = options.Quality.balanced,
    sweeps: options.Sweeps = None,
    short_circuit: options.ShortCircuits = [],  # noqa: B006 (typer copies it)
    mirroring: options.Mirroring = None,
    overlap: options.Overlap = None,
    box: options.Bounds = None,
    quick: options.Quick = False,
    strict: options.Strict = False,
    mixed: options.Mixed = False,
    compile: options.Compile = False,
    probabilities: options.Probabilities = False,
    false_alarms: options.FalseAlarms = False,
    prepare: options.Prepare = False,
    n4: options.BiasField = None,
    overwrite: options.Overwrite = False,
    studies: options.Studies = None,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find lesions: writes segmentation.nii.gz, segmentation.seg.nrrd, lesions.csv and run.json.

    With --studies every study gets a folder with these, and studies.csv tells of all.
    """
    choice = ModelChoice(
        model,
        device,
        precision.value,
        compile,
        quality.members,
        sweeps,
        tuple(short_circuit),
    )
    applied = run_options(mirroring, overlap, box, quick, quality)
    if n4 is not None and not prepare:
        raise BadInputError("--n4 is a part of the preparation; give --prepare, too.")
    caution = Caution(strict, mixed)
    if studies is not None:
        of_one_study = (inputs, input_dir, box, overwrite, prepare, false_alarms)
        if any(value not in (None, False, []) for value in of_one_study):
            raise BadInputError(
                "--studies names all scans and keeps what is done; leave out --input, --input-dir, "
                "--box, --false-alarms, --prepare and --overwrite."
            )
        if on is not None and scheduler is not None:
            raise BadInputError("Studies go to another machine or to a scheduler, not to both.")
        with output_folder(output) as folder, unpacked(choice) as kept:
            return segment_studies(
                studies,
                kept,
                applied,
                reference,
                probabilities,
                Caution(strict, mixed),
                folder,
                workers,
                scheduler,
                on,
            )
    if workers is not None or scheduler is not None:
        raise BadInputError("--workers and --scheduler are for many studies; give --studies.")
    if prepare and input_dir is not None and not inputs:
        inputs, input_dir = [str(input_dir)], None  # whose series are chosen, not matched by name
    assign = assign_raw_study if prepare else assign_study
    with (
        folder_of_one_run(output, overwrite) as folder,
        open_session(choice, inputs, input_dir, reference, assign=assign, machine=on) as session,
    ):
        check_scans_stay(folder, session.sources.values())
        channel, scan = session.reference(reference)
        prepare_output_folder(folder, _space_needed(session, scan, probabilities))
        prepared = None
        if prepare:
            prepared = session.prepare(channel, PreparationOptions(bias_field=bias_mode(n4)), mixed)
            show_steps(prepared)
            session = session.with_prepared(prepared)
            applied = replace(applied, upside_down=prepared.upside_down)
        doubts = session.check(channel, applied, caution)
        result = session.run(
            SEGMENT, channel, applied, probabilities=probabilities, likeness=false_alarms
        )
        record = session.record("segment", channel, applied)
        with results_written_at_once(folder, overwrite) as unfinished:
            if prepared is not None:
                write_preparation(prepared, channel, unfinished)
            write_results(result, record, unfinished, [*_doubts_of(prepared), *doubts])
    TERMINAL.print(record.table())
    _show(result, folder)


def _doubts_of(prepared: PrepareResult | None) -> list[str]:
    """What of a preparation, if there was one, has to be looked at; of slices the check tells."""
    steps = prepared.steps if prepared is not None else ()
    return doubts_of(step for step in steps if step.name != SLICES)


def _space_needed(session: Session, scan: Scan, probabilities: bool) -> int:
    """Bytes that the results may take at worst, when nothing can be compressed."""
    maps = len(session.model.regions) * BYTES_PER_PROBABILITY if probabilities else 0
    return scan.array.size * (BYTES_PER_VOXEL + maps)


def _show(result: SegmentResult, folder: Path) -> None:
    if result.note:
        TERMINAL.print(result.note)
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
    """The largest lesions, each with its parts below it."""
    table = make_table(
        "Lesions", "##", "Part", "Volume (mL)", "In a slice (mm)", "Probability (mean)", "Place"
    )
    for lesion in lesions[:SHOWN_LESIONS]:
        place = " ".join(lesion.place)
        remark = f"{place}\n{FALSE_ALARM}".strip() if lesion.is_doubtful else place
        table.add_row(str(lesion.id), "whole", *_cells(lesion), remark)
        for part in lesion.parts:
            table.add_row("", part.name, *_cells(part), "")
    return table


def _cells(measures: Measures) -> tuple[str, str, str]:
    long_axis, short_axis = measures.long_axis.length_mm, measures.short_axis.length_mm
    return (
        rounded(measures.volume_ml, 2),
        f"{rounded(long_axis, 1)} x {rounded(short_axis, 1)}",
        f"{measures.mean_probability:.2f}",
    )

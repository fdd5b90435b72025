"""`factorizer prepare`: raw scans in, scans in the form that a model expects out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from factorizer_engine.cli import options
from factorizer_engine.cli.session import Session, assign_inputs, open_session
from factorizer_engine.cli.terminal import (
    TERMINAL,
    Quiet,
    Verbose,
    format_seconds,
    make_table,
)
from factorizer_engine.protocol.files import prepare_output_folder, write_json, written_at_once
from factorizer_engine.protocol.messages import plain
from factorizer_engine.protocol.models import Channel
from factorizer_engine.protocol.preparation import (
    BrainMode,
    PreparationOptions,
    RegistrationMode,
)
from factorizer_engine.protocol.runs import ModelChoice
from factorizer_engine.protocol.tasks.prepare import PrepareResult

Scans = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUTS",
        help="A folder with a DICOM study, whose series are chosen; or scans, each CHANNEL=FILE or "
        "a FILE that is matched by its name.",
    ),
]


def prepare(
    inputs: Scans,
    output: options.Output,
    model: options.Model = "",
    reference: options.Reference = None,
    register: options.Register = RegistrationMode.rigid,
    brain: options.Brain = BrainMode.auto,
    n4: options.BiasField = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Prepare raw scans for a model: writes every channel, the brain mask and what was done."""
    applied = PreparationOptions(register.value, brain.value, n4)
    folder = prepare_output_folder(output)
    with open_session(ModelChoice(model, "cpu"), inputs, None, assign_study) as session:
        channel, _ = session.reference(reference)
        result = session.prepare(channel, applied)
        with written_at_once(folder) as unfinished:
            _write_scans(result, unfinished)
            write_preparation(session, result, channel, unfinished)
        missing = [c.name for c in session.model.channels if c.name not in session.scans]
    show_steps(result)
    if missing:
        TERMINAL.print(f"No scan was given for {', '.join(missing)}, which the model expects.")
    seconds = format_seconds(sum(result.timings.values()))
    TERMINAL.print(f"Prepared in {seconds}. The scans are in {folder}")


def assign_study(
    inputs: Sequence[str], channels: Sequence[Channel], complete: bool = False
) -> dict[str, Path | str]:
    """The file of each channel, not necessarily of all; series of a DICOM study are chosen.

    Args:
        inputs: Folders, "CHANNEL=FILE" or "FILE".
        channels: What the model takes.
        complete: Whether every channel must be found.

    Raises:
        BadInputError: If nothing can be used, or it is not clear what is what.
    """
    named = [found for text in inputs for found in _expanded(text, channels)]
    return assign_inputs(named, channels, complete)


def _expanded(text: str, channels: Sequence[Channel]) -> list[str]:
    """What an input stands for: the files of a folder, the series of a study, or itself."""
    from factorizer_engine.images.files import is_scan_name

    path = Path(text).expanduser()
    folder = path.parent if path.name == "DICOMDIR" and path.is_file() else path
    if not folder.is_dir():
        return [text]
    files = sorted(str(file) for file in folder.iterdir() if is_scan_name(file))
    return files or _chosen_series(folder, channels)


def _chosen_series(folder: Path, channels: Sequence[Channel]) -> list[str]:
    """One CHANNEL=FOLDER::SERIES for every channel that a study holds; prints why."""
    from factorizer_engine.images.files import SERIES_MARK
    from factorizer_engine.preparation.series import choose_series

    choice = choose_series(folder, channels)
    table = make_table(f"Series in {folder.name}", "Series", "What it is", "Use")
    for entry in choice.entries:
        table.add_row(entry.title, entry.kind, entry.reason)
    TERMINAL.print(table)
    return [f"{channel}={folder}{SERIES_MARK}{uid}" for channel, uid in choice.chosen.items()]


def show_steps(result: PrepareResult) -> None:
    """Print what was done, and mark what should be looked at."""
    table = make_table("Preparation", "", "Scan", "Step", "Outcome")
    for step in result.steps:
        mark = "look" if step.doubtful else ""
        table.add_row(mark, step.channel or "all", step.name, step.outcome)
    TERMINAL.print(table)


def write_preparation(
    session: Session, result: PrepareResult, reference: str, folder: Path
) -> None:
    """Write what was done: preparation.json for programs, preparation.html for people."""
    from factorizer_engine.images.scan import Scan
    from factorizer_engine.preparation.sheet import placed, write_sheet

    record = {
        "reference": reference,
        "steps": [plain(step) for step in result.steps],
        "versions": result.versions,
        "seconds": {name: round(value, 1) for name, value in result.timings.items()},
    }
    write_json(folder / "preparation.json", record)
    scans = {name: placed(scan, result.steps, name) for name, scan in session.scans.items()}
    brain = Scan.of(result.brain.load(), result.brain.matrix) if result.brain else None
    page = folder / "preparation.html"
    write_sheet(page, scans, reference, brain, result.steps, result.versions)


def _write_scans(result: PrepareResult, folder: Path) -> None:
    from factorizer_engine.images.files import write_nifti
    from factorizer_engine.images.scan import Scan

    for channel, file in result.channels.items():
        write_nifti(Scan.of(file.load(), file.matrix, channel), folder / f"{channel}.nii.gz")
    if result.brain:
        mask = Scan.of(result.brain.load(), result.brain.matrix, "Brain")
        write_nifti(mask, folder / "brain_mask.nii.gz")

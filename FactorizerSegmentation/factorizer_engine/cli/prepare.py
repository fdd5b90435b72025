"""`factorizer prepare`: raw scans in, scans in the form that a model expects out."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from factorizer_engine.cli import options
from factorizer_engine.cli.outputs import (
    check_scans_stay,
    folder_of_one_run,
    results_written_at_once,
)
from factorizer_engine.cli.session import assign_inputs, assign_study, open_session
from factorizer_engine.cli.terminal import (
    TERMINAL,
    Quiet,
    Verbose,
    format_seconds,
    make_table,
)
from factorizer_engine.protocol.files import write_json
from factorizer_engine.protocol.messages import plain
from factorizer_engine.protocol.models import Channel, ModelDescription
from factorizer_engine.protocol.names import plain_name
from factorizer_engine.protocol.preparation import (
    BiasMode,
    BrainMode,
    PreparationOptions,
    RegistrationMode,
)
from factorizer_engine.protocol.runs import ModelChoice, RunOptions
from factorizer_engine.protocol.tasks.prepare import PrepareResult
from factorizer_engine.protocol.wording import enumerated

if TYPE_CHECKING:
    from factorizer_engine.images.scan import Scan

_LONGEST_NAME = 50
"""Letters of a channel's name in a file's."""

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
    on: options.On = None,
    register: options.Register = RegistrationMode.rigid,
    brain: options.Brain = BrainMode.auto,
    n4: options.BiasField = None,
    mixed: options.Mixed = False,
    overwrite: options.Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Prepare raw scans for a model: writes every channel, the brain mask and what was done."""
    applied = PreparationOptions(register.value, brain.value, bias_mode(n4))
    choice = ModelChoice(model, "cpu")
    with (
        folder_of_one_run(output, overwrite) as folder,
        open_session(choice, inputs, None, reference, assign=_assign_any, machine=on) as session,
    ):
        check_scans_stay(folder, session.sources.values())
        channel, _ = session.reference(reference)
        result = session.prepare(channel, applied, mixed)
        record = session.record("prepare", channel, RunOptions(upside_down=result.upside_down))
        with results_written_at_once(folder, overwrite) as unfinished:
            _write_scans(result, unfinished)
            write_preparation(result, channel, unfinished)
            record.write(unfinished)
        missing = [c.name for c in session.model.channels if c.name not in session.scans]
    show_steps(result)
    if missing:
        TERMINAL.print(f"No scan was given for {enumerated(missing)}, which the model expects.")
    seconds = format_seconds(sum(result.timings.values()))
    TERMINAL.print(f"Prepared in {seconds}. The scans are in {folder}")


def bias_mode(n4: bool | None) -> str:
    """One of `BiasMode`, for what was typed of --n4."""
    return (BiasMode.auto if n4 is None else BiasMode.on if n4 else BiasMode.off).value


def assign_raw_study(inputs: Sequence[str], model: ModelDescription) -> dict[str, Path | str]:
    """As `assign_study`, but folders may be given, too; series of a DICOM study are chosen.

    Raises:
        BadInputError: If it is not clear what is what, or not enough for the model.
    """
    return assign_study(_all_expanded(inputs, model.channels), model)


def _assign_any(inputs: Sequence[str], model: ModelDescription) -> dict[str, Path | str]:
    """As `assign_raw_study`, whether or not the model could do with what there is."""
    return assign_inputs(_all_expanded(inputs, model.channels), model.channels, optional=True)


def _all_expanded(inputs: Sequence[str], channels: Sequence[Channel]) -> list[str]:
    return [found for text in inputs for found in _expanded(text, channels)]


def _file_name(channel: str) -> str:
    return f"prepared_{plain_name(channel)[:_LONGEST_NAME]}.nii.gz"


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
    table = make_table(f"Series in {folder.absolute().name}", "Series", "What it is", "Use")
    for entry in choice.entries:
        table.add_row(entry.title, entry.kind, entry.reason)
    TERMINAL.print(table)
    return [f"{channel}={folder}{SERIES_MARK}{key}" for channel, key in choice.chosen.items()]


def show_steps(result: PrepareResult) -> None:
    """Print what was done, and mark what should be looked at."""
    table = make_table("Preparation", "", "Scan", "Step", "Outcome")
    for step in result.steps:
        mark = "look" if step.doubtful else ""
        table.add_row(mark, step.channel or "all", step.name, step.outcome)
    TERMINAL.print(table)


def write_preparation(result: PrepareResult, reference: str, folder: Path) -> None:
    """Write what was done: preparation.json for programs, preparation.html for people."""
    record = {
        "reference": reference,
        "upside_down": result.upside_down,
        "steps": [plain(step) for step in result.steps],
        "versions": result.versions,
        "seconds": {name: round(value, 1) for name, value in result.timings.items()},
    }
    write_json(folder / "preparation.json", record)
    shutil.copyfile(result.sheet, folder / "preparation.html")


def _write_scans(result: PrepareResult, folder: Path) -> None:
    from factorizer_engine.images.files import write_nifti
    from factorizer_engine.images.scan import Scan

    brain = result.brain
    turn = np.eye(4)
    if result.upside_down and brain is not None:
        turn = _turn_up(Scan.of(brain.load(), brain.matrix))
    for channel, file in result.channels.items():
        scan = Scan.of(file.load(), turn @ file.matrix, channel)
        write_nifti(scan, folder / _file_name(channel))
    if brain:
        write_nifti(Scan.of(brain.load(), turn @ brain.matrix), folder / "brain_mask.nii.gz")


def _turn_up(brain: Scan) -> np.ndarray:
    """Mirrors the world from top to bottom, around the middle of a brain's scan."""
    from factorizer_engine.images.orientation import TOP_TO_BOTTOM

    turn = TOP_TO_BOTTOM.copy()
    turn[2, 3] = 2 * brain.grid.corners()[:, 2].mean()
    return turn

"""Options that commands share."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from factorizer_engine.protocol.devices import check_device_name
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.machines import Machine
from factorizer_engine.protocol.preparation import BrainMode, RegistrationMode
from factorizer_engine.protocol.runs import Precision, Quality


def given(text: str) -> str:
    """What was typed; nothing, as of an unset variable of a script, is refused."""
    if not text.strip():
        raise typer.BadParameter("it is empty; give a name or a path.")
    return text


def given_path(text: str | Path) -> Path:
    """A path that was typed; nothing, which would mean the current folder, is none."""
    if not str(text).strip():
        raise typer.BadParameter("the path is empty; give a folder or file.")
    return Path(text)


def machine(text: str | Machine) -> Machine:
    """A machine that was typed."""
    try:
        return text if isinstance(text, Machine) else Machine.named(text)
    except BadInputError as error:
        raise typer.BadParameter(str(error)) from error


def device_name(text: str) -> str:
    """A device that was typed; whether it is there is known later."""
    try:
        check_device_name(text)
    except BadInputError as error:
        raise typer.BadParameter(str(error)) from error
    return text


def refuse_unused(context: typer.Context, mode: str, used: Collection[str]) -> None:
    """Refuse options that were typed and would do nothing.

    Args:
        context: Of the command that runs.
        mode: What it was told to do, such as "--prove".
        used: Names of the parameters that count then.

    Raises:
        BadInputError: If others were typed.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        typed = source is not None and source.name == "COMMANDLINE"
        if typed and parameter.name not in used:
            raise BadInputError(f"{parameter.opts[0]} does nothing with {mode}; leave it out.")


Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="Name, family or path of the model; not needed if only one family is installed.",
    ),
]
Inputs = Annotated[
    list[str],
    typer.Option(
        "--input",
        "-i",
        metavar="CHANNEL=FILE",
        help="A scan and the channel it is, once per channel; some models do with fewer. A "
        "file, or a DICOM folder; of a folder with several series, FOLDER::SERIES names one by "
        "description, number or UID. A file alone is matched by its name; the only one that is "
        "left needs none.",
    ),
]
InputFolder = Annotated[
    Path | None,
    typer.Option(
        "--input-dir",
        metavar="PATH",
        parser=given_path,
        help="Folder with the scans, matched to channels by their names.",
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        parser=given_path,
        help="Folder for the results; made if it is missing.",
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace the results of an earlier run in that folder."),
]
Reference = Annotated[
    str | None,
    typer.Option(
        "--reference", help="Channel on whose grid to write; the first that is given if unset."
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        "-d",
        metavar="TEXT",
        parser=device_name,
        help='"auto", "cpu", "cuda", "cuda:1" or "mps".',
    ),
]
On = Annotated[
    Machine | None,
    typer.Option(
        "--on",
        metavar="USER@HOST",
        parser=machine,
        help="Compute on another machine that ssh reaches and where Factorizer is installed; "
        "--device is one of its. USER@HOST:PROGRAM says where the command 'factorizer' is there.",
    ),
]
PrecisionOption = Annotated[
    Precision, typer.Option("--precision", help="Number format of the computation.")
]
QualityOption = Annotated[
    Quality,
    typer.Option(
        "--quality",
        help="fast: little overlap, no mirrored copies, one network of an ensemble; balanced: as "
        "the model was made; best: mirrored copies, too. Other options go before it.",
    ),
]
Sweeps = Annotated[
    int | None,
    typer.Option(
        "--sweeps", min=1, help="Sweeps of every factorisation; unset, as the model was trained."
    ),
]
ShortCircuits = Annotated[
    list[str],
    typer.Option(
        "--short-circuit",
        metavar="BLOCK",
        help='A block, such as "decoder.3.0", whose factorisation passes on what it gets; repeat '
        "for more. The documentation says what that costs and saves.",
    ),
]
Mirroring = Annotated[
    bool | None,
    typer.Option(
        "--mirroring/--no-mirroring",
        "--tta/--no-tta",
        help="Average over mirrored copies; unset, the model's own choice.",
    ),
]
Overlap = Annotated[
    float | None,
    typer.Option(
        "--overlap", help="Overlap of neighbouring windows, 0 to below 1; unset, the model's own."
    ),
]
Bounds = Annotated[
    tuple[float, float, float, float, float, float] | None,
    typer.Option(
        "--box",
        metavar="R_MIN R_MAX A_MIN A_MAX S_MIN S_MAX",
        help="Look only inside a box, in mm along right, anterior and superior.",
    ),
]
Quick = Annotated[
    bool,
    typer.Option(
        "--quick",
        help="With --box: as few windows as possible, laid around the box; outlines may differ a "
        "little from those of the whole scan.",
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="Refuse scans that look wrong, instead of saying so and going on."
    ),
]
Mixed = Annotated[
    bool,
    typer.Option(
        "--mixed",
        help="Run although the scans are of different patients, dates or frames of reference.",
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile the model first, which takes minutes; it runs as it is where that fails.",
    ),
]
Probabilities = Annotated[
    bool,
    typer.Option(
        "--probabilities",
        help="Also write probabilities.nii.gz: one volume per region, in the model's order.",
    ),
]
FalseAlarms = Annotated[
    bool,
    typer.Option(
        "--false-alarms",
        help="Mark lesions that may be false alarms, by the components that speak for them.",
    ),
]
Count = Annotated[
    int, typer.Option("--count", "-n", min=1, max=200, help="How many components to write.")
]
Region = Annotated[
    str | None,
    typer.Option("--region", help="Region whose drivers to show first; unset, any that was found."),
]
Register = Annotated[
    RegistrationMode,
    typer.Option("--register", help="How sequences are brought to the reference."),
]
Brain = Annotated[
    BrainMode,
    typer.Option(
        "--brain",
        help="Cut the brain out; auto does where the model expects it and the scans have a skull.",
    ),
]
BiasField = Annotated[
    bool | None,
    typer.Option(
        "--n4/--no-n4",
        show_default="auto",
        help="Correct slow changes of brightness (N4 bias field); auto does where the brain is cut "
        "out of scans with a skull.",
    ),
]
Prepare = Annotated[
    bool,
    typer.Option(
        "--prepare",
        help="Prepare raw scans first: choose DICOM series, register, cut out the brain. "
        "See 'factorizer prepare --help'.",
    ),
]
Result = Annotated[
    Path,
    typer.Argument(
        metavar="RESULT",
        parser=given_path,
        show_default=False,
        help="Folder that 'factorizer segment' wrote, or a .seg.nrrd file, as corrected in Slicer.",
    ),
]
Studies = Annotated[
    Path | None,
    typer.Option(
        "--studies",
        metavar="FOLDER_OR_CSV",
        parser=given_path,
        help="Instead of one study: a folder with a subfolder for each, or a table with the column "
        "'study' and a column with the files of each channel. What is done is not done again.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Studies at once on this computer; unset, as many as fit."
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", help="Address of a Dask scheduler that spreads the studies."),
]

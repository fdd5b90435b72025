"""`factorizer refine`: a segmentation, corrected by clicks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from factorizer_engine.cli import options
from factorizer_engine.cli.early_checks import Caution
from factorizer_engine.cli.outputs import (
    check_scans_stay,
    folder_of_one_run,
    results_written_at_once,
)
from factorizer_engine.cli.results import write_results
from factorizer_engine.cli.session import Session, open_session
from factorizer_engine.cli.terminal import TERMINAL, Quiet, Verbose
from factorizer_engine.protocol.clicks import Click
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.messages import plain
from factorizer_engine.protocol.models import ModelDescription, Region
from factorizer_engine.protocol.runs import ModelChoice, RunOptions
from factorizer_engine.protocol.tasks.refine import REFINE, RefineResult
from factorizer_engine.protocol.tasks.segment import SegmentResult
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.protocol.wording import counted

if TYPE_CHECKING:
    from factorizer_engine.images.scan import Scan

_PLACE = "REGION=R,A,S"


def _clicks_option(flag: str, text: str) -> typer.models.OptionInfo:
    return typer.Option(
        flag,
        metavar=_PLACE,
        help=f"{text} Millimetres to the right, to the front and up; several points of a scribble "
        "are joined by ';'. Repeat for more clicks.",
    )


def refine(
    output: options.Output,
    model: options.Model = "",
    inputs: options.Inputs = [],  # noqa: B006 (typer copies it)
    input_dir: options.InputFolder = None,
    reference: options.Reference = None,
    start: Annotated[
        str,
        typer.Option(
            "--start",
            metavar="[REGION=]FILE",
            help="Segmentation to correct: a label map of the model's values, a .seg.nrrd, or "
            "REGION=FILE for a mask that outlines one region; on another grid than the reference "
            "scan's it is brought onto that. Unset, what the model finds.",
        ),
    ] = "",
    add: Annotated[list[str], _clicks_option("--add", "A place that belongs to a region.")] = [],  # noqa: B006 (typer copies it)
    remove: Annotated[
        list[str], _clicks_option("--remove", "A place that does not; after those of --add.")
    ] = [],  # noqa: B006 (typer copies it)
    device: options.Device = "auto",
    on: options.On = None,
    precision: options.PrecisionOption = options.Precision.float32,
    strict: options.Strict = False,
    mixed: options.Mixed = False,
    overwrite: options.Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Correct a segmentation by clicks; writes the same files as segment."""
    clicks = (*_clicks(add, True), *_clicks(remove, False))
    if not clicks:
        raise BadInputError(f"Say by --add or --remove {_PLACE} what is to be corrected.")
    choice = ModelChoice(model, device, precision.value)
    applied = RunOptions()
    outlined, path = _start(start)
    drawn = _read_start(path) if path is not None else None
    with (
        folder_of_one_run(output, overwrite) as folder,
        open_session(choice, inputs, input_dir, reference, machine=on) as session,
    ):
        check_scans_stay(folder, session.sources.values())
        named = tuple(_with_region(click, session.model) for click in clicks)
        channel, scan = session.reference(reference)
        session.check(channel, applied, Caution(strict, mixed))
        file = None
        if drawn is not None:
            file = _handed_over(_on_grid_of(scan, drawn), outlined, session)
        result = session.run(REFINE, channel, applied, clicks=named, start=file, measure=True)
        record = session.record("refine", channel, applied)
        with results_written_at_once(folder, overwrite) as unfinished:
            began = str(path.resolve()) if path is not None else None
            write_results(
                _as_segmented(result), record, unfinished, start=began, clicks=plain(named)
            )
    if result.note:
        TERMINAL.print(result.note)
    count = counted(len(clicks), "click")
    TERMINAL.print(f"{count} in {result.seconds:.2f} s on {result.device}. Results are in {folder}")


def _clicks(places: Sequence[str], add: bool) -> list[Click]:
    """Clicks out of texts such as "WT=12,-30,45", or "12,-30,45" with the region left open."""
    clicks = []
    for text in places:
        region, separator, rest = text.rpartition("=")
        try:
            points = tuple(_point(part) for part in rest.split(";"))
        except ValueError:
            raise BadInputError(
                f"'{text}' is no place; write {_PLACE} in millimetres, such as WT=12,-30,45."
            ) from None
        clicks.append(Click(region.strip() if separator else "", points, add))
    return clicks


def _point(text: str) -> tuple[float, float, float]:
    right, anterior, superior = map(float, text.split(","))
    return right, anterior, superior


def _with_region(click: Click, model: ModelDescription) -> Click:
    """The click with the model's spelling of its region, or its only region.

    Raises:
        BadInputError: If there is no such region, or none is named among several.
    """
    if not click.region and len(model.regions) == 1:
        return Click(model.regions[0].name, click.points, click.add)
    return Click(_region(click.region, model, _PLACE).name, click.points, click.add)


def _region(name: str, model: ModelDescription, form: str) -> Region:
    """The region of a name in any spelling.

    Args:
        name: Of the region, or "".
        model: Whose it is.
        form: How it is to be given.

    Raises:
        BadInputError: If there is no such region.
    """
    for region in model.regions:
        if region.name.lower() == name.lower():
            return region
    known = ", ".join(region.name for region in model.regions)
    what = f"has no region '{name}'" if name else "has several regions"
    raise BadInputError(f"{model.title} {what}; name one of {known}, as in {form}.")


def _start(text: str) -> tuple[str, Path | None]:
    """Region and file of a start such as "WT=mask.nii.gz"; a file alone is of no region."""
    region, separator, file = text.partition("=")
    if not separator or Path(text).exists():
        return "", Path(text) if text else None
    return region.strip(), Path(file)


def _read_start(path: Path) -> Scan:
    from factorizer_engine.images.files import read_scan
    from factorizer_engine.images.files.seg_reading import read_seg_nrrd

    if path.name.lower().endswith(".seg.nrrd"):
        return read_seg_nrrd(path)[0]
    return read_scan(path)


def _on_grid_of(scan: Scan, drawn: Scan) -> Scan:
    """A start on the grid of the reference scan; says so if it lay on another one."""
    from factorizer_engine.images.geometry import same_grid
    from factorizer_engine.images.labelmaps import on_other_grid

    if same_grid(drawn.grid, scan.grid):
        return drawn
    moved = on_other_grid(drawn, scan.grid)
    TERMINAL.print(f"{drawn.name} was brought onto the grid of the scan (nearest voxel).")
    return moved


def _handed_over(drawn: Scan, outlined: str, session: Session) -> ScanFile:
    """A start as the model's labels; of a mask that outlines a region, where it is not zero."""
    labels = np.asarray(drawn.array)
    if outlined:
        region = _region(outlined, session.model, "REGION=FILE")
        labels = np.where(labels != 0, region.label, 0).astype(np.uint8)
    elif len(session.model.labels) > 1:
        _tell_of_single_label(labels, session.model)
    return ScanFile.save(labels, drawn.affine, session.folder / "start.npy", drawn.name)


def _tell_of_single_label(labels: np.ndarray, model: ModelDescription) -> None:
    """Masks of other programs hold the value 1, which may be a part of a lesion here."""
    values = np.unique(labels[labels != 0])
    for label in model.labels:
        if values.tolist() == [label.value]:
            TERMINAL.print(
                f"The start holds {label.value} alone, which is {label.name}; if it outlines a "
                "region, give it as --start REGION=FILE."
            )


def _as_segmented(result: RefineResult) -> SegmentResult:
    """The result as that of `segment`, whose files are the same."""
    return SegmentResult(
        model=result.model,
        labelmap=result.labelmap,
        probabilities=(),
        lesions=result.lesions,
        timings={"correcting": result.seconds},
        device=result.device,
        note=result.note,
    )

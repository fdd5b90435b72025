"""`factorizer follow-up`: what became of lesions from study to study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from factorizer_engine.cli import options, session
from factorizer_engine.cli.earlier_results import EarlierResult, read_result
from factorizer_engine.cli.terminal import TERMINAL, Quiet, Verbose, make_table
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import temporary_folder
from factorizer_engine.protocol.segmentations import SegmentationFile
from factorizer_engine.protocol.tasks.follow_up import (
    FOLLOW_UP,
    FollowUpParams,
    FollowUpResult,
    SegmentedStudy,
)
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.protocol.wording import rounded

if TYPE_CHECKING:
    from rich.table import Table

    from factorizer_engine.images.scan import Scan

PAGE = Path("follow-up.html")
SHOWN = 15

Results = Annotated[
    list[Path],
    typer.Argument(
        metavar="RESULT...",
        parser=options.given_path,
        show_default=False,
        help="Folders that 'factorizer segment' wrote, or .seg.nrrd files, the oldest first.",
    ),
]
Scans = Annotated[
    list[str],
    typer.Option(
        "--scan",
        metavar="PATH",
        help="The scan of each result, in the same order; unset, what their run.json names.",
    ),
]
Names = Annotated[
    list[str],
    typer.Option("--name", help="What to call each, such as 2026-03-01, in the same order."),
]
Page = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="FILE", parser=options.given_path, help="The page to write."
    ),
]
Registered = Annotated[
    bool,
    typer.Option(
        "--registration/--no-registration",
        help="Bring the studies together by their scans, or trust their headers.",
    ),
]


def follow_up(
    results: Results,
    output: Page = PAGE,
    scans: Scans = [],  # noqa: B006 (typer copies it)
    names: Names = [],  # noqa: B006
    registration: Registered = True,
    overwrite: options.Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Match the lesions of two or more studies: new, grown, stable, shrunk, gone.

    Writes a page with the same slices side by side and volumes over time, and two tables beside it.
    """
    page = output.expanduser().absolute().with_suffix(".html")
    for file in (page, page.with_suffix(".csv"), page.with_name(f"{page.stem}-volumes.csv")):
        if file.exists() and not overwrite:
            raise BadInputError(
                f"{file} exists; choose another name, or replace it by --overwrite."
            )
    for given, what in ((scans, "--scan"), (names, "--name")):
        if given and len(given) != len(results):
            raise BadInputError(f"Give {what} once for each of the {len(results)} results.")
    found = [read_result(place) for place in results]
    if len({item.path.resolve() for item in found}) < len(found):
        raise BadInputError("A result is given twice; give those of different studies.")
    places = list(scans) or [_recorded_scan(item) for item in found]
    with temporary_folder() as folder:
        studies = _studies(found, _read(places), names, folder)
        with session.EngineClient(on_log=TERMINAL.log) as engine, TERMINAL.progress() as move:
            params = FollowUpParams(studies, str(page), registration)
            outcome = engine.request(FOLLOW_UP, params, move)
    _show(outcome, page)


def _recorded_scan(result: EarlierResult) -> str:
    if not result.recorded_source:
        raise BadInputError(
            f"Nothing beside {result.path.name} says which scan it is of; name all by --scan."
        )
    return result.recorded_source


def _read(places: Sequence[str]) -> list[Scan]:
    from factorizer_engine.images.files import read_scan

    return [read_scan(place) for place in places]


def _studies(
    results: Sequence[EarlierResult], scans: Sequence[Scan], names: Sequence[str], folder: Path
) -> tuple[SegmentedStudy, ...]:
    """Files for the engine."""
    from factorizer_engine.images.labelmaps import on_whole_grid

    studies = []
    called = list(names) or _names(scans)
    for number, (item, scan, name) in enumerate(zip(results, scans, called, strict=True)):
        labelmap = on_whole_grid(item.labelmap, scan.grid)
        segmentation = SegmentationFile(
            ScanFile.save(labelmap.array, labelmap.affine, folder / f"labels{number}.npy"),
            item.labels,
            *item.model,
            item.edited,
            upside_down=not item.sides_are_known,
        )
        path = folder / f"scan{number}.npy"
        file = ScanFile.save(scan.array, scan.affine, path, scan.name, scan.origin)
        studies.append(SegmentedStudy(name, file, segmentation))
    return tuple(studies)


def _names(scans: Sequence[Scan]) -> list[str]:
    """The days of the studies, if their files say them; otherwise numbers."""
    days = [scan.origin.date for scan in scans]
    if all(len(day) == 8 and day.isdigit() for day in days) and len(set(days)) == len(days):
        return [f"{day[:4]}-{day[4:6]}-{day[6:]}" for day in days]
    return [f"Study {number}" for number in range(1, len(scans) + 1)]


def _show(outcome: FollowUpResult, page: Path) -> None:
    for sentence in outcome.doubts:
        TERMINAL.warn(sentence)
    if outcome.changes:
        TERMINAL.print(_change_table(outcome))
    else:
        TERMINAL.print("There is no lesion in either study.")
    if len(outcome.changes) > SHOWN:
        TERMINAL.print(f"{len(outcome.changes) - SHOWN} smaller ones are in the table.")
    category = outcome.response.category or "no category"
    TERMINAL.print(f"RANO by the sums alone: {category}. {outcome.response.reason}")
    TERMINAL.print(f"The page is {page}, with its tables beside it.")


def _change_table(outcome: FollowUpResult) -> Table:
    before, after = (point.name for point in outcome.points[-2:])
    table = make_table(
        "Lesions", "Change", before, after, "Before (mL)", "After (mL)", "Change (mL)", "Place"
    )
    for change in outcome.changes[:SHOWN]:
        ids = [" + ".join(map(str, numbers)) or "-" for numbers in (change.before, change.after)]
        volumes = (
            rounded(change.before_ml, 2),
            rounded(change.after_ml, 2),
            rounded(change.change_ml, 2, signed=True),
        )
        table.add_row(change.kind, *ids, *volumes, " ".join(change.place))
    return table

"""`factorizer report`: one page about a result, for the screen and for paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from factorizer_engine.cli import options
from factorizer_engine.cli.earlier_results import EarlierResult, read_result, run_facts
from factorizer_engine.cli.explained_results import ExplainedResult
from factorizer_engine.cli.terminal import TERMINAL, Quiet, Verbose
from factorizer_engine.protocol.errors import BadInputError

if TYPE_CHECKING:
    from factorizer_engine.images.scan import Scan
    from factorizer_engine.lesions.reports.prepared import PreparedInputs

PAGE = "report.html"
SHEET = "preparation.html"
"""What `segment --prepare` has written beside the result."""

Page = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        parser=options.given_path,
        help="The page to write; unset, report.html in the folder of the result.",
    ),
]
Moved = Annotated[
    list[str],
    typer.Option(
        "--input",
        "-i",
        metavar="CHANNEL=FILE",
        help="Where a scan is now, if it is not where the result's run.json says.",
    ),
]
Components = Annotated[
    Path | None,
    typer.Option(
        "--components",
        metavar="FOLDER",
        parser=options.given_path,
        help="Folder that 'factorizer components' wrote, to tell what drove the result.",
    ),
]
Words = Annotated[str, typer.Option("--words", help="Findings in your own words.")]
Title = Annotated[str, typer.Option("--title", help="What to call the study.")]


def report(
    result: options.Result,
    output: Page = None,
    inputs: Moved = [],  # noqa: B006 (typer copies it)
    components: Components = None,
    words: Words = "",
    title: Title = "",
    overwrite: options.Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a page with key images, volumes and diameters, and all lesions as CSV beside it."""
    found = read_result(result)
    path = (output or found.path.parent / PAGE).expanduser()
    table = path.with_suffix(".csv")
    for file in (path, table):
        if file.exists() and not overwrite:
            raise BadInputError(
                f"{file} exists; choose another name, or replace it by --overwrite."
            )
    from factorizer_engine.images.labelmaps import on_whole_grid
    from factorizer_engine.lesions.measuring import find_lesions
    from factorizer_engine.lesions.reports.content import Report
    from factorizer_engine.lesions.reports.page import write_report
    from factorizer_engine.lesions.tables import write_lesions_csv

    scans = _scans(found, inputs)
    reference = next(iter(scans.values()), None)
    labelmap = found.labelmap
    if reference is None:
        TERMINAL.warn("No scan is known, so there are no pictures; give one by --input.")
    else:
        labelmap = on_whole_grid(labelmap, reference.grid)
    telling = reference if found.sides_are_known else None
    lesions = find_lesions(labelmap, (), found.labels, None, telling)
    explanation = None
    warnings = [str(sentence) for sentence in found.record.get("remarks", ())]
    if components is not None:
        explained = ExplainedResult.read(components, found)
        if explained.doubt:
            TERMINAL.warn(explained.doubt)
            warnings.append(explained.doubt)
        explanation = explained.explanation(labelmap.grid)
        lesions = explained.with_likeness(lesions)
    write_report(
        Report(
            title=title or (f"Lesions in {reference.name}" if reference else found.path.name),
            made=_made(found),
            labelmap=labelmap,
            labels=found.labels,
            lesions=lesions,
            scans=scans,
            words=words,
            warnings=warnings,
            edited=found.edited,
            explanation=explanation,
            prepared=_prepared(found),
            facts=_facts(found, scans),
        ),
        path,
    )
    write_lesions_csv(lesions, found.labels, table)
    TERMINAL.print(f"The report is {path}, with all lesions in {table.name}.")


def _scans(found: EarlierResult, moved: Sequence[str]) -> dict[str, Scan]:
    """The scans of a result, that on whose grid it lies first."""
    from factorizer_engine.images.files import read_scans, split_series

    places: dict[str, str] = dict(found.sources)
    for text in moved:
        name, separator, file = text.partition("=")
        if not separator or not file.strip():
            raise BadInputError(f"'{text}' does not say which scan it is; write CHANNEL=FILE.")
        places[name.strip()] = file.strip()
    for name, place in places.items():
        if not Path(split_series(place)[0]).expanduser().exists():
            raise BadInputError(
                f"The scan for {name} is no longer at {place}; say by --input {name}=FILE where "
                "it is."
            )
    ordered = sorted(places, key=lambda name: name != found.reference)
    return read_scans({name: places[name] for name in ordered})


def _made(found: EarlierResult) -> str:
    model, version = found.model
    when = datetime.now().astimezone()
    parts = [f"{model} {version}" if model else "of unknown origin", f"{when:%d %B %Y}"]
    return " · ".join(parts)


def _prepared(found: EarlierResult) -> PreparedInputs | None:
    """How the scans were prepared, if the folder of the result says so."""
    from factorizer_engine.lesions.reports.prepared import read_sheet

    try:
        return read_sheet((found.path.parent / SHEET).read_text(encoding="utf-8"))
    except (OSError, UnicodeError):
        return None


def _facts(found: EarlierResult, scans: Mapping[str, Scan]) -> dict[str, dict[str, str]]:
    """Model, settings and scans."""
    made = {
        **run_facts(found.record),
        "Model": " ".join(found.model),
        "Segmentation": str(found.path),
    }
    return {"How it was made": made, "Scans": {name: _size(scan) for name, scan in scans.items()}}


def _size(scan: Scan) -> str:
    voxels = " × ".join(str(count) for count in scan.shape)
    spacing = " × ".join(f"{size:.2f}" for size in scan.spacing)
    return f"{scan.name}, {voxels} voxels of {spacing} mm"

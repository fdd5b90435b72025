"""`factorizer export-dicom`: a segmentation and its measures as DICOM objects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from factorizer_engine.cli import options
from factorizer_engine.cli.earlier_results import EarlierResult, read_result
from factorizer_engine.cli.explained_results import ExplainedResult
from factorizer_engine.cli.terminal import TERMINAL, Quiet, Verbose
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import output_folder
from factorizer_engine.protocol.tasks.export_dicom import REPORT_FILE, SEGMENTATION_FILE

Series = Annotated[
    str,
    typer.Option(
        "--series",
        "-s",
        metavar="FOLDER",
        help="The DICOM series that was segmented: a folder, FOLDER::SERIES, or a multi-frame "
        "file; unset, the one that the result's run.json names.",
    ),
]


Components = Annotated[
    Path | None,
    typer.Option(
        "--components",
        metavar="FOLDER",
        parser=options.given_path,
        help="Folder that 'factorizer components' wrote, whose heatmaps become parametric maps.",
    ),
]


def export_dicom(
    result: options.Result,
    output: options.Output,
    series: Series = "",
    components: Components = None,
    overwrite: options.Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write segmentation.dcm (SEG) and report.dcm (SR) of the study of the series.

    With --components also evidence_1.dcm, component_1.dcm and so on, parametric maps of the
    components' evidence and activity.
    """
    found = read_result(result)
    explained = ExplainedResult.read(components, found) if components else None
    if explained is not None and explained.doubt:
        TERMINAL.warn(explained.doubt)
    from factorizer_engine.images.files import read_scan, split_series
    from factorizer_engine.images.files.dicom.derived import Algorithm
    from factorizer_engine.images.files.dicom.parametric_map import write_parametric_maps
    from factorizer_engine.images.files.dicom.source import read_source
    from factorizer_engine.lesions.dicom import write_dicom_objects

    place = series or _recorded_series(found)
    folder, name = split_series(place)
    source = read_source(Path(folder).expanduser(), name)
    with output_folder(output) as target:
        volumes = explained.volumes() if explained else []
        for file in (SEGMENTATION_FILE, REPORT_FILE, *(volume.file_name for volume in volumes)):
            if (target / file).exists() and not overwrite:
                raise BadInputError(
                    f"{target / file} exists; choose another folder, or replace it by --overwrite."
                )
        algorithm = Algorithm(*found.model, found.perhaps_edited, found.added)
        scan = read_scan(place) if found.sides_are_known else None
        paths = write_dicom_objects(found.labelmap, found.labels, source, algorithm, target, scan)
        maps = write_parametric_maps(volumes, found.labels, source, target, algorithm)
    for path in (*paths, *maps):
        TERMINAL.print(str(path))


def _recorded_series(found: EarlierResult) -> str:
    from factorizer_engine.images.files import split_series
    from factorizer_engine.images.files.dicom import is_dicom_file

    if not found.recorded_source:
        raise BadInputError(
            f"Nothing beside {found.path.name} says on which series it was made; name it by "
            "--series."
        )
    file = Path(split_series(found.recorded_source)[0])
    if file.is_file() and not is_dicom_file(file):
        raise BadInputError(
            f"The result is of {file.name}, which is no DICOM file; name the series that it was "
            "made of by --series."
        )
    return found.recorded_source

"""`factorizer inspect`: what is this scan, study, dataset, result, model or checkpoint?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from factorizer_engine.cli import options
from factorizer_engine.cli.earlier_results import read_record, read_result, run_facts, sources_of
from factorizer_engine.cli.folders import batch_in, dataset_in, scans_in, told_size
from factorizer_engine.cli.models import describe_bundle
from factorizer_engine.cli.outputs import RECORD
from factorizer_engine.cli.terminal import TERMINAL, Quiet, Verbose, make_facts, make_table
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.wording import rounded

WEIGHTS_SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors")


def inspect(
    given: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            parser=options.given,
            help="A scan, a DICOM folder (FOLDER::SERIES for one of several series), a folder of "
            "scans, a training dataset, a result (its folder, that of --studies, a .seg.nrrd, or a "
            "DICOM segmentation, report or parametric map), a model (also by its name) or a "
            "checkpoint.",
        ),
    ],
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say what a scan, a study, a dataset, a result, a model or a checkpoint is."""
    from factorizer_engine.bundles.published.importing import refuse_run
    from factorizer_engine.images.files import SERIES_MARK

    path = Path(given).expanduser()
    if SERIES_MARK in given and not path.exists():
        return _inspect_scan(given)
    if not path.exists():
        path = _installed(given)
    if path.suffix.lower() in WEIGHTS_SUFFIXES:
        _inspect_checkpoint(path)
    elif path.suffix.lower() == ".zip" or (path / "configs").is_dir():
        _inspect_model(path)
    else:
        refuse_run(path)
        told = _told_of_folder if path.is_dir() else _told_of_result
        if not told(path):
            _inspect_scan(path)


def _installed(name: str) -> Path:
    """The folder of the model that is called so, or of the best of a family."""
    from factorizer_engine.bundles.registry import resolve_model

    try:
        return resolve_model(name).description.path
    except BadModelError as error:
        raise BadInputError(f"'{name}' does not exist, and no model is called so.") from error


def _inspect_scan(path: Path | str) -> None:
    from factorizer_engine.images.files import read_scan

    scan = read_scan(path)
    size, voxels = told_size(scan.shape, scan.spacing)
    facts = {
        "Size": size,
        "Voxels (mm)": voxels,
        "Orientation": scan.orientation,
        "Origin (RAS mm)": ", ".join(f"{x:.2f}" for x in scan.affine[:3, 3]),
        "Values": f"{scan.array.min():g} to {scan.array.max():g}, {scan.array.dtype}",
    }
    TERMINAL.print(make_facts(f"Scan {scan.name}", facts))


def _told_of_folder(path: Path) -> bool:
    """Tell of the results, cases, DICOM series or scans in a folder; returns whether that was all.

    A folder with one DICOM volume is that scan, too.
    """
    if _told_of_run(path):
        return True
    return _printed(batch_in(path) or dataset_in(path)) or _told_of_series(path)


def _told_of_run(path: Path) -> bool:
    record = read_record(path / RECORD)
    if record:
        facts = {
            **run_facts(record),
            **sources_of(record),
            "Remarks": " ".join(record.get("remarks", ())),
            "Files": ", ".join(record["files"]),
        }
        written = f"Results of 'factorizer {record.get('command', '')}' in {path}"
        TERMINAL.print(make_facts(written, facts))
    return bool(record)


def _told_of_series(path: Path) -> bool:
    from factorizer_engine.images.files.dicom import list_series
    from factorizer_engine.images.files.dicom.series import own_name

    found = list_series(path)
    volumes = [s for s in found if s.count > 1 and not s.is_made_of_others]
    if len(found) > len(volumes) or len(volumes) > 1:
        table = make_table(f"Series in {path}", "Series", "Number", "Modality", "Images#")
        for series in found:
            name = Text(own_name(series, found))  # which may hold brackets
            table.add_row(name, series.number, series.modality, str(series.count))
        TERMINAL.print(table)
        return len(volumes) != 1
    return not found and _printed(scans_in(path))


def _printed(table: Table | None) -> bool:
    """Print a table, if there is one; returns whether there is."""
    if table is not None:
        TERMINAL.print(table)
    return table is not None


def _told_of_result(path: Path) -> bool:
    """Tell what a file is if it is a segmentation, report or map; returns whether it is."""
    from factorizer_engine.images.files.dicom.results import result_facts

    if path.name.lower().endswith(".seg.nrrd"):
        _inspect_segments(path)
        return True
    found = result_facts(path)
    if found is not None:
        kind, facts = found
        TERMINAL.print(make_facts(f"{kind} {path.name}", facts))
    return found is not None


def _inspect_segments(path: Path) -> None:
    """Tell the segments of a Slicer segmentation, their volumes and the models that drew them."""
    found = read_result(path)
    table = make_table(f"Segmentation {path.name}", "Segment", "Volume (mL)", "Model")
    for label in found.labels:
        volume = found.labelmap.grid.volume_ml(int((found.labelmap.array == label.value).sum()))
        table.add_row(Text(label.name), rounded(volume, 2), found.told.get(label.name, ""))
    TERMINAL.print(table)


def _inspect_model(path: Path) -> None:
    from factorizer_engine.bundles.architecture import build_networks
    from factorizer_engine.bundles.reading.loading import load_bundle

    bundle = load_bundle(path)
    TERMINAL.print(describe_bundle(bundle))
    networks = build_networks(bundle)
    parameters = sum(p.numel() for p in networks[0].parameters())
    TERMINAL.print(f"All weights fit the network, which has {parameters:,} parameters.")


def _inspect_checkpoint(path: Path) -> None:
    from factorizer_engine.bundles.published.importing import inspect_checkpoint

    found = inspect_checkpoint(path)
    inspection = found.inspection
    parameters = sum(tensor.numel() for tensor in found.checkpoint.state.values())
    facts = {
        "Kind": found.checkpoint.kind,
        "Published network": f"{found.preset.name} ({found.preset.title})" if found.preset else "",
        "Keys of version": inspection.version,
        "Parameters": f"{parameters:,}",
        **{name: str(value) for name, value in inspection.network.arguments.items()},
    }
    TERMINAL.print(make_facts(f"Checkpoint {path.name}", facts))
    for sentence in inspection.report:
        TERMINAL.print(sentence)

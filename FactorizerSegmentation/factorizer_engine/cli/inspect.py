"""`factorizer inspect`: what is this scan, model or checkpoint?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from factorizer_engine.cli import options
from factorizer_engine.cli.models import describe_bundle
from factorizer_engine.cli.terminal import TERMINAL, Quiet, Verbose, make_facts
from factorizer_engine.protocol.errors import BadInputError, BadModelError

WEIGHTS_SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors")


def inspect(
    given: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            parser=options.given,
            help="A scan, a DICOM folder (FOLDER::SERIES if it holds several), a DICOM "
            "segmentation, report or parametric map, a model (also by its name) or a checkpoint.",
        ),
    ],
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say what a scan, a DICOM result, a model or a checkpoint is."""
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
        if not (path.is_file() and _told_of_result(path)):
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
    facts = {
        "Size": " x ".join(map(str, scan.shape)),
        "Voxels (mm)": " x ".join(f"{size:.4g}" for size in scan.spacing),
        "Orientation": scan.orientation,
        "Origin (RAS mm)": ", ".join(f"{x:.2f}" for x in scan.affine[:3, 3]),
        "Values": f"{scan.array.min():g} to {scan.array.max():g}, {scan.array.dtype}",
    }
    TERMINAL.print(make_facts(f"Scan {scan.name}", facts))


def _told_of_result(path: Path) -> bool:
    """Tell what a DICOM segmentation, report or map is; returns whether the file is one."""
    from factorizer_engine.images.files.dicom.results import result_facts

    found = result_facts(path)
    if found is not None:
        kind, facts = found
        TERMINAL.print(make_facts(f"{kind} {path.name}", facts))
    return found is not None


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

"""`factorizer components`: the NMF components that drove a result, as heatmaps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from factorizer_engine.cli import options
from factorizer_engine.cli.description import describe
from factorizer_engine.cli.early_checks import Caution
from factorizer_engine.cli.outputs import (
    check_scans_stay,
    folder_of_one_run,
    results_written_at_once,
)
from factorizer_engine.cli.proof import prove
from factorizer_engine.cli.session import open_session, run_options
from factorizer_engine.cli.terminal import TERMINAL, Quiet, Verbose, make_table
from factorizer_engine.protocol.components import Component
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import output_folder, prepare_output_folder
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.runs import ModelChoice
from factorizer_engine.protocol.tasks.components import COMPONENTS, ComponentsResult

BYTES_PER_VOXEL = 4

_OF_CASES = ("output", "model", "case", "device", "precision", "quiet", "verbose")
_OF_PROOF = (*_OF_CASES, "proof", "region")
_OF_DESCRIPTION = (*_OF_CASES, "described", "keep", "inputs", "input_dir", "overwrite")
"""Parameters that count where labelled cases are measured."""


def components(
    context: typer.Context,
    output: options.Output,
    model: options.Model = "",
    inputs: options.Inputs = [],  # noqa: B006 (typer copies it)
    input_dir: options.InputFolder = None,
    count: options.Count = 6,
    region: options.Region = None,
    lesion: Annotated[
        int | None,
        typer.Option("--lesion", min=1, help="Number of one lesion, as `segment` lists them."),
    ] = None,
    proof: Annotated[
        Path | None,
        typer.Option(
            "--prove",
            metavar="DATASET",
            help="Measure on labelled cases how faithful the evidence is: a training "
            "configuration, folder of a run or of a dataset.",
        ),
    ] = None,
    described: Annotated[
        Path | None,
        typer.Option(
            "--describe",
            metavar="DATASET",
            help="Measure on labelled cases what every component of the model means: a training "
            "configuration, folder of a run or of a dataset. Scans that are given, too, are the "
            "example of an atlas.",
        ),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="With --describe: put the descriptions into the model, too, and the atlas in the "
            "scans that are given.",
        ),
    ] = False,
    case: Annotated[
        list[str],
        typer.Option("--case", help="With --prove, --describe: name of a case; repeat for more."),
    ] = [],  # noqa: B006 (typer copies it)
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
    overwrite: options.Overwrite = False,
    strict: options.Strict = False,
    mixed: options.Mixed = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what drove the result.

    Writes evidence_1.nii.gz (what the component contributes where), component_1.nii.gz (where it is
    active) and so on, components.json, and run.json.
    """
    choice = ModelChoice(
        model,
        device,
        precision.value,
        members=quality.members,
        sweeps=sweeps,
        short_circuits=tuple(short_circuit),
    )
    if proof is not None and described is not None:
        raise BadInputError("Give one of --prove and --describe at a time.")
    if described is not None:
        options.refuse_unused(context, "--describe", _OF_DESCRIPTION)
        with folder_of_one_run(output, overwrite) as folder:
            describe(described, folder, choice, case, [*inputs], input_dir, keep)
        return
    if keep:
        raise BadInputError("--keep is for --describe only.")
    if proof is not None:
        options.refuse_unused(context, "--prove", _OF_PROOF)
        with output_folder(output) as folder:
            prove(proof, folder, choice, case, region)
        return
    if case:
        raise BadInputError(
            "--case is for --prove and --describe only; give scans with --input or --input-dir."
        )
    applied = run_options(mirroring, overlap, box, quick, quality)
    with (
        folder_of_one_run(output, overwrite) as folder,
        open_session(choice, inputs, input_dir, reference, region, machine=on) as session,
    ):
        check_scans_stay(folder, session.sources.values())
        channel, scan = session.reference(reference)
        prepare_output_folder(folder, 2 * count * scan.array.size * BYTES_PER_VOXEL)
        session.check(channel, applied, Caution(strict, mixed))
        result = session.run(
            COMPONENTS, channel, applied, count=count, region=region, lesion=lesion
        )
        record = session.record("components", channel, applied)
        with results_written_at_once(folder, overwrite) as unfinished:
            _write(result, unfinished)
            record.write(unfinished, count=count, region=region, lesion=lesion)
    TERMINAL.print(record.table())
    _show(result, folder)


def _write(result: ComponentsResult, folder: Path) -> None:
    from factorizer_engine.images.files import write_nifti
    from factorizer_engine.images.scan import Scan

    entries = []
    maps = zip(result.components, result.evidence, result.heatmaps, strict=True)
    for number, (component, evidence, heatmap) in enumerate(maps, start=1):
        files = {"evidence": evidence, "component": heatmap}
        for kind, scan in files.items():
            volume = Scan.of(scan.load(), scan.matrix, component.name)
            write_nifti(volume, folder / f"{kind}_{number}.nii.gz")
        entries.append(_entry(component, number))
    summary = {
        "model": {"name": result.model.name, "version": result.model.version},
        "note": result.note,
        "reliance": result.reliance.to_dict() if result.reliance else None,
        "lesions": [_lesion_entry(lesion) for lesion in result.lesions],
        "components": entries,
    }
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    (folder / "components.json").write_text(text, encoding="utf-8")


def _entry(component: Component, number: int) -> dict:
    return {
        "file": f"component_{number}.nii.gz",
        "evidence": f"evidence_{number}.nii.gz",
        "name": component.name,
        "meaning": component.meaning,
        "stability": component.stability,
        **component.term.to_dict(),
        "contributions": component.contributions,
        "region": component.region,
        "level": round(component.level, 3),
        "is_level": component.is_level,
        "left": component.left,
        "evidence_window": component.evidence_window,
        "window": component.window,
    }


def _lesion_entry(lesion: Lesion) -> dict:
    return {
        "lesion": lesion.id,
        "volume_ml": lesion.volume_ml,
        "centroid_ras": lesion.centroid_ras,
        "likeness": lesion.likeness,
        "false_alarm": None if lesion.likeness is None else lesion.is_doubtful,
    }


def _show(result: ComponentsResult, folder: Path) -> None:
    regions = [region.name for region in result.model.regions]
    logits = (f"{name} (logit)" for name in regions)
    of_lesion = any(component.left is not None for component in result.components)
    left = ("Left without it",) if of_lesion else ()
    columns = ("##", "Component", *logits, *left, "Evidence for", "Acts", "Stable")
    table = make_table("Components", *columns)
    for number, component in enumerate(result.components, start=1):
        changes = [f"{component.contributions.get(name, 0.0):+.2f}" for name in regions]
        acts = "as a level" if component.is_level else "at a place"
        name = f"{component.name}\n{component.meaning}".strip()
        if component.left is not None:
            changes.append(f"{100 * component.left:.0f} %")
        table.add_row(str(number), name, *changes, component.region, acts, _stable(component))
    TERMINAL.print(table)
    if result.note:
        TERMINAL.print(result.note)
    TERMINAL.print(
        f"Evidence (evidence_*.nii.gz) and activity (component_*.nii.gz) are in {folder}"
    )


def _stable(component: Component) -> str:
    if component.stability is None:
        return "unknown"
    return "yes" if component.is_stable else f"no ({component.stability:.2f})"

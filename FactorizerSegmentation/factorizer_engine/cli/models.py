"""`factorizer models`: what is installed, and changing that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from factorizer_engine.cli.options import given, given_path
from factorizer_engine.cli.terminal import (
    TERMINAL,
    Quiet,
    Verbose,
    format_seconds,
    make_facts,
    make_table,
)
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.tasks.install_model import InstallModelParams

if TYPE_CHECKING:
    from rich.table import Table

    from factorizer_engine.bundles.bundle import Bundle
    from factorizer_engine.protocol.models import ModelDescription

models = typer.Typer(help="List, describe, install, import and remove models.")

Name = Annotated[str, typer.Argument(help="Name of the model.", parser=given)]
Replace = Annotated[bool, typer.Option("--replace", help="Replace an installed model.")]


@models.callback(invoke_without_command=True)
def _list_by_default(context: typer.Context) -> None:
    """List, describe, install, import and remove models; without a command, list."""
    if context.invoked_subcommand is None:
        list_models()


@models.command("list")
def list_models(quiet: Quiet = False, verbose: Verbose = False) -> None:
    """List the installed models."""
    from factorizer_engine.bundles.registry import find_bundles

    models = [bundle.description for bundle in find_bundles()]
    if not models:
        TERMINAL.print("No model is installed; see 'factorizer models install --help'.")
        return
    table = make_table("", "Name", "Version", "Family", "Channels", "What it finds")
    for model in models:
        channels = ", ".join(channel.name for channel in model.channels)
        table.add_row(model.name, model.version, model.family, channels, model.title)
    TERMINAL.print(table)


@models.command("info")
def info(
    model: Annotated[str, typer.Argument(help="Name, family or path of the model.", parser=given)],
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Describe a model: its scans, labels and model card."""
    from rich.markdown import Markdown

    from factorizer_engine.bundles.registry import resolve_model

    bundle = resolve_model(model)
    TERMINAL.print(describe_bundle(bundle))
    if bundle.description.card:
        TERMINAL.print(Markdown(bundle.description.card))


@models.command("available")
def available(quiet: Quiet = False, verbose: Verbose = False) -> None:
    """List published models that 'install' can download."""
    from factorizer_engine.protocol.catalogue import published_models

    table = make_table("", "Name", "Family", "What it finds", "Licence", "Read about it")
    for model in published_models():
        table.add_row(model.name, model.family, model.title, model.licence, model.page)
    TERMINAL.print(table)


@models.command("install")
def install(
    source: Annotated[
        str,
        typer.Argument(
            help="A model as a .zip file, a folder, a checkpoint, an https address of one of "
            "these, or a name that 'available' lists."
        ),
    ],
    sha256: Annotated[
        str, typer.Option("--sha256", help="What a download must add up to; checked if given.")
    ] = "",
    replace: Replace = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Put a model into the user's models folder, after checking it."""
    from factorizer_engine.bundles.published.installing import install_model
    from factorizer_engine.protocol.description import WITHOUT_CHECKSUMS

    params = InstallModelParams(source, sha256, replace)
    with _replace_told(), TERMINAL.progress() as move:
        bundle, found = install_model(params.source, params.sha256, replace, Monitor(move))
    if found:
        TERMINAL.print(f"The download's SHA-256 is {found}")
    model = bundle.description
    TERMINAL.print(f"Installed {model.name} {model.version} in {model.path}")
    if WITHOUT_CHECKSUMS in model.notes:
        TERMINAL.print(WITHOUT_CHECKSUMS)


@models.command("import")
def import_checkpoints(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(
            help="Weights files of one network or ensemble, or a folder with them.",
            parser=given_path,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            parser=given_path,
            help="Folder of the new model; the user's own if unset.",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="Published network that it is; recognised if unset."),
    ] = None,
    channel: Annotated[
        list[str], typer.Option("--channel", help="Name of an input; once per input, in order.")
    ] = [],  # noqa: B006 (typer copies it)
    region: Annotated[
        list[str], typer.Option("--region", help="Name of an output; once per output, in order.")
    ] = [],  # noqa: B006
    spacing: Annotated[
        tuple[float, float, float] | None,
        typer.Option("--spacing", help="Voxel size in mm that the network expects."),
    ] = None,
    replace: Replace = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make a model of checkpoints that come without a configuration, such as published ones."""
    from factorizer_engine.bundles.published.importing import import_checkpoint

    with _replace_told():
        bundle = import_checkpoint(
            checkpoints,
            output,
            preset,
            channels=channel or None,
            outputs=region or None,
            spacing=spacing,
            overwrite=replace,
        )
    TERMINAL.print(describe_bundle(bundle))


@models.command("remove")
def remove(name: Name, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Delete a model from the user's models folder."""
    from factorizer_engine.bundles.registry import remove_bundle

    remove_bundle(name)
    TERMINAL.print(f"Removed {name}")


@contextmanager
def _replace_told() -> Iterator[None]:
    """Name the option to whoever has given the command already."""
    from factorizer_engine.bundles.registry import TakenNameError

    try:
        yield
    except TakenNameError as error:
        raise TakenNameError(error.sentence, "with --replace") from error


def _may_lack(model: ModelDescription) -> str:
    """The scans that the model can do without, one alone or several together; "" if none."""
    names = [channel.name for channel in model.channels]
    enough = [subset for subset in model.subsets if subset.regions]
    missing = [[n for n in names if n not in subset.channels] for subset in enough]
    return "; ".join(", ".join(some) for some in sorted(missing, key=len) if some)


def describe_bundle(bundle: Bundle) -> Table:
    """What a model is, as a table of facts."""
    model = bundle.description
    seconds = (f"{format_seconds(s)} ({kind})" for kind, s in model.expected_seconds.items())
    return make_facts(
        f"{model.title} ({model.name} {model.version})",
        {
            "What it does": model.summary,
            "Family": model.family,
            "Scans": ", ".join(channel.name for channel in model.channels),
            "May lack": _may_lack(model),
            "Regions": ", ".join(f"{region.title} ({region.name})" for region in model.regions),
            "Labels": ", ".join(f"{label.value} {label.name}" for label in model.labels),
            "Network": bundle.network.target,
            "Weights": ", ".join(path.name for path in bundle.weights),
            "Weights for fewer scans": ", ".join(
                f"{path.parent.name}/{path.name}" for path in bundle.fewer_weights
            ),
            "Window": " x ".join(map(str, bundle.inference.roi_size)),
            "First stage": _first_stage(bundle),
            "Typical time": ", ".join(seconds),
            "Notes": " ".join(model.notes),
            "Folder": str(model.path),
        },
    )


def _first_stage(bundle: Bundle) -> str:
    """Of a cascade, what it looks at again; empty facts are not shown."""
    if bundle.coarse is None:
        return ""
    first = bundle.coarse.description
    return f"{first.title} ({first.name} {first.version}), whose findings are looked at again"

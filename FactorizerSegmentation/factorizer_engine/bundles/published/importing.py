"""Makes a bundle of checkpoints that come without a configuration, such as the published ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.published.inspection import Inspection, inspect_state
from factorizer_engine.bundles.published.presets import PRESETS, Preset
from factorizer_engine.bundles.reading.members import WEIGHTS_SUFFIXES
from factorizer_engine.bundles.reading.weights import Checkpoint, read_checkpoint
from factorizer_engine.bundles.registry import check_name_is_free
from factorizer_engine.bundles.saving import check_target, save_bundle
from factorizer_engine.bundles.settings import (
    InferenceSettings,
    NetworkSpec,
    PostprocessingSettings,
    Preprocessing,
)
from factorizer_engine.protocol import conventions
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.locations import user_models_dirs
from factorizer_engine.protocol.models import Channel, ModelDescription
from factorizer_engine.protocol.names import slug
from factorizer_engine.protocol.triples import triple


@dataclass(frozen=True)
class InspectedCheckpoint:
    """A checkpoint, its network's settings, and the published network it is, if any."""

    checkpoint: Checkpoint
    inspection: Inspection
    preset: Preset | None


def inspect_checkpoint(path: str | Path, preset: str | None = None) -> InspectedCheckpoint:
    """Say what a checkpoint holds.

    Args:
        path: Weights file of any kind that `read_checkpoint` reads.
        preset: Name of a preset, or None to recognise a published network by its shapes.

    Raises:
        BadModelError: If the file is damaged, hostile, or not a Factorizer's.
        BadInputError: If there is no such preset.
    """
    if preset is not None and preset not in PRESETS:
        raise BadInputError(f"There is no preset {preset}; choose one of {', '.join(PRESETS)}.")
    checkpoint = read_checkpoint(path)
    found = inspect_state(checkpoint.state, checkpoint.hyper_parameters)
    published = PRESETS[preset] if preset else _recognised(found)
    if published is not None:
        found = inspect_state(checkpoint.state, checkpoint.hyper_parameters, published.network)
    return InspectedCheckpoint(checkpoint, found, published)


def import_checkpoint(
    paths: str | Path | Iterable[str | Path],
    output: str | Path | None = None,
    preset: str | None = None,
    channels: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    spacing: Sequence[float] | None = None,
    dtype: Literal["float16", "float32"] = "float32",
    overwrite: bool = False,
) -> Bundle:
    """Make a bundle of one checkpoint, or of the members of an ensemble.

    Args:
        paths: Weights files, or folders that are searched for them; in folders, files that hold no
            Factorizer are passed over.
        output: The bundle's folder; by default one in the user's models folder.
        preset: "isles22-challenge" (DeepISLES), "brats-paper", "isles22-paper", "brats23" or
            "isles22"; None recognises these by the shapes of their tensors.
        channels: Names of the inputs in network order, instead of the preset's.
        outputs: Names of the outputs in network order, instead of the preset's.
        spacing: Voxel size in mm that the network expects, instead of the preset's.
        dtype: Floating-point type of the stored weights.
        overwrite: Whether a bundle at `output` may be replaced.

    Returns:
        The bundle; its `notes` say what was assumed and what was left out.

    Raises:
        BadModelError: If a checkpoint is damaged, hostile or not a Factorizer's, or if the members
            differ in architecture.
        BadInputError: If there is no such preset, a folder is that of a training run, the name is
            that of an installed model, or `output` cannot be written.
    """
    if isinstance(paths, (str, Path)):
        paths = [paths]
    if output:
        _check_place(Path(output), overwrite)
    members, skipped = _read_members(paths, preset)
    first = members[0]
    for other in members[1:]:
        if other.inspection.network != first.inspection.network:
            raise BadModelError(
                f"{first.checkpoint.path.name} and {other.checkpoint.path.name} are different "
                "networks; import them one by one."
            )
    default_name = first.preset.name if first.preset else first.checkpoint.path.stem
    folder = Path(output) if output else user_models_dirs()[0] / slug(default_name)
    _check_place(folder, overwrite)
    notes = (
        *_recognition_note(first, asked=preset is not None),
        *first.inspection.report,
        *((first.preset.advice,) if first.preset and first.preset.advice else ()),
        *skipped,
    )
    bundle = _describe(first, folder, notes, [m.checkpoint.path for m in members])
    bundle = _with_given(bundle, channels, outputs, spacing)
    return save_bundle(
        bundle, [m.checkpoint.state for m in members], folder, dtype, overwrite=overwrite
    )


def _check_place(folder: Path, overwrite: bool) -> None:
    name = slug(folder.name)
    check_target(folder, name, overwrite)
    if folder.absolute().parent in [place.absolute() for place in user_models_dirs()]:
        check_name_is_free(name, overwrite)


def _recognised(found: Inspection) -> Preset | None:
    values = {name: setting.value for name, setting in found.settings.items()}
    matches = (p for p in PRESETS.values() if p.matches(values, found.version != "today"))
    return next(matches, None)


def refuse_run(folder: Path) -> None:
    """Refuse the folder of a training run, whose weights alone do not tell all of the model.

    Raises:
        BadInputError: If it is one.
    """
    if (folder / "run.json").is_file() and (folder / "history.jsonl").is_file():
        raise BadInputError(
            f"{folder} is the folder of a training run; make a model of it by 'factorizer export "
            f"{folder} -o NAME'."
        )


def _read_members(
    paths: Iterable[str | Path], preset: str | None
) -> tuple[list[InspectedCheckpoint], list[str]]:
    """The Factorizers among the files, and a note on every file in a folder that is passed over."""
    members: list[InspectedCheckpoint] = []
    skipped: list[str] = []
    for path in map(Path, paths):
        if not path.is_dir():
            refuse_run(path.parent)
            members.append(inspect_checkpoint(path, preset))
            continue
        refuse_run(path)
        for file in sorted(f for f in path.rglob("*") if f.suffix.lower() in WEIGHTS_SUFFIXES):
            refuse_run(file.parent)
            try:
                members.append(inspect_checkpoint(file, preset))
            except BadModelError as error:
                skipped.append(f"{file.relative_to(path)} was passed over: {error}")
    if not members:
        raise BadModelError(
            "There are no checkpoints of a Factorizer at the given place; "
            "unpack archives such as .7z first."
        )
    return members, skipped


def _describe(
    member: InspectedCheckpoint, folder: Path, notes: tuple[str, ...], sources: list[Path]
) -> Bundle:
    """The bundle's settings; its weights are not part of them yet."""
    arguments = dict(member.inspection.network.arguments)
    if arguments.pop("num_deep_supr", None):
        notes += ("Heads for deep supervision, which only training uses, were left out.",)
    if len(arguments["spatial_size"]) != 3:
        raise BadModelError("The checkpoint is of a two-dimensional network; models here are 3-D.")
    title = member.preset.title if member.preset else folder.name
    named, preprocessing, inference = (
        _published_settings(member.preset, arguments)
        if member.preset
        else _plain_settings(member.inspection, arguments)
    )
    description = ModelDescription(
        name=slug(folder.name),
        version="1.0.0",
        title=title,
        summary=f"{title}, imported from {', '.join(path.name for path in sources)}.",
        path=folder,
        card=_card(title, sources, notes),
        notes=notes,
        **named,
    )
    network = NetworkSpec("Factorizer", arguments)
    return Bundle(description, preprocessing, inference, PostprocessingSettings(), network)


def _published_settings(
    preset: Preset, arguments: dict[str, Any]
) -> tuple[dict[str, Any], Preprocessing, InferenceSettings]:
    channels = preset.channels_for(arguments["in_channels"])
    if channels is None or arguments["out_channels"] != len(preset.regions):
        raise BadModelError(
            f"The checkpoint has {arguments['in_channels']} inputs and "
            f"{arguments['out_channels']} outputs, which does not fit the preset {preset.name}."
        )
    named = {
        "family": preset.family,
        "channels": channels,
        "regions": preset.regions,
        "labels": preset.labels,
    }
    return named, preset.preprocessing, preset.inference(triple(arguments["spatial_size"]))


def _plain_settings(
    found: Inspection, arguments: dict[str, Any]
) -> tuple[dict[str, Any], Preprocessing, InferenceSettings]:
    names = [f"output {i + 1}" for i in range(arguments["out_channels"])]
    channels = [Channel(f"channel {i + 1}") for i in range(arguments["in_channels"])]
    spacing = found.stated.get("spacing")
    return (
        {"channels": tuple(channels), **_named_outputs(names)},
        Preprocessing(tuple(spacing) if spacing else None),
        InferenceSettings(triple(arguments["spatial_size"]), found.stated.get("overlap", 0.5)),
    )


def _named_outputs(names: Sequence[str]) -> dict[str, Any]:
    regions, labels, family = conventions.regions_and_labels(names)
    return {"regions": regions, "labels": labels, "family": family}


def _with_given(
    bundle: Bundle,
    channels: Sequence[str] | None,
    outputs: Sequence[str] | None,
    spacing: Sequence[float] | None,
) -> Bundle:
    """`bundle` with what the user said about it."""
    description, preprocessing = bundle.description, bundle.preprocessing
    if channels:
        description = replace(description, channels=tuple(map(conventions.channel, channels)))
    if outputs:
        description = replace(description, **_named_outputs(outputs))
    if spacing:
        preprocessing = replace(preprocessing, spacing=triple(map(float, spacing)))
    return replace(bundle, description=description, preprocessing=preprocessing)


def _recognition_note(member: InspectedCheckpoint, asked: bool) -> tuple[str, ...]:
    if member.preset is None:
        return (
            "No published network was recognised: name the inputs, the outputs and the spacing "
            "when importing.",
        )
    if asked:
        return ()
    return (
        f"Recognised as {member.preset.name} by the shapes of its tensors: inputs, outputs and "
        "spacing follow from that.",
    )


def _card(title: str, sources: list[Path], notes: tuple[str, ...]) -> str:
    lines = [f"# {title}", "", "Imported from:", ""]
    lines += [f"- `{path.name}`" for path in sources]
    if notes:
        lines += ["", "What the checkpoint itself does not say:", "", *(f"- {n}" for n in notes)]
    lines += [
        "",
        "The weights keep the licence of their source. Research only; not a medical device.",
        "",
        "P. Ashtari et al., Factorizer: a scalable interpretable approach to context modeling for "
        "medical image segmentation, Medical Image Analysis 84:102706, 2023.",
        "",
    ]
    return "\n".join(lines)

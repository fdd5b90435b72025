"""From a run to a model bundle with a card."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.reading.checksums import fingerprint
from factorizer_engine.bundles.saving import save_bundle
from factorizer_engine.bundles.settings import InferenceSettings, PostprocessingSettings
from factorizer_engine.protocol import conventions
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Channel, Label, ModelDescription, Region
from factorizer_engine.training.config import BundleSection, load_config
from factorizer_engine.training.data.cases import preprocessing_of
from factorizer_engine.training.export.card import write_card
from factorizer_engine.training.records.records import Run, open_run
from factorizer_engine.training.run.networks import network_spec
from factorizer_engine.training.run.state import load_checkpoint


def export(
    run: str | Path | Sequence[str | Path],
    output: str | Path,
    weights: Literal["best", "final"] = "best",
    overwrite: bool = False,
    dtype: Literal["float16", "float32"] = "float16",
    config: str | Path | None = None,
) -> Bundle:
    """Write the model of a run (or of the folds of a cross-validation) as a bundle.

    Its card tells what `factorizer evaluate` has measured of this very model, if the results lie in
    the folder of one of the runs; those of other weights or settings are left out.

    Args:
        run: The run's folder, or several whose networks become an ensemble.
        output: The bundle's folder; its name is the model's name.
        weights: Averaged weights that were best on validation, or those of the last step.
        overwrite: Whether a bundle there may be replaced.
        dtype: Type of the stored weights.
        config: A YAML whose `bundle` section (texts, licence, inference) replaces the run's own.

    Raises:
        BadInputError: If there is no such run, the runs differ, or nothing can be written.
    """
    folders = [run] if isinstance(run, str | Path) else list(run)
    runs = [open_run(folder) for folder in folders]
    if config is not None:
        section = load_config(config, data=".").bundle  # the data need not be here
        runs = [replace(r, config=r.config.model_copy(update={"bundle": section})) for r in runs]
    _check_alike(runs)
    members = [load_checkpoint(r.weights(weights))["network"] for r in runs]
    name = Path(output).name
    with tempfile.TemporaryDirectory() as folder:
        draft = save_bundle(describe(runs[0], name), members, Path(folder) / name, dtype=dtype)
        model = fingerprint(draft)
    measured = _measured(runs, model)
    return save_bundle(
        describe(measured, name, write_card(runs, weights, measured)),
        members,
        output,
        dtype=dtype,
        metadata=_metadata(measured),
        overwrite=overwrite,
    )


def results_of_others(runs: Sequence[str | Path], bundle: Bundle) -> list[Path]:
    """Folders of evaluations, in those of the runs, that hold something not of this model."""
    model = fingerprint(bundle)
    opened = [open_run(folder) for folder in runs]
    return [run.folder / "evaluation" for run in opened if run.measured_of(model) != run]


def check_description(
    texts: BundleSection,
    channels: Sequence[str],
    regions: Mapping[str, Sequence[int]],
    labels: Mapping[str, int],
) -> None:
    """Whether a model of such data can be described so.

    Raises:
        BadInputError: If a name is not among those of the data, or a region cannot be painted.
    """
    regions_and_labels(regions, labels, {}, {})
    for key, named, known in (
        ("channel_aliases", texts.channel_aliases, channels),
        ("labels", texts.labels, labels.values()),
        ("regions", texts.regions, regions),
        ("postprocessing.min_volume_ml", texts.postprocessing.min_volume_ml, regions),
        ("postprocessing.replace_small", texts.postprocessing.replace_small, regions),
    ):
        for name in named:
            if name not in known:
                raise BadInputError(
                    f"The configuration's bundle.{key} names {name}, but the data have "
                    f"{', '.join(map(str, known))}."
                )


def describe(run: Run, name: str, card: str = "") -> Bundle:
    """The bundle of a run, without weights."""
    config, extra = run.config, run.config.bundle
    check_description(extra, run.record["channels"], run.regions, run.record["labels"])
    region_extras, label_extras = _usual_extras(run.regions)
    regions, labels = regions_and_labels(
        run.regions,
        run.record["labels"],
        _updated(region_extras, extra.regions),
        _updated(label_extras, extra.labels),
    )
    channels = tuple(
        Channel(c, tuple(extra.channel_aliases.get(c, ())) or conventions.channel(c).aliases)
        for c in run.record["channels"]
    )
    description = ModelDescription(
        name=name,
        version=extra.version,
        family=extra.family,
        title=extra.title or name,
        summary=extra.description,
        channels=channels,
        regions=regions,
        labels=labels,
        path=Path(name),
        expected_seconds={**extra.expected_seconds, **run.measured_seconds},
        devices=extra.devices,
        card=card,
    )
    return Bundle(
        description=description,
        preprocessing=preprocessing_of(config.preprocessing),
        inference=InferenceSettings(
            **{"roi_size": config.window, **extra.inference.model_dump(exclude_none=True)}
        ),
        postprocessing=PostprocessingSettings(**extra.postprocessing.model_dump()),
        network=network_spec(config.network, len(channels), len(regions), config.window),
    )


def regions_and_labels(
    regions: Mapping[str, Sequence[int]],
    labels: Mapping[str, int],
    region_extras: Mapping[str, Mapping[str, Any]],
    label_extras: Mapping[int, Mapping[str, Any]],
) -> tuple[tuple[Region, ...], tuple[Label, ...]]:
    """How outputs are painted into a label map so that training labels come back.

    Regions that share label values are painted from the largest to the smallest; each paints the
    value that no region inside it has. Regions that share none exclude each other.

    Args:
        regions: Region name to the label values it is made of.
        labels: Label name to value.
        region_extras: Per region name, fields of `Region` to set ("title").
        label_extras: Per value, fields of `Label` to set ("name", "color", "terminology").

    Raises:
        BadInputError: If a region has no value of its own.
    """
    painted = {}
    for name, values in regions.items():
        inner = {v for other in regions.values() if set(other) < set(values) for v in other}
        own = sorted(set(values) - inner)
        if not own:
            raise BadInputError(f"The region {name} has no label value besides those inside it.")
        painted[name] = own[0]
    orders = _painting_orders(regions)
    names = {value: name for name, value in labels.items()}
    found_labels = []
    for index, value in enumerate(sorted(set(painted.values()))):
        fields = {
            "name": names.get(value, f"Label {value}").capitalize(),
            "color": conventions.PALETTE[index % len(conventions.PALETTE)],
            "terminology": conventions.LESION,
            **label_extras.get(value, {}),
        }
        fields["color"] = tuple(fields["color"])
        found_labels.append(Label(value=value, **fields))
    found_regions = tuple(
        Region(
            name=name,
            label=painted[name],
            title=region_extras.get(name, {}).get("title", name),
            order=orders[name],
        )
        for name in regions
    )
    return found_regions, tuple(found_labels)


def _painting_orders(regions: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Region name to `Region.order`: after every larger region that it shares a value with."""
    orders: dict[str, int] = {}
    for name in sorted(regions, key=lambda name: -len(regions[name])):
        values = set(regions[name])
        below = [order for other, order in orders.items() if values & set(regions[other])]
        orders[name] = max(below, default=-1) + 1
    return orders


def _usual_extras(
    regions: Mapping[str, Sequence[int]],
) -> tuple[dict[str, dict[str, Any]], dict[int, dict[str, Any]]]:
    """Titles, colours and codes of the regions that every glioma or stroke data set has."""
    known: tuple[Region, ...]
    labels: tuple[Label, ...]
    names, values = set(regions), {v for values in regions.values() for v in values}
    for enhancing in (3, 4):
        known = conventions.glioma_regions(enhancing)
        if names == {r.name for r in known} and values == {1, 2, enhancing}:
            labels = conventions.glioma_labels(enhancing)
            break
    else:
        known, labels = conventions.stroke_regions(), conventions.stroke_labels()
        if names != {r.name for r in known}:
            return {}, {}
    return {r.name: {"title": r.title} for r in known}, {
        label.value: {k: v for k, v in asdict(label).items() if k != "value"} for label in labels
    }


def _updated(
    usual: Mapping[Any, dict[str, Any]], sections: Mapping[Any, BaseModel]
) -> dict[Any, dict[str, Any]]:
    """What is usual, but for the fields that the configuration sets."""
    own = {key: section.model_dump(exclude_none=True) for key, section in sections.items()}
    return {key: usual.get(key, {}) | own.get(key, {}) for key in {**usual, **own}}


def _measured(runs: Sequence[Run], model: str) -> Run:
    """The first run, with what was measured of the model in the folder of any of the runs."""
    found = [run.measured_of(model) for run in runs]
    return replace(
        runs[0],
        evaluation=next((r.evaluation for r in found if r.evaluation), None),
        robustness=next((r.robustness for r in found if r.robustness), None),
    )


def _metadata(run: Run) -> dict[str, Any]:
    extra = run.config.bundle
    content: dict[str, Any] = {"data_type": "nibabel", "references": list(extra.citations)}
    if extra.licence:
        content["copyright"] = extra.licence
    if extra.changelog:
        content["changelog"] = extra.changelog
    if run.evaluation:
        content["eval_metrics"] = {
            f"{region}_{metric}": value["mean"]
            for region, metrics in run.evaluation["summary"].items()
            for metric, value in metrics.items()
            if value["mean"] is not None
        }
    return content


def _check_alike(runs: Sequence[Run]) -> None:
    for other in runs[1:]:
        if _shape(other) != _shape(runs[0]):
            raise BadInputError(
                f"The runs {runs[0].folder} and {other.folder} have other networks or data; "
                "they cannot form one model."
            )


def _shape(run: Run) -> tuple:
    """Equal for runs whose networks can be averaged: the same inputs and outputs, in one order."""
    config = run.config
    return (
        config.window,
        config.preprocessing,
        config.network.model_copy(update={"pretrained": None}),  # where it began does not matter
        run.record["channels"],
        list(run.regions.items()),
    )

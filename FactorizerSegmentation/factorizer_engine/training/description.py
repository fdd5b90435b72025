"""How a model of a configuration and its data presents itself: names, texts, regions, labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel

from factorizer_engine.protocol import conventions
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Channel, Expectations, Label, ModelDescription, Region
from factorizer_engine.protocol.wording import capitalised
from factorizer_engine.training.bundle_section import BundleSection

_LARGEST_VALUE = 255  # of the label maps that are written, in 8 bits


def describe(
    name: str,
    texts: BundleSection,
    channels: Sequence[str],
    regions: Mapping[str, Sequence[int]],
    labels: Mapping[str, int],
) -> ModelDescription:
    """The description of a model of such data.

    Args:
        name: Of the model.
        texts: What the configuration says of it; what it leaves out is as usual for such data.
        channels: Names in network order.
        regions: Region name to the label values that it is made of, in network order.
        labels: Label name to value.

    Raises:
        BadInputError: If a name in the texts is not among those of the data, or a region cannot be
            painted.
    """
    _check_names(texts, channels, regions, labels)
    region_extras, label_extras = _usual_extras(regions, name, texts)
    found_regions, found_labels = regions_and_labels(
        regions,
        labels,
        _updated(region_extras, texts.regions),
        _updated(label_extras, texts.labels),
    )
    return ModelDescription(
        name=name,
        version=texts.version,
        family=texts.family,
        title=texts.title or name,
        summary=texts.description,
        channels=tuple(
            Channel(c, tuple(texts.channel_aliases.get(c, ())) or conventions.channel(c).aliases)
            for c in channels
        ),
        regions=found_regions,
        labels=found_labels,
        expected_seconds=texts.expected_seconds,
        devices=texts.devices,
        expects=Expectations(**texts.expects.model_dump()),
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
        BadInputError: If a region has no value of its own, or one that label maps cannot hold.
    """
    painted = {}
    for name, values in regions.items():
        inner = {v for other in regions.values() if set(other) < set(values) for v in other}
        own = sorted(set(values) - inner)
        if not own:
            raise BadInputError(f"The region {name} has no label value besides those inside it.")
        if not 1 <= own[0] <= _LARGEST_VALUE:
            raise BadInputError(
                f"The region {name} would be painted with the value {own[0]}, but label maps hold "
                f"values from 1 to {_LARGEST_VALUE}; renumber the labels of the data."
            )
        painted[name] = own[0]
    orders = _painting_orders(regions)
    around = _told_nesting(regions, orders)
    names = {value: name for name, value in labels.items()}
    found_labels = []
    for index, value in enumerate(sorted(set(painted.values()))):
        fields = {
            "name": capitalised(names.get(value, f"Label {value}")),
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
            title=region_extras.get(name, {}).get("title", capitalised(name)),
            order=orders[name],
            around=around.get(name),
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


def _told_nesting(
    regions: Mapping[str, Sequence[int]], orders: Mapping[str, int]
) -> dict[str, tuple[str, ...]]:
    """Region name to those that it lies in; nothing where that follows from the orders."""
    around = {
        name: tuple(other for other in regions if set(values) < set(regions[other]))
        for name, values in regions.items()
    }
    lower = {name: [o for o in regions if orders[o] < orders[name]] for name in regions}
    return {} if all(set(around[n]) == set(lower[n]) for n in regions) else around


def _usual_extras(
    regions: Mapping[str, Sequence[int]], name: str, texts: BundleSection
) -> tuple[dict[str, dict[str, Any]], dict[int, dict[str, Any]]]:
    """Titles, colours and codes that such data usually have."""
    names, values = set(regions), sorted({v for values in regions.values() for v in values})
    for enhancing in (3, 4):
        known = conventions.glioma_regions(enhancing)
        if names == {r.name for r in known} and values == [1, 2, enhancing]:
            return {r.name: {"title": r.title} for r in known}, {
                label.value: _without_value(label) for label in conventions.glioma_labels(enhancing)
            }
    if len(regions) == 1 and len(values) == 1 and conventions.is_lesion(*regions):
        # every kind of lesion is called "lesion", so only other words make it an infarct
        if conventions.says_infarct(name, texts.family, texts.title, *regions):
            (region,), (label,) = conventions.stroke_regions(), conventions.stroke_labels()
            return {r: {"title": region.title} for r in regions}, {values[0]: _without_value(label)}
    if texts.expects.anatomy == "brain":
        return {}, {value: {"terminology": conventions.LESION_IN_BRAIN} for value in values}
    return {}, {}


def _without_value(label: Label) -> dict[str, Any]:
    return {key: value for key, value in asdict(label).items() if key != "value"}


def _updated(
    usual: Mapping[Any, dict[str, Any]], sections: Mapping[Any, BaseModel]
) -> dict[Any, dict[str, Any]]:
    """What is usual, but for the fields that the configuration sets."""
    own = {key: section.model_dump(exclude_none=True) for key, section in sections.items()}
    return {key: usual.get(key, {}) | own.get(key, {}) for key in {**usual, **own}}


def _check_names(
    texts: BundleSection,
    channels: Sequence[str],
    regions: Mapping[str, Sequence[int]],
    labels: Mapping[str, int],
) -> None:
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

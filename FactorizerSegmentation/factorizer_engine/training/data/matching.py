"""How data and a model that was not trained on them meet: by names, whatever the order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import ModelDescription, Region
from factorizer_engine.protocol.sequences import sequence_named
from factorizer_engine.protocol.wording import enumerated


def usual_name(channel: str) -> str:
    """The usual name of a channel's sequence, if it is a common one; case does not matter."""
    return sequence_named(channel) or channel.casefold()


def numbers_by_name(model: ModelDescription) -> dict[str, int]:
    """Number of every channel of a model by all its usual names."""
    return {
        usual_name(spelling): number
        for number, channel in enumerate(model.channels)
        for spelling in (*channel.aliases, channel.name)
    }


def places_of_channels(
    names: Sequence[str], model: ModelDescription, given: Sequence[str]
) -> dict[str, int]:
    """Where the data have the channels that a model is to be given.

    Channels meet by name. Only one channel alone is taken whatever it is called, unless both names
    are those of different sequences.

    Args:
        names: The channels of the data, in their order.
        given: Channels of the model.

    Returns:
        For each of them, in the model's order, its number in the data.

    Raises:
        BadInputError: If the data have no channel of some name.
    """
    known = numbers_by_name(model)
    found = {
        model.channels[known[usual]].name: place
        for place, usual in enumerate(map(usual_name, names))
        if usual in known
    }
    wanted = [channel.name for channel in model.channels if channel.name in given]
    if not found and len(names) == len(model.channels) == 1 and _may_be_one(names[0], wanted[0]):
        return {wanted[0]: 0}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise BadInputError(
            f"The model {model.name} takes {enumerated(wanted)}, but the data have "
            f"{enumerated(names)}, and none of these is called {missing[0]}; name the channels of "
            "the data (data.channels or dataset.json) as the model does."
        )
    return {name: found[name] for name in wanted}


def _may_be_one(name: str, other: str) -> bool:
    return sequence_named(name) is None or sequence_named(other) is None


def painted_values(
    regions: Mapping[str, Sequence[int]], model: ModelDescription
) -> dict[str, tuple[int, ...]]:
    """The values that hold each region of the data in the label maps of a model.

    They need not be those of the data: one labels enhancing tumour with 3, the other with 4. Names
    of regions decide, or their titles, or names of labels.

    Args:
        regions: Region name to the label values of the data.

    Raises:
        BadInputError: If the model knows no such region or label.
    """
    return {name: _painted(name, regions, model) for name in regions}


def _painted(
    name: str, regions: Mapping[str, Sequence[int]], model: ModelDescription
) -> tuple[int, ...]:
    region = _region_called(name, model.regions)
    if region is not None:
        inner = [
            other.label
            for other in model.regions
            if other.lies_in(region) and _share_values(name, other.name, regions)
        ]
        return (region.label, *inner)
    named = [label.value for label in model.labels if label.name.casefold() == name.casefold()]
    if not named:
        raise BadInputError(
            f"The model {model.name} has no region {name}; name the regions of the data "
            f"(data.regions) as it does, {enumerated([r.name for r in model.regions])}, or leave "
            "others out."
        )
    return tuple(named)


def _region_called(name: str, regions: Sequence[Region]) -> Region | None:
    by_name = {region.title.casefold(): region for region in regions}
    by_name |= {region.name.casefold(): region for region in regions}
    return by_name.get(name.casefold())


def _share_values(name: str, other: str, regions: Mapping[str, Sequence[int]]) -> bool:
    """Whether a region painted later lies in this one; the data know, else it is taken to."""
    return other not in regions or bool({*regions[name]} & {*regions[other]})

"""Studies that lack some of a model's scans: which it takes, and what that costs.

What a model can do with which of its channels was measured on labelled cases; its card has the
table, and its description repeats it (`ModelDescription.subsets`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from factorizer_engine.protocol.conventions import as_lesion
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Label, ModelDescription, Region, Subset
from factorizer_engine.protocol.wording import counted, enumerated


def subset_of(model: ModelDescription, given: Collection[str]) -> Subset:
    """What the model can do with some of its channels.

    Args:
        model: The model; one that declares no subsets needs all of its channels.
        given: Names of channels of the model.

    Raises:
        BadInputError: If that is not enough; says what to add.
    """
    names = [channel.name for channel in model.channels]
    present = tuple(name for name in names if name in given)
    missing = [name for name in names if name not in given]
    found = next((subset for subset in model.subsets if set(subset.channels) == {*given}), None)
    if not missing:
        return found or Subset(present, tuple(region.name for region in model.regions))
    if found is not None and found.regions:
        return found
    if not present or not model.subsets:
        raise BadInputError(_missing(model, missing))
    raise BadInputError(_not_enough(model, present, found))


def accepts_fewer(model: ModelDescription) -> bool:
    """Whether the model can do without some of its channels."""
    return any(s.regions and len(s.channels) < len(model.channels) for s in model.subsets)


def needs_clicks(model: ModelDescription) -> str:
    """Why a model cannot be run without clicks, in a sentence; "" if it can."""
    if not model.by_clicks:
        return ""
    return (
        f"{model.title} finds nothing by itself: it outlines what you click on (Correct by clicks "
        "in the panel, factorizer refine in a terminal)."
    )


def reduced(model: ModelDescription, subset: Subset) -> ModelDescription:
    """The model as it is applied to a subset: its channels, and only what can be seen with them.

    A label that no longer has the regions inside it taken out of it is called by its region, since
    then, for example, what is painted as oedema holds the core as well.
    """
    if len(subset.channels) == len(model.channels):
        return model
    regions = tuple(region for region in model.regions if region.name in subset.regions)
    return replace(
        model,
        channels=tuple(c for c in model.channels if c.name in subset.channels),
        regions=regions,
        labels=tuple(_labels_of(model, regions)),
    )


def cost(model: ModelDescription, subset: Subset) -> str:
    """What it costs that scans are left out, in one or two sentences; "" if none is."""
    names = [channel.name for channel in model.channels]
    missing = [name for name in names if name not in subset.channels]
    if not missing:
        return ""
    sentence = f"Left out: {', '.join(missing)}."
    everything = _with_all(model)
    known = [r for r in model.regions if r.name in subset.regions and r.name in subset.dice]
    if known:
        parts = [
            f"{_lower(region.title)} {_compared(region, subset, everything)}" for region in known
        ]
        sentence += f" Mean Dice on {_cases(subset)}: {', '.join(parts)}."
    unseen = [region.title for region in model.regions if region.name not in subset.regions]
    if unseen:
        verb = "is" if len(unseen) == 1 else "are"
        sentence += (
            f" {enumerated([unseen[0], *map(_lower, unseen[1:])])} cannot be seen with "
            f"{enumerated(subset.channels)} alone and {verb} left out."
        )
    return sentence


def _missing(model: ModelDescription, missing: Sequence[str]) -> str:
    scans = "scan is" if len(missing) == 1 else "scans are"
    needed = ", ".join(channel.name for channel in model.channels)
    if model.subsets:
        return f"No scan is given; the model takes one or more of {needed}."
    return (
        f"The {enumerated(missing)} {scans} missing; the model needs {needed}, and its card does "
        "not say what it can do with fewer."
    )


def _not_enough(model: ModelDescription, present: Sequence[str], found: Subset | None) -> str:
    with_these = enumerated(present) + (" alone" if len(present) == 1 else "")
    measured = "" if found is None else _losses(model, found)
    enough = [s for s in model.subsets if s.regions and set(s.channels) > {*present}]
    if not enough:
        return f"With {with_these} the model is not reliable{measured}; give other scans."
    fewest = min(len(subset.channels) for subset in enough)
    choices = [
        enumerated([name for name in subset.channels if name not in present])
        for subset in enough
        if len(subset.channels) == fewest
    ]
    return (
        f"With {with_these} the model is not reliable{measured}; add {enumerated(choices, 'or')}."
    )


def _losses(model: ModelDescription, subset: Subset) -> str:
    """In brackets, what regions lose with a subset; "" if it was not measured that any does.

    Others say nothing about why it is refused, and read like praise.
    """
    everything = _with_all(model)
    known = [r for r in model.regions if r.name in subset.dice]
    if everything is not None:
        known = [r for r in known if subset.dice[r.name] < everything.dice.get(r.name, 1.0)]
    parts = [f"{_lower(region.title)} {subset.dice[region.name]:.2f}" for region in known]
    return f" (mean Dice on {_cases(subset)}: {', '.join(parts)})" if parts else ""


def _cases(subset: Subset) -> str:
    if subset.unseen:
        return counted(subset.cases, "unseen case")
    return f"{counted(subset.cases, 'case')} that training knew"


def _with_all(model: ModelDescription) -> Subset | None:
    """What was measured with all channels."""
    return next((s for s in model.subsets if len(s.channels) == len(model.channels)), None)


def _compared(region: Region, subset: Subset, everything: Subset | None) -> str:
    text = f"{subset.dice[region.name]:.2f}"
    if everything is None or region.name not in everything.dice:
        return text
    return f"{text} ({everything.dice[region.name]:.2f} with all scans)"


def _labels_of(model: ModelDescription, regions: Sequence[Region]) -> Iterable[Label]:
    """The labels of `regions`, some of which hold what they held no longer."""
    painters = {region.label: region for region in regions}
    for label in model.labels:
        region = painters.get(label.value)
        if region is None:
            continue
        within = [other for other in model.regions if other.lies_in(region)]
        first = min((other.order for other in within), default=0)
        inner = {other.name for other in within if other.order == first}
        if inner <= {r.name for r in regions}:
            yield label
        else:
            yield replace(label, name=region.title, terminology=as_lesion(label.terminology))


def _lower(title: str) -> str:
    """A title inside a sentence; names such as "MS lesion" keep their capitals."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]

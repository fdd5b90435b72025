"""A short sentence on a component, made from its profile by fixed rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from factorizer_engine.components.surroundings import DEPTH, FLUID, FRONT, HEIGHT, SIDE
from factorizer_engine.protocol.components import LEVEL
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.profiles import Profile
from factorizer_engine.protocol.wording import capitalised

CLEAR = 0.35
"""Correlation from which a component is said to respond to something."""

BESIDE = 0.85
"""Part of the strongest correlation from which a second channel is named, too; and part of the
highest elevation from which a region is named in place of one within it."""

HIGHER = 1.0
"""Standard deviations above (below) its mean over the head from which it marks (spares) a region.
"""

SPEAKS = 0.05
"""Mean change of a logit from which it is said to speak for or against a region."""

AGREES = 0.75
"""Part of the cases in which that must have the same sign."""

_PLACES = {
    DEPTH: ("deep in the head", "the surface of the head"),
    SIDE: ("the sides", "the middle"),
    HEIGHT: ("the upper head", "the lower head"),
    FRONT: ("the front", "the back"),
    FLUID: ("fluid", "tissue without fluid"),
}
"""What a positive and a negative correlation with a place is called."""


def meaning(profile: Profile, model: ModelDescription) -> str:
    """Such as "Bright edges on T1ce, marks enhancing tumour; speaks for enhancing tumour".

    Args:
        profile: The measured figures.
        model: Its channels and regions.
    """
    channels = [channel.name for channel in model.channels]
    responses = [_response(profile, channels), *_marks(profile.inside, model)]
    responds = ", ".join(filter(None, responses))
    parts = [responds or "no clear response"]
    spoken = _speech(profile, titles_in_sentences(model))
    parts.append(spoken or "says little by itself")
    if spoken and profile.level > LEVEL:
        parts.append("a level, not a place")
    return capitalised("; ".join(parts))


def meaning_with_fewer(profile: Profile, whole: ModelDescription, model: ModelDescription) -> str:
    """The sentence without the scans and regions that a study lacks; "" if nothing was measured.

    Args:
        profile: The measured figures.
        whole: The model.
        model: What the study leaves of it (`protocol.subsets.reduced`).
    """
    given = {channel.name for channel in model.channels}
    if not profile.meaning or given == {channel.name for channel in whole.channels}:
        return profile.meaning
    left = replace(
        profile,
        intensities=_among(profile.intensities, given),
        edges=_among(profile.edges, given),
        contributions=_among(profile.contributions, {region.name for region in model.regions}),
    )
    return meaning(left, whole)


def _among(values: Mapping[str, float], names: Collection[str]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name in names}


def _response(profile: Profile, channels: Sequence[str]) -> str:
    """What it correlates with best: intensities, edges, or a place."""
    best = {
        kind: max(map(abs, named.values()), default=0.0)
        for kind, named in (
            ("intensities", profile.intensities),
            ("edges", profile.edges),
            ("places", profile.places),
        )
    }
    kind = max(best, key=lambda name: best[name])
    if best[kind] < CLEAR:
        return ""
    if kind == "places":
        return _place(profile.places)
    if kind == "edges":
        named = _strongest(profile.edges, channels)
        edge = "edges" if profile.edges[named[0]] > 0 else "smooth parts"
        return f"{edge} on {' and '.join(named)}"
    named = _strongest(profile.intensities, channels)
    bright = profile.intensities[named[0]] > 0
    shape = " edges" if bright and profile.edges.get(named[0], 0.0) >= CLEAR else ""
    return f"{'bright' if bright else 'dark'}{shape} on {' and '.join(named)}"


def _strongest(values: Mapping[str, float], channels: Sequence[str]) -> list[str]:
    """The channel of the strongest correlation, and those nearly as strong of the same sign."""
    first = max(values, key=lambda name: abs(values[name]))
    sign = 1 if values[first] > 0 else -1
    least = max(BESIDE * abs(values[first]), CLEAR)
    others = [name for name in channels if name != first and sign * values.get(name, 0) >= least]
    return [first, *others[:1]]


def _place(places: Mapping[str, float]) -> str:
    name = max(places, key=lambda place: abs(places[place]))
    above, below = _PLACES[name]
    return above if places[name] > 0 else below


def _marks(inside: Mapping[str, float], model: ModelDescription) -> list[str]:
    """The region in which it is clearly more active, and the one in which it is clearly less."""
    outer_first = [region.name for region in sorted(model.regions, key=lambda r: r.order)]
    names = [name for name in outer_first if name in inside]
    names += [name for name in inside if name not in names]
    titles = titles_in_sentences(model)
    found = []
    for verb, sign in (("marks", 1), ("spares", -1)):
        most = max((sign * value for value in inside.values()), default=0.0)
        if most >= HIGHER:
            widest = next(name for name in names if sign * inside[name] >= BESIDE * most)
            found.append(f"{verb} {titles.get(widest, _lower(widest))}")
    return found


def titles_in_sentences(model: ModelDescription) -> dict[str, str]:
    """What regions are called within a sentence, by their names."""
    return {region.name: _lower(region.title) for region in model.regions}


def _speech(profile: Profile, titles: Mapping[str, str]) -> str:
    """For or against which regions it speaks, the strongest first, or ""."""
    strong = [
        name
        for name, value in sorted(profile.contributions.items(), key=lambda item: -abs(item[1]))
        if abs(value) >= SPEAKS and profile.agreement.get(name, 0.0) >= AGREES
    ]
    if not strong:
        return ""
    sign = profile.contributions[strong[0]] > 0
    alike = [name for name in strong if (profile.contributions[name] > 0) == sign]
    named = " and ".join(titles.get(name, name) for name in alike[:2])
    return f"speaks {'for' if sign else 'against'} {named}"


def _lower(name: str) -> str:
    """A name as it stands in a sentence; abbreviations stay."""
    return name if name.isupper() else name[:1].lower() + name[1:]

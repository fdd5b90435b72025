"""Does what speaks for a lesion look like what spoke for lesions of labelled cases?

A true lesion is spoken for by the components that spoke for its region on the cases over which the
model was described (`protocol.profiles`). A lesion that rests on others is marked as a possible
false alarm. How many of either are marked is measured in docs/evidence/components.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from factorizer_engine.components.estimates import Estimate, estimate_all
from factorizer_engine.components.question import Question, candidates_of, pose
from factorizer_engine.components.sites import main_region
from factorizer_engine.components.wording import AGREES, SPEAKS, titles_in_sentences
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.lesions import LIKE, Lesion
from factorizer_engine.protocol.profiles import Profile, Profiles
from factorizer_engine.protocol.progress import Monitor

MOST_LESIONS = 8
"""Lesions of a result that are compared, the largest; each costs two passes over its windows."""
NOT_TOLD = "Whether lesions may be false alarms cannot be told of this model with these scans."
"""Said where `compared` gives no likeness."""


def tells_false_alarms(segmenter: Segmenter, result: SegmentationResult) -> bool:
    """Whether it is known what spoke for true lesions in scans like those of a result."""
    return _usual(segmenter.that_gave(result)) is not None


def compared(
    segmenter: Segmenter, result: SegmentationResult, monitor: Monitor | None = None
) -> tuple[Lesion, ...]:
    """The lesions of a result, with their `likeness` where that can be told.

    Args:
        segmenter: The model.
        result: What it found.
        monitor: Told of the progress, and asked whether to stop.

    Raises:
        CancelledError: If the monitor was cancelled.
    """
    segmenter = segmenter.that_gave(result)
    profiles = _usual(segmenter)
    if profiles is None:
        return result.lesions
    return _one_by_one(segmenter, result, profiles, monitor or Monitor())[0]


def judge(
    asked: Question, estimate: Estimate, lesion: int | None, monitor: Monitor
) -> tuple[tuple[Lesion, ...], list[str]]:
    """The lesions of an explained result, and a sentence on each that may be a false alarm.

    Args:
        asked: What was asked.
        estimate: What the components contribute to that.
        lesion: Number of the lesion that was asked for; None for all of the result.
        monitor: Told of the progress, and asked whether to stop.
    """
    lesions, profiles = asked.result.lesions, _usual(asked.segmenter, asked.candidates)
    if profiles is None:
        return lesions, []
    if lesion is None and len(lesions) == 1:
        known = main_region(asked.result, lesions[0]) in asked.decisive
        lesion = lesions[0].id if known else None  # what was found is hardly more than the lesion
    if lesion is None:
        return _one_by_one(asked.segmenter, asked.result, profiles, monitor)
    found, sentence = _compared(asked, estimate, lesions[lesion - 1], profiles)
    return _replaced(lesions, found), [sentence] if sentence else []


def _usual(segmenter: Segmenter, candidates: Sequence[Term] | None = None) -> Profiles | None:
    """What usually speaks for lesions, if that tells false alarms by these components.

    Args:
        segmenter: The networks that answered.
        candidates: Those that are looked into; all by default. They have to be all that were
            described, and no others: with some of them likeness would be another figure.
    """
    profiles = segmenter.bundle.profiles
    if profiles is None or not profiles.tells_false_alarms:
        return None
    every = candidates_of(segmenter) if candidates is None else candidates
    return profiles if profiles.by_term().keys() == {*every} else None


def _one_by_one(
    segmenter: Segmenter, result: SegmentationResult, profiles: Profiles, monitor: Monitor
) -> tuple[tuple[Lesion, ...], list[str]]:
    lesions, sentences = result.lesions, []
    looked_at = lesions[:MOST_LESIONS]
    for lesion, part in zip(looked_at, monitor.parts(len(looked_at)), strict=True):
        own = pose(segmenter, result, None, None, lesion.id)
        estimate = estimate_all(own, [[] for _ in own.networks], part)
        found, sentence = _compared(own, estimate, lesion, profiles)
        lesions = _replaced(lesions, found)
        sentences += [sentence] if sentence else []
    return lesions, sentences


def _compared(
    asked: Question, estimate: Estimate, lesion: Lesion, profiles: Profiles
) -> tuple[Lesion, str]:
    """The lesion with its likeness, and what to say of it."""
    region = main_region(asked.result, lesion)
    if region not in asked.decisive:
        return lesion, ""
    found = estimate.contributions[:, list(asked.decisive).index(region)]
    name = asked.result.model.regions[region].name
    known = profiles.by_term()
    described = [known.get(term, Profile(term)) for term in asked.candidates]
    usual = np.array([profile.contributions.get(name, 0.0) for profile in described])
    size = float(np.linalg.norm(found) * np.linalg.norm(usual))
    if size == 0:
        return lesion, ""
    lesion = replace(lesion, likeness=float(found @ usual) / size)
    if not lesion.is_doubtful:
        return lesion, ""
    agrees = np.array([profile.agreement.get(name, 0.0) for profile in described]) >= AGREES
    unusual = np.where((usual >= SPEAKS) & agrees, -np.inf, found)
    return lesion, _doubt(asked, lesion, name, unusual)


def _doubt(asked: Question, lesion: Lesion, region: str, unusual: np.ndarray) -> str:
    """A sentence on a lesion that may be a false alarm.

    Args:
        asked: What was asked.
        lesion: The lesion.
        region: Name of the region that it may not be.
        unusual: What the candidates contribute to it that did not speak for that region.
    """
    sentence = (
        f"Lesion {lesion.id} may be a false alarm: what speaks for it is unlike what speaks for "
        f"{titles_in_sentences(asked.result.model)[region]} in the cases that the model was "
        f"described over (likeness {lesion.likeness:.2f}, mostly above {LIKE} for true lesions)"
    )
    most = int(unusual.argmax())
    if unusual[most] >= SPEAKS:
        name = asked.name_of(asked.candidates[most])
        sentence += f"; {name} speaks for it, but not for them"
    return f"{sentence}."


def _replaced(lesions: tuple[Lesion, ...], new: Lesion) -> tuple[Lesion, ...]:
    return tuple(new if lesion.id == new.id else lesion for lesion in lesions)

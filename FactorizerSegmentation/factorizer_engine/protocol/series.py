"""Which sequence a series is: by what its header says of the acquisition, else by its name.

The limits are those of clinical brain protocols at 0.5 to 3 T: fluid is nulled by an inversion
time of 1.5 s or more, T2 contrast needs an echo time of 60 ms or more, T1 contrast one below
30 ms with a short repetition time or a short inversion time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from factorizer_engine.protocol.languages import in_english
from factorizer_engine.protocol.matching import guess_channel, says_contrast
from factorizer_engine.protocol.models import Channel
from factorizer_engine.protocol.sequences import SEQUENCES

OTHER = "other"

LEAST_IMAGES = 10
"""Fewer images than this do not cover a brain."""

_FLUID_NULL_MS = 1500.0
_T2_ECHO_MS, _T1_ECHO_MS = 60.0, 30.0
_SHORT_REPETITION_MS = 1200.0
_PD_ECHO_MS, _PD_REPETITION_MS = 40.0, 2500.0

_LEFT_OUT = {
    "a localiser": ("localizer", "localiser", "scout", "survey", "loc", "3plane", "plane"),
    "a projection": ("mip", "minip", "projection", "mpr3d"),
    "a map computed from others": (
        *("fa", "eadc", "exp", "exponential", "rcbv", "cbv", "cbf", "mtt", "ttp", "tmax"),
        *("subtraction", "colfa", "tensor", "phase", "pha"),
    ),
    "a time series": ("perfusion", "perf", "dsc", "dce", "bold", "fmri", "asl"),
    "a screenshot": ("screenshot", "screen", "report", "secondary capture"),
    "weighted by susceptibility": ("swi", "swan", "hemo", "t2star", "venobold"),
    "an angiography": ("tof", "angio", "mra", "mrv"),
}
"""Words in names, for what is no scan that a model takes."""

_LEFT_OUT_TYPES = {
    "LOCALIZER": "a localiser",
    "PROJECTION IMAGE": "a projection",
    "MIP": "a projection",
    "MINIP": "a projection",
    "SCREEN SAVE": "a screenshot",
    "PERFUSION": "a time series",
    "FA": "a map computed from others",
    "EADC": "a map computed from others",
    "SUBTRACTION": "a map computed from others",
    "SUBTRACT": "a map computed from others",
    "P": "an image of phases",
    "PHASE": "an image of phases",
    "PHASE MAP": "an image of phases",
    "REAL": "a part of complex values",
    "IMAGINARY": "a part of complex values",
}
"""Values of Image Type that say the same."""

_SEQUENCES = [Channel(name, known.aliases) for name, known in SEQUENCES.items()]


@dataclass(frozen=True)
class Facts:
    """A series as its first image describes it; None or "" where it says nothing.

    Attributes:
        words: Its description, protocol and sequence name.
        image_type: Values of Image Type, in capitals.
        echo_ms: Echo time.
        repetition_ms: Repetition time.
        inversion_ms: Inversion time.
        gradient_echo: Whether echoes are made by gradients alone.
        agent: The contrast agent.
        b_value: Of diffusion weighting, in s/mm2.
        patient: Patient ID.
        study: Study Instance UID.
        date: Study date, YYYYMMDD.
    """

    words: str
    image_type: frozenset[str] = frozenset()
    echo_ms: float | None = None
    repetition_ms: float | None = None
    inversion_ms: float | None = None
    gradient_echo: bool = False
    agent: str = ""
    b_value: float | None = None
    patient: str = ""
    study: str = ""
    date: str = ""


@dataclass(frozen=True)
class Kind:
    """What a series is.

    Attributes:
        name: One of `SEQUENCES`, or `OTHER`.
        evidence: What says so, in words.
    """

    name: str
    evidence: str


def is_computed(facts: Facts, kind: str) -> bool:
    """Whether a series was computed from other images, although its kind is scanned as it is."""
    return "DERIVED" in facts.image_type and kind not in ("ADC", "DWI")


def rank_of(computed: bool, distance_mm: float) -> tuple[bool, float]:
    """Sorts series of one kind, the best first.

    Originals go before what was computed from them, smaller before larger distances of voxels. Of
    equals the later one is better, which was often repeated for a reason.
    """
    return computed, round(distance_mm, 1)


def kind_of(facts: Facts) -> Kind:
    """Which sequence a series is."""
    spoken = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", in_english(facts.words)).lower()
    words = set(re.findall(r"[a-z0-9]+", spoken))
    for value, reason in _LEFT_OUT_TYPES.items():
        if value in facts.image_type:
            return Kind(OTHER, reason)
    for reason, names in _LEFT_OUT.items():
        if words & set(names):
            return Kind(OTHER, reason)
    return (
        _diffusion(facts, words)
        or _by_times(facts)
        or _by_name(facts)
        or Kind(OTHER, "no sequence that is known")
    )


def kinds_of(study: Sequence[Facts]) -> list[Kind]:
    """Which sequence each series of a study is, in the order in which they were acquired.

    As `kind_of`, but where every T1 names the agent, as scanners write it that fill the tag in once
    the agent is ordered, those before the first whose name says so were acquired without it.
    """
    kinds = [kind_of(facts) for facts in study]
    with_agent = [index for index, kind in enumerate(kinds) if kind.name == "T1ce"]
    said = [index for index in with_agent if says_contrast(study[index].words)]
    if said and "T1" not in [kind.name for kind in kinds]:
        for index in with_agent[: with_agent.index(said[0])]:
            evidence = f"{kinds[index].evidence} as in all, though only a later name says so"
            kinds[index] = Kind("T1", evidence)
    return kinds


def _diffusion(facts: Facts, words: set[str]) -> Kind | None:
    if "ADC" in facts.image_type or words & {"adc", "apparent"}:
        return Kind("ADC", "it is a map of diffusion coefficients")
    weighted = {"DIFFUSION", "TRACEW", "TRACE"} & facts.image_type
    spoken = words & {"dwi", "trace", "tracew", "diff", "diffusion", "dti"}
    b_value = _b_value_in_name(facts.words) if facts.b_value is None else facts.b_value
    if not weighted and not spoken and not b_value:
        return None
    if b_value is not None and b_value < 500:
        return Kind(OTHER, f"its diffusion weighting is too weak (b = {b_value:.0f})")
    strength = f" (b = {b_value:.0f})" if b_value else ""
    return Kind("DWI", f"it is weighted by diffusion{strength}")


def _b_value_in_name(words: str) -> float | None:
    """Siemens writes "ep_b1000t", others "b1000"; the largest counts."""
    found = [
        float(text) for text in re.findall(r"(?:^|[\W_])b[ =_]?(\d{1,4})(?!\d)", words.lower())
    ]
    return max(found) if found else None


def _by_times(facts: Facts) -> Kind | None:
    echo, repetition, inversion = facts.echo_ms, facts.repetition_ms, facts.inversion_ms
    if echo is None:
        return None
    times = f"TE {echo:.0f}"
    times += f", TR {repetition:.0f}" if repetition else ""
    times += f", TI {inversion:.0f} ms" if inversion else " ms"
    if inversion and inversion >= _FLUID_NULL_MS and (echo >= _T2_ECHO_MS or _says(facts, "FLAIR")):
        return Kind("FLAIR", times)
    if echo >= _T2_ECHO_MS and not facts.gradient_echo:
        # Some scanners do not write the inversion time: then the name tells FLAIR from T2.
        return Kind("FLAIR" if _says(facts, "FLAIR") else "T2", times)
    if _is_proton_density(facts):
        return Kind(OTHER, f"weighted by proton density ({times})")
    short = repetition is not None and repetition <= _SHORT_REPETITION_MS
    prepared = inversion is not None and inversion < _FLUID_NULL_MS
    prepared = prepared or (facts.gradient_echo and echo < 8.0)
    if echo < _T1_ECHO_MS and (short or prepared):
        return _t1(facts, times)
    return None


def _is_proton_density(facts: Facts) -> bool:
    """A short echo after a long time: neither T1 nor T2 counts, as in the first of two echoes."""
    echo, repetition = facts.echo_ms, facts.repetition_ms
    if echo is None or repetition is None or facts.inversion_ms or facts.gradient_echo:
        return False
    return echo < _PD_ECHO_MS and repetition >= _PD_REPETITION_MS and not _says(facts, "T1")


def _by_name(facts: Facts) -> Kind | None:
    name = guess_channel(facts.words, _SEQUENCES)
    if name is None:
        return None
    if name in ("T1", "T1ce"):
        return _t1(facts, "its name")
    return Kind(name, "its name")


def _t1(facts: Facts, evidence: str) -> Kind:
    """T1 with or without contrast agent.

    What the name says counts more than the agent's tag, which some scanners write into all series
    once the agent is ordered.
    """
    spoken = says_contrast(facts.words)
    if spoken is None:
        spoken = bool(facts.agent) and facts.agent.casefold() not in ("no", "none", "0", "nein")
        evidence += f", agent {facts.agent}" if spoken else ", no agent named"
    else:
        evidence += f", its name says {'with' if spoken else 'without'} contrast agent"
    return Kind("T1ce" if spoken else "T1", evidence)


def _says(facts: Facts, name: str) -> bool:
    return guess_channel(facts.words, _SEQUENCES) == name

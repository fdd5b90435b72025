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

_THICK_MM = 3.0
_MUCH_MORE_MM = 20.0

_FLUID_NULL_MS = 1500.0
_FAT_NULL_MS = 300.0
_T2_ECHO_MS, _T1_ECHO_MS = 60.0, 30.0
_T2_STAR_ECHO_MS = 10.0
_SHORT_REPETITION_MS = 1200.0
_PD_ECHO_MS, _PD_REPETITION_MS = 40.0, 2500.0

_LEFT_OUT = {
    "a localiser": (
        "localizer", "localiser", "scout", "survey", "loc", "3plane", "plane", "locator",
        "lokalizer", "lokalisator", "localizzatore", "calibration", "refscan",
    ),
    "a projection": ("mip", "minip", "projection", "mpr3d"),
    "an image of one inversion": ("inv1", "inv2", "psir", "stir"),
    "a map computed from others": (
        "fa", "eadc", "exp", "exponential", "rcbv", "cbv", "cbf", "mtt", "ttp", "tmax",
        "subtraction", "colfa", "tensor", "phase", "pha", "qsm", "mtr", "mtc",
        "t1map", "t2map", "b1map", "fieldmap", "mapping", "relaxometry", "div",
    ),
    "a time series": ("perfusion", "perf", "dsc", "dce", "bold", "fmri", "asl"),
    "a screenshot": ("screenshot", "screen", "report", "secondary capture"),
    "weighted by susceptibility": (
        "swi", "swi3d", "swip", "sw", "swan", "hemo", "t2star", "venobold", "fsbb",
    ),
    "an angiography": ("tof", "angio", "mra", "mrv", "3di", "s3di"),
    "a scan in a steady state": ("ciss", "ci3d", "fiesta", "trufi", "truefisp"),
    "a measurement of flow": ("venc", "cine"),
    "spectroscopy": ("mrs", "spectroscopy", "csi", "svs"),
    "an image out of phase": ("opp", "outphase"),
}  # fmt: skip
"""Words in names, for what is no scan that a model takes."""

_BOLUS = {"perfusion", "perf", "pwi", "dsc", "dce"}
"""Words in names of scans that follow a bolus of contrast agent."""

_LEFT_OUT_TYPES = {
    "LOCALIZER": "a localiser",
    "PROJECTION IMAGE": "a projection",
    "MIP": "a projection",
    "MINIP": "a projection",
    "MNIP": "a projection",
    "MAX_IP": "a projection",
    "MIN_IP": "a projection",
    "T1 MAP": "a map computed from others",
    "T2 MAP": "a map computed from others",
    "T2_STAR MAP": "a map computed from others",
    "FAT": "an image of fat alone",
    "F": "an image of fat alone",
    "OUT_PHASE": "an image out of phase",
    "OPP_PHASE": "an image out of phase",
    "OP": "an image out of phase",
    "STIR": "an image of one inversion",
    "TOF": "an angiography",
    "ANGIO": "an angiography",
    "FMRI": "a time series",
    "SCREEN SAVE": "a screenshot",
    "PERFUSION": "a time series",
    "FA": "a map computed from others",
    "EADC": "a map computed from others",
    "SUBTRACTION": "a map computed from others",
    "SUBTRACT": "a map computed from others",
    "P": "an image of phases",
    "PHASE": "an image of phases",
    "PHASE MAP": "an image of phases",
    "R": "a part of complex values",
    "I": "a part of complex values",
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
        number: Of the series; it rises from scan to scan.
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
    number: float | None = None


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


@dataclass(frozen=True, order=True)
class Rank:
    """Sorts series of one kind, the best first, by one field after the other.

    Of equals the later one is better, which was often repeated for a reason.

    Attributes:
        computed: Originals go before what was computed from them.
        thick: Volumes go before stacks of thick slices.
        not_axial: Of thick slices axial ones come first, in which most models were trained.
        distance_mm: Smaller before larger distances of voxels.
        uncorrected: Of the two copies that some scanners write, the one that was corrected for
            distortion and for the coils' sensitivity.
        uncovered: A scan that was broken off goes after a whole one.
    """

    computed: bool
    thick: bool
    not_axial: bool
    distance_mm: float
    uncorrected: int
    uncovered: int


def rank_of(
    facts: Facts | None, kind: str, distance_mm: float, axial: bool, extent_mm: float
) -> Rank:
    """Where a series stands among those of its kind.

    Args:
        facts: What its header says, if anything does.
        kind: Which sequence it is.
        distance_mm: Largest distance of neighbouring voxels.
        axial: Whether its slices are.
        extent_mm: From the first to the last slice.
    """
    types = facts.image_type if facts is not None else frozenset()
    thick = distance_mm >= _THICK_MM
    return Rank(
        computed=facts is not None and is_computed(facts, kind),
        thick=thick,
        not_axial=thick and not axial,
        distance_mm=round(distance_mm, 1),
        uncorrected=("ND" in types) + ("NORM" not in types),
        uncovered=-round(extent_mm / _MUCH_MORE_MM),
    )


def kind_of(facts: Facts) -> Kind:
    """Which sequence a series is."""
    words = _words_of(facts)
    for value, reason in _LEFT_OUT_TYPES.items():
        if value in facts.image_type:
            return Kind(OTHER, reason)
    for reason, names in _LEFT_OUT.items():
        if words & set(names):
            return Kind(OTHER, reason)
    if words & {"dixon", "mdixon"} and words & {"f", "fat"}:
        return Kind(OTHER, "an image of fat alone")
    return (
        _diffusion(facts, words)
        or _doubly_inverted(words)
        or _by_times(facts)
        or _by_name(facts)
        or Kind(OTHER, "no sequence that is known")
    )


def kinds_of(study: Sequence[Facts]) -> list[Kind]:
    """Which sequence each series of a study is: as `kind_of`, and by what was scanned around it.

    Scanners that fill the agent's tag in once it is ordered name it in every T1. Then those before
    the first whose name says so were acquired without it; or, where no name does, the first of
    two alike between which something else was scanned. Scanners that never fill it in name it in
    none. Then what repeats a T1 from before a perfusion, which needs the agent, was acquired with
    the agent.
    """
    order = sorted(range(len(study)), key=lambda index: study[index].number or 0.0)
    ordered = [study[index] for index in order]
    kinds = [kind_of(facts) for facts in ordered]
    names = {kind.name for kind in kinds}
    if "T1" not in names:
        _tell_those_before_the_agent(ordered, kinds)
    elif "T1ce" not in names:
        _tell_those_after_a_perfusion(ordered, kinds)
    by_index = dict(zip(order, kinds, strict=True))
    return [by_index[index] for index in range(len(study))]


def _tell_those_before_the_agent(study: Sequence[Facts], kinds: list[Kind]) -> None:
    with_agent = [index for index, kind in enumerate(kinds) if kind.name == "T1ce"]
    said = [index for index in with_agent if says_contrast(study[index].words)]
    before = with_agent[: with_agent.index(said[0])] if said else []
    why = "though only a later name says so"
    if not said and with_agent:
        words = study[with_agent[0]].words
        alike = [index for index in with_agent if study[index].words == words]
        together = [index for number, index in enumerate(alike) if index == alike[0] + number]
        if len(together) < len(alike):
            before, why = together, "but it was scanned again later"
    for index in before:
        kinds[index] = Kind("T1", f"{kinds[index].evidence} as in all, {why}")


def _tell_those_after_a_perfusion(study: Sequence[Facts], kinds: list[Kind]) -> None:
    bolus = [i for i, facts in enumerate(study) if _words_of(facts) & _BOLUS]
    if not bolus:
        return
    before = {study[index].words for index in range(bolus[0]) if kinds[index].name == "T1"}
    for index in range(bolus[0] + 1, len(study)):
        silent = says_contrast(study[index].words) is None
        if kinds[index].name == "T1" and silent and study[index].words in before:
            evidence = f"{kinds[index].evidence}, but it repeats one from before the perfusion"
            kinds[index] = Kind("T1ce", evidence)


def _words_of(facts: Facts) -> set[str]:
    spoken = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", in_english(facts.words)).lower()
    spoken = re.sub(r"t2w?\*(?![a-z])", "t2star ", spoken)
    return set(re.findall(r"[a-z0-9]+", spoken))


def _doubly_inverted(words: set[str]) -> Kind | None:
    inverted = "dir" in words or {"double", "inversion"} <= words
    return Kind(OTHER, "two tissues are nulled") if inverted else None


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
    if inversion and inversion < _FAT_NULL_MS and not facts.gradient_echo:
        return Kind(OTHER, f"fat is nulled by its inversion time ({times})")
    if echo >= _T2_ECHO_MS and not facts.gradient_echo:
        # Some scanners do not write the inversion time: then the name tells FLAIR from T2.
        return Kind("FLAIR" if _says(facts, "FLAIR") else "T2", times)
    if facts.gradient_echo and echo >= _T2_STAR_ECHO_MS:
        return Kind(OTHER, f"a gradient echo weighted by T2* ({times})")
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

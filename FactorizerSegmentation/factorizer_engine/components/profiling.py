"""What components mean, measured over labelled cases: what each responds to and speaks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from factorizer_engine.components.ablation import place_probes, shifted_probe
from factorizer_engine.components.capture import Capture, count_of, pooled_to
from factorizer_engine.components.definition import factorizers_of, mixers_of, terms_of
from factorizer_engine.components.evidence import find_evidence
from factorizer_engine.components.moments import Moments
from factorizer_engine.components.sites import among_outputs
from factorizer_engine.components.stability import SHIFT, activity_kept, evidence_kept
from factorizer_engine.components.surroundings import Surroundings, surroundings
from factorizer_engine.components.wording import meaning
from factorizer_engine.images.geometry import in_all_channels
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.inference.windows import blending_weights
from factorizer_engine.networks import Factorizer
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.profiles import Profile, Profiles
from factorizer_engine.protocol.progress import Monitor

_DIGITS = 3


@dataclass(frozen=True, eq=False)
class CaseProfile:
    """What the components of a model did in one case, one row a term.

    Attributes:
        case: Its name.
        terms: The components of all networks.
        responses: By group ("intensities", "edges", "places", "inside") and name, (N,); NaN for
            regions that the case lacks.
        contributions: By region, to its mean logit where it truly is, (N,); NaN where it is not.
        levels: Part of the largest contribution that comes from the mean over the head, (N,).
        activity: Correlation of the activity before and after the windows are shifted, (N,).
        evidence: The same of the evidence for the largest contribution, (N,).
    """

    case: str
    terms: tuple[Term, ...]
    responses: Mapping[str, Mapping[str, np.ndarray]]
    contributions: Mapping[str, np.ndarray]
    levels: np.ndarray
    activity: np.ndarray
    evidence: np.ndarray


def profile_case(
    segmenter: Segmenter,
    result: SegmentationResult,
    case: str,
    truth: Mapping[str, Scan],
    monitor: Monitor | None = None,
) -> CaseProfile:
    """Measure what every component of a model does in one segmented case.

    Args:
        segmenter: The model, of Factorizers.
        result: What it found, for its windows; mirrored copies are left out.
        case: Name of the case.
        truth: By region, its true mask, 0 and 1.
        monitor: Told of the progress, and asked whether to stop.
    """
    monitor = monitor or Monitor()
    channels = [channel.name for channel in segmenter.bundle.description.channels]
    around = surroundings(result.prepared, result.model, truth, channels)
    result = replace(result, plan=result.plan.without_copies())
    networks = factorizers_of(segmenter.networks)
    found = [
        _profile_network(segmenter, result, network, member, around, part)
        for (member, network), part in zip(
            enumerate(networks), monitor.parts(len(networks)), strict=True
        )
    ]
    return _joined(case, found)


def combine(cases: Sequence[CaseProfile], model: ModelDescription) -> Profiles:
    """The means over cases, and the sentences made from them.

    Cases may have had different scans; every mean is over those that show what it is of.

    Args:
        cases: At least one, of the same model.
        model: Its channels and regions, for the sentences.
    """
    responses = {
        group: {
            name: _mean(_known([case.responses[group] for case in cases], name))
            for name in _names(case.responses[group] for case in cases)
        }
        for group in cases[0].responses
    }
    by_region = {
        name: np.stack(_known([case.contributions for case in cases], name))
        for name in _names(case.contributions for case in cases)
    }
    contributions = {name: _mean(values) for name, values in by_region.items()}
    agreement = {
        name: _mean(np.where(np.isnan(values), np.nan, values * contributions[name] > 0))
        for name, values in by_region.items()
    }
    levels = _mean([case.levels for case in cases])
    stability = np.minimum(
        _mean([case.activity for case in cases]), _mean([case.evidence for case in cases])
    )
    components = []
    for row, term in enumerate(cases[0].terms):
        profile = Profile(
            term,
            intensities=_row(responses["intensities"], row),
            edges=_row(responses["edges"], row),
            places=_row(responses["places"], row),
            inside=_row(responses["inside"], row),
            contributions=_row(contributions, row),
            agreement=_row(agreement, row),
            level=_rounded(levels[row]),
            stability=_rounded(stability[row]),
        )
        components.append(replace(profile, meaning=meaning(profile, model)))
    return Profiles(tuple(case.case for case in cases), tuple(components))


def _profile_network(
    segmenter: Segmenter,
    result: SegmentationResult,
    network: Factorizer,
    member: int,
    around: Surroundings,
    monitor: Monitor,
) -> CaseProfile:
    mixers, plan, device = mixers_of(network), result.plan, segmenter.device
    terms = terms_of(mixers, list(mixers), member)
    capture = Capture(network)
    responses = _responses(capture, result, around, monitor.span(0.0, 0.3))
    padded = plan.pad(torch.from_numpy(result.prepared.array))
    kept = activity_kept(capture, padded, plan, device, monitor.span(0.3, 0.7))
    outputs = result.outputs
    names = [region.name for region in result.model.regions]
    masks = np.stack([around.regions[name] >= 0.5 for name in names])
    probes = place_probes(
        plan, result.prepared.array, among_outputs(segmenter, result, masks), device
    )
    found = find_evidence(network, probes, outputs, monitor=monitor.span(0.7, 0.8))
    contributions = found.contributions(mixers, terms)
    decisive = np.abs(contributions).argmax(axis=1)
    moved = [shifted_probe(probe, padded, SHIFT) for probe in probes]
    found_again = find_evidence(network, moved, outputs, monitor=monitor.span(0.8, 0.9))
    absent = ~masks.any(axis=(1, 2, 3))
    contributions[:, absent] = np.nan
    rows = np.arange(len(terms))
    monitor.report("describing", 1.0)
    return CaseProfile(
        "",
        tuple(terms),
        responses,
        dict(zip(names, contributions.T, strict=True)),
        found.levels(mixers, terms)[rows, decisive],
        kept,
        evidence_kept(found, found_again, mixers, terms, decisive),
    )


def _responses(
    capture: Capture, result: SegmentationResult, around: Surroundings, monitor: Monitor
) -> dict[str, dict[str, np.ndarray]]:
    """Correlations (and elevations) of all components with all that is known of the case."""
    plan, targets = result.plan, torch.from_numpy(around.stacked)
    counts = {block: count_of(mixer) for block, mixer in capture.mixers.items()}
    moments = {block: Moments(count, len(targets)) for block, count in counts.items()}
    device = next(capture.network.parameters()).device
    padded = plan.pad(torch.from_numpy(result.prepared.array))
    padded_targets, head = plan.pad(targets), plan.pad(torch.from_numpy(around.head)[None])
    blending = blending_weights(plan.roi_size, plan.blending)
    for done, window in enumerate(plan.windows, start=1):
        monitor.check()
        place = in_all_channels(window)
        maps = capture(padded[place][None].to(device))
        for block, own in maps.items():
            known = pooled_to(torch.cat([padded_targets[place], head[place] * blending]), own)
            moments[block].add(own.flatten(1), known[:-1].flatten(1), known[-1].flatten())
        monitor.report("describing", done / len(plan.windows))
    correlations = torch.cat([moments[block].correlations() for block in counts]).numpy()
    elevations = torch.cat([moments[block].elevations() for block in counts]).numpy()
    groups, start = {}, 0
    for name in ("intensities", "edges", "places"):
        named = getattr(around, name)
        columns = correlations[:, start : start + len(named)].T
        groups[name] = dict(zip(named, columns, strict=True))
        start += len(named)
    groups["inside"] = dict(zip(around.regions, elevations[:, start:].T, strict=True))
    return groups


def _joined(case: str, found: Sequence[CaseProfile]) -> CaseProfile:
    """The networks of an ensemble below each other."""
    first = found[0]
    responses = {
        group: {name: np.concatenate([p.responses[group][name] for p in found]) for name in named}
        for group, named in first.responses.items()
    }
    return CaseProfile(
        case,
        tuple(term for profile in found for term in profile.terms),
        responses,
        {
            name: np.concatenate([profile.contributions[name] for profile in found])
            for name in first.contributions
        },
        np.concatenate([profile.levels for profile in found]),
        np.concatenate([profile.activity for profile in found]),
        np.concatenate([profile.evidence for profile in found]),
    )


def _names(groups: Iterable[Mapping[str, np.ndarray]]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for name in group))


def _known(named: Sequence[Mapping[str, np.ndarray]], name: str) -> list[np.ndarray]:
    """What each case knows of that name."""
    return [values[name] for values in named if name in values]


def _mean(values: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """The mean over cases of what is known, NaN where nothing is."""
    values = np.asarray(values, dtype=float)
    known = ~np.isnan(values)
    counts = known.sum(axis=0)
    sums = np.where(known, values, 0.0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _row(named: Mapping[str, np.ndarray], row: int) -> dict[str, float]:
    values = {name: float(column[row]) for name, column in named.items()}
    return {name: _rounded(value) for name, value in values.items() if not np.isnan(value)}


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)

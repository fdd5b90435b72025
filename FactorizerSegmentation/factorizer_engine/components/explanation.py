"""The components that drove a result: measured, ranked, and drawn over the scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from factorizer_engine.components.ablation import Probe, measure_contributions, place_probes
from factorizer_engine.components.definition import (
    Baseline,
    component_name,
    factorizers_of,
    mixers_of,
    terms_of,
)
from factorizer_engine.components.evidence import Evidence, find_evidence
from factorizer_engine.components.reliance import find_reliance
from factorizer_engine.components.sites import (
    LesionSites,
    among_outputs,
    decisive_regions,
    lesion_sites,
    one_lesion_site,
)
from factorizer_engine.components.stitching import stitch_components
from factorizer_engine.components.windows import evidence_windows, legible_windows
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.device import memory_errors, windows_at_once
from factorizer_engine.inference.segmenter import SegmentationResult, Segmenter
from factorizer_engine.networks import FactMixer
from factorizer_engine.protocol.components import Component, Reliance, Term
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.progress import Monitor

SPARE = 2
"""Components beyond those asked for whose estimates are checked by leaving them out."""

BASELINE = Baseline.ZERO
"""What takes the place of a component that is left out; see docs/evidence.md for the choice."""

_ESTIMATED, _MEASURED, _TRIED, _DRAWN = 0.3, 0.6, 0.7, 0.95
"""How far an explanation has come at the end of its stages."""


@dataclass(frozen=True, eq=False)
class ComponentMap:
    """A component of a result, and where it is active.

    Attributes:
        component: What it is and what it drives.
        heatmap: Where it is active (`component_map`), float32 on the reference grid, zero outside
            the head.
        evidence: What it contributes where to the logit of `component.region` (see `evidence`), in
            logits per mL, float32 on the reference grid, zero outside the head.
    """

    component: Component
    heatmap: Scan
    evidence: Scan


@dataclass(frozen=True, eq=False)
class Explanation:
    """What drove a result.

    Attributes:
        maps: The components, ranked by contribution: what speaks most for the lesion first, what
            speaks against it last.
        note: What to know about the contributions, for people, or "". Of a lesion it says what it
            rests on.
        reliance: Of a lesion that was asked for, on which of the components it rests.
    """

    maps: tuple[ComponentMap, ...]
    note: str = ""
    reliance: Reliance | None = None


def explain(
    segmenter: Segmenter,
    result: SegmentationResult,
    count: int = 6,
    blocks: Sequence[str] | None = None,
    region: str | None = None,
    monitor: Monitor | None = None,
    lesion: int | None = None,
    baseline: Baseline = BASELINE,
) -> Explanation:
    """The components that contribute most to a segmentation.

    The contributions of all components are estimated from gradients (`evidence`), in the (at most
    two) windows that cover the lesion best. Those that lead are left out once each, which measures
    what they contribute; they are ranked by that and drawn. All contributions are to the logits of
    the result, in float32: where that is the mean over mirrored copies, a component is left out of
    all copies at once, and its maps are their means; where it is the mean over an ensemble, the
    components of all networks are compared.

    Args:
        segmenter: The model.
        result: What `segmenter.segment` gave.
        count: How many components to return at most.
        blocks: Names of the blocks to look into; all by default.
        region: Region by whose contribution components are ranked; by default by the largest to
            any region that was found, or to the region that painted the lesion.
        monitor: Told of the progress, and asked whether to stop.
        lesion: Number of the lesion of `result` that is explained; all of the result by default.
        baseline: What takes the place of a component that is left out.

    Raises:
        BadInputError: If a block, region or lesion is unknown.
        BadModelError: If the model is not a Factorizer.
        EngineMemoryError: If memory does not suffice.
        CancelledError: If the monitor was cancelled.
    """
    monitor = monitor or Monitor()
    mixers = mixers_of(segmenter.networks[0])
    looked_into = list(mixers) if blocks is None else list(blocks)
    candidates = [
        term
        for member in range(len(segmenter.networks))
        for term in terms_of(mixers, looked_into, member)
    ]
    names = [r.name for r in result.model.regions]
    if region is not None and region not in names:
        raise BadInputError(_not_among(segmenter.bundle.description, region, names))
    monitor.report("estimating components", 0.0)
    with memory_errors(segmenter.device):
        sites = _sites(segmenter, result, lesion)
        decisive = decisive_regions(result, region, sites, lesion)
        masks = among_outputs(segmenter, result, sites.masks)
        probes = place_probes(result.plan, result.prepared.array, masks, segmenter.device)
        asked = [int(result.outputs[i]) for i in decisive]
        found = _estimated(
            segmenter, probes, asked, looked_into, baseline, monitor.span(0.0, _ESTIMATED)
        )
        estimates, levels = _estimates(found, mixers, candidates, len(segmenter.networks))
        leading = rank_by_contribution(estimates, range(len(decisive)))[: count + SPARE]
        contributions = np.zeros((len(candidates), len(names)))
        contributions[leading] = _measured(
            segmenter,
            result,
            probes,
            [candidates[i] for i in leading],
            baseline,
            monitor.span(_ESTIMATED, _MEASURED),
        )[:, result.outputs]
        order = rank_by_contribution(contributions[leading], decisive)[:count]
        ranked = [leading[i] for i in order]
        terms = [candidates[i] for i in ranked]
        reliance = None
        if lesion is not None:
            reliance = find_reliance(
                factorizers_of(segmenter.networks),
                probes,
                result.plan,
                terms,
                contributions[np.ix_(ranked, decisive)].sum(axis=1),
                asked,
                segmenter.bundle.inference.threshold,
                baseline,
                monitor.span(_MEASURED, _TRIED),
            )
        drawn = _drawn(segmenter, result, terms, monitor.span(_TRIED, _DRAWN))
        monitor.report("restoring", _DRAWN)
        regions = [decisive[int(np.argmax(contributions[i, decisive]))] for i in ranked]
        evidence = [
            found[term.network].draw(mixers, term, int(result.outputs[drawn_for]), result.plan)
            for term, drawn_for in zip(terms, regions, strict=True)
        ]
        per_ml = 1 / (len(segmenter.networks) * result.prepared.grid.voxel_ml)
        restore = segmenter.preprocessor.restore
        head = restore(_occupied(result)[None], result.prepared)[0] >= 0.5
        heatmaps = restore(drawn, result.prepared) * head
        evidence = restore(per_ml * np.stack(evidence), result.prepared) * head
    windows = legible_windows(terms, heatmaps)
    spans = evidence_windows(evidence)
    monitor.report("restoring", 1.0)
    maps = []
    for row, (index, term) in enumerate(zip(ranked, terms, strict=True)):
        name = component_name(term, mixers)
        if len(segmenter.networks) > 1:
            name = f"Network {term.network + 1}, {name}"
        component = Component(
            term,
            name,
            dict(zip(names, contributions[index].tolist(), strict=True)),
            windows[row],
            names[regions[row]],
            spans[row],
            float(levels[index, decisive.index(regions[row])]),
        )
        grid = result.labelmap.grid
        maps.append(
            ComponentMap(
                component, Scan(heatmaps[row], grid, name), Scan(evidence[row], grid, name)
            )
        )
    rests = ""
    if lesion is not None and reliance is not None:
        rests = reliance.sentence(lesion, [drawn.component for drawn in maps])
    notes = filter(None, (rests, result.note, _stage(segmenter), _note(result.model, sites)))
    return Explanation(tuple(maps), " ".join(notes), reliance)


def default_blocks(mixers: Mapping[str, FactMixer]) -> list[str]:
    """The blocks at the three finest resolutions, of the encoder and the decoder.

    They are what a deletion curve covers by default, since they decide: in glioma-fast 0.3.0 the
    largest contribution on three cases that it was not trained on was 2.4 to 3.0 logits there, and
    0.1 to 0.2 in all coarser blocks; without the third resolution it was 1.5 to 2.1. In 0.4.0 it is
    2.7, 0.1 and 2.3 on the sample case.
    """
    sizes = {name: mixer.reshape.spatial_size for name, mixer in mixers.items()}
    finest = sorted(set(sizes.values()), reverse=True)[:3]
    return [name for name in mixers if sizes[name] in finest]


def rank_by_contribution(contributions: np.ndarray, regions: Sequence[int]) -> list[int]:
    """Indices of components, falling by the largest contribution to any of `regions`.

    The sign counts: a component without which the lesion's logit would rise drove nothing.
    """
    strength = contributions[:, list(regions)].max(axis=1)
    return np.argsort(-strength, kind="stable").tolist()


def _sites(segmenter: Segmenter, result: SegmentationResult, lesion: int | None) -> LesionSites:
    if lesion is not None:
        return one_lesion_site(result, lesion)
    return lesion_sites(result, segmenter.bundle.inference.threshold)


def _occupied(result: SegmentationResult) -> np.ndarray:
    """1 where the prepared scans show the patient, float32 (X, Y, Z)."""
    return (result.prepared.array != 0).any(axis=0).astype(np.float32)


def _estimated(
    segmenter: Segmenter,
    probes: Sequence[Probe],
    regions: Sequence[int],
    blocks: Sequence[str],
    baseline: Baseline,
    monitor: Monitor,
) -> list[Evidence]:
    """The evidence of every network of the ensemble."""
    networks = factorizers_of(segmenter.networks)
    return [
        find_evidence(network, probes, regions, baseline, blocks, part)
        for network, part in zip(networks, monitor.parts(len(networks)), strict=True)
    ]


def _estimates(
    found: Sequence[Evidence], mixers: Mapping[str, FactMixer], terms: Sequence[Term], networks: int
) -> tuple[np.ndarray, np.ndarray]:
    """Contributions and levels, (len(terms), regions) each."""
    rows = [(found[term.network], term) for term in terms]
    estimates = [evidence.contributions(mixers, [term])[0] for evidence, term in rows]
    levels = [evidence.levels(mixers, [term])[0] for evidence, term in rows]
    return np.stack(estimates) / networks, np.stack(levels)


def _measured(
    segmenter: Segmenter,
    result: SegmentationResult,
    probes: Sequence[Probe],
    terms: Sequence[Term],
    baseline: Baseline,
    monitor: Monitor,
) -> np.ndarray:
    """Contributions of `terms` to all outputs of the mean of all networks."""
    networks, roi_size = factorizers_of(segmenter.networks), result.plan.roi_size
    measured = np.zeros((len(terms), networks[0].out_channels))
    for (member, network), part in zip(
        enumerate(networks), monitor.parts(len(networks)), strict=True
    ):
        rows = [row for row, term in enumerate(terms) if term.network == member]
        measured[rows] = measure_contributions(
            network,
            probes,
            [terms[row] for row in rows],
            windows_at_once(network, roi_size, segmenter.device),
            part,
            baseline,
        )
    return measured / len(networks)


def _drawn(
    segmenter: Segmenter,
    result: SegmentationResult,
    terms: Sequence[Term],
    monitor: Monitor,
) -> np.ndarray:
    """Where `terms` are active in model space, (len(terms), X, Y, Z)."""
    volume = result.prepared.array
    maps = np.empty((len(terms), *volume.shape[1:]), dtype=np.float32)
    networks = factorizers_of(segmenter.networks)
    members = sorted({term.network for term in terms})
    for member, part in zip(members, monitor.parts(len(members)), strict=True):
        rows = [row for row, term in enumerate(terms) if term.network == member]
        maps[rows] = stitch_components(
            networks[member],
            volume,
            result.plan,
            [terms[row] for row in rows],
            segmenter.device,
            part,
        )
    return maps


def _not_among(model: ModelDescription, region: str, seen: Sequence[str]) -> str:
    if region in [r.name for r in model.regions]:
        among = ", ".join(seen)
        return f"The model cannot see the region '{region}' in these scans; choose among {among}."
    return f"The model has no region '{region}'; its regions are {', '.join(seen)}."


def _stage(segmenter: Segmenter) -> str:
    """Of a cascade: whose components these are."""
    cascade = segmenter.bundle.cascade
    if cascade is None:
        return ""
    return (
        "The components are those of the finer stage, and contribute to its logits, which count "
        f"{cascade.share:.0%} in the result."
    ).replace("%", " %")


def _note(model: ModelDescription, sites: LesionSites) -> str:
    regions = zip(model.regions, sites.found, strict=True)
    missing = [region.title for region, is_found in regions if not is_found]
    if not missing:
        return ""
    return (
        f"Not found: {', '.join(missing)}; contributions to it were measured where it is most "
        "probable."
    )

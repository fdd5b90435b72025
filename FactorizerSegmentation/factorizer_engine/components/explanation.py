"""The components that drove a result: measured, ranked, and drawn over the scan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from factorizer_engine.components.ablation import Probe, measure_contributions, place_probes
from factorizer_engine.components.definition import (
    component_name,
    factorizers_of,
    mixers_of,
    terms_of,
)
from factorizer_engine.components.stitching import stitch_components
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.device import memory_errors, windows_at_once
from factorizer_engine.inference.segmenter import SegmentationResult, Segmenter
from factorizer_engine.networks import FactMixer
from factorizer_engine.protocol.components import Component, Term
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.progress import Monitor

PROBABLE_ML = 1.0
"""Where no lesion was found, contributions are measured in this many mL of highest probability."""

_MEASURED, _DRAWN = 0.6, 0.95
"""How far an explanation has come at the end of its stages."""


@dataclass(frozen=True, eq=False)
class ComponentMap:
    """A component of a result, and where it is active.

    Attributes:
        component: What it is and what it drives.
        heatmap: Where it is active (`component_map`), float32 on the reference grid.
    """

    component: Component
    heatmap: Scan


@dataclass(frozen=True, eq=False)
class Explanation:
    """What drove a result.

    Attributes:
        maps: The components, ranked by contribution: what speaks most for the lesion first, what
            speaks against it last.
        note: What to know about the contributions, for people, or "".
    """

    maps: tuple[ComponentMap, ...]
    note: str = ""


@dataclass(frozen=True, eq=False)
class LesionSites:
    """Where in model space the logits of regions are averaged.

    Attributes:
        masks: Boolean, (R, X, Y, Z); none is empty.
        found: By region, whether a voxel reached the threshold on the reference grid.
    """

    masks: np.ndarray
    found: tuple[bool, ...]


def explain(
    segmenter: Segmenter,
    result: SegmentationResult,
    count: int = 6,
    blocks: Sequence[str] | None = None,
    region: str | None = None,
    monitor: Monitor | None = None,
) -> Explanation:
    """The components that contribute most to a segmentation.

    Every component of the chosen blocks is left out once, in the (at most two) windows that cover
    the lesion best, to measure what it contributes; only those that contribute most are drawn. All
    contributions are to the logits of the result, in float32: where that is the mean over mirrored
    copies, a component is left out of all copies at once, and its heatmap is their mean; where it
    is the mean over an ensemble, the components of all networks are compared.

    Args:
        segmenter: The model.
        result: What `segmenter.segment` gave.
        count: How many components to return at most.
        blocks: Names of the blocks to look into; by default see `default_blocks`.
        region: Region by whose contribution components are ranked; by default by the largest to
            any region that was found.
        monitor: Told of the progress, and asked whether to stop.

    Raises:
        BadInputError: If a block or region is unknown.
        BadModelError: If the model is not a Factorizer.
        EngineMemoryError: If memory does not suffice.
        CancelledError: If the monitor was cancelled.
    """
    monitor = monitor or Monitor()
    mixers = mixers_of(segmenter.networks[0])
    looked_into = default_blocks(mixers) if blocks is None else blocks
    candidates = [
        term
        for member in range(len(segmenter.networks))
        for term in terms_of(mixers, looked_into, member)
    ]
    names = [r.name for r in result.model.regions]
    if region is not None and region not in names:
        raise BadInputError(_not_among(segmenter.bundle.description, region, names))
    monitor.report("measuring components", 0.0)
    with memory_errors(segmenter.device):
        sites = lesion_sites(result, segmenter.bundle.inference.threshold)
        masks = among_outputs(segmenter, result, sites.masks)
        probes = place_probes(result.plan, result.prepared.array, masks, segmenter.device)
        contributions = _measured(
            segmenter, result, probes, candidates, monitor.span(0.0, _MEASURED)
        )[:, result.outputs]
        ranked = rank_by_contribution(contributions, _decisive(names, region, sites))[:count]
        terms = [candidates[i] for i in ranked]
        drawn = _drawn(segmenter, result, terms, monitor.span(_MEASURED, _DRAWN))
        monitor.report("restoring", _DRAWN)
        heatmaps = segmenter.preprocessor.restore(drawn, result.prepared)
    windows = shared_windows(terms, heatmaps)
    monitor.report("restoring", 1.0)
    maps = []
    for index, term, heatmap, window in zip(ranked, terms, heatmaps, windows, strict=True):
        name = component_name(term, mixers)
        if len(segmenter.networks) > 1:
            name = f"Network {term.network + 1}, {name}"
        driven = dict(zip(names, contributions[index].tolist(), strict=True))
        component = Component(term, name, driven, window)
        maps.append(ComponentMap(component, Scan(heatmap, result.labelmap.grid, name)))
    notes = filter(None, (result.note, _note(result.model, sites)))
    return Explanation(tuple(maps), " ".join(notes))


def default_blocks(mixers: Mapping[str, FactMixer]) -> list[str]:
    """The blocks at the three finest resolutions, of the encoder and the decoder.

    They decide: in glioma-fast 0.3.0 the largest contribution on three cases that it was not
    trained on was 2.4 to 3.0 logits there, and 0.1 to 0.2 in all coarser blocks. Without the third
    resolution it was 1.5 to 2.1, so the component that drove most would not have been seen. In
    0.4.0 it is 2.7, 0.1 and 2.3 on the sample case.
    """
    sizes = {name: mixer.reshape.spatial_size for name, mixer in mixers.items()}
    finest = sorted(set(sizes.values()), reverse=True)[:3]
    return [name for name in mixers if sizes[name] in finest]


def lesion_sites(result: SegmentationResult, threshold: float) -> LesionSites:
    """Where every region holds in model space, or where it is most probable if nowhere."""
    grid, reference = result.prepared.grid, result.prepared.reference
    masks = []
    for probabilities in result.probabilities:
        volume = resample(Scan(probabilities, reference), grid).array
        mask = volume >= threshold
        if not mask.any():
            most = min(max(round(PROBABLE_ML / grid.voxel_ml), 1), volume.size)
            mask = volume >= np.partition(volume, volume.size - most, axis=None)[-most]
        masks.append(mask)
    found = tuple(bool((p >= threshold).any()) for p in result.probabilities)
    return LesionSites(np.stack(masks), found)


def among_outputs(
    segmenter: Segmenter, result: SegmentationResult, masks: np.ndarray
) -> np.ndarray:
    """Masks (R, X, Y, Z) of the result's regions among those of all outputs of the network.

    Those of outputs that could not be seen are empty.
    """
    every = np.zeros((len(segmenter.bundle.description.regions), *masks.shape[1:]), dtype=bool)
    every[result.outputs] = masks
    return every


def rank_by_contribution(contributions: np.ndarray, regions: Sequence[int]) -> list[int]:
    """Indices of components, falling by the largest contribution to any of `regions`.

    The sign counts: a component without which the lesion's logit would rise drove nothing.
    """
    strength = contributions[:, list(regions)].max(axis=1)
    return np.argsort(-strength, kind="stable").tolist()


def shared_windows(
    terms: Sequence[Term], heatmaps: Iterable[np.ndarray]
) -> list[tuple[float, float]]:
    """The display range of every heatmap: one for all of a block, so that they can be compared.

    Only those: what follows a block rescales its activations, so that those of another block may be
    ten times as large and drive less. A range goes from the median of the positive voxels, the
    activity that is found everywhere, to the highest of the heatmaps' 99.5th percentiles: single
    voxels do not decide, and neither do components that are nowhere very active, beside which a
    large lesion would be one flat colour.
    """
    by_block: dict[tuple[int, str], list[np.ndarray]] = {}
    for term, heatmap in zip(terms, heatmaps, strict=True):
        by_block.setdefault((term.network, term.block), []).append(heatmap[heatmap > 0])
    windows = {block: _window(positive) for block, positive in by_block.items()}
    return [windows[term.network, term.block] for term in terms]


def _measured(
    segmenter: Segmenter,
    result: SegmentationResult,
    probes: Sequence[Probe],
    candidates: Sequence[Term],
    monitor: Monitor,
) -> np.ndarray:
    """Contributions of `candidates` to the mean of all networks: (len(candidates), R)."""
    networks, roi_size = factorizers_of(segmenter.networks), result.plan.roi_size
    measured = [
        measure_contributions(
            network,
            probes,
            [term for term in candidates if term.network == member],
            batch_size=windows_at_once(network, roi_size, segmenter.device),
            monitor=part,
        )
        for (member, network), part in zip(
            enumerate(networks), monitor.parts(len(networks)), strict=True
        )
    ]
    return np.concatenate(measured) / len(networks)


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


def _window(positive: Sequence[np.ndarray]) -> tuple[float, float]:
    active = [values for values in positive if values.size]
    if not active:
        return (0.0, 1.0)
    low = float(np.median(np.concatenate(active)))
    high = max(float(np.percentile(values, 99.5)) for values in active)
    return (low, high) if high > low else (0.0, high)


def _decisive(names: Sequence[str], region: str | None, sites: LesionSites) -> list[int]:
    """The regions by whose contributions components are ranked."""
    if region is not None:
        return [names.index(region)]
    found = [index for index, is_found in enumerate(sites.found) if is_found]
    return found or list(range(len(names)))


def _not_among(model: ModelDescription, region: str, seen: Sequence[str]) -> str:
    if region in [r.name for r in model.regions]:
        among = ", ".join(seen)
        return f"The model cannot see the region '{region}' in these scans; choose among {among}."
    return f"The model has no region '{region}'; its regions are {', '.join(seen)}."


def _note(model: ModelDescription, sites: LesionSites) -> str:
    regions = zip(model.regions, sites.found, strict=True)
    missing = [region.title for region, is_found in regions if not is_found]
    if not missing:
        return ""
    return (
        f"Not found: {', '.join(missing)}; contributions to it were measured where it is most "
        "probable."
    )

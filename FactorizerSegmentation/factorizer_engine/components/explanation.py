"""The components that drove a result: measured, ranked, and drawn over the scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from factorizer_engine.components.ablation import Probe, measure_contributions, place_probes
from factorizer_engine.components.definition import (
    Component,
    component_name,
    components_of,
    mixers_of,
)
from factorizer_engine.components.stitching import stitch_components
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.device import memory_errors, windows_at_once
from factorizer_engine.inference.segmenter import SegmentationResult, Segmenter
from factorizer_engine.inference.windows import WindowPlan, plan_windows
from factorizer_engine.networks import FactMixer
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.progress import Monitor

PROBABLE_ML = 1.0
"""Where no lesion was found, contributions are measured in this many mL of highest probability."""

_SEGMENTED, _MEASURED, _DRAWN = 0.4, 0.75, 0.95
"""How far an explanation has come at the end of its stages."""


@dataclass(frozen=True, eq=False)
class ComponentMap:
    """One component of a result.

    Attributes:
        network: Member of the ensemble, from 0.
        block: Name of its block, such as "decoder.3.0".
        head: Head of the block, from 0.
        rank: Term of the head's factorisation, from 0.
        name: Name for people, such as "Decoder 4, component 3"; in an ensemble "Network 2, ...".
        contributions: By region name, how much the region's mean logit inside the lesion falls when
            the component is left out of the network.
        heatmap: Where it is active (`component_map`), float32 on the reference grid.
        note: What to know about the contributions, or "".
    """

    network: int
    block: str
    head: int
    rank: int
    name: str
    contributions: Mapping[str, float]
    heatmap: Scan
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
    scans: Mapping[str, Scan],
    result: SegmentationResult | None = None,
    count: int = 6,
    blocks: Sequence[str] | None = None,
    region: str | None = None,
    monitor: Monitor | None = None,
) -> list[ComponentMap]:
    """The components that contribute most to a segmentation.

    Every component of the chosen blocks is left out once, in the (at most two) windows that cover
    the lesion best, to measure what it contributes; only those that contribute most are drawn. All
    contributions are to the logits of the result, in float32: where that is the mean over mirrored
    copies, a component is left out of all copies at once, and its heatmap is their mean; where it
    is the mean over an ensemble, the components of all networks are compared.

    Args:
        segmenter: The model.
        scans: One scan per channel.
        result: What `segmenter.segment` gave for these scans; computed if not given.
        count: How many components to return at most.
        blocks: Names of the blocks to look into; by default see `default_blocks`.
        region: Region by whose contribution components are ranked; by default by the largest to
            any region that was found.
        monitor: Told of the progress, and asked whether to stop.

    Returns:
        Ranked by contribution: what speaks most for the lesion first, what speaks against it last.

    Raises:
        BadInputError: If the scans are not what the model needs, or a block or region is unknown.
        BadModelError: If the model is not a Factorizer.
        EngineMemoryError: If memory does not suffice.
        CancelledError: If the monitor was cancelled.
    """
    monitor = monitor or Monitor()
    settings = segmenter.bundle.inference
    mixers = mixers_of(segmenter.networks[0])
    candidates = components_of(mixers, default_blocks(mixers) if blocks is None else blocks)
    names = [r.name for r in segmenter.bundle.description.regions]
    if region is not None and region not in names:
        raise BadInputError(
            f"The model has no region '{region}'; its regions are {', '.join(names)}."
        )
    start = 0.0
    if result is None:
        result = segmenter.segment(scans, monitor=monitor.span(0.0, _SEGMENTED))
        start = _SEGMENTED
    monitor.report("measuring components", start)
    volume = result.prepared.array
    with memory_errors(segmenter.device):
        sites = lesion_sites(result, settings.threshold)
        plan = plan_windows(
            volume, settings.roi_size, result.overlap, result.region, result.centred
        )
        probes = place_probes(
            plan,
            volume,
            sites.masks,
            settings.blending,
            segmenter.device,
            mirror_axes=result.mirror_axes,
        )
        contributions = _measured(segmenter, probes, candidates, monitor.span(start, _MEASURED))
        ranked = rank_by_contribution(contributions, _decisive(names, region, sites))[:count]
        chosen = [(i // len(candidates), candidates[i % len(candidates)]) for i in ranked]
        maps = _drawn(segmenter, result, plan, chosen, monitor.span(_MEASURED, _DRAWN))
        monitor.report("restoring", _DRAWN)
        heatmaps = segmenter.preprocessor.restore(maps, result.prepared)
    note = _note(segmenter, sites)
    monitor.report("restoring", 1.0)
    explained = []
    for index, (member, component), heatmap in zip(ranked, chosen, heatmaps, strict=True):
        name = component_name(component, mixers)
        if len(segmenter.networks) > 1:
            name = f"Network {member + 1}, {name}"
        explained.append(
            ComponentMap(
                network=member,
                block=component.block,
                head=component.head,
                rank=component.rank,
                name=name,
                contributions=dict(zip(names, contributions[index].tolist(), strict=True)),
                heatmap=Scan(heatmap, result.labelmap.affine, name),
                note=note,
            )
        )
    return explained


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
    grid, affine = result.prepared.grid, result.prepared.reference.affine
    voxel_ml = abs(float(np.linalg.det(grid.affine[:3, :3]))) / 1000.0
    masks = []
    for probabilities in result.probabilities:
        volume = resample(Scan(probabilities, affine), grid).array
        mask = volume >= threshold
        if not mask.any():
            most = min(max(round(PROBABLE_ML / voxel_ml), 1), volume.size)
            mask = volume >= np.partition(volume, volume.size - most, axis=None)[-most]
        masks.append(mask)
    found = tuple(bool((p >= threshold).any()) for p in result.probabilities)
    return LesionSites(np.stack(masks), found)


def rank_by_contribution(contributions: np.ndarray, regions: Sequence[int]) -> list[int]:
    """Indices of components, falling by the largest contribution to any of `regions`.

    The sign counts: a component without which the lesion's logit would rise drove nothing.
    """
    strength = contributions[:, list(regions)].max(axis=1)
    return np.argsort(-strength, kind="stable").tolist()


def shared_windows(maps: Sequence[ComponentMap]) -> list[tuple[float, float]]:
    """The display range of every heatmap: one for all of a block, so that they can be compared.

    Only those: what follows a block rescales its activations, so that those of another block may be
    ten times as large and drive less. A range goes from the median of the positive voxels, the
    activity that is found everywhere, to the highest of the heatmaps' 99.5th percentiles: single
    voxels do not decide, and neither do components that are nowhere very active, beside which a
    large lesion would be one flat colour.
    """
    by_block: dict[tuple[int, str], list[np.ndarray]] = {}
    for component in maps:
        array = component.heatmap.array
        by_block.setdefault((component.network, component.block), []).append(array[array > 0])
    windows = {block: _window(positive) for block, positive in by_block.items()}
    return [windows[component.network, component.block] for component in maps]


def _measured(
    segmenter: Segmenter,
    probes: Sequence[Probe],
    candidates: Sequence[Component],
    monitor: Monitor,
) -> np.ndarray:
    """Contributions to the mean of all networks: (networks * len(candidates), R)."""
    networks, roi_size = segmenter.networks, segmenter.bundle.inference.roi_size
    measured = [
        measure_contributions(
            network,
            probes,
            candidates,
            batch_size=windows_at_once(network, roi_size, segmenter.device),
            monitor=part,
        )
        for network, part in zip(networks, monitor.parts(len(networks)), strict=True)
    ]
    return np.concatenate(measured) / len(networks)


def _drawn(
    segmenter: Segmenter,
    result: SegmentationResult,
    plan: WindowPlan,
    chosen: Sequence[tuple[int, Component]],
    monitor: Monitor,
) -> np.ndarray:
    """The maps (len(chosen), X, Y, Z) of components, each with the number of its network."""
    volume = result.prepared.array
    maps = np.empty((len(chosen), *volume.shape[1:]), dtype=np.float32)
    members = sorted({member for member, _ in chosen})
    for member, part in zip(members, monitor.parts(len(members)), strict=True):
        rows = [row for row, (own, _) in enumerate(chosen) if own == member]
        maps[rows] = stitch_components(
            segmenter.networks[member],
            volume,
            plan,
            [chosen[row][1] for row in rows],
            segmenter.bundle.inference.blending,
            segmenter.device,
            result.mirror_axes,
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


def _note(segmenter: Segmenter, sites: LesionSites) -> str:
    regions = zip(segmenter.bundle.description.regions, sites.found, strict=True)
    missing = [region.title for region, is_found in regions if not is_found]
    if not missing:
        return ""
    return (
        f"Not found: {', '.join(missing)}; contributions to it were measured where it is most "
        "probable."
    )

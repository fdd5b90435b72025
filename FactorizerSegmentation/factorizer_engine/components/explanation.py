"""The components that drove a result: measured, ranked, and drawn over the scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from factorizer_engine.components.ablation import measure_in_passes
from factorizer_engine.components.capture import Captures
from factorizer_engine.components.definition import Baseline, component_name
from factorizer_engine.components.estimates import Estimate, Passes, estimate_all
from factorizer_engine.components.likeness import judge
from factorizer_engine.components.question import BASELINE, Question, pose
from factorizer_engine.components.ranking import chosen_in_turn, in_order_shown
from factorizer_engine.components.reliance import Joined, LesionVolume, find_reliance
from factorizer_engine.components.room import room_for
from factorizer_engine.components.sites import LesionSites
from factorizer_engine.components.stitching import OWN_VOXELS, SMOOTH, stitch_components
from factorizer_engine.components.turns import Turns, turns_of
from factorizer_engine.components.windows import evidence_windows, legible_windows
from factorizer_engine.components.wording import meaning_with_fewer
from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.device import memory_errors, windows_at_once
from factorizer_engine.inference.kernels import prepare_gradient_kernels
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.inference.sliding_window import logit
from factorizer_engine.protocol.components import Component, Reliance
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.progress import Monitor

_ESTIMATED, _JUDGED, _ORDERED, _MEASURED, _TRIED, _DRAWN = 0.25, 0.3, 0.5, 0.65, 0.75, 0.95
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
        own_heatmap, own_evidence: The same on the model's grid, with all voxels the same that lie
            under one voxel of the component's block, as far as one window shows them.
    """

    component: Component
    heatmap: Scan
    evidence: Scan
    own_heatmap: Scan
    own_evidence: Scan


@dataclass(frozen=True, eq=False)
class Explanation:
    """What drove a result.

    Attributes:
        maps: The components without which the evidence falls soonest (`turns`), by what each
            contributes by itself; of those that speak for the lesion, what is stable comes before
            what is not.
        note: What to know about the contributions, for people, or "". Of a lesion it says what it
            rests on.
        reliance: Of a lesion that was asked for, on which of the components it rests.
        lesions: Those of the result; the one that was asked for, or all, with their likeness to
            lesions of the cases over which the model was described, if it was.
    """

    maps: tuple[ComponentMap, ...]
    note: str = ""
    reliance: Reliance | None = None
    lesions: tuple[Lesion, ...] = ()


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
    two) windows that cover the lesion best, and anew when those that lead are gone (`turns`), so
    that components that say the same are not all chosen. Those that are chosen are left out once
    each, which measures what they contribute by themselves; they are ranked by that and drawn. Of
    those that speak for the lesion, those come first whose maps were stable on the cases over which
    the model was described, if it was (`protocol.profiles`). All contributions are to the logits of
    the result, in float32: where that is the mean over mirrored copies, a component is left out of
    all copies at once, and its maps are their means; where it is the mean over an ensemble, the
    components of all networks are compared.

    Args:
        segmenter: The model.
        result: What `segmenter.segment` gave.
        count: How many components to return at most.
        blocks: Names of the blocks to look into; all by default.
        region: Region for which components are ranked; by default all that were found together, or
            those that painted the lesion.
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
    monitor.report("estimating components", 0.0)
    with memory_errors(segmenter.device):
        asked = pose(segmenter, result, blocks, region, lesion, baseline)
        room = room_for(asked)
        asked = asked.within(room.blocks)
        prepare_gradient_kernels(
            asked.networks, segmenter.device, torch.float32, monitor.span(0.0, 0.0)
        )
        monitor.report(f"estimating components, in {room.gigabytes}", 0.0)
        passes: Passes = [[] for _ in asked.networks]
        estimate = estimate_all(asked, passes, monitor.span(0.0, _ESTIMATED))
        lesions, doubts = judge(asked, estimate, lesion, monitor.span(_ESTIMATED, _JUDGED))
        turns = turns_of(asked, estimate, count, monitor.span(_JUDGED, _ORDERED))
        chosen = _chosen(asked, estimate, turns, count)
        volume = _volume(asked, passes) if lesion is not None else None
        part = monitor.span(_ORDERED, _MEASURED)
        measured = _measured(asked, passes, chosen, part, volume)
        ranked = _ranked(asked, measured)
        contributions = np.stack([measured[index] for index in ranked])
        reliance = None
        if volume is not None:
            reliance = find_reliance(
                volume,
                [asked.candidates[index] for index in ranked],
                [ranked.index(index) for index in turns.speaking(chosen)],
                monitor.span(_MEASURED, _TRIED),
            )
        drawn_for = [asked.decisive[i] for i in contributions[:, asked.decisive].argmax(axis=1)]
        heatmaps, own_heatmaps = _drawn(asked, ranked, monitor.span(_TRIED, _DRAWN))
        evidence = _evidence(asked, estimate, ranked, drawn_for)
        own_evidence = _evidence(asked, estimate, ranked, drawn_for, OWN_VOXELS)
        monitor.report("restoring", _DRAWN)
        occupied = _occupied(asked.result)
        components = _described(
            asked,
            estimate,
            ranked,
            contributions,
            drawn_for,
            legible_windows([asked.candidates[index] for index in ranked], heatmaps * occupied),
            evidence_windows(evidence * occupied),
            volume,
        )
        heatmaps, evidence = _restored(asked, heatmaps, evidence)
    monitor.report("restoring", 1.0)
    reference, model_grid = result.labelmap.grid, result.prepared.grid
    drawn = zip(
        *(_scans(maps, reference, components) for maps in (heatmaps, evidence)),
        *(_scans(maps * occupied, model_grid, components) for maps in (own_heatmaps, own_evidence)),
        strict=True,
    )
    maps = tuple(
        ComponentMap(component, *scans) for component, scans in zip(components, drawn, strict=True)
    )
    rests = reliance.sentence(lesion, components) if reliance and lesion is not None else ""
    about = (room.note, result.note, _stage(segmenter), _note(result.model, asked.sites))
    notes = filter(None, (rests, *doubts, *about))
    return Explanation(maps, " ".join(notes), reliance, lesions)


def _measured(
    asked: Question,
    passes: Passes,
    chosen: Sequence[int],
    monitor: Monitor,
    volume: LesionVolume | None,
) -> dict[int, np.ndarray]:
    """Exact contributions of the chosen candidates to the regions of the result, (R,) each."""
    terms = [asked.candidates[index] for index in chosen]
    measured = np.zeros((len(terms), asked.networks[0].out_channels))
    roi_size, device = asked.result.plan.roi_size, asked.segmenter.device
    at_once = windows_at_once(asked.networks[0], roi_size, device)
    for (member, own), part in zip(enumerate(passes), monitor.parts(len(passes)), strict=True):
        rows = [row for row, term in enumerate(terms) if term.network == member]
        among = [terms[row] for row in rows]
        if asked.probes:
            watch = volume.watch if volume is not None else None
            measured[rows] = measure_in_passes(
                own, asked.probes, among, at_once, part, asked.baseline, watch
            )
    measured = measured[:, asked.result.outputs] / len(passes)
    return dict(zip(chosen, measured, strict=True))


def _chosen(asked: Question, estimate: Estimate, turns: Turns, count: int) -> list[int]:
    """The candidates that are measured and shown."""
    stability = [asked.profile(index).stability for index in range(len(asked.candidates))]
    return chosen_in_turn(turns.order, count, estimate.contributions.sum(axis=1), stability)


def _ranked(asked: Question, measured: Mapping[int, np.ndarray]) -> list[int]:
    """The candidates as they are shown."""
    strength = {index: float(found[asked.decisive].sum()) for index, found in measured.items()}
    stability = {index: asked.profile(index).stability for index in measured}
    return in_order_shown(list(measured), strength, stability)


def _volume(asked: Question, passes: Passes) -> LesionVolume:
    return LesionVolume(
        passes,
        asked.probes,
        asked.result.plan,
        asked.outputs,
        asked.segmenter.bundle.inference.threshold,
        asked.baseline,
        _joined(asked),
    )


def _joined(asked: Question) -> Joined | None:
    """Of a cascade, what both stages say together."""
    cascade, result = asked.segmenter.bundle.cascade, asked.result
    if cascade is None:
        return None
    logits = [
        resample(Scan(logit(result.probabilities[region]), result.labelmap.grid), grid).array
        for grid in [result.prepared.grid]
        for region in asked.decisive
    ]
    return Joined(result.plan.pad(torch.from_numpy(np.stack(logits))), cascade.share)


def _drawn(
    asked: Question, ranked: Sequence[int], monitor: Monitor
) -> tuple[np.ndarray, np.ndarray]:
    """Where candidates are active in model space, see `stitch_components`."""
    volume, plan = asked.result.prepared.array, asked.result.plan
    terms = [asked.candidates[index] for index in ranked]
    maps, own_maps = np.empty((2, len(terms), *volume.shape[1:]), dtype=np.float32)
    members = sorted({term.network for term in terms})
    for member, part in zip(members, monitor.parts(len(members)), strict=True):
        rows = [row for row, term in enumerate(terms) if term.network == member]
        own = [terms[row] for row in rows]
        device, watcher = asked.segmenter.device, asked.result.watcher
        captures = watcher if isinstance(watcher, Captures) else None
        maps[rows], own_maps[rows] = stitch_components(
            asked.networks[member], volume, plan, own, device, part, captures
        )
    return maps, own_maps


def _evidence(
    asked: Question,
    estimate: Estimate,
    ranked: Sequence[int],
    regions: Sequence[int],
    mode: str = SMOOTH,
) -> np.ndarray:
    """What candidates contribute where to a region each, logits per mL in model space."""
    outputs, plan = asked.result.outputs, asked.result.plan
    maps = []
    for index, region in zip(ranked, regions, strict=True):
        term = asked.candidates[index]
        found = estimate.evidence[term.network]
        maps.append(found.draw(asked.mixers, term, int(outputs[region]), plan, mode))
    return np.stack(maps) / (len(asked.networks) * asked.result.prepared.grid.voxel_ml)


def _occupied(result: SegmentationResult) -> np.ndarray:
    """1 where the prepared scans show the patient, float32 (X, Y, Z)."""
    return (result.prepared.array != 0).any(axis=0).astype(np.float32)


def _restored(
    asked: Question, heatmaps: np.ndarray, evidence: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Maps on the reference grid, zero outside the head."""
    restore, prepared = asked.segmenter.preprocessor.restore, asked.result.prepared
    head = restore(_occupied(asked.result)[None], prepared)[0] >= 0.5
    found = [restore(maps, prepared) for maps in (heatmaps, evidence)]
    for maps in found:
        maps *= head
    return found[0], found[1]


def _scans(maps: np.ndarray, grid: Grid, components: Sequence[Component]) -> list[Scan]:
    return [Scan(one, grid, found.name) for one, found in zip(maps, components, strict=True)]


def _described(
    asked: Question,
    estimate: Estimate,
    ranked: Sequence[int],
    contributions: np.ndarray,
    drawn_for: Sequence[int],
    windows: Sequence[tuple[float, float]],
    spans: Sequence[tuple[float, float]],
    volume: LesionVolume | None,
) -> list[Component]:
    """The ranked candidates in words and figures."""
    names = [region.name for region in asked.result.model.regions]
    whole = asked.segmenter.bundle.description
    terms = [asked.candidates[index] for index in ranked]
    components = []
    for row, (index, term) in enumerate(zip(ranked, terms, strict=True)):
        name = component_name(term, asked.mixers)
        if len(asked.networks) > 1:
            name = f"Network {term.network + 1}, {name}"
        profile = asked.profile(index)
        components.append(
            Component(
                term=term,
                name=name,
                contributions=dict(zip(names, contributions[row].tolist(), strict=True)),
                window=windows[row],
                region=names[drawn_for[row]],
                evidence_window=spans[row],
                level=float(estimate.levels[index, asked.decisive.index(drawn_for[row])]),
                meaning=meaning_with_fewer(profile, whole, asked.result.model),
                stability=profile.stability,
                left=volume.alone(term) if volume is not None else None,
            )
        )
    return components


def _stage(segmenter: Segmenter) -> str:
    """Of a cascade: whose components these are."""
    cascade = segmenter.bundle.cascade
    if cascade is None:
        return ""
    return (
        "The components are those of the finer stage and contribute to its logits, which count "
        f"{100 * cascade.share:.0f} % in the result."
    )


def _note(model: ModelDescription, sites: LesionSites) -> str:
    regions = zip(model.regions, sites.found, strict=True)
    missing = [region.title for region, is_found in regions if not is_found]
    if not missing:
        return ""
    return (
        f"Not found: {', '.join(missing)}; contributions to it were measured where it is most "
        "probable."
    )

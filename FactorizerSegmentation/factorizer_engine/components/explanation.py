"""The components that drove a result: measured, ranked, and drawn over the scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from factorizer_engine.components.definition import Baseline
from factorizer_engine.components.drawing import Drawn, draw
from factorizer_engine.components.estimates import Estimate, Passes, estimate_all
from factorizer_engine.components.likeness import judge
from factorizer_engine.components.measuring import Measured, measure
from factorizer_engine.components.question import BASELINE, Question, pose
from factorizer_engine.components.room import room_for
from factorizer_engine.components.wording import meaning_with_fewer
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.device import memory_errors
from factorizer_engine.inference.kernels import prepare_gradient_kernels
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.protocol.components import Component, Reliance
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.tasks.components import refuse_nothing

_ESTIMATED, _JUDGED, _MEASURED = 0.25, 0.3, 0.75
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
        reliance: Of a lesion that was asked for, on which of the components it rests; None where
            the region that was asked for holds nowhere in it.
        lesions: Those of the result; the one that was asked for, or the largest, with their
            likeness to lesions of the cases over which the model was described, if it was.
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
    the result, in float32: where that is the mean over copies, mirrored or without some scans, a
    component is left out of all copies at once, and its maps are their means; where it is the mean
    over an ensemble, the components of all networks are compared.

    Args:
        segmenter: The model.
        result: What `segmenter.segment` gave.
        count: How many components to return at most.
        blocks: Names of the blocks to look into; all by default.
        region: Region for which components are ranked; by default all that were found together, or
            of a lesion the one that is most probable in it (`sites.main_region`).
        monitor: Told of the progress, and asked whether to stop.
        lesion: Number of the lesion of `result` that is explained; all of the result by default.
        baseline: What takes the place of a component that is left out.

    Raises:
        BadInputError: If a block, region or lesion is unknown, or nothing is asked for.
        BadModelError: If the model is not a Factorizer.
        EngineMemoryError: If memory does not suffice.
        CancelledError: If the monitor was cancelled.
    """
    refuse_nothing(count, blocks)
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
        part = monitor.span(_JUDGED, _MEASURED)
        measured = measure(asked, passes, estimate, count, lesion is not None, part)
        drawn = draw(asked, estimate, measured, monitor.span(_MEASURED, 1.0))
    components = _described(asked, estimate, measured, drawn)
    shown = (drawn.heatmaps, drawn.evidence, drawn.own_heatmaps, drawn.own_evidence)
    maps = (ComponentMap(*one) for one in zip(components, *shown, strict=True))
    reliance = measured.reliance
    rests = reliance.sentence(lesion, components) if reliance and lesion is not None else ""
    about = (room.note, result.note, _stage(asked), _note(asked))
    notes = filter(None, (rests, *doubts, *about))
    return Explanation(tuple(maps), " ".join(notes), reliance, lesions)


def _described(
    asked: Question, estimate: Estimate, measured: Measured, drawn: Drawn
) -> list[Component]:
    """The components that are shown, in words and figures."""
    names = [region.name for region in asked.result.model.regions]
    whole, volume = asked.segmenter.bundle.description, measured.volume
    components = []
    for row, (index, term) in enumerate(zip(measured.candidates, measured.terms, strict=True)):
        profile, region = asked.profile(index), measured.regions[row]
        components.append(
            Component(
                term=term,
                name=asked.name_of(term),
                contributions=dict(zip(names, measured.contributions[row].tolist(), strict=True)),
                window=drawn.windows[row],
                region=names[region],
                evidence_window=drawn.evidence_windows[row],
                level=float(estimate.levels[index, asked.decisive.index(region)]),
                meaning=meaning_with_fewer(profile, whole, asked.result.model),
                stability=profile.stability,
                left=volume.alone(term) if volume is not None else None,
            )
        )
    return components


def _stage(asked: Question) -> str:
    """Of a cascade: whose components these are."""
    cascade = asked.cascade
    if cascade is None:
        return ""
    return (
        "The components are those of the finer stage and contribute to its logits, which count "
        f"{100 * cascade.share:.0f} % in the result."
    )


def _note(asked: Question) -> str:
    regions = zip(asked.result.model.regions, asked.sites.found, strict=True)
    missing = [region.title for region, is_found in regions if not is_found]
    if not missing:
        return ""
    return (
        f"Not found: {', '.join(missing)}; contributions to it were measured where it is most "
        "probable."
    )

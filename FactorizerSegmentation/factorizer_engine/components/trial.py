"""One labelled case of a proof: are the evidence maps faithful, in place, stable, and learnt?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from factorizer_engine.components.ablation import (
    Probe,
    measure_contributions,
    place_probes,
    shifted_probe,
)
from factorizer_engine.components.capture import Capture
from factorizer_engine.components.definition import (
    Baseline,
    channel_of,
    component_name,
    factorizers_of,
    head_mask,
    mixers_of,
    terms_of,
)
from factorizer_engine.components.disturbances import (
    where_it_finds,
    with_noise,
    with_shuffled_weights,
)
from factorizer_engine.components.evidence import (
    Evidence,
    enlarged,
    evidence_along_a_path,
    find_evidence,
    gradients_of,
)
from factorizer_engine.components.orders import COUNTS, OrderTrial
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.components.ranking import chosen_in_turn, default_blocks, in_order_shown
from factorizer_engine.components.saliency import (
    PARTS,
    BlockProbe,
    LogitProbe,
    ScanProbe,
    grad_cam,
    integrated_gradients,
)
from factorizer_engine.components.scores import area, best_dice, correlation, spearman
from factorizer_engine.components.sites import among_outputs, lesion_sites
from factorizer_engine.components.stability import SHIFT
from factorizer_engine.components.turns import contributions_without, take_turns
from factorizer_engine.images.geometry import in_all_channels
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.result import SegmentationResult
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.networks import Factorizer
from factorizer_engine.protocol.components import Term, is_stable
from factorizer_engine.protocol.profiles import Profile
from factorizer_engine.protocol.progress import Monitor

STEPS = 6
"""Of integrated gradients, and of the path along which components grow together."""

TOP = 6
"""Components whose maps are disturbed: as many as an explanation shows."""

_RANDOM = 2


@dataclass(frozen=True)
class Trial:
    """What came out for one case.

    Attributes:
        case: Its name.
        region: Whose logit was watched, in the window that covers the prediction best.
        block: The block whose saliency maps were compared: that of the first component.
        first: Name of the component that an explanation would show first.
        figures: Single numbers by name.
        curves: Mean logits by name of the curve; x is the number of components left out, or the
            part of the head's voxels that is deleted or inserted.
    """

    case: str
    region: str
    block: str
    first: str
    figures: dict[str, float]
    curves: dict[str, dict[str, list[float]]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))


def try_case(
    segmenter: Segmenter,
    result: SegmentationResult,
    case: str,
    truth: Mapping[str, Scan],
    region: str | None = None,
    seed: int = 0,
    monitor: Monitor | None = None,
) -> Trial:
    """Put the evidence of one segmented case to the proof.

    Args:
        segmenter: The model, a Factorizer; of an ensemble the first network.
        result: What it found.
        case: Name of the case.
        truth: The true mask of every region, 0 and 1.
        region: Name of the region; by default that of the largest true mask.
        seed: Of random orders, noise and weights.
        monitor: Told of the progress, and asked whether to stop.
    """
    return _Trial(segmenter, result, truth, region, seed, monitor or Monitor()).run(case)


class _Trial:
    def __init__(
        self,
        segmenter: Segmenter,
        result: SegmentationResult,
        truth: Mapping[str, Scan],
        region: str | None,
        seed: int,
        monitor: Monitor,
    ) -> None:
        segmenter = segmenter.that_gave(result)
        self._network = factorizers_of(segmenter.networks)[0]
        profiles = segmenter.bundle.profiles
        self._profiles = profiles.by_term() if profiles else {}
        self._mixers = mixers_of(self._network)
        self._result, self._monitor = result, monitor
        names = [r.name for r in result.model.regions]
        self._name = region or max(names, key=lambda name: truth[name].array.sum())
        self._region = int(result.outputs[names.index(self._name)])
        masks = lesion_sites(result, segmenter.bundle.inference.threshold).masks
        masks = among_outputs(segmenter, result, masks)
        masks[np.arange(len(masks)) != self._region] = False
        self._masks, self._device = masks, segmenter.device
        (self._probe, *_) = place_probes(
            result.plan.without_copies(),
            result.prepared.array,
            masks,
            segmenter.device,
            limit=1,
        )
        self._truth = {name: self._in_window(truth[name]) for name in names}
        self._terms = terms_of(self._mixers, default_blocks(self._mixers))
        self._random = np.random.default_rng(seed)
        self._figures: dict[str, float] = {}
        self._curves: dict[str, dict[str, list[float]]] = {}

    def run(self, case: str) -> Trial:
        steps = (
            self._rank,
            self._order_components,
            self._compare_voxels,
            self._localise,
            self._disturb,
            self._compare_in_scans,
        )
        for number, step in enumerate(steps):
            self._monitor.report(f"proving {case}", number / len(steps))
            step()
        self._monitor.report(f"proving {case}", 1.0)
        return Trial(
            case,
            self._name,
            self._first.block,
            component_name(self._first, self._mixers),
            self._figures,
            self._curves,
        )

    def _rank(self) -> None:
        self._exact: dict[Baseline, np.ndarray] = {}
        self._evidence: dict[Baseline, Evidence] = {}
        self._estimates: dict[Baseline, np.ndarray] = {}
        for kind in Baseline:
            measured = measure_contributions(
                self._network, [self._probe], self._terms, monitor=self._quiet, baseline=kind
            )[:, self._region]
            found = find_evidence(self._network, [self._probe], [self._region], kind)
            estimates = found.contributions(self._mixers, self._terms)[:, 0]
            self._exact[kind], self._evidence[kind] = measured, found
            self._estimates[kind] = estimates
            self._figures[f"spearman of the estimate, {kind.value}"] = spearman(measured, estimates)
        self._joint = evidence_along_a_path(
            self._network, [self._probe], [self._region], default_blocks(self._mixers), STEPS
        )
        self._in_turn = self._taken_in_turn()
        self._top = self._as_shown()
        self._first = self._top[0]

    def _taken_in_turn(self) -> list[int]:
        """The components by what each contributes when those before it are gone, by index."""
        terms = self._terms

        def without(order: Sequence[int]) -> np.ndarray:
            gone = [terms[i] for i in order]
            found, _logits = contributions_without(
                self._network, [self._probe], terms, gone, [self._region]
            )
            return found

        return list(take_turns(self._estimates[Baseline.ZERO], without, COUNTS[-1]).order)

    def _as_shown(self) -> list[Term]:
        """Those that an explanation of `TOP` components shows, as it lists them."""
        stability = [self._profiles.get(term, Profile(term)).stability for term in self._terms]
        whole, exact = self._estimates[Baseline.ZERO], self._exact[Baseline.ZERO]
        chosen = chosen_in_turn(self._in_turn, TOP, whole, stability)
        return [self._terms[i] for i in in_order_shown(chosen, exact, stability)]

    def _order_components(self) -> None:
        blocks = default_blocks(self._mixers)
        recorded = RecordedPass(self._network, self._probe.image, blocks)
        gradients = gradients_of(recorded, self._probe, [self._region], blocks)
        self._recorded = recorded
        orders = OrderTrial(recorded, self._probe, self._region, self._terms, self._monitor.check)
        exact, zero = self._exact[Baseline.ZERO], self._estimates[Baseline.ZERO]
        joint = [found.contributions(self._mixers, self._terms) for found in self._joint]
        in_turn = [self._terms[i] for i in self._in_turn]
        tried = {
            "in turn": [in_turn],
            "as listed": [[*self._top, *(term for term in in_turn if term not in self._top)]],
            "contribution by itself": [orders.by(exact)],
            "estimate": [orders.by(zero)],
            "contribution, mean": [orders.by(self._exact[Baseline.MEAN])],
            "step by step": [orders.step_by_step(exact)],
            "Grad-CAM": [orders.by_grad_cam(gradients)],
            "integrated gradients": [orders.by(np.sum(joint, axis=0)[:, 0])],
            "random": [
                [self._terms[i] for i in self._random.permutation(len(self._terms))]
                for _ in range(_RANDOM)
            ],
        }
        for what, follow in (("deletion", orders.deletion), ("insertion", orders.insertion)):
            curves = {
                name: np.mean([follow(order) for order in several], axis=0).tolist()
                for name, several in tried.items()
            }
            self._curves[f"component {what}"] = curves
            for name, curve in curves.items():
                self._figures[f"component {what} AUC, {name}"] = orders.area(curve)

    def _compare_voxels(self) -> None:
        """Voxels of the first component's block, in the order of maps at that block."""
        block = self._first.block
        watched = BlockProbe(self._recorded, block, self._probe, self._region)
        self._maps: dict[str, Tensor] = {}
        along = [found.windows[0].maps[block].sum(1, keepdim=True) for found in self._joint]
        for kind in Baseline:
            maps = self._saliency(watched, watched.baseline(kind))
            maps["evidence along a path"] = torch.stack(along).sum(0)
            self._maps.update({f"{name}, {kind.value}": m for name, m in maps.items()})
            self._follow(watched, maps, kind.value, watched.baseline(kind))

    def _compare_in_scans(self) -> None:
        """Voxels of the scans, in the order of what is shown first and of maps at the scans."""
        watched = ScanProbe(self._network, self._probe, self._region)
        usual = self._saliency(watched, watched.baseline(Baseline.ZERO))
        usual["gradient times input"] = usual.pop("evidence")
        shown = {
            "first component's evidence": self._of(Baseline.ZERO, self._first),
            "the block's evidence": self._enlarged(self._maps["evidence, zero"]),
            "the block's Grad-CAM": self._enlarged(self._maps["Grad-CAM, zero"]),
        }
        maps = usual | {name: torch.from_numpy(m)[None, None] for name, m in shown.items()}
        self._follow(watched, maps, "scans", watched.baseline(Baseline.ZERO))

    def _saliency(self, watched: LogitProbe, baseline: Tensor) -> dict[str, Tensor]:
        """Maps (1, 1, *S) by their names: evidence, the usual ones, and one of chance."""
        values, gradient = watched.values, watched.gradient(watched.values)
        found = {
            "evidence": gradient * (values - baseline),
            "Grad-CAM": grad_cam(gradient, values, watched.head),
            "integrated gradients": integrated_gradients(watched.gradient, values, baseline, STEPS),
        }
        maps = {name: each.sum(1, keepdim=True) for name, each in found.items()}
        maps["Grad-CAM"] = maps["Grad-CAM"].relu()
        chance = self._random.random(watched.head.shape, np.float32)
        return maps | {"random": torch.from_numpy(chance)}

    def _follow(
        self, watched: LogitProbe, maps: Mapping[str, Tensor], what: str, baseline: Tensor
    ) -> None:
        """Delete, and insert, voxels in the order of every map."""
        for direction in ("deletion", "insertion"):
            curves = {
                name: watched.curve(
                    m.to(self._device), baseline, direction == "insertion", self._monitor.check
                )
                for name, m in maps.items()
            }
            self._curves[f"voxel {direction}, {what}"] = curves
            for name, curve in curves.items():
                self._figures[f"voxel {direction} AUC, {what}, {name}"] = area(PARTS, curve)

    def _localise(self) -> None:
        captured = Capture(self._network, default_blocks(self._mixers))(self._probe.image)

        def active(term: Term) -> np.ndarray:
            own = captured[term.block][channel_of(term, self._mixers)]
            return self._enlarged(own[None, None].to(self._device))

        drawn = {name: self._enlarged(m) for name, m in self._maps.items() if "random" not in name}
        for kind in Baseline:
            drawn[f"first component's evidence, {kind.value}"] = self._of(kind, self._first)
        drawn["first component's activity"] = active(self._first)
        truth = self._truth[self._name]
        for name, values in drawn.items():
            self._figures[f"Dice, {name}"] = best_dice(values, truth)
            peak = np.unravel_index(int(values.argmax()), values.shape)
            self._figures[f"peak inside, {name}"] = float(truth[peak])
        for region, mask in self._truth.items():
            for what, found in (
                ("evidence", partial(self._of, Baseline.ZERO)),
                ("activity", active),
            ):
                best = max(best_dice(found(term), mask) for term in self._terms)
                self._figures[f"Dice with {region}, best component's {what}"] = best

    def _disturb(self) -> None:
        original = self._top_maps(self._network, self._probe)
        padded = self._result.plan.pad(torch.from_numpy(self._result.prepared.array))
        shifted = shifted_probe(self._probe, padded, SHIFT)
        moved = [m[SHIFT:] for m in self._top_maps(self._network, shifted)]
        still = [m[: len(m) - SHIFT] for m in original]
        noisy = with_noise(self._probe, self._random)
        shuffled = with_shuffled_weights(self._network, self._random)
        own = where_it_finds(shuffled, self._probe, self._region)
        # Read in the same place, the maps have its outline, whatever the weights are.
        there = self._top_maps(shuffled, self._probe)
        read = (self._probe.weights[self._region] > 0).cpu().numpy()
        within = [[values[read] for values in maps] for maps in (original, there)]
        pairs = {
            f"shift by {SHIFT} voxels": zip(still, moved, strict=True),
            "noise": zip(original, self._top_maps(self._network, noisy), strict=True),
            "random weights": zip(original, self._top_maps(shuffled, own), strict=True),
            "random weights, read in the same place": zip(original, there, strict=True),
            "random weights, within that place": zip(*within, strict=True),
        }
        for name, both in pairs.items():
            found = [correlation(a, b) for a, b in both]
            self._figures[f"correlation after {name}, first component"] = found[0]
            self._figures[f"correlation after {name}, median of {TOP}"] = float(np.median(found))
            stable = [
                value for value, term in zip(found, self._top, strict=True) if self._is_stable(term)
            ]
            if stable:
                self._figures[f"correlation after {name}, lowest of the stable"] = min(stable)

    def _top_maps(self, network: Factorizer, probe: Probe) -> list[np.ndarray]:
        """Evidence of the top components, at their blocks' resolution spread over voxels."""
        blocks = list(dict.fromkeys(term.block for term in self._top))
        found = find_evidence(network, [probe], [self._region], blocks=blocks)
        return [self._drawn(found, term) for term in self._top]

    def _is_stable(self, term: Term) -> bool:
        return term in self._profiles and is_stable(self._profiles[term].stability)

    def _of(self, kind: Baseline, term: Term) -> np.ndarray:
        return self._drawn(self._evidence[kind], term)

    def _drawn(self, found: Evidence, term: Term) -> np.ndarray:
        maps = found.windows[0].maps[term.block]
        return self._enlarged(maps[:, channel_of(term, self._mixers)][:, None])

    def _enlarged(self, x: Tensor) -> np.ndarray:
        """(*roi_size) of a map (1, 1, *S), zero outside the head."""
        roi_size = self._result.plan.roi_size
        values = enlarged(x, roi_size) * head_mask(self._probe.image, roi_size)
        return values[0, 0].cpu().numpy()

    def _in_window(self, mask: Scan) -> np.ndarray:
        share = resample(mask, self._result.prepared.grid, antialias=True).array
        padded = self._result.plan.pad(torch.from_numpy(np.ascontiguousarray(share))[None])
        return (padded[in_all_channels(self._probe.window)][0] >= 0.5).numpy()

    @property
    def _quiet(self) -> Monitor:
        return Monitor(lambda _: self._monitor.check())

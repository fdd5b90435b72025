"""Orders of components put to the proof: a logit while they are left out, or put in, in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from factorizer_engine.components.ablation import Probe
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.components.saliency import grad_cam
from factorizer_engine.components.scores import area
from factorizer_engine.protocol.components import Term

COUNTS = (0, 1, 2, 4, 8, 14)
"""Components left out, or put in, before all of them are."""


class OrderTrial:
    """What becomes of the mean logit of a region as components go or come.

    Args:
        recorded: The window's pass.
        probe: The window.
        region: Index of the region.
        terms: All components that go or come.
        check: Called before every run of the network; raises where it is to stop.
    """

    def __init__(
        self,
        recorded: RecordedPass,
        probe: Probe,
        region: int,
        terms: Sequence[Term],
        check: Callable[[], None],
    ) -> None:
        self._recorded, self._probe, self._region = recorded, probe, region
        self._terms, self._check = terms, check

    @property
    def counts(self) -> list[int]:
        """How many are left out, or put in, at the points of a curve."""
        return [*(count for count in COUNTS if count < len(self._terms)), len(self._terms)]

    def deletion(self, order: Sequence[Term]) -> list[float]:
        """Mean logits with more and more of them left out, the first in front."""
        return [self._logit_without(order[:count]) for count in self.counts]

    def insertion(self, order: Sequence[Term]) -> list[float]:
        """Mean logits with all left out but more and more of them, the first in front."""
        return [self._logit_without(order[count:]) for count in self.counts]

    def area(self, curve: Sequence[float]) -> float:
        """Under one of these curves, over the part of the components."""
        return area(np.array(self.counts) / len(self._terms), curve)

    def by(self, strengths: np.ndarray) -> list[Term]:
        """The components by falling strength, (len(terms),)."""
        return [self._terms[i] for i in np.argsort(-strengths, kind="stable")]

    def by_grad_cam(self, gradients: Mapping[str, Sequence[Tensor]]) -> list[Term]:
        """The components by the sums of their parts of their blocks' Grad-CAM.

        Args:
            gradients: By block, that with respect to its mixed map first.
        """
        sums = []
        for term in self._terms:
            heads = self._recorded.mixers[term.block].reshape.num_heads
            cam = grad_cam(
                gradients[term.block][0],
                self._recorded.mixed[term.block],
                self._recorded.head_at(term.block),
            )
            sums.append(float(cam.unflatten(1, (heads, -1))[:, term.head].sum()))
        return self.by(np.array(sums))

    def step_by_step(self, strengths: np.ndarray) -> list[Term]:
        """The order in which every component is the one that lowers the logit most, of those left.

        The last ones, which are only left out together, are ordered by `strengths`.
        """
        left = self.by(strengths)
        order: list[Term] = []
        for _ in range(self.counts[-2]):
            lowest = min(left, key=lambda term: self._logit_without([*order, term]))
            order.append(lowest)
            left.remove(lowest)
        return [*order, *left]

    def _logit_without(self, terms: Sequence[Term]) -> float:
        self._check()
        return float(self._probe.read(self._recorded.without(terms))[0, self._region])

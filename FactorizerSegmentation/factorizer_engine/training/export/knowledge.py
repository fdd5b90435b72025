"""Which cases a model knows from its training, or from that of the models that it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.seen import SeenCases, seen_cases
from factorizer_engine.training.data.splits import Split, together
from factorizer_engine.training.records.records import Run


@dataclass(frozen=True)
class Knowledge:
    """What a model has seen.

    Attributes:
        split: Cases by use; held out is only what nobody saw.
        untold: Models that it goes on from or refines and that do not tell what they have seen.
    """

    split: Split
    untold: tuple[str, ...] = ()

    @property
    def cases(self) -> frozenset[str]:
        """The cases that training, or the choice of weights, has used."""
        return frozenset((*self.split.train, *self.split.validation))

    def told(self) -> SeenCases:
        """What the model is to tell of it."""
        return SeenCases(self.split.train, self.split.validation, self.untold)


def knowledge_of(runs: Sequence[Run], coarse: Bundle | None = None) -> Knowledge:
    """What a model of these runs, and perhaps of a first stage, has seen."""
    first = seen_cases(coarse) if coarse is not None else SeenCases()
    splits = [*(run.seen for run in runs), Split(first.train, first.validation)]
    untold = [model for run in runs for model in run.untold_by]
    return Knowledge(together(splits), tuple(dict.fromkeys([*untold, *first.untold_by])))

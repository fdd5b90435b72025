"""What a proof has to show, and where it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from factorizer_engine.components.stability import SHIFT
from factorizer_engine.components.trial import TOP, Trial

_DICE, _KEPT, _LEARNT = 0.6, 0.9, 0.5


@dataclass(frozen=True)
class Goal:
    """One thing that a proof has to show.

    Attributes:
        text: For people.
        margin: By how much a case does better than it must; negative where it misses the goal.
        in_median: Whether the median case decides, rather than each by itself.
    """

    text: str
    margin: Callable[[Trial], float]
    in_median: bool = False

    def met(self, trials: Sequence[Trial]) -> list[bool]:
        """Whether it is met, by case."""
        margins = [self.margin(trial) for trial in trials]
        if self.in_median:
            margins = [median(margins)] * len(margins)
        return [margin > 0 for margin in margins]


def _lower(figure: str, than: str) -> Callable[[Trial], float]:
    return lambda trial: trial.figures[than] - trial.figures[figure]


def _at_least(figure: str, least: float) -> Callable[[Trial], float]:
    return lambda trial: trial.figures[figure.format(region=trial.region)] - least


def _changed(figure: str) -> Callable[[Trial], float]:
    return lambda trial: _LEARNT - abs(trial.figures[figure])


_ORDER, _VOXELS = "component deletion AUC, {}", "voxel deletion AUC, zero, {}"
_IN_SCANS = "voxel deletion AUC, scans, {}"
_SHIFTED, _SHUFFLED = (
    f"correlation after shift by {SHIFT} voxels, {{}}",
    ("correlation after random weights, {}"),
)
_SEVERAL = f"median of {TOP}"

GOALS = (
    *(
        Goal(
            f"components: {title} before {rival}",
            _lower(_ORDER.format(order), _ORDER.format(other)),
        )
        for title, order in (
            ("by contribution, in turn,", "in turn"),
            ("as an explanation lists them", "as listed"),
        )
        for rival, other in (
            ("chance", "random"),
            ("Grad-CAM", "Grad-CAM"),
            ("integrated gradients", "integrated gradients"),
        )
    ),
    Goal(
        "voxels: evidence before Grad-CAM",
        _lower(_VOXELS.format("evidence"), _VOXELS.format("Grad-CAM")),
    ),
    Goal(
        "voxels: evidence before integrated gradients",
        _lower(_VOXELS.format("evidence"), _VOXELS.format("integrated gradients")),
    ),
    *(
        Goal(
            f"voxels of the scans: the first heatmap before {title}",
            _lower(_IN_SCANS.format("first component's evidence"), _IN_SCANS.format(title)),
        )
        for title in ("Grad-CAM", "integrated gradients")
    ),
    Goal(
        f"place: best component's Dice {_DICE}, median case",
        _at_least("Dice with {region}, best component's evidence", _DICE),
        in_median=True,
    ),
    Goal(
        f"stability: correlation {_KEPT} after a shift, first component",
        _at_least(_SHIFTED.format("first component"), _KEPT),
    ),
    Goal(
        f"stability: correlation {_KEPT} after a shift, {_SEVERAL}",
        _at_least(_SHIFTED.format(_SEVERAL), _KEPT),
    ),
    Goal(
        f"learnt: other maps with random weights, first component (below {_LEARNT})",
        _changed(_SHUFFLED.format("first component")),
    ),
    Goal(
        f"learnt: other maps with random weights, {_SEVERAL} (below {_LEARNT})",
        _changed(_SHUFFLED.format(_SEVERAL)),
    ),
)
"""Those of docs/evidence/components.md."""

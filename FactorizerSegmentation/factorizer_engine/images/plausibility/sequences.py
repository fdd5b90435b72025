"""Which of the scans of a brain is which MR sequence, from their intensities.

Scans are compared in pairs, which tells more than each alone: a T1 with contrast agent is a T1 with
something added. Every ordered pair of sequences is a class of a linear discriminant analysis over
`traits.compared` (Fisher, Annals of Eugenics 7, 1936), whose few numbers are in `sequences.json`;
`Testing/benchmarks/input_checks.py` remakes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations, permutations
from pathlib import Path

import numpy as np

_FILE = Path(__file__).with_name("sequences.json")

NEGATIVE = "-"
"""In front of a sequence's name: with its contrast inverted."""

Pairs = Mapping[tuple[str, str], np.ndarray]
"""What two scans look like beside each other, by the names of their channels."""


@dataclass(frozen=True, eq=False)
class SequenceModel:
    """What pairs of sequences look like.

    Attributes:
        means: Mean of the traits, by pair of sequences, (F,); one of a pair may be the negative of
            a sequence, named with `NEGATIVE` in front.
        precision: Inverse of their common covariance, (F, F).
    """

    means: dict[tuple[str, str], np.ndarray]
    precision: np.ndarray

    @property
    def sequences(self) -> list[str]:
        """The sequences that are known."""
        names = {name for pair in self.means for name in pair}
        return sorted(name for name in names if not name.startswith(NEGATIVE))

    @classmethod
    def fit(
        cls, examples: list[tuple[tuple[str, str], np.ndarray]], shrinkage: float = 0.05
    ) -> SequenceModel:
        """Learn from pairs of known sequences; covariances are shrunk towards their diagonal.

        Of negatives only the means are learnt.
        """
        grouped: dict[tuple[str, str], list[np.ndarray]] = {}
        for pair, traits in examples:
            grouped.setdefault(pair, []).append(traits)
        means = {pair: np.mean(grouped[pair], axis=0) for pair in sorted(grouped)}
        plain = [(p, traits) for p, traits in examples if NEGATIVE not in "".join(p)]
        rest = np.array([traits - means[pair] for pair, traits in plain])
        covariance = rest.T @ rest / len(rest)
        diagonal = np.diag(np.diag(covariance))
        shrunk = (1 - shrinkage) * covariance + shrinkage * diagonal
        return cls(means, np.linalg.inv(shrunk))

    def strangeness(self, kinds: tuple[str, str], traits: np.ndarray) -> float:
        """Squared Mahalanobis distance of a pair from what such pairs look like."""
        away = traits - self.means[kinds]
        return float(away @ self.precision @ away)

    def likelier(self, given: Mapping[str, str], pairs: Pairs) -> tuple[float, dict[str, str]]:
        """The assignment of sequences that fits best, and how much better than the given one.

        Args:
            given: Sequence by channel.
            pairs: Traits of the pairs of these channels.

        Returns:
            The gain in log likelihood, 0 if the given assignment is the best, and the best one.
        """
        channels = list(given)
        scores = {
            order: self._score(dict(zip(channels, order, strict=True)), pairs)
            for order in permutations(given.values())
        }
        best = max(scores, key=lambda order: scores[order])
        gain = scores[best] - scores[tuple(given.values())]
        return gain, dict(zip(channels, best, strict=True))

    def likelier_negative(self, given: Mapping[str, str], pairs: Pairs) -> tuple[float, str]:
        """How much better it fits that one scan is a negative of its sequence, and which scan.

        Args:
            given: Sequence by channel.
            pairs: Traits of the pairs of these channels.

        Returns:
            The gain in log likelihood, below 0 if none is the better for it, and the channel.
        """
        before = self._score(given, pairs)
        gains = {
            name: self._score({**given, name: NEGATIVE + kind}, pairs) - before
            for name, kind in given.items()
        }
        name = max(gains, key=lambda channel: gains[channel])
        return gains[name], name

    def _score(self, kinds: Mapping[str, str], pairs: Pairs) -> float:
        """Log likelihood up to a constant; every scan counts once, in however many pairs it is."""
        total = sum(
            self.strangeness((kinds[a], kinds[b]), pairs[a, b]) for a, b in combinations(kinds, 2)
        )
        return -0.5 * total / max(1, len(kinds) - 1)

    def save(self, path: Path) -> None:
        """Write the numbers as JSON, to five digits."""
        content = {
            "means": {" ".join(pair): _short(mean) for pair, mean in self.means.items()},
            "precision": [_short(row) for row in self.precision],
        }
        lines = json.dumps(content).replace("], ", "],\n ")
        path.write_text(lines + "\n", encoding="utf-8")


@cache
def known_sequences() -> SequenceModel:
    """What was learnt."""
    content = json.loads(_FILE.read_text(encoding="utf-8"))
    means = {}
    for name, values in content["means"].items():
        first, second = name.split()
        means[first, second] = np.array(values)
    return SequenceModel(means, np.array(content["precision"]))


def _short(values: np.ndarray) -> list[float]:
    return [float(f"{value:.5g}") for value in values]

"""What the project wants to reach, and whether a run of the benchmark reached it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks import cases, engine, layers, training
from benchmarks.contestants import DYNUNET, OURS, STRAIGHTFORWARD, SWINUNETR
from benchmarks.measure import Row, ratio

NO_GPU = "not measured, no GPU"


@dataclass(frozen=True)
class Goal:
    """An upper limit and what was measured.

    Attributes:
        title: What is limited.
        limit: The most that it may be.
        measured: What it is; None where it was not measured.
    """

    title: str
    limit: float
    measured: float | None

    @property
    def verdict(self) -> str:
        """Whether the goal is met, and if not, by how much it is missed."""
        if self.measured is None:
            return NO_GPU
        if self.measured <= self.limit:
            return "met"
        return f"missed: {self.measured / self.limit:.2f} times the limit"


GPU_GOALS = (
    Goal(f"GPU, 128³ x 4 channels: time over {SWINUNETR}", 0.5, None),
    Goal(f"GPU, 128³ x 4 channels: time over {DYNUNET}", 0.8, None),
    Goal(f"GPU, {layers.MIXING}, {layers.FORWARD}: time over a copy", 1.5, None),
    Goal(f"GPU, {layers.MIXING}, {layers.BACKWARD}: time over a copy", 1.5, None),
)


def find_goals(rows: Sequence[Row], is_gpu: bool) -> list[Goal]:
    """The goals for the device, as far as this run tells; of several windows the last counts.

    On the CPU those for GPUs follow, as not measured.
    """
    goals = [*_window_goals(rows, is_gpu), *_layer_goals(rows, is_gpu), *_accuracy_goals(rows)]
    return goals if is_gpu else [*goals, *_case_goals(rows), *GPU_GOALS]


def _window_goals(rows: Sequence[Row], is_gpu: bool) -> Iterator[Goal]:
    sections = [row.section for row in rows if row.name == OURS]
    if not sections:
        return
    title = sections[-1]
    networks = {row.name: row for row in rows if row.section == title}
    ours, dynunet = networks[OURS], networks[DYNUNET]

    def time_over(name: str) -> float:
        return ratio(ours.seconds, networks[name].seconds)

    if is_gpu:
        yield Goal(f"{title}: time over {SWINUNETR}", 0.5, time_over(SWINUNETR))
    else:
        yield Goal(f"{title}: time over the straightforward form", 0.25, time_over(STRAIGHTFORWARD))
    yield Goal(f"{title}: time over {DYNUNET}", 0.8, time_over(DYNUNET))
    peers = networks.keys() - {OURS, STRAIGHTFORWARD}
    fastest = min(sorted(peers), key=lambda name: median(networks[name].seconds))
    yield Goal(f"{title}: time over the fastest other network, {fastest}", 1.0, time_over(fastest))
    if ours.memory and dynunet.memory:
        yield Goal(f"{title}: peak memory over {DYNUNET}", 1.0, ours.memory / dynunet.memory)
    if ours.difference is not None:
        yield Goal(f"{title}: difference from the straightforward form", 1e-4, ours.difference)


def _layer_goals(rows: Sequence[Row], is_gpu: bool) -> Iterator[Goal]:
    limit = 1.5 if is_gpu else 3.0
    for direction in (layers.FORWARD, layers.BACKWARD):
        layer = f"{layers.MIXING}, {direction}"
        over_copy = {
            row.name.removesuffix(f": {layer}"): row.ratios[layers.COPY]
            for row in rows
            if row.name.endswith(f": {layer}")
        }
        if over_copy:
            yield Goal(f"{layer}: time over a copy", limit, over_copy.pop(layers.ALL_LEVELS))
            worst = max(over_copy, key=over_copy.__getitem__)
            yield Goal(f"{layer}, worst level: time over a copy", limit, over_copy[worst])


def _accuracy_goals(rows: Sequence[Row]) -> Iterator[Goal]:
    for row in rows:
        if row.name == cases.DIFFERING:
            yield Goal(f"{row.section}: part of the {row.name}", 1e-4, row.difference)


def _case_goals(rows: Sequence[Row]) -> Iterator[Goal]:
    for row in rows:
        if row.name == training.STEP:
            over = row.ratios[training.TORCHS_STEP]
            yield Goal("Training step: time over torch's operations", 0.5, over)
        if row.name == cases.REST:
            yield Goal("Whole case: part outside the network", 0.15, row.ratios[cases.TOTAL])
        if row.name == engine.FULL_STUDY and row.memory:
            yield Goal("Whole study: host memory in GB", 3.0, row.memory / 1e9)

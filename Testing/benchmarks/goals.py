"""What the project wants to reach, and whether a run of the benchmark reached it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import cases, earlier, engine, interaction, layers, load, start, training
from benchmarks.contestants import DYNUNET, OURS, SWINUNETR, UNETR_BASE
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


LARGEST = "128³ x 4 channels"
CPU_LIMITS = {
    "64³ x 2 channels": {DYNUNET: 0.45},
    "96³ x 4 channels": {DYNUNET: 0.4, UNETR_BASE: 0.7},
    LARGEST: {DYNUNET: 0.3, UNETR_BASE: 0.65, SWINUNETR: 0.27},
}
GPU_LIMITS = {LARGEST: {DYNUNET: 0.8, SWINUNETR: 0.5}}
"""Time over other networks' by window."""

GPU_GOALS = (
    Goal(f"GPU, 128³ x 4 channels: time over {SWINUNETR}", 0.5, None),
    Goal(f"GPU, 128³ x 4 channels: time over {DYNUNET}", 0.8, None),
    Goal(f"GPU, {layers.MIXING}, {layers.FORWARD}: time over a copy", 1.5, None),
    Goal(f"GPU, {layers.MIXING}, {layers.BACKWARD}: time over a copy", 1.5, None),
)


def find_goals(rows: Sequence[Row], is_gpu: bool) -> list[Goal]:
    """The goals for the device, as far as this run tells.

    On the CPU those for GPUs follow, as not measured.
    """
    goals = [*_window_goals(rows, is_gpu), *_layer_goals(rows, is_gpu), *_accuracy_goals(rows)]
    goals += _waiting_goals(rows)
    return goals if is_gpu else [*goals, *_case_goals(rows), *GPU_GOALS]


def _window_goals(rows: Sequence[Row], is_gpu: bool) -> Iterator[Goal]:
    limits = GPU_LIMITS if is_gpu else CPU_LIMITS
    for title in [row.section for row in rows if row.name == OURS]:
        networks = {row.name: row for row in rows if row.section == title}
        ours = networks[OURS]
        for name, limit in limits.get(title, {}).items():
            over = ratio(ours.seconds, networks[name].seconds)
            yield Goal(f"{title}: time over {name}", limit, over)
        dynunet = networks[DYNUNET].memory
        if title == LARGEST and ours.memory and dynunet:
            yield Goal(f"{title}: peak memory over {DYNUNET}", 0.8, ours.memory / dynunet)
        if ours.difference is not None:
            difference = f"{title}: difference from the straightforward form"
            yield Goal(difference, 1e-5, ours.difference)


def _waiting_goals(rows: Sequence[Row]) -> Iterator[Goal]:
    for row in rows:
        if row.name in (interaction.PAUSE, interaction.PAUSE_EXPLAINING):
            yield Goal(f"{row.name} [s]", interaction.PAUSE_LIMIT, max(row.seconds))
        if row.name == interaction.CHECKING:
            yield Goal(f"{row.name} [s]", interaction.CHECK_LIMIT, max(row.seconds))


def _layer_goals(rows: Sequence[Row], is_gpu: bool) -> Iterator[Goal]:
    layer_limits = {
        f"{layers.MIXING}, {layers.FORWARD}": 1.5,
        f"{layers.MIXING}, {layers.BACKWARD}": 1.5,
    }
    if not is_gpu:
        layer_limits = {
            f"{layers.FACTORS}, {layers.FORWARD}": 6.0,
            f"{layers.MIXING}, {layers.BACKWARD}": 3.0,
        }
    for layer, limit in layer_limits.items():
        over_copy = {
            row.name.removesuffix(f": {layer}"): row.ratios[layers.COPY]
            for row in rows
            if row.name.endswith(f": {layer}")
        }
        if over_copy:
            if layers.ALL_LEVELS in over_copy:
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
        if row.section == earlier.SECTION and row.name == interaction.AGAIN:
            title = "Sample case, from click to drawn segment: time over an earlier commit's"
            yield Goal(title, 0.6, row.ratios[earlier.EARLIER])
        if row.name == start.COMPILING:
            yield Goal("First start: seconds for the kernels", 15.0, row.median)
        if row.section == load.SECTION and row.ratios:
            yield Goal("Overloaded machine: time over that on its own", 2.0, row.ratios[load.QUIET])
        if row.name == cases.REST:
            yield Goal("Whole case: part outside the network", 0.15, row.ratios[cases.TOTAL])
        if row.name == engine.FULL_STUDY and row.memory:
            yield Goal("Whole study: host memory in GB", 3.0, row.memory / 1e9)

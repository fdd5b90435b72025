"""The tables of a model card, in Markdown, from what evaluations wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import mean
from typing import Any

from factorizer_engine.training.evaluation.metrics import METRICS
from factorizer_engine.training.evaluation.robustness import LOSSLESS_DICE, mean_of_label
from factorizer_engine.training.evaluation.scoring import as_text
from factorizer_engine.training.evaluation.subsets import told_by

_FORMS = {"hd95_mm": "{:.1f}", "volume_error_ml": "{:+.1f}"}

_LIKELY = (0.0, 0.6, 0.7, 0.8, 0.9, 1.01)
"""Where the steps of the lesion list's probabilities end."""


def summary_table(evaluation: dict[str, Any]) -> str:
    """Mean and standard deviation of every metric per region, as a Markdown table."""
    rows = []
    for region, metrics in evaluation["summary"].items():
        row = [region]
        for name in METRICS:
            value, form = metrics[name], _FORMS.get(name, "{:.3f}")
            row.append("-" if value["mean"] is None else as_text(value["mean"], value["sd"], form))
        rows.append(row)
    return _table(["", *METRICS.values()], rows)


def case_table(evaluation: dict[str, Any]) -> str:
    """Dice of every case and region, as a Markdown table."""
    regions = list(evaluation["summary"])
    rows = [
        [case, *(f"{values[region]['dice']:.3f}" for region in regions)]
        for case, values in evaluation["cases"].items()
    ]
    return _table(["case", *(f"Dice {r}" for r in regions)], rows)


def robustness_table(robustness: dict[str, Any]) -> str:
    """Dice under every perturbation, as a Markdown table; also of the label where it loses."""
    regions, rows = robustness["regions"], []
    for entry in robustness["perturbations"].values():
        row = [entry["title"]]
        for region in regions:
            of_label = mean_of_label(entry, region)
            limit = f" (label itself {of_label:.3f})" if of_label < LOSSLESS_DICE else ""
            row.append(f"{as_text(entry['mean'][region], entry['sd'][region])}{limit}")
        rows.append(row)
    return _table(["scans", *(f"Dice {r}" for r in regions)], rows)


def subsets_table(subsets: dict[str, Any], seen_from: float) -> str:
    """Dice with every part of the channels, as a Markdown table."""
    told = told_by(subsets, seen_from)
    rows = []
    for entry, subset in zip(subsets["subsets"], told, strict=True):
        row = [" + ".join(entry["channels"])]
        for region in subsets["regions"]:
            if region not in entry["mean"]:
                row.append("cannot be seen")
                continue
            text = f"{entry['mean'][region]:.3f}"
            change = entry["difference"][region]
            if len(entry["channels"]) < len(subsets["channels"]):
                text += f" ({change['mean']:+.3f}, {change['low']:+.3f} to {change['high']:+.3f})"
            row.append(text if region in subset.regions else f"{text}, not enough")
        rows.append(row)
    return _table(["sequences", *(f"Dice {r}" for r in subsets["regions"])], rows)


def calibration_table(calibration: dict[str, Any]) -> str:
    """The share of voxels that belong, by their probability, as a Markdown table."""
    regions, rows = calibration["regions"], []
    for entries in zip(*(summary["bins"] for summary in regions.values()), strict=True):
        low = max(entries[0]["from"], calibration["doubted_from"])
        shares = ("" if e["belonging"] is None else f"{e['belonging']:.2f}" for e in entries)
        rows.append([f"{low:g} to {entries[0]['to']:g}", *shares])
    errors = (f"{summary['error']:.3f}" for summary in regions.values())
    return _table(["probability", *regions], [*rows, ["calibration error", *errors]])


def lesion_rows_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """How much of what the lesion list says is right, by how likely it says that it is; or ""."""
    lines = []
    for low, high in pairwise(_LIKELY):
        found = [row for row in rows if low <= row["probability"] < high]
        if found:
            right = mean(row["belonging"] for row in found)
            volume = sum(row["volume_ml"] for row in found)
            by_volume = sum(row["belonging"] * row["volume_ml"] for row in found) / volume
            name = f"{low:g} to {min(high, 1):g}"
            lines.append([name, str(len(found)), f"{right:.2f}", f"{by_volume:.2f}"])
    titles = ["probability", "rows", "right, mean of rows", "right, of all voxels"]
    return _table(titles, lines) if lines else ""


def clicks_table(clicks: dict[str, Any]) -> str:
    """Mean Dice of every region after so many clicks, by what answers them, as a Markdown table."""
    rows = [
        [region, name, *(f"{value:.3f}" for value in method["mean"][region])]
        for region in clicks["regions"]
        for name, method in clicks["methods"].items()
    ]
    return _table(["", "answered by", *map(str, clicks["counts"])], rows)


def clicked_cases_table(clicks: dict[str, Any], count: int = 5) -> str:
    """Dice of every case after so many clicks, by what answers them, as a Markdown table."""
    methods = clicks["methods"]
    rows = [
        [case, region, *(f"{m['dice'][case][region][count]:.3f}" for m in methods.values())]
        for case in clicks["cases"]
        for region in clicks["regions"]
    ]
    return _table(["case", "region", *methods], rows)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["".join(f"| {cell} " if cell else "| " for cell in r) + "|" for r in (titles, *rows)]
    lines.insert(1, "|---" * len(titles) + "|")
    return "\n".join(lines)

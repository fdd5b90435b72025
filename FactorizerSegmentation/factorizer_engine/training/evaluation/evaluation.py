"""`factorizer evaluate`: which cases, which model, and what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from factorizer_engine.bundles.reading.checksums import fingerprint
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.training.config import DataSection, load_config
from factorizer_engine.training.data.dataset import Dataset, open_dataset
from factorizer_engine.training.data.splits import Split, read_split
from factorizer_engine.training.evaluation.comparison import Difference, compare
from factorizer_engine.training.evaluation.robustness import mean_of_label, measure_robustness
from factorizer_engine.training.evaluation.scoring import (
    evaluate,
    folder_predictor,
    model_predictor,
    read_results,
)
from factorizer_engine.training.records.records import open_run

Use = Literal["held_out", "validation", "train", "all"]

_TITLES = {
    "dice": "Dice",
    "hd95_mm": "HD95 mm",
    "surface_dice": "Surface Dice",
    "lesion_f1": "Lesion F1",
    "volume_error_ml": "Volume error mL",
}


def evaluate_command(
    data: str | Path,
    output: str | Path = "evaluation",
    model: str | None = None,
    predictions: str | Path | None = None,
    cases: Sequence[str] = (),
    use: Use = "held_out",
    device: str = "auto",
    precision: str = "float32",
    tta: bool | None = None,
    keep: bool = False,
    robustness: bool = False,
    monitor: Monitor | None = None,
) -> dict[str, Any]:
    """`factorizer evaluate DATA (--model M | --predictions FOLDER) [--case C ...] [--use USE]`.

    Args:
        data: A training configuration, a run's folder (its data and split) or a dataset's folder.
        output: Folder for `metrics.json`, `metrics.csv` and, on request, the label maps.
        model: Name, family or path of a model to run on the cases.
        predictions: Folder of label maps `<case>.nii.gz` to score instead.
        cases: Names of cases; without any, all that the split puts to `use`.
        keep: Whether label maps are written.
        robustness: Measure Dice on changed scans instead (see `robustness.measure_robustness`).

    Raises:
        BadInputError: If the request is contradictory or there is nothing to evaluate.
    """
    if (model is None) == (predictions is None):
        raise BadInputError("Give either a model or a folder of predictions to evaluate.")
    if robustness and model is None:
        raise BadInputError("Robustness can only be measured of a model, not of label maps.")
    dataset, split = open_cases(data)
    names = list(cases) or _names(dataset, split, use)
    if predictions is not None:
        note = f"label maps in {Path(predictions).name}"
        return evaluate(
            folder_predictor(predictions), dataset, names, output, note, monitor=monitor
        )
    from factorizer_engine.bundles.registry import resolve_model
    from factorizer_engine.inference.segmenter import Segmenter

    segmenter = Segmenter(resolve_model(model, device), device=device, precision=precision)
    note = (
        f"{segmenter.bundle.description.name} {segmenter.bundle.description.version}, {precision}"
    )
    note += {None: "", True: ", mirrored", False: ", not mirrored"}[tta]
    identity = fingerprint(segmenter.bundle)
    if robustness:
        return measure_robustness(
            segmenter, dataset, names, output, note, tta, model=identity, monitor=monitor
        )
    folder = Path(output) / "segmentations" if keep else None
    predictor = model_predictor(segmenter, tta, keep=folder)
    return evaluate(
        predictor,
        dataset,
        names,
        output,
        note,
        device=segmenter.device,
        model=identity,
        monitor=monitor,
    )


def compare_command(first: str | Path, second: str | Path) -> list[Difference]:
    """`factorizer evaluate --compare A B`: folders of two evaluations."""
    return compare(read_results(first), read_results(second))


def open_cases(data: str | Path) -> tuple[Dataset, Split | None]:
    """All cases of a configuration, run or dataset's folder, excluded ones too, and the split."""
    path = Path(data)
    if (path / "config.json").is_file():
        run = open_run(path)
        return _with_all_cases(run.config.data), run.split
    if path.is_dir():
        return open_dataset(DataSection(root=str(path))), None
    config = load_config(path)
    split = read_split(config.split) if Path(config.split.file).is_file() else None
    return _with_all_cases(config.data), split


def _with_all_cases(section: DataSection) -> Dataset:
    return open_dataset(section.model_copy(update={"exclude": ()}))


def _names(dataset: Dataset, split: Split | None, use: Use) -> list[str]:
    if use == "all" or split is None:
        return [case.name for case in dataset.cases]
    names = list(getattr(split, use))
    if not names:
        raise BadInputError(f"The split has no cases for '{use}'; name cases or use all.")
    return names


def results_table(result: dict[str, Any]) -> Table:
    """Every case and the means, for the terminal."""
    table = Table(title=result["note"] or None)
    table.add_column("case")
    table.add_column("region")
    for title in _TITLES.values():
        table.add_column(title, justify="right")
    for case, regions in result["cases"].items():
        for region, scores in regions.items():
            table.add_row(case, region, *(f"{scores[m]:.3f}" for m in _TITLES))
    table.add_section()
    for region, metrics in result["summary"].items():
        cells = (f"{metrics[m]['mean']:.3f} ± {metrics[m]['sd']:.3f}" for m in _TITLES)
        table.add_row("mean", region, *cells)
    return table


def robustness_table(result: dict[str, Any]) -> Table:
    """Mean Dice under every perturbation, for the terminal; also of labels that lose."""
    table = Table(title=f"Dice over {len(result['cases'])} cases ({result['note']})")
    table.add_column("scans")
    for region in result["regions"]:
        table.add_column(region, justify="right")
    table.add_column("label itself", justify="right")
    for entry in result["perturbations"].values():
        cells = (f"{entry['mean'][r]:.3f} ± {entry['sd'][r]:.3f}" for r in result["regions"])
        of_labels = [mean_of_label(entry, region) for region in result["regions"]]
        limit = " ".join(f"{value:.2f}" for value in of_labels) if min(of_labels) < 0.999 else ""
        table.add_row(entry["title"], *cells, limit)
    return table


def differences_table(differences: Sequence[Difference]) -> Table:
    """Means of both models and the interval of their difference; clear differences are starred."""
    count = differences[0].cases if differences else 0
    table = Table(title=f"B minus A over {count} cases, 95 % bootstrap interval")
    for title in ("region", "metric", "A", "B", "B - A", "interval", ""):
        table.add_column(title)
    for d in differences:
        table.add_row(
            d.region,
            _TITLES[d.metric],
            f"{d.first:.3f}",
            f"{d.second:.3f}",
            f"{d.mean:+.3f}",
            f"{d.low:+.3f} to {d.high:+.3f}",
            "*" if d.is_clear else "",
        )
    return table

"""Evaluation as it is asked for: which cases, of a run or a dataset, and what to score."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.subsets import needs_clicks, subset_of
from factorizer_engine.protocol.wording import enumerated
from factorizer_engine.training.config import DataSection, load_config
from factorizer_engine.training.data.checks import check_values
from factorizer_engine.training.data.dataset import Dataset, open_dataset
from factorizer_engine.training.data.splits import Split, read_split
from factorizer_engine.training.evaluation.calibration import measure_calibration
from factorizer_engine.training.evaluation.clicks import measure_clicks
from factorizer_engine.training.evaluation.predictors import (
    FolderPredictor,
    ModelPredictor,
    open_model,
)
from factorizer_engine.training.evaluation.robustness import measure_robustness
from factorizer_engine.training.evaluation.scoring import score_cases
from factorizer_engine.training.evaluation.subsets import measure_subsets
from factorizer_engine.training.records.records import open_run

Use = Literal["held_out", "validation", "train", "all"]


def evaluate(
    data: str | Path,
    output: str | Path = "evaluation",
    model: str | None = None,
    predictions: str | Path | None = None,
    cases: Sequence[str] = (),
    use: Use = "held_out",
    device: str = "auto",
    precision: str = "float32",
    mirroring: bool | None = None,
    keep: bool = False,
    robustness: bool = False,
    subsets: bool = False,
    calibration: bool = False,
    interactive: bool = False,
    from_nothing: bool = False,
    channels: Sequence[str] = (),
    monitor: Monitor | None = None,
    root: str | Path | None = None,
) -> dict[str, Any]:
    """Score a model, or label maps made elsewhere, on labelled cases.

    Args:
        data: A training configuration, a run's folder (its data and split) or a dataset's folder.
        output: Folder for `metrics.json`, `metrics.csv` and, on request, the label maps.
        model: Name, family or path of a model to run on the cases.
        predictions: Folder of label maps `<case>.nii.gz` to score instead.
        cases: Names of cases; without any, all that the split puts to `use`.
        use: Part of the split.
        device: Where the model computes.
        precision: In which type it computes.
        mirroring: Mirror at test time; None as the model says.
        keep: Whether label maps are written.
        robustness: Measure Dice on changed scans instead (see `robustness.measure_robustness`).
        subsets: Measure Dice with every part of the channels instead (see
            `subsets.measure_subsets`).
        calibration: Measure whether probabilities are what they say instead (see
            `calibration.measure_calibration`).
        interactive: Measure Dice after clicks of a simulated user instead (see
            `clicks.measure_clicks`).
        from_nothing: With `interactive`, begin with nothing in place of what the model finds.
        channels: Give the model only these, as in studies without the others; what cannot be seen
            with them is not scored. All without any.
        monitor: Told about every case.
        root: Where the data of a configuration or a run are, if no longer where it says.

    Returns:
        See `score_cases`, `measure_robustness`, `measure_subsets`, `measure_calibration` or
        `measure_clicks`.

    Raises:
        BadInputError: If the request is contradictory or there is nothing to evaluate.
    """
    if (model is None) == (predictions is None):
        raise BadInputError("Give either a model or a folder of predictions to evaluate.")
    if model is None and (robustness or subsets or calibration or interactive or channels):
        raise BadInputError(
            "Robustness, missing channels, calibration and clicks can only be measured of a model, "
            "not of label maps."
        )
    if robustness + subsets + calibration + interactive > 1:
        raise BadInputError(
            "Give one of --robustness, --subsets, --calibration and --interactive at a time."
        )
    if from_nothing and not interactive:
        raise BadInputError("Give --from-nothing with --interactive; it is of clicks.")
    if subsets and channels:
        raise BadInputError("Give --subsets without --channel; it tries every part of them.")
    dataset = select_cases(data, cases, use, root)
    if predictions is not None:
        folder_of_maps = FolderPredictor(Path(predictions))
        for case in dataset.cases:
            check_values(folder_of_maps.file(case), dataset)
        return score_cases(folder_of_maps, dataset, output, monitor=monitor)
    assert model is not None  # as seen above
    needs = dataset.needs if subsets else None
    predictor = open_model(model, device, precision, mirroring, channels, needs)
    refusal = needs_clicks(predictor.segmenter.bundle.description)
    if refusal and not interactive:
        raise BadInputError(f"{refusal} Measure it with --interactive.")
    dataset = _only_seen(dataset, predictor)
    if subsets or interactive or calibration:
        _check_regions(dataset, predictor)
    if subsets:
        return measure_subsets(predictor, dataset, output, monitor=monitor)
    if robustness:
        return measure_robustness(predictor, dataset, output, monitor=monitor)
    if calibration:
        return measure_calibration(predictor, dataset, output, monitor=monitor)
    if interactive:
        return measure_clicks(predictor, dataset, output, monitor, from_nothing)
    folder = Path(output) / "segmentations" if keep else None
    return score_cases(replace(predictor, keep=folder), dataset, output, monitor=monitor)


def select_cases(
    data: str | Path,
    cases: Sequence[str] = (),
    use: Use = "held_out",
    root: str | Path | None = None,
) -> Dataset:
    """The cases of those names, or without any all that the split puts to `use`.

    Regions of which one of them knows nothing are left out.

    Args:
        data: A training configuration, a run's folder (its data and split) or a dataset's folder.
        cases: Names of cases.
        use: Part of the split; all cases where there is no split.
        root: See `evaluate`.

    Raises:
        BadInputError: If there are none, or a label holds what the data do not know.
    """
    dataset, split = open_cases(data, root)
    chosen = dataset.only(list(dict.fromkeys(cases)) or _names(dataset, split, use))
    for case in chosen.cases:
        check_values(case.label, chosen)
    return _only_known(chosen)


def _only_seen(dataset: Dataset, predictor: ModelPredictor) -> Dataset:
    """The dataset without the regions that the model cannot see with the channels it is given."""
    model = predictor.segmenter.bundle.description
    if not predictor.channels:
        return dataset
    seen = subset_of(model, predictor.channels).regions
    return _without(dataset, {region.name for region in model.regions} - {*seen})


def _check_regions(dataset: Dataset, predictor: ModelPredictor) -> None:
    """Refuse regions that the model does not give, and of which it can tell nothing by name."""
    model = predictor.segmenter.bundle.description
    known = [region.name for region in model.regions]
    for region in dataset.regions:
        if region not in known:
            raise BadInputError(
                f"The model {model.name} has no region {region}; name the regions of the data "
                f"(data.regions) as it does, {enumerated(known)}, or leave others out."
            )


def _only_known(dataset: Dataset) -> Dataset:
    """The dataset without the regions of which any of its cases knows nothing.

    Raises:
        BadInputError: If there are no others.
    """
    names = list(dataset.regions)
    known = _without(dataset, {names[n] for case in dataset.cases for n in dataset.unknown(case)})
    if not known.regions:
        raise BadInputError("There is no region of which all cases know; evaluate fewer of them.")
    return known


def _without(dataset: Dataset, unknown: AbstractSet[str]) -> Dataset:
    regions = {name: values for name, values in dataset.regions.items() if name not in unknown}
    return replace(dataset, regions=regions)


def open_cases(data: str | Path, root: str | Path | None = None) -> tuple[Dataset, Split | None]:
    """All cases of a configuration, run or dataset's folder, excluded ones too, and the split.

    Args:
        data: The configuration or folder.
        root: See `evaluate`.

    Raises:
        BadInputError: If the data are not there.
    """
    path = Path(data)
    if (path / "config.json").is_file():
        run = open_run(path)
        section = run.config.data
        if root is None and not Path(section.root).is_dir():
            raise BadInputError(
                f"The data of the run {path} are no longer in {section.root}; say where they are "
                "(--data)."
            )
        moved = section if root is None else section.model_copy(update={"root": str(root)})
        return _with_all_cases(moved), run.split
    if path.is_dir():
        if root is not None:
            raise BadInputError(
                f"Give --data with a run or a configuration; {path} is a folder of data itself."
            )
        return open_dataset(DataSection(root=str(path))), None
    config = load_config(path, root, trains=False)
    split = read_split(config.split) if Path(config.split.file).is_file() else None
    return _with_all_cases(config.data), split


def _with_all_cases(section: DataSection) -> Dataset:
    return open_dataset(section.model_copy(update={"exclude": ()}))


def _names(dataset: Dataset, split: Split | None, use: Use) -> list[str]:
    if use == "all" or split is None:
        return [case.name for case in dataset.cases]
    names = list(getattr(split, use))
    if not names:
        others = [part for part in ("held_out", "validation", "train") if getattr(split, part)]
        raise BadInputError(
            f"The split has no cases for '{use}'; choose another part "
            f"(--use {' or '.join(others)}), all cases (--use all), or name some (--case)."
        )
    return names

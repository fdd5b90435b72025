"""From a run to a model bundle with a card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.profiles import Kept, keep_profiles, kept_profiles
from factorizer_engine.bundles.reading.checksums import fingerprint
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.bundles.registry import resolve_model
from factorizer_engine.bundles.saving import check_target, save_bundle
from factorizer_engine.bundles.settings import CascadeSettings
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.files import temporary_folder
from factorizer_engine.protocol.models import Subset
from factorizer_engine.training.config import load_config
from factorizer_engine.training.evaluation.subsets import told_by
from factorizer_engine.training.export.card import write_card
from factorizer_engine.training.export.knowledge import Knowledge, knowledge_of
from factorizer_engine.training.records.records import Run, open_run
from factorizer_engine.training.run.model import model_of
from factorizer_engine.training.run.state import load_checkpoint


def export(
    run: str | Path | Sequence[str | Path],
    output: str | Path,
    weights: Literal["best", "final"] = "best",
    overwrite: bool = False,
    dtype: Literal["float16", "float32"] = "float16",
    config: str | Path | None = None,
    coarse: str | Path | None = None,
    fewer: Sequence[str | Path] = (),
) -> Bundle:
    """Write the model of a run (or of the folds of a cross-validation) as a bundle.

    Its card tells what `factorizer evaluate` has measured of this very model, if the results lie in
    the folder of one of the runs; those of other weights or settings are left out. What was said of
    its components stays if a bundle is replaced by the same model, as with a new card.

    Args:
        run: The run's folder, or several whose networks become an ensemble.
        output: The bundle's folder; its name is the model's name.
        weights: Averaged weights that were best on validation, or those of the last step.
        overwrite: Whether a bundle there may be replaced.
        dtype: Type of the stored weights.
        config: A YAML whose `bundle` section (texts, licence, inference) replaces the run's own.
        coarse: Name or path of the model whose findings this one refines; a copy of it becomes the
            first stage of a cascade.
        fewer: Folders of runs whose networks learned from studies that lack scans, and answer where
            some are missing.

    Raises:
        BadInputError: If there is no such run, the runs differ, which weights are best is unknown,
            or nothing can be written.
        BadModelError: If there is no model `coarse`, or it takes or gives something else.
    """
    name = Path(output).name
    check_target(Path(output), name, overwrite)
    first_stage = resolve_model(coarse) if coarse is not None else None
    folders = [run] if isinstance(run, str | Path) else list(run)
    for group in (folders, fewer):
        _check_distinct([Path(folder) for folder in group])
    runs = [open_run(folder) for folder in folders]
    if config is not None:
        section = load_config(config, data=".", trains=False).bundle  # the data need not be here
        runs = [replace(r, config=r.config.model_copy(update={"bundle": section})) for r in runs]
    fewer_runs = [open_run(folder) for folder in fewer]
    _check_alike([*runs, *fewer_runs])
    for one in runs:
        _check_weights(one, weights)
    members, fewer_members = (
        [load_checkpoint(r.weights(weights))["network"] for r in some]
        for some in (runs, fewer_runs)
    )
    with temporary_folder() as folder:
        unmeasured = runs[0].measured_of("")  # results may be of a model of another kind
        draft = _bundle(unmeasured, name, first_stage, bool(fewer))
        draft = save_bundle(draft, members, folder / name, dtype=dtype, fewer=fewer_members)
        model = fingerprint(draft)
    measured = _measured(runs, model)
    first_description = first_stage.description if first_stage else None
    knowledge = knowledge_of([*runs, *fewer_runs], first_stage)
    card = write_card(runs, weights, measured, knowledge, first_description, fewer_runs)
    kept = _kept_there(Path(output), model) if overwrite else None
    bundle = save_bundle(
        _bundle(measured, name, first_stage, bool(fewer), card, knowledge),
        members,
        output,
        dtype=dtype,
        metadata=_metadata(measured, knowledge),
        overwrite=overwrite,
        fewer=fewer_members,
    )
    if kept is None:
        return bundle
    keep_profiles(bundle, kept.profiles, kept.section, kept.fewer, kept.atlas)
    return load_bundle(output)


def _kept_there(path: Path, model: str) -> Kept | None:
    """What is said of the components of a model at `path`, if it has this fingerprint."""
    try:
        earlier = load_bundle(path)
    except BadModelError:  # nothing is there, or it is damaged and better replaced
        return None
    return kept_profiles(earlier) if fingerprint(earlier) == model else None


def results_of_others(runs: Sequence[str | Path], bundle: Bundle) -> list[Path]:
    """Folders of evaluations, in those of the runs, that hold something not of this model."""
    model = fingerprint(bundle)
    opened = [open_run(folder) for folder in runs]
    return [run.folder / "evaluation" for run in opened if run.measured_of(model) != run]


def _bundle(
    run: Run,
    name: str,
    coarse: Bundle | None,
    fewer: bool,
    card: str = "",
    knowledge: Knowledge | None = None,
) -> Bundle:
    """The bundle of a run, without weights; `knowledge` tells which cases training has used."""
    record = run.record
    bundle = model_of(run.config, name, record["channels"], run.regions, record["labels"])
    seconds = {**run.config.bundle.expected_seconds, **run.measured_seconds}
    subsets = _subsets(run, knowledge)
    description = replace(bundle.description, subsets=subsets, expected_seconds=seconds, card=card)
    if fewer:
        bundle = replace(bundle, fewer=run.config.bundle.fewer)
    if coarse is None:
        return replace(bundle, description=description)
    description = replace(description, expects=coarse.description.expects)  # the same scans
    cascade = CascadeSettings(**run.config.bundle.cascade.model_dump())
    return replace(bundle, description=description, cascade=cascade, coarse=coarse)


def _measured(runs: Sequence[Run], model: str) -> Run:
    """The first run, with what was measured of the model in the folder of any of the runs."""
    found = [run.measured_of(model) for run in runs]
    return replace(
        runs[0],
        evaluation=next((r.evaluation for r in found if r.evaluation), None),
        robustness=next((r.robustness for r in found if r.robustness), None),
        subsets=next((r.subsets for r in found if r.subsets), None),
        calibration=next((r.calibration for r in found if r.calibration), None),
        clicks=next((r.clicks for r in found if r.clicks), None),
    )


def _subsets(run: Run, knowledge: Knowledge | None) -> tuple[Subset, ...]:
    """What it does with fewer channels, on unseen cases only if all tell what was seen."""
    if not run.subsets:
        return ()
    known = knowledge.cases if knowledge else frozenset()
    told = told_by(run.subsets, run.config.bundle.seen_from, known)
    untold = bool(knowledge and knowledge.untold)
    return tuple(replace(subset, unseen=subset.unseen and not untold) for subset in told)


def _metadata(run: Run, knowledge: Knowledge) -> dict[str, Any]:
    extra = run.config.bundle
    content: dict[str, Any] = {"data_type": "nibabel", "references": list(extra.citations)}
    content |= knowledge.told().entry()
    if extra.licence:
        content["copyright"] = extra.licence
    if extra.changelog:
        content["changelog"] = extra.changelog
    if run.evaluation:
        content["eval_metrics"] = {
            f"{region}_{metric}": value["mean"]
            for region, metrics in run.evaluation["summary"].items()
            for metric, value in metrics.items()
            if value["mean"] is not None
        }
    return content


def _check_distinct(folders: Sequence[Path]) -> None:
    """Refuse a run that is named twice, whose network would count twice in the average."""
    for number, folder in enumerate(folders):
        if any(folder.resolve() == other.resolve() for other in folders[:number]):
            raise BadInputError(f"The run {folder} is named twice; name every run once.")


def _check_weights(run: Run, weights: str) -> None:
    """Refuse the best weights of a network that finds nothing before the first click."""
    if weights == "best" and run.config.by_clicks:
        raise BadInputError(
            f"The run {run.folder} works by clicks alone, and validation makes none, so nobody "
            "knows which of its weights are best; take the last ones (--weights final)."
        )


def _check_alike(runs: Sequence[Run]) -> None:
    for other in runs[1:]:
        if _shape(other) != _shape(runs[0]):
            raise BadInputError(
                f"The runs {runs[0].folder} and {other.folder} have other networks or data; "
                "they cannot form one model."
            )


def _shape(run: Run) -> tuple:
    """Equal for runs whose networks can be averaged: the same inputs and outputs, in one order."""
    config = run.config
    return (
        config.window,
        config.preprocessing,
        # Where a network began does not matter.
        config.network.model_copy(update={"pretrained": None, "model": None}),
        run.record["channels"],
        list(run.regions.items()),
    )

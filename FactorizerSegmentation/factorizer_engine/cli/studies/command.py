"""`factorizer segment --studies`: what is to be done, doing it, and the account of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from factorizer_engine.cli.early_checks import Caution
from factorizer_engine.cli.session import load_model
from factorizer_engine.cli.studies.listing import (
    SUMMARY,
    StudyFiles,
    check_columns,
    list_studies,
    shared_scans,
)
from factorizer_engine.cli.studies.outcomes import Outcome, lacking, read_outcome, write_summary
from factorizer_engine.cli.studies.work import Batch
from factorizer_engine.cli.terminal import TERMINAL, format_seconds, make_table
from factorizer_engine.protocol.errors import BadInputError, EngineError
from factorizer_engine.protocol.failures import as_engine_error
from factorizer_engine.protocol.files import prepare_output_folder
from factorizer_engine.protocol.machines import Machine
from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.runs import ModelChoice, RunOptions
from factorizer_engine.protocol.wording import counted
from factorizer_engine.service.client import EngineClient

SHOWN_FAILURES = 12


def segment_studies(
    source: Path,
    choice: ModelChoice,
    options: RunOptions,
    reference: str | None,
    probabilities: bool,
    caution: Caution,
    output: Path,
    workers: int | None,
    scheduler: str | None,
    machine: Machine | None = None,
) -> None:
    """Segment every study that has no result yet, and write a table of all.

    Args:
        source: A folder with one subfolder a study, or a table with one row a study.
        choice: The model and where it runs.
        options: How it is applied.
        reference: Channel on whose grid the results are given; None takes the first of
            the model's channels that a study has.
        probabilities: Whether to write probability maps, too.
        caution: Whether studies whose scans look doubtful fail.
        output: Folder for the results; each study gets a subfolder, when it is done.
        workers: How many studies at once on this computer; None as many as fit.
        scheduler: Address of a Dask scheduler that spreads the work; None works here.
        machine: Where the engines run, without a scheduler; None means here.

    Raises:
        EngineError: If nothing can be begun, or, after the work, if a study has failed.
    """
    studies = list_studies(source, output)
    for sentence in shared_scans(studies):
        TERMINAL.warn(sentence)
    folder = prepare_output_folder(output)
    with EngineClient(on_log=TERMINAL.log, machine=machine) as engine:
        choice, model = load_model(engine, choice)
    check_columns(source, model.channels)
    if reference is not None:
        from factorizer_engine.images.checks import channel_named

        reference = channel_named(reference, model.channels)
    batch = Batch(
        choice,
        model,
        options,
        reference,
        probabilities,
        caution,
        folder,
        machine,
        _fingerprint(choice.model),
    )
    remaining, outcomes = _plan(batch, studies)
    done = sum(outcome.is_done for outcome in outcomes.values())
    if done:
        TERMINAL.print(f"{done} of {len(studies)} studies have their result already.")

    def summarise() -> None:
        known = [outcomes[study.name] for study in studies if study.name in outcomes]
        write_summary(known, model.labels, folder / SUMMARY)

    if outcomes:
        summarise()
    for outcome in _shown(_outcomes(batch, remaining, workers, scheduler), len(remaining)):
        outcomes[outcome.study] = outcome
        summarise()
    _conclude([outcomes[study.name] for study in studies], folder)


@contextmanager
def unpacked(choice: ModelChoice) -> Iterator[ModelChoice]:
    """The choice as it is; of a .zip file with the folder in which it is unpacked meanwhile.

    An engine unpacks it, too, but takes the folder along when it ends.
    """
    from factorizer_engine.bundles.reading.loading import load_bundle

    if not (choice.model.lower().endswith(".zip") and Path(choice.model).expanduser().is_file()):
        yield choice
        return
    bundle = load_bundle(choice.model)
    assert bundle.storage is not None  # of a .zip file
    with bundle.storage:
        yield replace(choice, model=str(bundle.description.path))


def _fingerprint(model: str) -> str:
    """That of the model in a folder; "" if it is on another machine only."""
    from factorizer_engine.bundles.reading.checksums import fingerprint
    from factorizer_engine.bundles.reading.loading import load_bundle

    return fingerprint(load_bundle(model, verify=False)) if Path(model).is_dir() else ""


def _plan(
    batch: Batch, studies: Sequence[StudyFiles]
) -> tuple[list[StudyFiles], dict[str, Outcome]]:
    """The studies that are to be done, and the outcomes of those that need not or cannot be.

    Raises:
        BadInputError: If the output folder holds results of something else.
    """
    remaining, outcomes, foreign = [], {}, []
    for study in studies:
        results = batch.output / study.name
        try:
            request = batch.request(study)
        except (EngineError, OSError) as error:
            outcomes[study.name] = Outcome(study.name, reason=str(as_engine_error(error)))
            continue
        earlier = read_outcome(results)
        if earlier is not None and earlier.request == request:
            lost = lacking(results)
            reason = f"Its results lack {lost}; remove {results} to have it done again."
            outcomes[study.name] = Outcome(study.name, reason=reason) if lost else earlier
        elif results.exists():
            foreign.append(study.name)
        else:
            remaining.append(study)
    if foreign:
        raise BadInputError(
            f"'{batch.output}' has results of other scans, another model or other options for "
            f"{len(foreign)} of the studies, such as {foreign[0]}; choose another output folder."
        )
    return remaining, outcomes


def _outcomes(
    batch: Batch, studies: Sequence[StudyFiles], workers: int | None, scheduler: str | None
) -> Iterator[Outcome]:
    if not studies:
        return iter(())
    if scheduler is None:
        from factorizer_engine.cli.studies.local import segment_here

        return segment_here(batch, studies, workers)
    from factorizer_engine.cli.studies.cluster import segment_on_cluster

    return segment_on_cluster(batch, studies, scheduler)


def _shown(outcomes: Iterable[Outcome], count: int) -> Iterator[Outcome]:
    """The outcomes, while a bar or, where there is no terminal, a line each shows them."""
    start = time.monotonic()
    with TERMINAL.progress() as move:
        for number, outcome in enumerate(outcomes, start=1):
            spent = time.monotonic() - start
            left = spent / number * (count - number)
            move(Progress(f"{number} of {count} studies", number / count, left))
            if not TERMINAL.shows_progress:
                TERMINAL.print(f"{number} of {count}: {outcome.study}, {_in_words(outcome)}")
            yield outcome


def _in_words(outcome: Outcome) -> str:
    if not outcome.is_done:
        return f"failed: {outcome.reason}"
    return f"{counted(outcome.lesions, 'lesion')}, {format_seconds(outcome.seconds)}"


def _conclude(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Show what failed.

    Raises:
        EngineError: If something has.
    """
    failed = [outcome for outcome in outcomes if not outcome.is_done]
    done = len(outcomes) - len(failed)
    TERMINAL.print(f"{done} of {len(outcomes)} studies are done. Results are in {folder}")
    if not failed:
        return
    table = make_table("Not done", "Study", "Reason")
    for outcome in failed[:SHOWN_FAILURES]:
        table.add_row(outcome.study, outcome.reason)
    TERMINAL.print(table)
    raise EngineError(
        f"{len(failed)} of {len(outcomes)} studies failed; {SUMMARY} says why, and the same "
        "command tries them again."
    )

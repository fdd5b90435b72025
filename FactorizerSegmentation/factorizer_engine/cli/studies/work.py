"""One study after another, from files to results, by an engine that stays warm."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from factorizer_engine.cli.early_checks import Caution, doubts_about
from factorizer_engine.cli.results import write_results
from factorizer_engine.cli.session import assign_study, read_study
from factorizer_engine.cli.studies.listing import StudyFiles
from factorizer_engine.cli.studies.outcomes import RECORD, FileState, Outcome, StudyRequest
from factorizer_engine.protocol.errors import CancelledError
from factorizer_engine.protocol.failures import as_engine_error
from factorizer_engine.protocol.files import temporary_folder, write_json, written_folder
from factorizer_engine.protocol.lesions import volume_by_class
from factorizer_engine.protocol.machines import Machine
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.runs import ModelChoice, RunOptions
from factorizer_engine.protocol.tasks.check import CHECK
from factorizer_engine.protocol.tasks.segment import SEGMENT, SegmentResult
from factorizer_engine.service.client import EngineClient


@dataclass(frozen=True)
class Batch:
    """What is done with every study.

    Attributes:
        choice: The model by its folder, and where it runs.
        model: Its description.
        options: How it is applied.
        reference: Channel on whose grid the results are given; None takes the first of the
            model's channels that a study has.
        probabilities: Whether probability maps are written, too.
        caution: Whether a study whose scans look doubtful fails.
        output: Folder for the results, one subfolder a study.
        machine: Where the engines run; None means here.
        fingerprint: Of the model; "" if that is unknown.
    """

    choice: ModelChoice
    model: ModelDescription
    options: RunOptions
    reference: str | None
    probabilities: bool
    caution: Caution
    output: Path
    machine: Machine | None = None
    fingerprint: str = ""

    def request(self, study: StudyFiles) -> StudyRequest:
        """What is asked for a study.

        Raises:
            BadInputError: If its files are not what the model needs.
            OSError: If one of them is missing.
        """
        from factorizer_engine.images.checks import reference_among

        paths = assign_study(study.inputs, self.model)
        return StudyRequest(
            model=f"{self.model.name} {self.model.version}",
            precision=self.choice.precision,
            options=self.options,
            reference=reference_among(paths, self.model.channels, self.reference),
            probabilities=self.probabilities,
            scans={channel: FileState.of(path) for channel, path in paths.items()},
            sweeps=self.choice.sweeps,
            short_circuits=self.choice.short_circuits,
            fingerprint=self.fingerprint,
        )


class StudyWorker:
    """An engine that takes study after study.

    Args:
        batch: What is done with them.
        threads: Processor threads of the engine; None leaves it to the engine.

    Attributes:
        peak_memory: The most bytes that the engine was seen to hold.
        device: Where it computes; "" before the first result.
    """

    def __init__(self, batch: Batch, threads: int | None = None) -> None:
        environment = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
        self._batch = batch
        self._engine = EngineClient(environment=environment, machine=batch.machine)
        self._is_cancelled = False
        self.peak_memory = 0
        self.device = ""

    def segment(self, study: StudyFiles) -> Outcome:
        """Segment a study and write its results; whatever goes wrong is told by the outcome.

        Raises:
            CancelledError: After `cancel`.
        """
        start = time.monotonic()
        try:
            outcome = self._segment(study)
        except Exception as error:
            if self._is_cancelled:
                raise CancelledError() from error
            outcome = Outcome(study.name, reason=str(as_engine_error(error)))
        return replace(outcome, seconds=round(time.monotonic() - start, 2))

    def cancel(self) -> None:
        """Stop at once; from any thread."""
        self._is_cancelled = True
        self._engine.cancel()

    def close(self) -> None:
        """End the engine."""
        self._engine.close()

    def _segment(self, study: StudyFiles) -> Outcome:
        batch = self._batch
        request = batch.request(study)
        paths = {channel: state.path for channel, state in request.scans.items()}
        with temporary_folder() as folder:
            session = read_study(self._engine, batch.choice, batch.model, paths, folder)
            if self._is_cancelled:
                raise CancelledError()
            findings = session.request(CHECK, request.reference, batch.options, self._watch)
            doubts = doubts_about(findings.findings, batch.caution)
            result = session.request(
                SEGMENT,
                request.reference,
                batch.options,
                self._watch,
                probabilities=batch.probabilities,
            )
            self.device = result.device
            outcome = Outcome(
                study.name,
                lesions=len(result.lesions),
                volumes_ml=_volumes(result),
                note=" ".join(filter(None, [result.note, *doubts])),
                request=request,
            )
            with written_folder(batch.output / study.name) as unfinished:
                unfinished.mkdir()
                record = session.record("segment", request.reference, batch.options)
                write_results(result, record, unfinished, doubts)
                write_json(unfinished / RECORD, outcome.to_dict())
        return outcome

    def _watch(self, progress: Progress) -> None:
        """Look at the engine's memory, each time that it says how far it has come."""
        try:
            held = psutil.Process(self._engine.pid).memory_info().rss
        except psutil.Error:  # it ends just now
            return
        self.peak_memory = max(self.peak_memory, held)


def _volumes(result: SegmentResult) -> dict[str, float]:
    """The volume in mL of every label that was looked for."""
    found = volume_by_class(result.lesions)
    return {label.name: found.get(label.name, 0.0) for label in result.model.labels}


def segment_in_this_thread(batch: Batch, study: StudyFiles) -> Outcome:
    """Segment a study by the engine of this thread, which stays for the next one."""
    if getattr(_own, "batch", None) != batch:
        _own.batch, _own.worker = batch, StudyWorker(batch)
    return _own.worker.segment(study)


_own = threading.local()

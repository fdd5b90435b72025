"""From the files of the user to a running engine that knows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from factorizer_engine.cli.early_checks import (
    Caution,
    check_before_preparation,
    check_files,
    check_names,
    check_one_patient,
    doubts_about,
)
from factorizer_engine.cli.records import RunRecord
from factorizer_engine.cli.terminal import TERMINAL
from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.conversation import Result
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.files import temporary_folder
from factorizer_engine.protocol.machines import Machine
from factorizer_engine.protocol.models import Channel, ModelDescription
from factorizer_engine.protocol.preparation import PreparationOptions
from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.runs import ModelChoice, Quality, RunOptions, Study
from factorizer_engine.protocol.subsets import accepts_fewer, subset_of
from factorizer_engine.protocol.tasks.check import CHECK
from factorizer_engine.protocol.tasks.load_model import LOAD_MODEL
from factorizer_engine.protocol.tasks.models import MODELS, ModelsParams
from factorizer_engine.protocol.tasks.prepare import PREPARE, PrepareParams, PrepareResult
from factorizer_engine.protocol.tasks.task import Task
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.protocol.wording import enumerated
from factorizer_engine.service.client import EngineClient

if TYPE_CHECKING:
    from factorizer_engine.images.scan import Scan


@dataclass(frozen=True)
class Session:
    """A running engine with a loaded model, and the scans that were handed to it.

    Attributes:
        engine: The engine process.
        choice: The model that is loaded, and where.
        model: Its description.
        scans: The scan of each channel that is given, as read from the user's files, but for its
            voxels, which only the engine needs.
        sources: File, DICOM folder or "FOLDER::SERIES" that each came from.
        files: The same scans, as the engine reads them.
        folder: For the files that engine and command line exchange; vanishes with the session.
    """

    engine: EngineClient
    choice: ModelChoice
    model: ModelDescription
    scans: dict[str, Scan]
    sources: Mapping[str, Path | str]
    files: dict[str, ScanFile]
    folder: Path

    def run(
        self, task: Task[Any, Result], reference: str, options: RunOptions, **particular: object
    ) -> Result:
        """Have the engine work on the scans, and show how far it has come.

        Args:
            task: `SEGMENT` or `COMPONENTS`.
            reference: Channel on whose grid the result is given.
            options: How the model is applied.
            particular: The other parameters of the task.

        Raises:
            EngineError: If the work cannot be done.
        """
        with TERMINAL.progress() as move:
            return self.request(task, reference, options, move, **particular)

    def request(
        self,
        task: Task[Any, Result],
        reference: str,
        options: RunOptions,
        on_progress: Callable[[Progress], None],
        **particular: object,
    ) -> Result:
        """As `run`, but it is told how far it has come, rather than showing it."""
        study = Study(self.files, reference)
        params = task.params(self.choice, study, str(self.folder), options, **particular)
        return self.engine.request(task, params, on_progress)

    def prepare(
        self, reference: str, options: PreparationOptions, mixed: bool = False
    ) -> PrepareResult:
        """Have the engine prepare the scans, and show how far it has come.

        Args:
            reference: Channel whose scan keeps its place.
            options: What may be done to them.
            mixed: Whether scans of several patients or dates are meant.

        Raises:
            EngineError: If they cannot be prepared.
        """
        check_one_patient(self.scans, mixed)
        check_before_preparation(self.run(CHECK, reference, RunOptions()).findings)
        study = Study(self.files, reference)
        params = PrepareParams(self.choice.model, study, str(self.folder), options)
        with TERMINAL.progress() as move:
            return self.engine.request(PREPARE, params, move)

    def with_prepared(self, result: PrepareResult) -> Session:
        """The same session, whose further runs work on the prepared scans."""
        files = {
            name: replace(file, origin=replace(self.files[name].origin, frame=""))
            for name, file in result.channels.items()
        }
        return replace(self, files=files)

    def check(self, reference: str, options: RunOptions, caution: Caution) -> list[str]:
        """Say, and return, what looks wrong about the scans before anything is computed.

        Args:
            reference: Channel on whose grid the result is to be given.
            options: How the model is to be applied.
            caution: What is done about scans that look doubtful.

        Raises:
            BadInputError: If the scans cannot be used, or may not.
        """
        doubts = doubts_about(self.run(CHECK, reference, options).findings, caution)
        for sentence in doubts:
            TERMINAL.warn(sentence)
        return doubts

    def reference(self, name: str | None) -> tuple[str, Scan]:
        """The channel called `name` (the first that is given if None) and its scan.

        Raises:
            BadInputError: If the model has no such channel, or it is left out.
        """
        from factorizer_engine.images.checks import reference_among

        channel = reference_among(self.scans, self.model.channels, name)
        return channel, self.scans[channel]

    def record(self, command: str, reference: str, options: RunOptions) -> RunRecord:
        """What a run in this session is of."""
        return RunRecord(
            command, self.model, self.choice, options, reference, self.sources, self.scans
        )


def run_options(
    mirroring: bool | None,
    overlap: float | None,
    bounds: Sequence[float] | None,
    quick: bool,
    quality: Quality,
) -> RunOptions:
    """How a model is applied, from the options of the command line; quality fills what is unset.

    Raises:
        BadInputError: If one of them is out of range, or they contradict each other.
    """
    if quick and bounds is None:
        raise BadInputError("--quick is for a box only; give one with --box, or leave it out.")
    box = None if bounds is None else WorldBox.of_bounds(bounds)
    return RunOptions(
        quality.mirroring if mirroring is None else mirroring,
        quality.overlap if overlap is None else overlap,
        box,
        quick,
    )


Assignment = Callable[[Sequence[str], ModelDescription], "dict[str, Path | str]"]
"""Finds the file of each channel among what the user gave."""


@contextmanager
def open_session(
    choice: ModelChoice,
    inputs: Sequence[str],
    input_folder: Path | None,
    reference: str | None = None,
    region: str | None = None,
    assign: Assignment | None = None,
    machine: Machine | None = None,
) -> Iterator[Session]:
    """Start the engine, load the model, read the scans that it needs.

    What shows without the engine, such as a mistyped path, is refused before it starts.

    Args:
        choice: The model and where it runs; with the name "" the only family that is installed, but
            for models that work by clicks alone.
        inputs: "CHANNEL=FILE" or "FILE", see `assign_inputs`.
        input_folder: Folder whose files are matched by name, instead of `inputs`.
        reference: Channel that is going to be asked for, or None.
        region: Region that is going to be asked for, or None.
        assign: Finds the file of each channel; `assign_study` by default.
        machine: Where the engine runs; None means here.

    Raises:
        EngineError: If the model or a scan cannot be used.
    """
    given = candidates(inputs, input_folder)
    check_files(given)
    check_names(choice.model, reference, region)
    with (
        temporary_folder() as folder,
        EngineClient(on_log=TERMINAL.log, machine=machine) as engine,
    ):
        choice, model = load_model(engine, choice)
        paths = (assign or assign_study)(given, model)
        yield read_study(engine, choice, model, paths, folder)


def load_model(engine: EngineClient, choice: ModelChoice) -> tuple[ModelChoice, ModelDescription]:
    """Load a model, and show how far that has come; returns the choice by its folder, and itself.

    Raises:
        EngineError: If the model cannot be used.
    """
    with TERMINAL.progress() as move:
        choice = replace(choice, model=choice.model or _only_family(engine))
        model = engine.request(LOAD_MODEL, choice, move).model
    return replace(choice, model=str(model.path)), model


def read_study(
    engine: EngineClient,
    choice: ModelChoice,
    model: ModelDescription,
    paths: Mapping[str, Path | str],
    folder: Path,
) -> Session:
    """Read the scans of a study and hand them to the engine in files in `folder`.

    Raises:
        BadInputError: If a scan cannot be used.
    """
    scans = _read_scans(paths)
    files = {
        channel: ScanFile.save(
            scan.array, scan.affine, folder / f"channel_{number}.npy", scan.name, scan.origin
        )
        for number, (channel, scan) in enumerate(scans.items(), start=1)
    }
    known = {channel: _without_voxels(scan) for channel, scan in scans.items()}
    return Session(engine, choice, model, known, paths, files, folder)


def _without_voxels(scan: Scan) -> Scan:
    """The scan with one zero in the place of all voxels.

    Mapped from their file they would take no memory either, but Windows removes no file that is.
    """
    import numpy as np

    return replace(scan, array=np.broadcast_to(scan.array.dtype.type(0), scan.shape))


def assign_study(inputs: Sequence[str], model: ModelDescription) -> dict[str, Path | str]:
    """The file of each channel that is given, see `assign_inputs`; nothing is read.

    Raises:
        BadInputError: If they are not what the model needs, or not enough for it.
    """
    paths = assign_inputs(inputs, model.channels, optional=accepts_fewer(model))
    subset_of(model, paths)
    return paths


def assign_inputs(
    inputs: Sequence[str], channels: Sequence[Channel], optional: bool = False
) -> dict[str, Path | str]:
    """The file of each channel, or "FOLDER::SERIES" where one series of a folder is named.

    Args:
        inputs: Each "CHANNEL=FILE", with the channel's name or alias, or a "FILE" that is matched
            to the channels that are left by its name; for FILE also FOLDER::SERIES.
        channels: What the model takes.
        optional: Whether channels may be left out.

    Raises:
        BadInputError: If a channel is unknown, given twice or missing, or a name is ambiguous.
    """
    from factorizer_engine.images.checks import channel_named
    from factorizer_engine.images.files import SERIES_MARK
    from factorizer_engine.protocol.matching import match_channels

    assigned: dict[str, Path | str] = {}
    unnamed: list[str] = []
    for text in inputs:
        name, separator, file = text.partition("=")
        if not separator or SERIES_MARK in name or Path(text).exists():
            unnamed.append(text)
            continue
        channel = channel_named(name.strip(), channels)
        if channel in assigned:
            raise BadInputError(f"The channel {channel} is given twice; give it once.")
        if not file.strip():
            raise BadInputError(f"The channel {channel} is given without a file.")
        assigned[channel] = _location(file.strip())
    left = [channel for channel in channels if channel.name not in assigned]
    if unnamed and not left:
        raise BadInputError(
            f"There are more files than the model's {len(channels)} channels; "
            f"'{Path(unnamed[0]).name}' is left over."
        )
    if unnamed:
        matched = match_channels(unnamed, left, optional)
        assigned.update({name: _location(text) for name, text in matched.items()})
    missing = [channel.name for channel in channels if channel.name not in assigned]
    if missing and not optional:
        raise BadInputError(
            f"No scan is given for {enumerated(missing)}; "
            f"the model needs {enumerated([channel.name for channel in channels])}."
        )
    return {
        channel.name: assigned[channel.name] for channel in channels if channel.name in assigned
    }


def _location(text: str) -> Path | str:
    """The file; text that names a series of a folder stays as it is, since it is no path."""
    from factorizer_engine.images.files import SERIES_MARK

    path = Path(text).expanduser()
    return text if SERIES_MARK in text and not path.exists() else path


def candidates(inputs: Sequence[str], folder: Path | None) -> list[str]:
    """What was given as scans: the inputs, or all scans of the folder."""
    from factorizer_engine.images.files import series_in

    if bool(inputs) == (folder is not None):
        raise BadInputError("Give the scans either with --input or with --input-dir.")
    if folder is None:
        return list(inputs)
    if not folder.is_dir():
        raise BadInputError(f"The input folder '{folder}' does not exist.")
    if series := series_in(folder):
        return series
    files = sorted(str(path) for path in folder.iterdir() if not path.name.startswith("."))
    if not files:
        raise BadInputError(f"The input folder '{folder}' is empty.")
    return files


def _only_family(engine: EngineClient) -> str:
    """The family of the models, but for those that are to be chosen because they need clicks."""
    models = engine.request(MODELS, ModelsParams()).models
    by_themselves = [model for model in models if not model.by_clicks]
    families = sorted({model.family for model in by_themselves or models})
    if not families:
        raise BadModelError("No model is installed; see 'factorizer models install --help'.")
    if len(families) > 1:
        raise BadInputError(f"Choose with --model what to segment: {enumerated(families, 'or')}.")
    return families[0]


def _read_scans(paths: Mapping[str, Path | str]) -> dict[str, Scan]:
    from factorizer_engine.images.checks import check_scan
    from factorizer_engine.images.files import read_scans

    scans = read_scans(paths)
    for scan in scans.values():
        check_scan(scan)
    return scans

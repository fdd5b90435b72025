"""From the files of the user to a running engine that knows them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from factorizer_engine.cli.terminal import TERMINAL
from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.conversation import Result
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.models import Channel, ModelDescription
from factorizer_engine.protocol.preparation import PreparationOptions
from factorizer_engine.protocol.runs import ModelChoice, RunOptions, Study
from factorizer_engine.protocol.tasks.load_model import LOAD_MODEL
from factorizer_engine.protocol.tasks.models import MODELS, ModelsParams
from factorizer_engine.protocol.tasks.prepare import PREPARE, PrepareParams, PrepareResult
from factorizer_engine.protocol.tasks.task import Task
from factorizer_engine.protocol.volumes import ScanFile
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
        scans: The scan of each channel, as read from the user's files.
        files: The same scans, as the engine reads them.
        folder: For the files that engine and command line exchange; vanishes with the session.
    """

    engine: EngineClient
    choice: ModelChoice
    model: ModelDescription
    scans: dict[str, Scan]
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
        study = Study(self.files, reference)
        params = task.params(self.choice, study, str(self.folder), options, **particular)
        with TERMINAL.progress() as move:
            return self.engine.request(task, params, move)

    def prepare(self, reference: str, options: PreparationOptions) -> PrepareResult:
        """Have the engine prepare the scans, and show how far it has come.

        Args:
            reference: Channel whose scan keeps its place.
            options: What may be done to them.

        Raises:
            EngineError: If they cannot be prepared.
        """
        study = Study(self.files, reference)
        params = PrepareParams(self.choice.model, study, str(self.folder), options)
        with TERMINAL.progress() as move:
            return self.engine.request(PREPARE, params, move)

    def with_prepared(self, result: PrepareResult) -> Session:
        """The same session, whose further runs work on the prepared scans."""
        return replace(self, files=result.channels)

    def reference(self, name: str | None) -> tuple[str, Scan]:
        """The channel called `name` (the first that is given if None) and its scan.

        Raises:
            BadInputError: If the model has no such channel, or it is not given.
        """
        from factorizer_engine.images.checks import channel_named

        channels = self.model.channels
        channel = next(iter(self.scans)) if name is None else channel_named(name, channels)
        if channel not in self.scans:
            raise BadInputError(f"The reference {channel} is not among the scans that were given.")
        return channel, self.scans[channel]


def run_options(
    mirroring: bool | None, overlap: float | None, bounds: Sequence[float] | None, quick: bool
) -> RunOptions:
    """How a model is applied, from the options of the command line.

    Raises:
        BadInputError: If one of them is out of range, or they contradict each other.
    """
    if quick and bounds is None:
        raise BadInputError("--quick is for a box only; give one with --box, or leave it out.")
    box = None if bounds is None else WorldBox.of_bounds(bounds)
    return RunOptions(mirroring, overlap, box, quick)


Assignment = Callable[[Sequence[str], Sequence[Channel]], "dict[str, Path | str]"]
"""Finds the file of each channel among what the user gave."""


@contextmanager
def open_session(
    choice: ModelChoice,
    inputs: Sequence[str],
    input_folder: Path | None,
    assign: Assignment | None = None,
) -> Iterator[Session]:
    """Start the engine, load the model, read the scans that it needs.

    Args:
        choice: The model and where it runs; with the name "" the only family that is installed.
        inputs: "CHANNEL=FILE" or "FILE", see `assign_inputs`.
        input_folder: Folder whose files are matched by name, instead of `inputs`.
        assign: Finds the file of each channel; `assign_inputs` by default.

    Raises:
        EngineError: If the model or a scan cannot be used.
    """
    candidates = _candidates(inputs, input_folder)
    with (
        tempfile.TemporaryDirectory(prefix="factorizer-") as folder,
        EngineClient(on_log=TERMINAL.log) as engine,
    ):
        with TERMINAL.progress() as move:
            choice = replace(choice, model=choice.model or _only_family(engine))
            model = engine.request(LOAD_MODEL, choice, move).model
        paths = (assign or assign_inputs)(candidates, model.channels)
        scans = _read_scans(paths)
        files = {
            channel: ScanFile.save(
                scan.array, scan.affine, Path(folder) / f"channel_{number}.npy", scan.name
            )
            for number, (channel, scan) in enumerate(scans.items(), start=1)
        }
        choice = replace(choice, model=str(model.path))
        yield Session(engine, choice, model, scans, files, Path(folder))


def assign_inputs(
    inputs: Sequence[str], channels: Sequence[Channel], complete: bool = True
) -> dict[str, Path | str]:
    """The file of each channel, or "FOLDER::SERIES" where one series of a folder is named.

    Args:
        inputs: Each "CHANNEL=FILE", with the channel's name or alias, or a "FILE" that is matched
            to the channels that are left by its name; for FILE also FOLDER::SERIES.
        channels: What the model needs.
        complete: Whether every channel must be given.

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
        wanted = left if complete else _spoken_of(unnamed, left)
        matched = match_channels(unnamed, wanted)
        assigned.update({name: _location(text) for name, text in matched.items()})
    missing = [channel.name for channel in channels if channel.name not in assigned]
    if missing and (complete or not assigned):
        raise BadInputError(
            f"No scan is given for {_enumerate(missing)}; "
            f"the model needs {_enumerate([channel.name for channel in channels])}."
        )
    return {c.name: assigned[c.name] for c in channels if c.name in assigned}


def _spoken_of(inputs: Sequence[str], channels: Sequence[Channel]) -> list[Channel]:
    """The channels that the names of inputs speak of; all where they speak of none."""
    from factorizer_engine.protocol.matching import channel_candidates

    found = channel_candidates(inputs, channels)
    return [channel for channel in channels if found[channel.name]] or list(channels)


def _location(text: str) -> Path | str:
    """The file; text that names a series of a folder stays as it is, since it is no path."""
    from factorizer_engine.images.files import SERIES_MARK

    path = Path(text).expanduser()
    return text if SERIES_MARK in text and not path.exists() else path


def _candidates(inputs: Sequence[str], folder: Path | None) -> list[str]:
    if bool(inputs) == (folder is not None):
        raise BadInputError("Give the scans either with --input or with --input-dir.")
    if folder is None:
        return list(inputs)
    if not folder.is_dir():
        raise BadInputError(f"The input folder '{folder}' does not exist.")
    files = sorted(str(path) for path in folder.iterdir() if not path.name.startswith("."))
    if not files:
        raise BadInputError(f"The input folder '{folder}' is empty.")
    return files


def _only_family(engine: EngineClient) -> str:
    models = engine.request(MODELS, ModelsParams()).models
    families = sorted({model.family for model in models})
    if not families:
        raise BadModelError("No model is installed; see 'factorizer models install --help'.")
    if len(families) > 1:
        raise BadInputError(f"Choose with --model what to segment: {_enumerate(families, 'or')}.")
    return families[0]


def _read_scans(paths: Mapping[str, Path | str]) -> dict[str, Scan]:
    from factorizer_engine.images.checks import check_scan
    from factorizer_engine.images.files import read_scans

    scans = read_scans(paths)
    for scan in scans.values():
        check_scan(scan)
    return scans


def _enumerate(names: Sequence[str], conjunction: str = "and") -> str:
    """Such as "A, B and C"."""
    *first, last = names
    return f"{', '.join(first)} {conjunction} {last}" if first else last

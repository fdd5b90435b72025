"""From the files of the user to a running engine that knows them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from factorizer_engine.cli.terminal import TERMINAL
from factorizer_engine.protocol.boxes import WorldBox
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.models import Channel, ModelDescription
from factorizer_engine.protocol.runs import ModelChoice
from factorizer_engine.protocol.tasks import TASKS
from factorizer_engine.protocol.tasks.models import ModelsParams
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.service.client import EngineClient

if TYPE_CHECKING:
    from factorizer_engine.images.scan import Scan


@dataclass(frozen=True)
class Session:
    """A running engine with a loaded model, and the scans that were handed to it.

    Attributes:
        engine: The engine process.
        model: The loaded model.
        scans: The scan of each channel, as read from the user's files.
        files: The same scans, as the engine reads them.
        folder: For the files that engine and command line exchange; vanishes with the session.
        device, precision, compiled: What the model was loaded for.
    """

    engine: EngineClient
    model: ModelDescription
    scans: dict[str, Scan]
    files: dict[str, ScanFile]
    folder: Path
    device: str
    precision: str
    compiled: bool

    def run(
        self,
        method: str,
        reference: str,
        tta: bool | None,
        overlap: float | None,
        box: WorldBox | None,
        quick: bool,
        **particular: object,
    ) -> Message:
        """Have the engine work on the scans, and show how far it has come.

        Args:
            method: "segment" or "components".
            reference: Channel on whose grid the result is given.
            tta, overlap, box, quick: As `protocol.SegmentParams` has them.
            particular: The other parameters of the method.

        Raises:
            EngineError: If the work cannot be done.
        """
        if quick and box is None:
            raise BadInputError("--quick is for a box only; give one with --box, or leave it out.")
        params = TASKS[method](
            model=self.model.path,
            channels=self.files,
            output_dir=str(self.folder),
            reference=reference,
            device=self.device,
            precision=self.precision,
            compiled=self.compiled,
            tta=tta,
            overlap=overlap,
            box=box,
            quick=quick,
            **particular,
        )
        with TERMINAL.progress() as move:
            return self.engine.request(method, params, move)

    def reference(self, name: str | None) -> tuple[str, Scan]:
        """The channel called `name` (the model's first if None) and its scan.

        Raises:
            BadInputError: If the model has no such channel.
        """
        from factorizer_engine.images.checks import channel_named

        channels = self.model.channels
        channel = channels[0].name if name is None else channel_named(name, channels)
        return channel, self.scans[channel]


@contextmanager
def open_session(
    model: str,
    inputs: Sequence[str],
    input_folder: Path | None,
    device: str,
    precision: str,
    compiled: bool = False,
) -> Iterator[Session]:
    """Start the engine, load the model, read the scans that it needs.

    Args:
        model: Name, family or path; "" takes the only family that is installed.
        inputs: "CHANNEL=FILE" or "FILE", see `assign_inputs`.
        input_folder: Folder whose files are matched by name, instead of `inputs`.
        device: As `protocol.SegmentParams` has it.
        precision: As `protocol.SegmentParams` has it.
        compiled: As `protocol.SegmentParams` has it.

    Raises:
        EngineError: If the model or a scan cannot be used.
    """
    candidates = _candidates(inputs, input_folder)
    with (
        tempfile.TemporaryDirectory(prefix="factorizer-") as folder,
        EngineClient(on_log=TERMINAL.log) as engine,
    ):
        with TERMINAL.progress() as move:
            chosen = model or _only_family(engine)
            params = ModelChoice(chosen, device, precision, compiled)
            info = engine.request("load_model", params, move).model
        paths = assign_inputs(candidates, info.channels)
        scans = _read_scans(paths)
        files = {
            channel: ScanFile.save(
                scan.array, scan.affine, Path(folder) / f"channel_{number}.npy", scan.name
            )
            for number, (channel, scan) in enumerate(scans.items(), start=1)
        }
        yield Session(engine, info, scans, files, Path(folder), device, precision, compiled)


def assign_inputs(inputs: Sequence[str], channels: Sequence[Channel]) -> dict[str, Path]:
    """The file of each channel.

    Args:
        inputs: Each "CHANNEL=FILE", with the channel's name or alias, or a "FILE" that is matched
            to the channels that are left by its name.
        channels: What the model needs.

    Raises:
        BadInputError: If a channel is unknown, given twice or missing, or a name is ambiguous.
    """
    from factorizer_engine.images.checks import channel_named
    from factorizer_engine.protocol.matching import match_channels

    assigned: dict[str, Path] = {}
    unnamed: list[Path] = []
    for text in inputs:
        name, separator, file = text.partition("=")
        if not separator or Path(text).exists():
            unnamed.append(Path(text))
            continue
        channel = channel_named(name.strip(), channels)
        if channel in assigned:
            raise BadInputError(f"The channel {channel} is given twice; give it once.")
        if not file.strip():
            raise BadInputError(f"The channel {channel} is given without a file.")
        assigned[channel] = Path(file.strip()).expanduser()
    left = [channel for channel in channels if channel.name not in assigned]
    if unnamed and not left:
        raise BadInputError(
            f"There are more files than the model's {len(channels)} channels; "
            f"'{unnamed[0].name}' is left over."
        )
    if unnamed:
        assigned.update(match_channels(unnamed, left))
    missing = [channel.name for channel in channels if channel.name not in assigned]
    if missing:
        raise BadInputError(
            f"No scan is given for {_enumerate(missing)}; "
            f"the model needs {_enumerate([channel.name for channel in channels])}."
        )
    return {channel.name: assigned[channel.name] for channel in channels}


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
    models = engine.request("models", ModelsParams()).models
    families = sorted({model.family for model in models})
    if not families:
        raise BadModelError("No model is installed; see 'factorizer models install --help'.")
    if len(families) > 1:
        raise BadInputError(f"Choose with --model what to segment: {_enumerate(families, 'or')}.")
    return families[0]


def _read_scans(paths: dict[str, Path]) -> dict[str, Scan]:
    from factorizer_engine.images.checks import check_scan
    from factorizer_engine.images.files.readers import read_scans

    scans = read_scans(paths)
    for scan in scans.values():
        check_scan(scan)
    return scans


def _enumerate(names: Sequence[str], conjunction: str = "and") -> str:
    """Such as "A, B and C"."""
    *first, last = names
    return f"{', '.join(first)} {conjunction} {last}" if first else last

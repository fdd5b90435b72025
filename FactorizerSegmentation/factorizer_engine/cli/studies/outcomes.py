"""What was asked of each study and what came of it, on file, so that a later call knows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from factorizer_engine.cli.outputs import RECORD as RUN_RECORD
from factorizer_engine.protocol.errors import BadInputError, EngineError
from factorizer_engine.protocol.files import FOR_SPREADSHEETS, write_csv
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.models import Label
from factorizer_engine.protocol.runs import RunOptions
from factorizer_engine.protocol.wording import rounded

RECORD = "study.json"
"""In the folder of each study's results; says that they are complete, and what they are of."""


@dataclass(frozen=True)
class FileState(Message):
    """A scan as it was found, to know it again: where, its bytes, and when it was changed last.

    Attributes:
        path: File or folder, or "FOLDER::SERIES".
        size: Bytes, of a folder all that it holds.
        modified: Seconds since 1970, of a folder the last change in it.
    """

    path: str
    size: int
    modified: float

    @classmethod
    def of(cls, location: Path | str) -> FileState:
        """The state of a scan now.

        Raises:
            BadInputError: If it does not exist.
        """
        from factorizer_engine.images.files import absolute_location, split_series

        absolute = absolute_location(location)
        path = Path(split_series(absolute)[0])
        if not path.exists():
            raise BadInputError(f"{path} does not exist; check the path.")
        files = path.rglob("*") if path.is_dir() else [path]
        states = [file.stat() for file in files if file.is_file()]
        size = sum(state.st_size for state in states)
        modified = max((state.st_mtime for state in states), default=0.0)
        return cls(absolute, size, modified)


@dataclass(frozen=True)
class StudyRequest(Message):
    """What decides over a study's result, so that an equal request need not be met again.

    Attributes:
        model: Name and version.
        precision: One of `Precision`.
        options: How the model is applied.
        reference: Channel on whose grid the result is given.
        probabilities: Whether probability maps are written, too.
        scans: The scan of each channel.
        sweeps, short_circuits: See `ModelChoice`.
        fingerprint: Of the model, whose version not everybody raises; "" if that is unknown.
    """

    model: str
    precision: str
    options: RunOptions
    reference: str
    probabilities: bool
    scans: dict[str, FileState]
    sweeps: int | None = None
    short_circuits: tuple[str, ...] = ()
    fingerprint: str = ""


@dataclass(frozen=True)
class Outcome(Message):
    """How a study ended.

    Attributes:
        study: Its name.
        reason: Why there is no result; "" if there is one.
        seconds: How long it took.
        lesions: How many lesions were found.
        volumes_ml: Their volume by label, in mL; of every label that was looked for.
        note: What it costs that scans were left out and what looks wrong about them, for people.
        request: What was asked for; None if it did not come so far.
    """

    study: str
    reason: str = ""
    seconds: float = 0.0
    lesions: int = 0
    volumes_ml: dict[str, float] = field(default_factory=dict)
    note: str = ""
    request: StudyRequest | None = None

    @property
    def is_done(self) -> bool:
        """Whether there is a result."""
        return not self.reason


def read_outcome(folder: Path) -> Outcome | None:
    """The outcome whose results are in a folder; None if they are of something else."""
    try:
        return Outcome.from_dict(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, EngineError):
        return None


def lacking(folder: Path) -> str:
    """The name of a file that a study's results have lost since they were written; "" if none."""
    try:
        names = json.loads((folder / RUN_RECORD).read_text(encoding="utf-8"))["files"]
        return next((name for name in names if not (folder / name).exists()), "")
    except (OSError, ValueError, KeyError, TypeError):
        return RUN_RECORD


def write_summary(outcomes: Iterable[Outcome], labels: Sequence[Label], path: Path) -> None:
    """One row a study: its name, whether it is done, the reason if not, and what was found.

    Raises:
        BadInputError: If it cannot be written.
    """
    outcomes = list(outcomes)
    found = [name for outcome in outcomes for name in outcome.volumes_ml]
    names = list(dict.fromkeys([*(label.name for label in labels), *found]))
    columns = [f"{name} (mL)" for name in names]
    titles = ["study", "state", "reason", "seconds", "lesions", *columns, "note"]
    rows = (_row(outcome, names) for outcome in outcomes)
    write_csv(path, [titles, *rows], encoding=FOR_SPREADSHEETS)


def _row(outcome: Outcome, labels: Sequence[str]) -> list[str]:
    state, lesions = ("done", str(outcome.lesions)) if outcome.is_done else ("failed", "")
    known = outcome.volumes_ml
    volumes = [rounded(known[label], 4) if label in known else "" for label in labels]
    seconds = f"{outcome.seconds:.1f}"
    return [outcome.study, state, outcome.reason, seconds, lesions, *volumes, outcome.note]

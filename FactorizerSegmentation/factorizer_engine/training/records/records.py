"""A finished or running run on disk: what is noted of it, and how other parts read it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

import torch

import factorizer_engine
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import write_json, write_text
from factorizer_engine.training.config import TrainingConfig
from factorizer_engine.training.data.splits import Split, together
from factorizer_engine.training.records.history import read_history

WEIGHTS = {"best": "best.pt", "final": "final.pt"}


@dataclass(frozen=True)
class Run:
    """What a run's folder says.

    Attributes:
        folder: Where it is.
        config: What was asked.
        split: Cases by use.
        record: Hardware, versions, times, dataset (`run.json`).
        history: All records, oldest first.
        evaluation: `evaluation/metrics.json` if the run was evaluated, else None.
        robustness: `evaluation/robustness.json` if that was measured, else None.
        subsets: `evaluation/subsets.json` if that was measured, else None.
        calibration: `evaluation/calibration.json` if that was measured, else None.
        clicks: `evaluation/clicks.json` if that was measured, else None.
    """

    folder: Path
    config: TrainingConfig
    split: Split
    record: dict[str, Any]
    history: list[dict[str, Any]]
    evaluation: dict[str, Any] | None
    robustness: dict[str, Any] | None
    subsets: dict[str, Any] | None
    calibration: dict[str, Any] | None
    clicks: dict[str, Any] | None

    @property
    def regions(self) -> dict[str, tuple[int, ...]]:
        """Region name to label values, in output order."""
        return {name: tuple(values) for name, values in self.record["regions"].items()}

    @property
    def seen(self) -> Split:
        """Cases by use, those of the runs that this one goes on from included."""
        return together([self.split, Split.of(self.record.get("seen_before", {}))])

    @property
    def untold_by(self) -> tuple[str, ...]:
        """Models that it goes on from and that do not tell which cases they have seen."""
        model = self.record.get("model")
        of_earlier_versions = [f"{model['name']} {model['version']}"] if model else []
        return tuple(self.record.get("untold_by", of_earlier_versions))

    @property
    def best_validation(self) -> dict[str, Any] | None:
        """The validation record of `best.pt`."""
        found = [r for r in self.history if r["kind"] == "validation"]
        return max(found, key=lambda r: r.get("score", r["dice"]), default=None)

    @property
    def last_validation(self) -> dict[str, Any] | None:
        """The newest validation record, which is that of `final.pt` once the run has ended."""
        found = [r for r in self.history if r["kind"] == "validation"]
        return found[-1] if found else None

    @property
    def measured_seconds(self) -> dict[str, float]:
        """Kind of device to the median seconds of a case, as the evaluation took them."""
        evaluation = self.evaluation or {}
        machine = evaluation.get("machine")
        if not machine:
            return {}
        return {machine["kind"]: round(median(evaluation["seconds"].values()), 1)}

    def measured_of(self, model: str) -> Run:
        """The run with only what was measured of this model, by its fingerprint."""

        def own(results: dict[str, Any] | None) -> dict[str, Any] | None:
            return results if results and results.get("model") == model else None

        return replace(
            self,
            evaluation=own(self.evaluation),
            robustness=own(self.robustness),
            subsets=own(self.subsets),
            calibration=own(self.calibration),
            clicks=own(self.clicks),
        )

    def weights(self, which: str) -> Path:
        """The file of the "best" (on validation) or "final" weights."""
        path = self.folder / WEIGHTS[which]
        if not path.is_file():
            other = "final" if which == "best" else "best"
            raise BadInputError(
                f"The run {self.folder} has no {which} weights; train on, or take the {other} ones "
                f"(--weights {other})."
            )
        return path


def note_start(
    folder: Path, config: TrainingConfig, split: Split, facts: Mapping[str, Any]
) -> None:
    """Keep what a run is about to do, and by which versions; `facts` are further entries."""
    write_text(folder / "config.json", config.model_dump_json(indent=2) + "\n")
    write_json(folder / "split.json", asdict(split))
    versions = {
        "engine": factorizer_engine.__version__,
        "commit": _commit(),
        "torch": torch.__version__,
    }
    write_json(folder / "run.json", {"started": _now(), **versions, **facts})


def note_resumption(folder: Path) -> None:
    """Keep when and by which commit a run was gone on with."""
    record = _read(folder / "run.json")
    record.setdefault("resumed", []).append({"at": _now(), "commit": _commit()})
    write_json(folder / "run.json", record)


def note_end(folder: Path, seconds: float, steps: int, finished: bool) -> None:
    """Keep when a run ended, how long it trained, and whether its budget was spent."""
    record = _read(folder / "run.json")
    record |= {"ended": _now(), "seconds": round(seconds, 1), "steps": steps, "finished": finished}
    write_json(folder / "run.json", record)


def open_run(folder: str | Path) -> Run:
    """Read a run's folder.

    Raises:
        BadInputError: If it holds no run.
    """
    folder = Path(folder)
    try:
        config = TrainingConfig.model_validate_json((folder / "config.json").read_text("utf-8"))
        split = Split.of(_read(folder / "split.json"))
        record = _read(folder / "run.json")
        measured = (
            _read(path) if (path := folder / "evaluation" / name).is_file() else None
            for name in (
                "metrics.json",
                "robustness.json",
                "subsets.json",
                "calibration.json",
                "clicks.json",
            )
        )
    except (OSError, ValueError, TypeError) as error:
        raise BadInputError(f"The folder {folder} holds no training run.", str(error)) from error
    return Run(folder, config, split, record, read_history(folder), *measured)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, check=True).stdout.decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return None

"""From a configuration to a trained run on disk."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch

import factorizer_engine
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import TrainingConfig, load_config
from factorizer_engine.training.data.checks import UnfitDataError, check_training
from factorizer_engine.training.data.dataset import Dataset, open_dataset
from factorizer_engine.training.data.splits import Split, make_split
from factorizer_engine.training.records.history import has_tensorboard
from factorizer_engine.training.records.machine import device_name
from factorizer_engine.training.records.records import open_run
from factorizer_engine.training.records.report import write_report
from factorizer_engine.training.run.display import Progress
from factorizer_engine.training.run.distributed import joined_team
from factorizer_engine.training.run.loop import Trainer


def train(config: TrainingConfig, resume: bool = False) -> Path:
    """Train, and keep everything about the run in `config.output`.

    Files of a run: `config.json`, `split.json`, `run.json` (hardware, versions, time),
    `history.jsonl`, `tensorboard/`, `last.pt` (to resume), `best.pt` (best on validation),
    `final.pt` (last average), `report.html`.

    Args:
        config: What to do.
        resume: Continue the run in the output folder.

    Returns:
        The run's folder.

    Raises:
        BadInputError: If the data or the folder cannot be used.
        NotANumberError: If the loss diverges.
    """
    try:
        return _train(config, resume)
    except OSError as error:
        place = error.filename or config.output
        raise BadInputError(
            f"{place} cannot be read or written ({error.strerror or error}); "
            "check the free space and the rights.",
            repr(error),
        ) from error


def _train(config: TrainingConfig, resume: bool) -> Path:
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    dataset = open_dataset(config.data)
    device = _device(config.run.device)
    with joined_team(device) as team:
        folder = config.output
        if team.leads:
            _open_folder(folder, resume)
            split = make_split(config.split, _volumes(config, dataset, resume))
        split = team.agree(split if team.leads else None)
        with Progress(team.leads, config.run.log_every) as progress:
            trainer = Trainer(config, dataset, split, folder, device, team, progress)
            if team.leads:
                _record_start(trainer, dataset, split, device, resume)
                for remark in _remarks(split, trainer.seen_before):
                    progress.say(remark)
            trainer.prepare_cases()
            if resume:
                trainer.resume()
            seconds = trainer.run()
            if team.leads:
                _record_end(folder, trainer, seconds)
                write_report(open_run(folder), trainer.examples())
                how = "finished" if trainer.is_finished else "stopped"
                progress.say(f"{how} after step {trainer.step}, {seconds:.0f} s: {folder}")
    return folder


def _remarks(split: Split, seen_before: Split) -> Iterator[str]:
    """What to know before a run."""
    if not has_tensorboard():
        yield (
            "No TensorBoard logs: the package tensorboard is not installed "
            "(pip install tensorboard); history.jsonl and report.html have the curves."
        )
    known = sorted({*split.validation} & {*seen_before.train})
    if known:
        yield (
            f"This run validates on {', '.join(known)}, but the weights that it begins with were "
            "trained on that; its scores will be too good."
        )


def train_command(
    config: str | Path,
    resume: bool = False,
    check: bool = False,
    data: str | Path | None = None,
    output: str | Path | None = None,
) -> Path | None:
    """`factorizer train CONFIG [--resume] [--check]`."""
    settings = load_config(config, data, output)
    if check:
        _check(settings)
        return None
    return train(settings, resume)


def _check(config: TrainingConfig) -> None:
    """Print all findings about the data, one a line; fails if training could not start."""
    try:
        report = check_training(config)
    except UnfitDataError as error:
        print(*error.report.findings, sep="\n")
        count = len(error.report.problems)
        problems = "1 problem" if count == 1 else f"{count} problems"
        raise BadInputError(
            f"The dataset is not fit for training: {problems}.", error.details
        ) from error
    for remark in report.remarks:
        print(remark)
    print(f"{len(report.volumes)} cases are fit for training.")


def _volumes(config: TrainingConfig, dataset: Dataset, resume: bool) -> dict[str, float]:
    """Lesion volumes; the data of a new run are checked on the way."""
    if resume:
        return json.loads((config.output / "volumes.json").read_text(encoding="utf-8"))
    volumes = check_training(config).volumes
    _write_json(config.output / "volumes.json", volumes)
    return volumes


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise BadInputError("No Apple GPU is available; set run.device to cpu.")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise BadInputError("No CUDA device is available; set run.device to cpu.")
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", device.index or 0)))
        torch.cuda.set_device(device)
    return device


def _open_folder(folder: Path, resume: bool) -> None:
    started = (folder / "history.jsonl").is_file()
    if started and not resume:
        raise BadInputError(
            f"The folder {folder} holds a run already; resume it or choose another output."
        )
    if resume and not (folder / "last.pt").is_file():
        raise BadInputError(f"The folder {folder} holds no checkpoint to resume from.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(f"The folder {folder} cannot be made: {error.strerror}.") from error


def _record_start(
    trainer: Trainer, dataset: Dataset, split: Split, device: torch.device, resume: bool
) -> None:
    folder = trainer.folder
    if resume:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        record.setdefault("resumed", []).append({"at": _now(), "commit": _commit()})
        _write_json(folder / "run.json", record)
        return
    (folder / "config.json").write_text(
        trainer.config.model_dump_json(indent=2) + "\n", encoding="utf-8"
    )
    _write_json(folder / "split.json", asdict(split))
    _write_json(
        folder / "run.json",
        {
            "started": _now(),
            "engine": factorizer_engine.__version__,
            "commit": _commit(),
            "torch": torch.__version__,
            "device": device_name(device),
            "processes": trainer.team.size,
            "threads_per_process": torch.get_num_threads(),
            "dataset": dataset.root.name,
            "channels": dataset.channels,
            "labels": dataset.labels,
            "regions": dataset.regions,
            "cases": len(dataset.cases),
            "seen_before": asdict(trainer.seen_before),
        },
    )


def _record_end(folder: Path, trainer: Trainer, seconds: float) -> None:
    path = folder / "run.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record |= {"ended": _now(), "seconds": round(seconds, 1), "steps": trainer.step}
    _write_json(path, record | {"finished": trainer.is_finished})


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None

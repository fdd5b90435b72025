"""From a configuration to a trained run on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

import torch

from factorizer_engine.inference.device import resolve_device
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.locks import held
from factorizer_engine.protocol.wording import counted, enumerated
from factorizer_engine.training.config import TrainingConfig
from factorizer_engine.training.data.checks import Finding
from factorizer_engine.training.data.dataset import Dataset, open_dataset
from factorizer_engine.training.data.splits import Split, make_split
from factorizer_engine.training.records.history import has_tensorboard
from factorizer_engine.training.records.machine import device_name
from factorizer_engine.training.records.records import (
    note_end,
    note_resumption,
    note_start,
    open_run,
)
from factorizer_engine.training.records.report import write_report
from factorizer_engine.training.run.beginning import model_begun_with, untold_by
from factorizer_engine.training.run.checks import check_training
from factorizer_engine.training.run.display import RunDisplay
from factorizer_engine.training.run.distributed import joined_team
from factorizer_engine.training.run.loop import Trainer
from factorizer_engine.training.run.state import remove_unfinished

_MOST_REMARKS = 10


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
        BadInputError: If the data, the device or the folder cannot be used.
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
    device = _own_device(config.run.device)
    folder = config.output
    with (
        joined_team(device) as team,
        _opened_folder(config, dataset, resume) if team.leads else nullcontext(),
    ):
        split = Split()
        findings: tuple[Finding, ...] = ()
        if team.leads:
            split, findings = _split(config, resume)
        split = team.agree(split)
        with RunDisplay(team.leads, config.run.log_every) as display:
            trainer = Trainer(config, dataset, split, device, team, display)
            if team.leads:
                if resume:
                    note_resumption(folder)
                else:
                    note_start(folder, config, split, _facts(trainer, dataset, device))
                for remark in (*_shortened(findings), *_remarks(split, trainer.seen_before)):
                    display.say(remark)
            trainer.prepare_cases()
            if resume:
                trainer.resume()
            seconds = trainer.run()
            if team.leads:
                note_end(folder, seconds, trainer.step, trainer.is_finished)
                write_report(open_run(folder), trainer.examples())
                how = "finished" if trainer.is_finished else "stopped (--resume goes on)"
                display.say(f"{how} after step {trainer.step}, {seconds:.0f} s: {folder}")
    return folder


def _own_device(name: str) -> torch.device:
    """The device of this process; in a team each one of a computer takes a GPU of its own.

    Raises:
        BadInputError: If it cannot be used.
    """
    rank = os.environ.get("LOCAL_RANK")
    if rank is not None and (name == "auto" or name.startswith("cuda")):
        # Apple's GPU is not among the others: processes cannot exchange its gradients.
        name = f"cuda:{rank}" if torch.cuda.is_available() else name.replace("auto", "cpu")
    device = resolve_device(name)
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
    return device


@contextmanager
def _opened_folder(config: TrainingConfig, dataset: Dataset, resume: bool) -> Iterator[None]:
    """The folder of a run, in which no other process trains meanwhile."""
    folder = config.output
    if resume and not (folder / "last.pt").is_file():
        raise BadInputError(
            f"The folder {folder} holds no checkpoint to resume from; begin the run without "
            "--resume, or name its folder (--output)."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(
            f"The folder {folder} cannot be made ({error.strerror}); name another one (--output)."
        ) from error
    busy = (
        f"Another process is training in {folder}; wait until it ends, or name another folder "
        "(--output)."
    )
    with held(folder / ".lock", busy):
        if resume:
            _check_unchanged(config, dataset)
        elif (folder / "history.jsonl").is_file():
            raise BadInputError(
                f"The folder {folder} holds a run already; go on with it (--resume) or name "
                "another folder (--output)."
            )
        remove_unfinished(folder)
        yield


def _check_unchanged(config: TrainingConfig, dataset: Dataset) -> None:
    """Refuse to go on with a run in another way, or with other data, than it was begun."""
    run = open_run(config.output)
    changed = run.config.differences(config)
    if changed:
        raise BadInputError(
            f"The run in {config.output} was made with another configuration (it differs in "
            f"{', '.join(changed)}); start a new run, or restore what config.json there says."
        )
    # A dataset.json may have been changed, too, and order counts.
    for what, before, now in (
        ("channels", dict.fromkeys(run.record["channels"]), dict.fromkeys(dataset.channels)),
        ("regions", run.regions, dataset.regions),
    ):
        if list(before.items()) != list(now.items()):
            raise BadInputError(
                f"The data have other {what}, or in another order or of other values, than when "
                f"the run in {config.output} began ({enumerated(list(before))}); start a new run, "
                "or restore the dataset.json."
            )


def _split(config: TrainingConfig, resume: bool) -> tuple[Split, tuple[Finding, ...]]:
    """Which cases are for what, and what is remarked about the data, which a new run checks.

    A run goes on with the cases that it began with, whatever became of the file of the split:
    those that it is measured on would be among those it has learned from otherwise.
    """
    if resume:
        return open_run(config.output).split, ()
    report = check_training(config)
    return make_split(config.split, report.volumes), report.remarks


def _shortened(findings: Sequence[Finding]) -> Iterator[str]:
    """The first of them as text, and how many more there are."""
    yield from map(str, findings[:_MOST_REMARKS])
    more = len(findings) - _MOST_REMARKS
    if more > 0:
        yield f"... and {counted(more, 'more remark')}; --check has all."


def _facts(trainer: Trainer, dataset: Dataset, device: torch.device) -> dict:
    """What the records say of the machine and the data."""
    return {
        "device": device_name(device),
        "processes": trainer.team.size,
        "threads_per_process": torch.get_num_threads(),
        "dataset": dataset.root.name,
        "channels": dataset.channels,
        "labels": dataset.labels,
        "regions": dataset.regions,
        "cases": len(dataset.cases),
        "seen_before": asdict(trainer.seen_before),
        "model": model_begun_with(trainer.config),
        "untold_by": untold_by(trainer.config.network),
    }


def _remarks(split: Split, seen_before: Split) -> Iterator[str]:
    """What to know before a run."""
    if not has_tensorboard():
        yield (
            "No TensorBoard logs: the package tensorboard is not installed "
            "(pip install tensorboard); history.jsonl and report.html have the curves."
        )
    if not split.validation:
        yield (
            "No case is validated on, so only the last weights will be there (export --weights "
            "final), and nobody knows how good they are."
        )
    known = sorted({*split.validation} & {*seen_before.train})
    if known:
        yield (
            f"This run validates on {', '.join(known)}, but the weights that it begins with were "
            "trained on that; its scores will be too good."
        )

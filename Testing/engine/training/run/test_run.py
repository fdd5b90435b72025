"""A run from its configuration to its folder: what it keeps, says and refuses."""

from __future__ import annotations

import errno
import shutil
import sys

import pytest
import torch
from filelock import FileLock

from engine.training.run.runs import configured, same_weights
from factorizer_engine.inference import device
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import load_config
from factorizer_engine.training.records.history import History, has_tensorboard, read_history
from factorizer_engine.training.run import run as running
from factorizer_engine.training.run.loop import Trainer
from factorizer_engine.training.run.run import train


def test_a_folder_with_a_run_is_not_overwritten(settings, write_config):
    settings["optimization"]["steps"] = 2
    config = configured(settings, write_config)
    train(config)
    with pytest.raises(BadInputError, match="holds a run already"):
        train(config)


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_in_which_another_process_trains_is_left_to_it(
    settings, write_config, monkeypatch, resume
):
    settings["optimization"]["steps"] = 2
    config = configured(settings, write_config)
    original = Trainer._train_step

    def meanwhile(self, *args):
        with pytest.raises(BadInputError, match="Another process is training in"):
            train(config, resume=resume)
        return original(self, *args)

    monkeypatch.setattr(Trainer, "_train_step", meanwhile)
    folder = train(config)
    assert [line["step"] for line in read_history(folder) if "loss" in line] == [1, 2]


def test_a_file_system_that_cannot_lock_is_trained_on(settings, write_config, monkeypatch):
    def refusing(self, *args, **values):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", refusing)
    settings["optimization"]["steps"] = 2
    assert (train(configured(settings, write_config)) / "final.pt").is_file()


def test_a_run_can_be_repeated_from_its_own_configuration(settings, write_config, tmp_path):
    settings["optimization"]["steps"] = 2
    first = train(configured(settings, write_config))
    again = train(load_config(first / "config.json", output=tmp_path / "again"))
    assert same_weights(first, again)


def test_a_run_without_tensorboard_says_so_and_goes_on(settings, write_config, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert not has_tensorboard()
    settings["optimization"]["steps"] = 2
    folder = train(load_config(write_config(settings)))
    said = " ".join(capsys.readouterr().out.split())
    assert "No TensorBoard logs: the package tensorboard is not installed" in said
    assert not (folder / "tensorboard").exists()
    assert read_history(folder)


def test_what_is_remarked_about_the_data_is_said_before_a_run(
    settings, write_config, dataset_dir, capsys
):
    for file in dataset_dir.glob("*Tr/blob_0*"):
        shutil.copy(file, file.with_name(file.name.replace("blob_0", "copy")))
    settings["optimization"]["steps"] = 1
    train(load_config(write_config(settings)))
    said = " ".join(capsys.readouterr().out.split())
    assert "imagesTr/copy_0000.nii.gz: The image has the very voxels of" in said


def test_many_remarks_about_the_data_are_cut_short(settings, write_config, dataset_dir, capsys):
    for number in range(30):
        shutil.copy(
            dataset_dir / "imagesTr" / "blob_0_0000.nii.gz",
            dataset_dir / "imagesTr" / f"new_{number:02d}_0000.nii.gz",
        )
    settings["optimization"]["steps"] = 1
    train(load_config(write_config(settings)))
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("has no label") == 10 and "and 20 more remarks; --check has all" in said


def test_a_run_that_validates_on_nothing_says_so(settings, write_config, capsys):
    settings["optimization"]["steps"] = 1
    settings["split"]["validation"] = []
    train(load_config(write_config(settings)))
    said = " ".join(capsys.readouterr().out.split())
    assert "No case is validated on, so only the last weights will be there" in said


def test_progress_is_told_live(settings, write_config, capsys):
    settings["optimization"]["steps"] = 3
    train(load_config(write_config(settings)))
    said = capsys.readouterr().out
    assert "step 1  loss" in said and "step 3  validation Dice" in said and "finished" in said


def test_training_looks_at_no_held_out_case(settings, write_config, monkeypatch):
    asked = set()
    original = Trainer.prepare_cases

    def watched(self):
        get = self._cache.get
        monkeypatch.setattr(self._cache, "get", lambda name: asked.add(name) or get(name))
        original(self)

    monkeypatch.setattr(Trainer, "prepare_cases", watched)
    train(load_config(write_config(settings)))
    assert asked == {f"blob_{n}" for n in range(5)}


def test_the_command_keeps_freed_memory(settings, write_config, monkeypatch):
    from factorizer_engine.cli import main
    from factorizer_engine.cli import training as commands

    calls = []
    monkeypatch.setattr(commands, "keep_freed_memory", lambda: calls.append(1))
    with pytest.raises(SystemExit) as end:
        main(["train", str(write_config(settings)), "--check"])
    assert not end.value.code and calls == [1]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_disk_that_fills_up_meanwhile_is_one_sentence(
    settings, write_config, monkeypatch, number
):
    def full(self, *arguments, **values):
        raise OSError(number, "reason", "history.jsonl")

    monkeypatch.setattr(History, "add", full)
    with pytest.raises(BadInputError, match="history.jsonl cannot be read or written .reason."):
        train(load_config(write_config(settings)))


def test_a_device_that_is_not_there_is_one_sentence(settings, write_config, monkeypatch):
    monkeypatch.setattr(device, "_usable", lambda name: name == "cpu")
    settings["run"]["device"] = "cuda"
    with pytest.raises(BadInputError, match="device 'cuda' is not usable on this computer; choose"):
        train(load_config(write_config(settings)))


@pytest.mark.parametrize(
    ("asked", "has_cuda", "expected"),
    [
        ("auto", True, "cuda:1"),
        ("cuda:0", True, "cuda:1"),
        ("auto", False, "cpu"),
        ("cpu", True, "cpu"),
    ],
)
def test_processes_of_a_team_take_a_gpu_of_their_own(monkeypatch, asked, has_cuda, expected):
    taken = []
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(device, "_usable", lambda name: True)
    own = torch.device(expected)
    assert running._own_device(asked) == own
    assert taken == ([own] if own.type == "cuda" else [])

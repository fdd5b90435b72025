"""Engines on one computer wait for their turn at a device, or take the processor and say so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.conftest import AFFINE, make_array
from factorizer_engine.protocol.errors import CancelledError
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import ModelChoice, Study
from factorizer_engine.protocol.tasks.load_model import LOAD_MODEL
from factorizer_engine.protocol.tasks.segment import SEGMENT, SegmentParams
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.service.client import EngineClient
from factorizer_engine.service.turns import Turn, name_of

_HOLD = """\
import sys
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.service.turns import Turn

turn = Turn()
assert turn.take("fake", Monitor(), None)
print("taken", flush=True)
sys.stdin.readline()
turn.give_back()
print("given back", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def turns(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "turns"
    monkeypatch.setenv("FACTORIZER_TURNS", str(folder))
    return folder


@pytest.fixture
def holder(turns, environment):
    """Another process that has the turn, until it is sent a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout.readline() == "taken\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def engine(environment, turns: Path, **variables: str) -> EngineClient:
    program = Path(__file__).with_name("turning_engine.py")
    more = {"FACTORIZER_TURNS": str(turns), **variables}
    return EngineClient([sys.executable, str(program)], {**environment, **more})


def params(folder: Path, model: Path, device: str = "auto") -> SegmentParams:
    scans = {
        name: ScanFile.save(make_array(seed), AFFINE, folder / f"{name}.npy", name)
        for seed, name in enumerate(("FLAIR", "T1"))
    }
    choice = ModelChoice(str(model), device)
    return SegmentParams(choice, Study(scans, "FLAIR"), str(folder), probabilities=False)


def give_back(holder: subprocess.Popen) -> None:
    holder.stdin.write("\n")
    holder.stdin.flush()


def test_a_second_engine_waits_for_the_first_and_says_for_whom(
    holder, environment, turns, tmp_path, tiny_bundle
):
    seen: list[str] = []

    def watch(progress) -> None:
        seen.append(progress.stage)
        if "waiting" in progress.stage and seen.count(progress.stage) == 2:
            give_back(holder)

    with engine(environment, turns) as waiting:
        result = waiting.request(SEGMENT, params(tmp_path, tiny_bundle), watch)
    assert f"waiting for the graphics card, which process {holder.pid} uses" in seen
    assert result.note == ""


def test_an_engine_that_may_take_any_device_does_not_wait_for_long(
    holder, environment, turns, tmp_path, tiny_bundle
):
    with engine(environment, turns, PATIENCE="0.3") as impatient:
        result = impatient.request(SEGMENT, params(tmp_path, tiny_bundle))
        assert "in use by another program, so this was computed on the processor" in result.note
        give_back(holder)
        assert holder.stdout.readline() == "given back\n"
        assert impatient.request(SEGMENT, params(tmp_path, tiny_bundle)).note == ""


def test_waiting_for_a_device_that_was_asked_for_can_be_cancelled(
    holder, environment, turns, tmp_path, tiny_bundle
):
    with engine(environment, turns, PATIENCE="0") as waiting, pytest.raises(CancelledError):

        def cancel(progress) -> None:
            if "waiting" in progress.stage:
                waiting.cancel()

        waiting.request(SEGMENT, params(tmp_path, tiny_bundle, "cpu"), cancel)


def test_an_engine_has_the_turn_only_while_it_works(environment, turns, tmp_path, tiny_bundle):
    with engine(environment, turns) as first, engine(environment, turns) as second:
        for client in (first, second, first):
            choice = ModelChoice(str(tiny_bundle), "cpu")
            assert client.request(LOAD_MODEL, choice).device == "cpu"


def test_who_dies_with_the_turn_does_not_keep_it(holder, turns):
    turn = Turn()
    assert not turn.take("fake", Monitor(), 0.0)
    holder.kill()
    holder.wait()
    assert turn.take("fake", Monitor(), 60.0)
    assert (turns / "fake.holder").read_text() == str(os.getpid())
    turn.give_back()


def test_without_a_place_for_turns_nobody_waits(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FACTORIZER_TURNS", str(tmp_path / "file" / "turns"))
    assert Turn().take("fake", Monitor(), None)


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_in_the_shared_folder_is_not_followed(turns, tmp_path):
    turns.mkdir()
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (turns / "fake.holder").symlink_to(precious)
    turn = Turn()
    assert turn.take("fake", Monitor(), 0.0)
    turn.give_back()
    assert precious.read_text() == "mine"


def test_the_processor_needs_no_turn_and_graphics_cards_have_names():
    assert name_of(torch.device("cpu")) == ""
    assert name_of(torch.device("mps")) == "mps"

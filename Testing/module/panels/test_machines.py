"""Another machine in the list of devices: added, used, told apart from this one, and forgotten."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from module.panels.user import run, segmentations

TESTING = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_machines(host):
    from FactorizerSegmentationLib.engine.settings import setMachines

    setMachines([])
    yield
    setMachines([])


@pytest.fixture
def answers(monkeypatch, host):
    """What the user types when asked for a machine."""
    import qt

    typed: list[str] = []
    monkeypatch.setattr(qt.QInputDialog, "getText", lambda *arguments: typed.pop(0))
    return typed


@pytest.fixture
def python(tmp_path):
    """Makes a Python program whose ssh leads to this machine, or fails with a sentence."""
    if os.name == "nt":
        pytest.skip("the program is a POSIX script")

    def make(failure: str = "none") -> str:
        ssh = shlex.join([sys.executable, str(TESTING / "fake_ssh.py"), failure])
        folders = f"{TESTING.parent / 'FactorizerSegmentation'}:{TESTING}"
        program = tmp_path / "python-that-relays"
        program.write_text(
            f"#!/bin/sh\nexport FACTORIZER_SSH={shlex.quote(ssh)} PYTHONPATH={folders}\n"
            f'exec {sys.executable} "$@"\n'
        )
        program.chmod(0o755)
        return str(program)

    return make


def entries(panel) -> list[str]:
    combo = panel.ui.deviceComboBox
    return [combo.itemText(index) for index in range(combo.count)]


def choose(panel, text: str) -> None:
    combo = panel.ui.deviceComboBox
    combo.currentIndex = combo.findText(text)


def test_a_machine_is_added_by_its_address_chosen_and_forgotten(widget, panel, answers):
    from FactorizerSegmentationLib.engine.settings import machines

    answers.append("me@gpu")
    choose(panel, "Add a machine ...")

    assert panel.ui.deviceComboBox.currentText == "me@gpu"
    assert entries(panel)[-3:] == ["me@gpu", "Add a machine ...", "Forget me@gpu"]
    assert str(widget.logic.engine.machine) == "me@gpu"

    choose(panel, "Forget me@gpu")
    assert panel.ui.deviceComboBox.currentText == "Automatic"
    assert entries(panel)[-1] == "Add a machine ..."
    assert machines() == [] and widget.logic.engine.machine is None


def test_machines_of_one_address_are_told_apart_by_their_programs(panel, answers):
    for text in ("me@gpu:~/env/bin/factorizer", "me@gpu"):
        answers.append(text)
        choose(panel, "Add a machine ...")
        shown = [text for text in entries(panel) if text.startswith("me@gpu")]
        assert shown in (["me@gpu"], ["me@gpu:~/env/bin/factorizer", "me@gpu"])
    assert len(shown) == 2


def test_who_types_nothing_keeps_the_device(widget, panel, answers):
    combo = panel.ui.deviceComboBox
    processor = combo.itemText(combo.findData("cpu"))
    choose(panel, processor)
    answers.append("")
    choose(panel, "Add a machine ...")

    assert combo.currentText == processor
    assert widget.logic.getParameterNode().inputs.device == "cpu"


def test_what_is_no_address_is_refused_in_a_sentence(panel, answers, monkeypatch):
    import slicer

    told: list[str] = []
    monkeypatch.setattr(slicer.util, "errorDisplay", told.append)
    answers.append("-oProxyCommand=x")
    choose(panel, "Add a machine ...")

    assert len(told) == 1 and "no address of a machine" in told[0]
    assert panel.ui.deviceComboBox.currentText == "Automatic"


def test_a_scene_cannot_choose_a_machine_that_the_user_has_not_added(widget, panel):
    widget.logic.getParameterNode().inputs.device = "ssh:thief@elsewhere"
    widget.logic.notify()

    assert widget.logic.engine.machine is None
    assert panel.ui.deviceComboBox.currentText == "Automatic"
    assert "thief@elsewhere" not in entries(panel)


def test_a_run_on_another_machine_ends_in_the_scene_as_one_here(
    host, scene, widget, panel, volumes, answers, python
):
    here = [entry for entry in entries(panel) if entry != "Add a machine ..."]
    answers.append("me@gpu")
    choose(panel, "Add a machine ...")
    run(host, panel, python())

    assert not panel.controls.failedLast, panel.controls.status
    assert len(segmentations(scene)) == 1
    assert entries(panel)[: len(here)] == here  # what is found there is not here
    assert "gpu" in entries(panel)[len(here)]
    assert panel.ui.deviceComboBox.currentText == "me@gpu: Processor (fake), 3.0 GB free"
    first = widget.logic.engine.processId
    run(host, panel, python())
    assert widget.logic.engine.processId == first


def test_a_machine_that_cannot_be_reached_is_one_sentence_and_the_scene_stays(
    host, scene, panel, volumes, answers, python
):
    answers.append("me@gpu")
    choose(panel, "Add a machine ...")
    run(host, panel, python("ssh: connect to host gpu port 22: Connection refused"))

    assert panel.controls.status.startswith("me@gpu accepts no ssh connections")
    assert segmentations(scene) == []


def test_nothing_has_to_be_installed_here_to_compute_elsewhere(widget, panel, answers, monkeypatch):
    from FactorizerSegmentationLib.engine import packages
    from FactorizerSegmentationLib.panels import install_dialog

    monkeypatch.setattr(packages, "missingPackages", lambda *_: ["torch>=2.4"])
    asked: list[object] = []
    monkeypatch.setattr(install_dialog, "ensurePackages", lambda more: asked.append(more) or "no")
    answers.append("me@gpu")
    choose(panel, "Add a machine ...")

    assert widget.logic.engine.installed and widget.logic.prepareEngine("")
    assert asked == []

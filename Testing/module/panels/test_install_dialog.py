"""Python packages are installed after one dialog, by pip, with progress, and without a network."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import slicer

from FactorizerSegmentationLib.engine import packages


@pytest.fixture
def dialog(host, request):
    """Makes dialogs, shown but not waited for."""
    from FactorizerSegmentationLib.panels.install_dialog import InstallDialog

    made = []

    def make(requirements):
        made.append(InstallDialog(requirements))
        made[-1].widget.show()
        return made[-1]

    yield make
    for item in filter(lambda item: item.widget, made):  # else it was answered
        item.widget.close()
        item.ui.wheelsLineEdit.text = ""


@pytest.fixture
def wheels(tmp_path) -> Path:
    """A folder with the wheel of a tiny package, which needs numpy."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    name = "tiny_wheel-1.0"
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_wheel.py", "")
        described = "Metadata-Version: 2.1\nName: tiny-wheel\nVersion: 1.0\n"
        wheel.writestr(f"{name}.dist-info/METADATA", described)
        wheel.writestr(
            f"{name}.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    return folder


@pytest.fixture
def target(tmp_path, monkeypatch) -> Path:
    """Where pip puts things in place of this Python."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.setenv("PIP_TARGET", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def fake_pip(tmp_path, monkeypatch):
    """Makes a program that takes pip's place: `fake_pip("echo Collecting wanted")`."""
    if os.name == "nt":
        pytest.skip("the fake pip is a POSIX script")

    def make(script: str) -> Path:
        program = tmp_path / "python"
        program.write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/arguments"\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        return tmp_path / "arguments"

    return make


def ended(host, dialog) -> bool:
    return host.wait_until(lambda: dialog._installation is None, 30)


def test_it_lists_what_where_and_how_large(dialog):
    shown = dialog(["torch>=2.4", "monai>=1.4"])

    table = shown.ui.packagesTable
    rows = [[table.item(r, c).text() for c in range(3)] for r in range(table.rowCount)]
    assert rows == [["torch", ">=2.4", "1000 MB"], ["monai", ">=1.4", "15 MB"]]
    assert "about 1.0 GB" in shown.ui.placeLabel.text
    assert "site-packages" in shown.ui.placeLabel.text
    assert shown.ui.torchLabel.visible


def test_it_stays_above_the_main_window_until_it_is_answered_and_then_goes(host, dialog):
    import qt

    shown = dialog(["monai>=1.4"])
    assert shown.widget.parent() is slicer.util.mainWindow() and shown.widget.isWindow()

    qt.QTimer.singleShot(100, shown.ui.cancelInstallButton.click)
    shown.run()
    qt.QCoreApplication.sendPostedEvents(shown.widget, qt.QEvent.DeferredDelete)

    assert not shown.widget


def test_nothing_is_installed_without_consent(dialog, fake_pip):
    arguments = fake_pip("exit 0")
    shown = dialog(["monai>=1.4"])
    shown.ui.cancelInstallButton.click()

    assert "Nothing was installed" in shown.outcome
    assert not arguments.exists()


def test_a_folder_of_wheels_serves_without_a_network(host, dialog, wheels, target):
    shown = dialog(["tiny-wheel>=1"])
    shown.ui.wheelsLineEdit.text = str(wheels)
    shown.ui.installPackagesButton.click()
    assert not shown.ui.installPackagesButton.enabled

    assert ended(host, shown)
    assert shown.outcome == ""
    assert (target / "tiny_wheel.py").exists()
    assert not shown.widget.visible


def test_a_folder_without_wheels_is_refused_before_anything_happens(dialog, tmp_path):
    shown = dialog(["tiny-wheel>=1"])
    shown.ui.wheelsLineEdit.text = str(tmp_path)

    assert not shown.ui.installPackagesButton.enabled
    assert "holds no wheels" in shown.ui.installStepLabel.text


def test_slicers_own_packages_keep_their_versions(host, dialog, fake_pip, monkeypatch):
    monkeypatch.setattr(packages, "_isMet", lambda requirement: True)
    arguments = fake_pip('while [ "$1" != "-c" ]; do shift; done; cat "$2"')
    shown = dialog(["wanted>=1"])
    lines = []
    monkeypatch.setattr(shown, "_onProgress", lambda line, part: lines.append(line))
    shown.ui.installPackagesButton.click()

    assert ended(host, shown)
    assert f"numpy=={np.__version__}" in lines
    assert f"torch=={importlib.metadata.version('torch')}" in lines
    assert arguments.read_text().split()[-1] == "wanted>=1"


def test_progress_is_shown_while_it_goes_on_and_it_can_be_cancelled(host, dialog, fake_pip):
    fake_pip("echo 'Collecting wanted>=1'; exec sleep 600")
    shown = dialog(["wanted>=1", "other>=1"])
    shown.ui.installPackagesButton.click()
    assert host.wait_until(lambda: shown.ui.installProgressBar.value == 33, 20)
    assert shown.ui.installProgressBar.visible

    shown.ui.cancelInstallButton.click()
    assert "was cancelled" in shown.outcome
    assert not shown.widget.visible


def test_a_failure_is_told_in_pips_words_and_can_be_tried_again(host, dialog, fake_pip):
    fake_pip("echo ERROR: No matching distribution found for wanted; exit 1")
    shown = dialog(["wanted>=1"])
    shown.ui.installPackagesButton.click()

    assert ended(host, shown)
    assert "No matching distribution found for wanted" in shown.ui.installStepLabel.text
    assert shown.ui.installPackagesButton.enabled
    assert shown.outcome == shown.ui.installStepLabel.text


def test_what_only_makes_it_faster_may_fail(host, dialog, fake_pip, monkeypatch):
    monkeypatch.setattr(packages, "_isMet", lambda requirement: True)
    arguments = fake_pip('case "$*" in *numba*) echo ERROR: no numba; exit 1;; esac')
    shown = dialog(["wanted>=1", *packages.FASTER])
    shown.ui.installPackagesButton.click()

    assert ended(host, shown)
    assert shown.outcome == ""
    assert [line.split()[-1] for line in arguments.read_text().splitlines()] == [
        "wanted>=1",
        "numba>=0.60",
    ]


def test_the_brain_networks_come_without_what_they_ask_for(host, dialog, fake_pip, monkeypatch):
    monkeypatch.setattr(packages, "_isMet", lambda requirement: True)
    arguments = fake_pip("exit 0")
    shown = dialog(["wanted>=1", packages.BRAIN_NETWORKS])
    shown.ui.installPackagesButton.click()

    assert ended(host, shown)
    first, second = arguments.read_text().splitlines()
    assert first.endswith("wanted>=1") and "--no-deps" not in first
    assert second.endswith(f"--no-deps {packages.BRAIN_NETWORKS}")


def test_what_is_still_missing_afterwards_is_named(host, dialog, fake_pip):
    fake_pip("exit 0")
    shown = dialog(["no-such-package>=1"])
    shown.ui.installPackagesButton.click()

    assert ended(host, shown)
    assert "no-such-package is still missing" in shown.outcome


def test_without_the_pytorch_extension_the_user_is_told_to_install_it(host, dialog):
    shown = dialog([packages.TORCH])
    shown.ui.installPackagesButton.click()

    assert ended(host, shown)
    assert "Install the PyTorch extension" in shown.ui.installStepLabel.text


def test_nobody_is_asked_when_nothing_is_missing_and_tests_are_not_held_up(host, monkeypatch):
    from FactorizerSegmentationLib.panels import install_dialog

    assert install_dialog.ensurePackages() == ""
    assert "Nothing was installed" in install_dialog.ensurePackages(["no-such-package>=1"])


def test_the_dialogs_widgets_are_those_of_its_form():
    library = Path(packages.__file__).parents[1]
    code = (library / "panels" / "install_dialog.py").read_text(encoding="utf-8")
    form = (library.parent / "Resources" / "UI" / "InstallDialog.ui").read_text(encoding="utf-8")
    assert set(re.findall(r"self\.ui\.(\w+)", code)) <= set(re.findall(r'name="(\w+)"', form))
    assert slicer.app.testingEnabled()

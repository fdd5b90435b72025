"""Folders with a patient's scans go, also where Windows does not let go of a file at once."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from in_use import needs_proc


@pytest.fixture
def folder(tmp_path, host):
    """A folder with a volume as an engine that is being killed holds it."""
    folder = tmp_path / "run-1"
    folder.mkdir()
    np.save(folder / "scan.npy", np.zeros((2, 3, 4)))
    return folder


@needs_proc
def test_a_file_that_is_mapped_yet_goes_as_soon_as_it_is_let_go(
    host, folder, files_in_use_stay, monkeypatch
):
    from FactorizerSegmentationLib.engine import temporary

    monkeypatch.setattr(temporary, "_PAUSE_MS", 20)
    mapped = np.load(folder / "scan.npy", mmap_mode="r")
    temporary.removeFolder(folder)
    assert host.wait_until(lambda: len(files_in_use_stay) > 1)
    assert folder.exists() and mapped.sum() == 0
    del mapped
    assert host.wait_until(lambda: not folder.exists())


@needs_proc
def test_what_is_left_goes_at_the_end_of_the_application(folder, files_in_use_stay, monkeypatch):
    from FactorizerSegmentationLib.engine import temporary

    mapped = np.load(folder / "scan.npy", mmap_mode="r")
    temporary.removeFolder(folder, attempts=0)
    assert folder.exists() and mapped.sum() == 0
    del mapped
    temporary.removeLeft()
    assert not folder.exists()


def test_the_scans_of_an_application_that_crashed_go_with_a_run_of_a_later_day(
    host, tmp_path, monkeypatch
):
    import slicer

    from FactorizerSegmentationLib.tasks.engine_run import temporaryFolder

    monkeypatch.setattr(type(slicer.app), "temporaryPath", str(tmp_path), raising=False)
    base = tmp_path / "FactorizerSegmentation"
    for name, hours in (("run-old", 25), ("run-new", 1), ("other", 25)):
        (base / name).mkdir(parents=True)
        (base / name / "scan.npy").touch()
        then = time.time() - 3600 * hours
        os.utime(base / name, (then, then))
    folder = temporaryFolder()
    assert {path.name for path in base.iterdir()} == {"run-new", "other", folder.name}

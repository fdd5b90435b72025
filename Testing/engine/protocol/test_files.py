"""Results on disk: complete or not at all, in folders that were tried beforehand."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from factorizer_engine.protocol import files
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import (
    prepare_output_folder,
    remove_folder,
    write_json,
    write_text,
    written_at_once,
    written_atomically,
    written_folder,
)
from in_use import needs_proc


def test_an_output_folder_is_made_and_left_empty(tmp_path):
    folder = prepare_output_folder(tmp_path / "new" / "one")
    assert folder.is_dir()
    assert list(folder.iterdir()) == []


def test_too_little_space_is_refused_with_both_numbers(tmp_path, monkeypatch):
    usage = files.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _folder: usage._replace(free=3 * 2**20))
    with pytest.raises(BadInputError, match=r"3 MB .* 20 MB"):
        prepare_output_folder(tmp_path, 20 * 2**20)


def test_files_appear_all_together_or_not_at_all(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(ZeroDivisionError), written_at_once(tmp_path) as unfinished:
        (unfinished / "a.txt").write_text("new")
        raise ZeroDivisionError
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "old"}
    with written_at_once(tmp_path) as unfinished:
        (unfinished / "a.txt").write_text("new")
        (unfinished / "b.txt").write_text("too")
    contents = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert contents == {"a.txt": "new", "b.txt": "too"}


@needs_proc
def test_earlier_results_stay_all_if_one_is_open_elsewhere_on_windows(tmp_path, files_in_use_stay):
    for name in ("a.txt", "b.txt", "outdated.txt"):
        (tmp_path / name).write_text("old")
    with pytest.raises(PermissionError), (tmp_path / "b.txt").open():
        with written_at_once(tmp_path, lambda: ["outdated.txt"]) as unfinished:
            for name in ("a.txt", "b.txt", "c.txt"):
                (unfinished / name).write_text("new")
    contents = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert contents == dict.fromkeys(("a.txt", "b.txt", "outdated.txt"), "old")


@needs_proc
def test_a_folder_with_an_open_file_is_replaced_or_removed_as_a_whole_or_not_at_all(
    tmp_path, files_in_use_stay, monkeypatch
):
    """A file goes with its folder on Linux, which Windows refuses to move."""
    folder = tmp_path / "model"
    (folder / "configs").mkdir(parents=True)
    for name in ("configs/a.json", "weights"):
        (folder / name).write_text("old")
    move = os.replace

    def replace_as_on_windows(source, target):
        if Path(source) == folder and not weights.closed:
            raise PermissionError(13, "in use", str(source))
        move(source, target)

    monkeypatch.setattr(files.os, "replace", replace_as_on_windows)
    with (folder / "weights").open() as weights:
        with pytest.raises(PermissionError), written_folder(folder) as written:
            written.mkdir()
        with pytest.raises(PermissionError):
            remove_folder(folder)
        assert [path.name for path in tmp_path.iterdir()] == ["model"]
        assert (folder / "configs/a.json").read_text() == "old"
    with written_folder(folder) as written:
        written.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["model"] and not list(folder.iterdir())
    remove_folder(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_a_search_for_viruses_looks_into_is_replaced_a_moment_later(
    tmp_path, monkeypatch
):
    move, refusals = os.replace, [32, 5]

    def replace_as_on_windows(source, target):
        if refusals:
            error = PermissionError(13, "in use", str(target))
            error.winerror = refusals.pop()
            raise error
        move(source, target)

    monkeypatch.setattr(files.os, "replace", replace_as_on_windows)
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_a_table_that_is_open_in_a_spreadsheet_is_named(tmp_path, monkeypatch):
    def refuse(source, target):
        raise PermissionError(13, "in use", str(target))

    (tmp_path / "lesions.csv").touch()
    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(BadInputError, match="lesions.csv cannot be replaced; close it where"):
        write_text(tmp_path / "lesions.csv", "new")


def test_what_must_survive_is_forced_to_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    path, forced = tmp_path / "last.pt", []
    path.write_text("old")
    monkeypatch.setattr(files.os, "fsync", lambda _number: forced.append(path.read_text()))
    for durable in (False, True):
        with written_atomically(path, durable=durable) as temporary:
            temporary.write_text(f"durable: {durable}")
    assert forced == ["durable: False"]
    assert path.read_text() == "durable: True" and list(tmp_path.iterdir()) == [path]


def test_what_is_no_json_leaves_the_old_file(tmp_path):
    path = tmp_path / "new" / "run.json"
    write_json(path, {"step": 1})
    with pytest.raises(TypeError):
        write_json(path, {"step": object()})
    assert path.read_text() == '{\n  "step": 1\n}\n'


def test_without_space_the_old_file_stays_and_nothing_is_left_behind(tmp_path):
    path = tmp_path / "result.csv"
    path.write_text("old")
    with (
        pytest.raises(BadInputError, match="no space left") as caught,
        written_atomically(path) as temporary,
    ):
        temporary.write_text("half of the n")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(caught.value).count(". ") == 0
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_in_letters_of_an_old_system_is_refused(tmp_path):
    """Libraries in C++ would end the process."""
    with pytest.raises(BadInputError, match="not in UTF-8"):
        prepare_output_folder(tmp_path / os.fsdecode(b"M\xfcller"))
    assert list(tmp_path.iterdir()) == []

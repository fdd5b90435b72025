"""Results on disk: complete or not at all, in folders that were tried beforehand."""

from __future__ import annotations

import errno
import os

import pytest

from factorizer_engine.protocol import files
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import (
    prepare_output_folder,
    write_json,
    written_at_once,
    written_atomically,
)


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

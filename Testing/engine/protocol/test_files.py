"""Results on disk: complete or not at all, in folders that were tried beforehand."""

from __future__ import annotations

import errno

import pytest

from factorizer_engine.protocol import files
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import (
    prepare_output_folder,
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

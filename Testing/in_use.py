"""Files in use stay, as on Windows: what is open or mapped is neither removed nor moved there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

PROC = Path("/proc")
needs_proc = pytest.mark.skipif(not (PROC / "self/maps").exists(), reason="needs Linux's /proc")


@pytest.fixture
def files_in_use_stay(monkeypatch) -> list[str]:
    """Removing or moving a file that a process uses fails; returns what was tried in vain."""
    refused: list[str] = []

    def refusing(function):
        def change(path, *others, dir_fd=None, **options):
            for name in (path, *others):
                folder = "" if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")
                full = os.path.realpath(os.path.join(folder, os.fspath(name)))
                if full in set(_used()):
                    refused.append(full)
                    raise PermissionError(13, "The file is used by another process", full)
            options = {**options, "dir_fd": dir_fd} if dir_fd is not None else options
            return function(path, *others, **options)

        return change

    changed = {name: refusing(getattr(os, name)) for name in ("unlink", "rename", "replace")}
    for name, function in {**changed, "remove": changed["unlink"]}.items():
        monkeypatch.setattr(os, name, function)
    monkeypatch.setattr(os, "supports_dir_fd", {*os.supports_dir_fd, changed["unlink"]})
    return refused


def _used() -> Iterator[str]:
    """Files that processes of this user have open or mapped into memory."""
    for process in PROC.glob("[0-9]*"):
        try:
            for handle in os.scandir(process / "fd"):
                yield os.readlink(handle.path)
            for line in (process / "maps").read_text(encoding="utf-8").splitlines():
                if len(columns := line.split(maxsplit=5)) == 6:
                    yield columns[5]
        except OSError:  # it has ended, or is another user's
            continue

"""The files that the far half keeps for a session, by what they contain."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from factorizer_engine.protocol.files import file_digest, written_folder
from factorizer_engine.protocol.locations import model_folders
from factorizer_engine.protocol.messages import ProtocolError

KEPT_BYTES = 10 * 10**9
"""Of more files than these, the ones that were not asked for longest are deleted."""

_DIGEST_LETTERS = 64
_NAME = re.compile(r"[0-9a-f]{64}(?:\.[A-Za-z0-9]{1,8}){0,2}")


def name_of(path: Path, digest: bytes) -> str:
    """What a file is called in a store: its sum, and the endings that readers know it by."""
    endings = path.suffixes[-2:] if path.suffix == ".gz" else [path.suffix]
    name = digest.hex() + "".join(endings)
    return name if _NAME.fullmatch(name) else digest.hex()


class FileStore:
    """Files named after their sums (SHA-256), and folders made of them.

    Args:
        folder: An existing folder for them.
        kept: See `KEPT_BYTES`.
    """

    def __init__(self, folder: Path, kept: int = KEPT_BYTES) -> None:
        self._files, self._folders = folder / "files", folder / "folders"
        self._files.mkdir()
        self._folders.mkdir()
        self._kept = kept
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._begun: dict[str, hashlib._Hash] = {}

    def missing(self, wanted: Mapping[str, int]) -> list[str]:
        """Those of the files, given by their sizes, that have to be sent.

        What the installed models of this machine consist of is taken from them.
        """
        lacking = {name: size for name, size in wanted.items() if name not in self._sizes}
        if lacking:
            self._take_from_models(lacking)
        for name in wanted:
            if name in self._sizes:
                self._sizes.move_to_end(name)
        missing = [name for name in wanted if name not in self._sizes]
        for name in missing:  # what was broken off comes anew
            self._begun.pop(name, None)
        return missing

    def add(self, name: str, part: bytes) -> None:
        """Append to a file that comes in.

        Raises:
            OSError: If it cannot be written.
            ProtocolError: If that is no name for a file.
        """
        begun = name in self._begun
        digest = self._begun.setdefault(name, hashlib.sha256())
        digest.update(part)
        with self._path(name).open("ab" if begun else "wb") as file:
            file.write(part)

    def finish(self, name: str) -> None:
        """All of a file is here.

        Raises:
            OSError: If it cannot be written.
            ProtocolError: If it is not what its name says.
        """
        self.add(name, b"")
        digest = self._begun.pop(name).hexdigest()
        if digest != name[:_DIGEST_LETTERS]:
            self._path(name).unlink()
            raise ProtocolError("A file was damaged on its way to this machine.")
        self._remember(name)

    def keep(self, path: Path) -> None:
        """Take a file in, which is moved, since it is likely to be asked for."""
        name = name_of(path, file_digest(path))
        os.replace(path, self._path(name))
        self._remember(name)

    def make_folder(self, name: str, files: Mapping[str, str]) -> None:
        """Make a folder, unless it is there.

        Args:
            name: "KEY/NAME", such that one key means one content for good.
            files: Path in the folder to name of the file.

        Raises:
            OSError: If it cannot be written.
            ProtocolError: If a path leads out of it.
        """
        folder = self._folders / inside(name)
        if folder.exists():
            return
        with written_folder(folder) as unfinished:
            for relative, file in files.items():
                target = unfinished / inside(relative)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._path(file), target)

    def forget_oldest(self) -> None:
        """Delete what was not asked for longest, if there is too much."""
        while sum(self._sizes.values()) > self._kept and len(self._sizes) > 1:
            name, _ = self._sizes.popitem(last=False)
            self._path(name).unlink(missing_ok=True)

    def _take_from_models(self, lacking: Mapping[str, int]) -> None:
        sizes = set(lacking.values())
        for path in _files_of_models():
            if path.stat().st_size not in sizes:
                continue
            name = name_of(path, file_digest(path))
            if name in lacking and name not in self._sizes:
                shutil.copyfile(path, self._path(name))
                self._remember(name)

    def _remember(self, name: str) -> None:
        self._sizes[name] = self._path(name).stat().st_size
        self._sizes.move_to_end(name)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ProtocolError(f"'{name[:80]}' is no name for a file in a store.")
        return self._files / name


def inside(relative: str) -> PurePosixPath:
    """A path that leads nowhere but into the folder it is put behind.

    Raises:
        ProtocolError: If it does not.
    """
    path = PurePosixPath(relative)
    parts = path.parts
    if not parts or path.is_absolute() or any(p == ".." or set(p) & set("\\:\0") for p in parts):
        raise ProtocolError(f"The path '{relative[:80]}' leads out of its folder.")
    return path


def _files_of_models() -> Iterator[Path]:
    for folder in model_folders():
        yield from (path for path in folder.glob("*/**/*") if path.is_file())

"""What a request takes along to the other machine, and what its result brings back."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from factorizer_engine.protocol.description import installed_models
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import file_digest, written_atomically
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.places import AnyMessage, Place, moved
from factorizer_engine.service.remote.store import inside, name_of


class Atlas:
    """Where files of this machine lie on the other one.

    Args:
        folder: The folder of the session there.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder.replace("\\", "/")
        self._here: dict[str, str] = {}

    def add(self, there: str, here: str) -> str:
        """Note that a file here is that one there, below the session's folder; returns its path."""
        path = f"{self.folder}/{there}"
        self._here[path] = here
        return path

    def here(self, path: str) -> str | None:
        """The path here of one there, or None."""
        return self._here.get(path.replace("\\", "/"))


class Luggage:
    """The files of one request.

    Args:
        request_id: Its id.
        params: Its parameters, which name files here.
        atlas: Gets to know where these lie there.

    Attributes:
        params: The parameters with the names of the files there.
        files: Path here of all that has to be there, by its name there.
        folders: Folders that have to be there: paths in them to names of `files`.

    Raises:
        BadInputError: If a file cannot be read.
    """

    def __init__(self, request_id: int, params: Message, atlas: Atlas) -> None:
        self.files: dict[str, Path] = {}
        self.folders: dict[str, dict[str, str]] = {}
        self._atlas = atlas
        self._run = f"runs/{request_id}"
        self._home: Path | None = None
        self._arriving: TemporaryDirectory[str] | None = None
        try:
            self.params = moved(params, self._pack)
        except OSError as error:
            raise BadInputError(
                f"'{error.filename}' cannot be read and so not be sent to the other machine.",
                repr(error),
            ) from error

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of all files, by name."""
        return {name: path.stat().st_size for name, path in self.files.items()}

    def arrive(self, relative: str, part: bytes) -> None:
        """Take some bytes of a file of the result.

        Raises:
            ProtocolError: If its path leads out of the folder.
            OSError: If it cannot be written.
        """
        if self._arriving is None:
            self._arriving = TemporaryDirectory(prefix="arriving-", ignore_cleanup_errors=True)
        path = Path(self._arriving.name) / inside(relative)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(part)

    def unpack(self, result: AnyMessage) -> AnyMessage:
        """Put what has arrived where it was wanted; returns the result with the names here.

        Raises:
            BadInputError: If a file cannot be written.
        """
        if self._arriving is not None and self._home is not None:
            arrived = Path(self._arriving.name)
            for path in sorted(path for path in arrived.rglob("*") if path.is_file()):
                with written_atomically(self._home / path.relative_to(arrived)) as written:
                    shutil.move(path, written)
        self.drop()
        return moved(result, self._unpacked)

    def drop(self) -> None:
        """Delete what has arrived and was not unpacked."""
        if self._arriving is not None:
            self._arriving.cleanup()
            self._arriving = None

    def _pack(self, place: Place, text: str) -> str:
        if place is Place.results:
            self._home = Path(text)
            return f"{self._atlas.folder}/{self._run}"
        if place is Place.page:
            self._home = Path(text).parent
            return f"{self._atlas.folder}/{self._run}/{Path(text).name}" if text else ""
        path = Path(text if place is Place.content else _model_path(text))
        if path.is_file():
            return self._atlas.add(f"files/{self._with_file(path)}", text)
        if place is Place.model and (path / "configs").is_dir():
            return self._atlas.add(f"folders/{self._with_folder(path)}", str(path))
        return text  # the engine says that it was not found, or it is the name of a model there

    def _with_file(self, path: Path) -> str:
        status = path.stat()
        name = name_of(path, _digest(path, status.st_mtime_ns, status.st_size))
        self.files[name] = path
        return name

    def _with_folder(self, folder: Path) -> str:
        content = {
            path.relative_to(folder).as_posix(): self._with_file(path)
            for path in sorted(_files_in(folder))
        }
        key = hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()
        name = f"{key}/{folder.resolve().name}"
        self.folders[name] = content
        return name

    def _unpacked(self, place: Place, text: str) -> str:
        known = self._atlas.here(text)
        if known is not None:
            return known
        run = f"{self._atlas.folder}/{self._run}/"
        path = text.replace("\\", "/")
        if self._home is None or not path.startswith(run):
            return text
        return str(self._home / PurePosixPath(path.removeprefix(run)))


def _model_path(text: str) -> str:
    """The path of the model that is installed here under this name, or the text itself."""
    if os.sep in text or "/" in text:
        return text
    return next((str(model.path) for model in installed_models() if model.name == text), text)


def _files_in(folder: Path) -> Iterable[Path]:
    """What a model consists of; links that lead out of it are not followed."""
    root = folder.resolve()
    for path in folder.rglob("*"):
        hidden = any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
        if not hidden and path.is_file() and path.resolve().is_relative_to(root):
            yield path


@lru_cache(maxsize=1024)
def _digest(path: Path, _changed: int, _size: int) -> bytes:
    return file_digest(path)

"""What travels through ssh: small headers, each followed by some bytes."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO

from factorizer_engine.protocol.files import MEGABYTE
from factorizer_engine.protocol.messages import ProtocolError

PART = MEGABYTE
"""Bytes of a file that travel together, before they are compressed."""

_LONGEST = 64 * MEGABYTE
LONGEST_HEADER = 4096
_FASTEST = 1
"""Networks are slow enough that stronger compression pays, but then it holds up the fast ones."""


class Kind(str, Enum):
    """What a frame is about; `name` and content in brackets."""

    ready = "ready"
    """Far: who it is (a `Readiness`)."""
    query = "query"
    """Near: which of these files are there? (names to sizes and sums)"""
    missing = "missing"
    """Far: these are not (list of names)."""
    part = "part"
    """Both: some bytes of a file (its name; compressed)."""
    whole = "whole"
    """Both: that was all of it (its name)."""
    folder = "folder"
    """Near: make a folder of files that are there (its name; paths in it to names of files)."""
    alive = "alive"
    """Near: still here, so that the far half knows when it is not."""
    line = "line"
    """Both: a line of the engine's protocol."""


@dataclass(frozen=True)
class Frame:
    """One header and what follows it."""

    kind: Kind
    name: str = ""
    content: bytes = b""

    @classmethod
    def of(cls, kind: Kind, data: Any, name: str = "") -> Frame:
        """The frame whose content is `data` as JSON."""
        return cls(kind, name, json.dumps(data).encode())

    @property
    def data(self) -> Any:
        """The content, which is JSON.

        Raises:
            ProtocolError: If it is not.
        """
        try:
            return json.loads(self.content)
        except ValueError as error:
            raise ProtocolError("A frame from the other machine is not JSON.") from error

    @property
    def bytes_of_file(self) -> bytes:
        """What the content was before it was compressed.

        Raises:
            ProtocolError: If it was not compressed, or is longer than parts are.
        """
        inflate = zlib.decompressobj()
        try:
            content = inflate.decompress(self.content, PART)
        except zlib.error as error:
            raise ProtocolError("A part of a file was damaged on its way.") from error
        if inflate.unconsumed_tail:
            raise ProtocolError("A part of a file is longer than parts are.")
        return content


class FrameWriter:
    """Writes frames, from any thread."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._lock = threading.Lock()

    def write(self, frame: Frame) -> None:
        """Write one.

        Raises:
            OSError: If nobody reads any more.
        """
        header = {"kind": frame.kind.value, "name": frame.name, "bytes": len(frame.content)}
        with self._lock:
            try:
                unwritten = memoryview(json.dumps(header).encode() + b"\n" + frame.content)
                while unwritten:
                    unwritten = unwritten[self._sink.write(unwritten) :]
                self._sink.flush()
            except ValueError as error:  # it was closed
                raise BrokenPipeError(str(error)) from error


def read_frame(source: BinaryIO) -> Frame | None:
    """The next frame; None at the end, also where that comes in the middle of one.

    Raises:
        ProtocolError: If there is something else.
    """
    header = source.readline(LONGEST_HEADER)
    return frame_after(header, source) if header.endswith(b"\n") else None


def frame_after(header: bytes, source: BinaryIO) -> Frame | None:
    """The frame of a header that was read already; see `read_frame`."""
    try:
        fields = json.loads(header)
        kind, name, size = Kind(fields["kind"]), str(fields["name"]), int(fields["bytes"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProtocolError("The other machine sent something else.", repr(header)) from error
    if not 0 <= size <= _LONGEST:
        raise ProtocolError("The other machine sent a frame that is too long.", repr(header))
    content = source.read(size)
    return Frame(kind, name, content) if len(content) == size else None


def frames_of(path: Path, name: str) -> Iterator[Frame]:
    """The frames that carry a file.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        while part := file.read(PART):
            yield Frame(Kind.part, name, zlib.compress(part, _FASTEST))
    yield Frame(Kind.whole, name)

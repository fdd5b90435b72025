"""Whether the compressed voxels of a MetaImage can be unpacked, which ITK does not tell."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

from factorizer_engine.images.files.recognition import damaged
from factorizer_engine.protocol.errors import BadInputError

_LAST_FIELD = "ElementDataFile"
_HERE = "LOCAL"
_YES = ("T", "t", "1")
_BLOCK = 1 << 20
_LONGEST_HEADER = 1 << 16


def check_compressed_voxels(path: Path, expected: int) -> None:
    """Make sure that compressed voxels are all there; voxels that are not compressed may be any.

    ITK hands out whatever its memory held before in place of those that it cannot unpack.

    Args:
        path: A MetaImage file whose header ITK has read.
        expected: Bytes that the voxels take.

    Raises:
        BadInputError: If they cannot be unpacked, or are fewer.
    """
    fields, begin = _header(path)
    if fields.get("CompressedData", "")[:1] not in _YES:
        return
    holder = fields.get(_LAST_FIELD, _HERE)
    if holder.upper() != _HERE:
        path, begin = path.parent / holder, 0
    if not path.is_file():  # a list or a pattern of files
        return
    if _unpacked_size(path, begin, _size(path, fields)) < expected:
        raise damaged(path)


def _header(path: Path) -> tuple[dict[str, str], int]:
    """The fields of the header, and how many bytes it has."""
    with path.open("rb") as file:
        fields: dict[str, str] = {}
        while _LAST_FIELD not in fields and file.tell() < _LONGEST_HEADER:
            line = file.readline(_LONGEST_HEADER)
            if not line:
                break
            name, _, value = line.decode("latin-1").partition("=")
            fields[name.strip()] = value.strip()
        return fields, file.tell()


def _size(path: Path, fields: dict[str, str]) -> int:
    """Bytes that the compressed voxels take by the header, which ITK goes by."""
    text = fields.get("CompressedDataSize", "")
    if not text.isdigit() or not int(text):
        raise BadInputError(
            f"{path.name} does not say how many bytes its compressed voxels take, without which "
            "ITK and Slicer cannot read them; export it again."
        )
    return int(text)


def _unpacked_size(path: Path, begin: int, size: int) -> int:
    unpacker, count = zlib.decompressobj(wbits=47), 0  # zlib or gzip, as its header says
    try:
        for block in _blocks(path, begin, size):
            count += len(unpacker.decompress(block))
    except zlib.error as error:
        raise damaged(path, error) from error
    return count


def _blocks(path: Path, begin: int, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(begin)
        while size > 0 and (block := file.read(min(_BLOCK, size))):
            size -= len(block)
            yield block

"""Whether the voxels of a MetaImage are all there and in mm, which ITK does not tell."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from factorizer_engine.images.files.recognition import check_unit, damaged
from factorizer_engine.protocol.errors import BadInputError

_LAST_FIELD = "ElementDataFile"
_HERE = "LOCAL"
_LIST = "LIST"
_YES = ("T", "t", "1")
_BLOCK = 1 << 20
_LONGEST_HEADER = 1 << 16


def check_meta_header(path: Path, size: Sequence[int]) -> None:
    """Make sure that sizes are in mm, and that voxels in several files have all these files.

    ITK takes all sizes for mm. It hands out whatever its memory held before in place of files that
    are not named, and writes beyond its memory where too many are.

    Args:
        path: A MetaImage file whose header ITK has read.
        size: Its voxels along each axis.

    Raises:
        BadInputError: If it is otherwise.
    """
    fields, begin = _header(path)
    check_unit(path, fields.get("DistanceUnits", ""))
    words = fields.get(_LAST_FIELD, _HERE).split() or [_HERE]
    if words[0].startswith(_LIST):
        own_axes = int(words[1]) if len(words) > 1 and words[1].isdigit() else len(size) - 1
        needed = math.prod(size[own_axes:]) if 0 < own_axes < len(size) else 0
        names = path.read_bytes()[begin:].splitlines()
        found = min(needed, sum(bool(name.strip()) for name in names))
    elif "%" in words[0]:
        needed, found = size[-1], _numbered(words[1:], size[-1])
    else:
        return
    if found != needed or not needed or _is_compressed(fields):
        raise BadInputError(
            f"{path.name} has its voxels in several files, which are compressed or not as many as "
            "its slices; export it again as one file."
        )


def _numbered(words: Sequence[str], slices: int) -> int:
    """How many files a pattern with a first number, a last one and a step names; 0 if unclear."""
    if len(words) < 2:
        return slices
    try:
        first, last, step = map(int, words)
        return len(range(first, last + 1, step)) if step > 0 else 0
    except ValueError:
        return 0


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
    if not _is_compressed(fields):
        return
    holder = fields.get(_LAST_FIELD, _HERE)
    if holder.upper() != _HERE:
        path, begin = path.parent / holder, 0
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


def _is_compressed(fields: dict[str, str]) -> bool:
    return fields.get("CompressedData", "")[:1] in _YES


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

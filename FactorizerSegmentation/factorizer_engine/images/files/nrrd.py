"""What the header of an NRRD file says that ITK passes over."""

from __future__ import annotations

import re
from pathlib import Path

from factorizer_engine.images.files.recognition import check_unit
from factorizer_engine.protocol.errors import BadInputError

_LONGEST_HEADER = 1 << 20
_VECTOR = re.compile(r"\([^)]*\)|none")
_QUOTED = re.compile(r'"([^"]*)"')
_AXES = 3


def check_nrrd_header(path: Path) -> None:
    """Make sure that sizes are in mm, and that each axis of space has one, or none of them.

    ITK takes all sizes for mm, and those that are not known ("none", or not a number) for 1.

    Args:
        path: An NRRD file whose header ITK has read.

    Raises:
        BadInputError: If it is otherwise.
    """
    fields = _fields(path)
    for unit in _QUOTED.findall(fields.get("space units", "") + fields.get("units", "")):
        check_unit(path, unit)
    steps = fields.get("space directions")
    values = _VECTOR.findall(steps) if steps else fields.get("spacings", "").split()
    known = [value for value in values if value != "none" and "nan" not in value.lower()]
    if values and len(known) < _AXES:
        raise BadInputError(
            f"{path.name} does not say how far apart its voxels are along every axis; correct the "
            "spacing in its header or export it again."
        )


def _fields(path: Path) -> dict[str, str]:
    """The fields of the header by their names in lower case, without comments and keys."""
    with path.open("rb") as file:
        header = re.split(rb"\r?\n\r?\n", file.read(_LONGEST_HEADER), maxsplit=1)[0]
    pairs = (line.partition(": ") for line in header.decode("latin-1").splitlines())
    return {name.strip().lower(): value.strip() for name, mark, value in pairs if mark}

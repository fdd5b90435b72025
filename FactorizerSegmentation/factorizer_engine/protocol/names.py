"""Names that every file system can keep, and names of models. Standard library only."""

from __future__ import annotations

import re

_DEVICES = {
    "con", "prn", "aux", "nul", "conin$", "conout$",
    *(f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"),
}  # fmt: skip
"""Names that Windows keeps for devices, whatever ending follows them."""

_LONGEST_FILE_NAME = 255
_LONGEST_MODEL_NAME = 64


def is_portable(name: str) -> bool:
    """Whether a file or folder of this name can be made, and means the same, on every system."""
    return bool(
        0 < len(name.encode("utf-8", errors="replace")) <= _LONGEST_FILE_NAME
        and not re.search(r'[\x00-\x1f<>:"/\\|?*]', name)
        and not name.endswith((".", " "))
        and name.partition(".")[0].rstrip().lower() not in _DEVICES
    )


def plain_name(text: str) -> str:
    """`text` as part of a file's name, which leads out of no folder and every system can keep."""
    return re.sub(r"[^\w ,()+-]", "_", text).strip()


def slug(text: str) -> str:
    """`text` as a model's name: lower case, digits, hyphens."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    name = name[:_LONGEST_MODEL_NAME].strip("-") or "model"
    return name if is_portable(name) else f"{name}-model"


def model_name_problem(name: str) -> str:
    """Why `name` cannot be that of a model, as the end of a sentence; "" if it can.

    Folders are called like the models in them. Models that are written here have stricter names,
    see `slug`.
    """
    if is_portable(name) and name == name.strip() and len(name) <= _LONGEST_MODEL_NAME:
        return ""
    return (
        f"is not one that every system can keep; give it 1 to {_LONGEST_MODEL_NAME} lower-case "
        f"letters, digits and hyphens, such as '{slug(name)}'"
    )

"""Where things of the user are kept. Standard library only, so that Slicer's side may import it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

MODELS_VARIABLE = "FACTORIZER_MODELS"
"""Environment variable with the user's models folders, separated like $PATH."""

CACHE_VARIABLE = "FACTORIZER_CACHE"
"""Environment variable with another folder for what preparations have found."""

TURNS_VARIABLE = "FACTORIZER_TURNS"
"""Environment variable with another folder for the turns at graphics cards."""

_PACKAGE = Path(__file__).resolve().parents[1]


def _resources() -> Path:
    """What ships with the engine: beside it in Slicer, within the package if pip installed it."""
    within = _PACKAGE / "resources"
    return within if within.is_dir() else _PACKAGE.parent / "Resources"


RESOURCES = _resources()
"""What comes along, where nothing may be written."""

CATALOGUE = RESOURCES / "catalogue.json"
"""Published models that can be downloaded."""

_SHIPPED = RESOURCES / "models"


def model_folders() -> tuple[Path, ...]:
    """All folders that hold one folder per model; earlier ones win where names are equal."""
    return (*user_models_dirs(), _SHIPPED)


def user_models_dirs() -> tuple[Path, ...]:
    """The user's models folders, which may not exist yet; models are installed in the first.

    $FACTORIZER_MODELS if set, else `factorizer/models` in the platform's folder for user data.
    """
    named = os.environ.get(MODELS_VARIABLE, "").split(os.pathsep)
    folders = tuple(Path(part).expanduser() for part in named if part)
    return folders or (_user_data_dir() / "factorizer" / "models",)


def user_cache_dir() -> Path:
    """The platform's folder for what can be made anew."""
    return _user_dir("Caches", "XDG_CACHE_HOME", ".cache")


def preparation_cache_dir() -> Path:
    """Where the engine keeps what the preparation of scans has found; $FACTORIZER_CACHE if set."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    return user_cache_dir() / "factorizer" / "preparation"


def turns_dir() -> Path:
    """Where the engines of this computer agree on turns; $FACTORIZER_TURNS if set.

    Not the folder for temporary files, of which every engine has one of its own. All users share
    it, but for Windows, where one may not write to what another has made.
    """
    named = os.environ.get(TURNS_VARIABLE)
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        return user_cache_dir() / "factorizer" / "turns"
    return Path("/tmp/factorizer-turns")


def _user_data_dir() -> Path:
    return _user_dir("Application Support", "XDG_DATA_HOME", ".local/share")


def _user_dir(on_macos: str, variable: str, elsewhere: str) -> Path:
    """A folder of this user; on Linux the variable's, or else the one below the home folder."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / on_macos
    return Path(os.environ.get(variable) or Path.home() / elsewhere)

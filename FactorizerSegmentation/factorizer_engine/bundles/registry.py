"""Installed model bundles: find, choose, install, remove."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.reading.archive import copy_bundle
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.protocol.description import by_name
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.files import remove_folder, written_folder
from factorizer_engine.protocol.locations import model_folders, user_models_dirs

_log = logging.getLogger(__name__)


class TakenNameError(BadInputError):
    """A model of that name is there, which nobody asked to replace.

    Args:
        sentence: What is wrong and what to do about it, up to how to ask for that.
        how: The end of the sentence: how to ask; panels leave it to the command.
    """

    def __init__(self, sentence: str, how: str = "by the command with --replace") -> None:
        super().__init__(f"{sentence} {how}.")
        self.sentence = sentence


def find_bundles(extra_dirs: Iterable[str | Path] = ()) -> list[Bundle]:
    """All installed bundles, by name.

    Looked for in `extra_dirs`, the user's folders and the shipped one, in this order; of bundles
    with one name that of `by_name` is taken. Folders that hold no readable bundle are logged and
    left out; files are not compared with their checksums here.
    """
    found: list[Bundle] = []
    for folder in (*map(Path, extra_dirs), *model_folders()):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if not (path / "configs").is_dir():
                continue
            try:
                bundle = load_bundle(path, verify=False)
            except BadModelError as error:
                _log.warning("%s is left out: %s", path, error)
                continue
            found.append(bundle)
    meant = by_name(bundle.description for bundle in found)
    shown = [b for b in found if b.description is meant[b.description.name]]
    return sorted(shown, key=lambda bundle: bundle.description.name)


def resolve_model(
    model: str | Path, device: str = "cpu", extra_dirs: Iterable[str | Path] = ()
) -> Bundle:
    """The verified bundle that a user means.

    Args:
        model: A bundle's path, its name, or a family, which picks the best installed bundle of the
            family for the device.
        device: Such as "cpu", "cuda:1" or "mps".
        extra_dirs: Folders to search before the usual ones.

    Raises:
        BadModelError: If there is no such model, or it is incomplete or damaged.
    """
    if is_place(model):
        return load_bundle(model)
    meant = bundles_called(model, extra_dirs)
    return load_bundle(min(meant, key=lambda b: _unsuitability(b, device)).description.path)


def bundles_called(model: str | Path, extra_dirs: Iterable[str | Path] = ()) -> list[Bundle]:
    """All bundles that a user may mean, unverified: several if it is a family.

    Raises:
        BadModelError: If there is none.
    """
    text = str(model)
    if is_place(model):
        return [load_bundle(model, verify=False)]
    installed = find_bundles(extra_dirs)
    named = [bundle for bundle in installed if bundle.description.name == text]
    family = [bundle for bundle in installed if bundle.description.family.lower() == text.lower()]
    if named or family:
        return named or family
    if Path(text).expanduser().exists():
        return [load_bundle(text, verify=False)]
    names = ", ".join(bundle.description.name for bundle in installed) or "none"
    raise BadModelError(f"There is no model called {text}; installed models: {names}.")


def install_bundle(source: str | Path, replace: bool = False) -> Bundle:
    """Copy a bundle (.zip or folder) into the user's first folder, after checking it.

    Args:
        source: The .zip file or folder.
        replace: Whether it may take the place of an installed bundle of the same name; one that
            comes with the software stays and comes back when this one is removed.

    Raises:
        BadModelError: If the source is not a sound bundle, its weights do not fit its network, or
            links lead out of its folder.
        BadInputError: If a bundle of that name is installed already, or nothing can be written.
    """
    bundle = load_bundle(source)
    check_name_is_free(bundle.description.name, replace)
    from factorizer_engine.bundles.architecture import build_networks  # needs torch

    build_networks(bundle)
    folder = user_models_dirs()[0]
    target = folder / bundle.description.name
    try:
        with written_folder(target) as copy:
            copy_bundle(bundle.description.path, copy)
    except OSError as error:
        raise BadInputError(
            f"The model cannot be installed in {folder}: {error.strerror or error}."
        ) from error
    return load_bundle(target)


def check_name_is_free(name: str, replace: bool) -> None:
    """Make sure that a new model of this name hides none.

    Args:
        name: The new model's.
        replace: Whether the user wants it to take the place of another.

    Raises:
        TakenNameError: If a model of that name is installed or comes with the software.
    """
    if replace:
        return
    if (user_models_dirs()[0] / name).exists():
        raise TakenNameError(
            f"The model {name} is installed already; remove it first, or replace it"
        )
    if any(bundle.description.name == name for bundle in find_bundles()):
        raise TakenNameError(
            f"A model called {name} comes with the software or lies in another folder of models; "
            "to use the new one in its place, install it"
        )


def remove_bundle(name: str) -> None:
    """Delete a bundle from the user's folders.

    Raises:
        BadInputError: If the user's folders hold no bundle of that name, or it cannot be deleted.
    """
    installed = (path for folder in user_models_dirs() for path in folder.glob("*"))
    for path in installed:
        if (path / "configs").is_dir() and not path.is_symlink() and _bundle_name(path) == name:
            try:
                remove_folder(path)
            except OSError as error:
                raise BadInputError(
                    f"The model {name} cannot be deleted: {error.strerror or error}."
                ) from error
            return
    shipped = any(bundle.description.name == name for bundle in find_bundles())
    raise BadInputError(
        f"The model {name} comes with the software and cannot be removed."
        if shipped
        else f"There is no installed model called {name}."
    )


def is_place(model: str | Path) -> bool:
    """Whether a model is named by its place, whatever lies there."""
    text = str(model)
    return os.sep in text or "/" in text or text.lower().endswith(".zip")


def _bundle_name(path: Path) -> str:
    """The bundle's name; for a broken one, which must be removable too, the folder's."""
    try:
        return load_bundle(path, verify=False).description.name
    except BadModelError:
        return path.name


def _unsuitability(bundle: Bundle, device: str) -> tuple[bool, int, float, str]:
    """Sort key: made for this device, made for few others, quick on it, then by name."""
    model, kind = bundle.description, device.partition(":")[0]
    suits = not model.devices or kind in model.devices
    breadth = len(model.devices) or 99
    return (not suits, breadth, model.expected_seconds.get(kind, float("inf")), model.name)

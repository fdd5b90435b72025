"""Models from wherever they are: a file, a folder, an address, or the catalogue."""

from __future__ import annotations

from pathlib import Path

from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.published.archives import unpack_matching
from factorizer_engine.bundles.published.downloads import RemoteFile, download, find_file
from factorizer_engine.bundles.published.importing import import_checkpoint
from factorizer_engine.bundles.reading.members import WEIGHTS_SUFFIXES
from factorizer_engine.bundles.registry import check_name_is_free, install_bundle
from factorizer_engine.protocol.catalogue import PublishedModel, published_models
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import file_digest, temporary_folder
from factorizer_engine.protocol.locations import user_models_dirs
from factorizer_engine.protocol.progress import Monitor

_DOWNLOADED = 0.9
"""Part of the progress that a download takes; the rest is unpacking and checking."""


def install_model(
    source: str, sha256: str = "", replace: bool = False, monitor: Monitor | None = None
) -> tuple[Bundle, str]:
    """Install a model into the user's models folder.

    Args:
        source: A .zip file, a folder, a checkpoint, an https address of one of these, or the name
            of a model in the catalogue.
        sha256: What a download must add up to; "" if that is not known.
        replace: Whether an installed model of the same name may be replaced.
        monitor: Told how far it has come.

    Returns:
        The installed bundle, and the SHA-256 of what was downloaded ("" if nothing was).

    Raises:
        BadInputError: If there is nothing at `source`, a download is not what was expected, or a
            model of that name is installed already.
        BadModelError: If what is there is no sound model.
    """
    monitor = monitor or Monitor()
    published = next((model for model in published_models() if model.name == source), None)
    if published is not None and not Path(source).expanduser().exists():
        wanted = find_file(published.location, published.file)
        sums = {**wanted.sums, **({"sha256": published.sha256} if published.sha256 else {})}
        wanted = RemoteFile(wanted.url, wanted.name, wanted.size or published.size, sums)
        return _from_internet(wanted, published, replace, monitor)
    if "://" in source:
        wanted = find_file(source)
        sums = {"sha256": sha256} if sha256 else {}
        return _from_internet(RemoteFile(wanted.url, wanted.name, 0, sums), None, replace, monitor)
    if sha256:
        raise BadInputError("A SHA-256 is for downloads; leave it out for a file or folder.")
    path = Path(source).expanduser()
    if not path.exists():
        raise BadInputError(
            f"'{source}' is neither a file or folder nor a model of the catalogue; check the name."
        )
    return _from_file(path, replace, monitor), ""


def _from_internet(
    wanted: RemoteFile, published: PublishedModel | None, replace: bool, monitor: Monitor
) -> tuple[Bundle, str]:
    if published is not None:
        check_name_is_free(published.name, replace)  # before a long download, and not after it
    with temporary_folder() as folder:
        file = download(wanted, folder, monitor.span(0.0, _DOWNLOADED))
        sha256, rest = file_digest(file).hex(), monitor.span(_DOWNLOADED, 1.0)
        if published is None or not published.members:
            return _from_file(file, replace, rest), sha256
        unpacked = folder / "unpacked"
        unpacked.mkdir()
        members = unpack_matching(file, published.members, unpacked, rest.span(0.0, 0.7))
        rest.report("checking", 0.7)
        target = user_models_dirs()[0] / published.name
        preset = published.preset or None
        return import_checkpoint(members, target, preset, overwrite=replace), sha256


def _from_file(path: Path, replace: bool, monitor: Monitor) -> Bundle:
    monitor.report("checking", 0.0)
    if path.suffix.lower() in WEIGHTS_SUFFIXES:
        return import_checkpoint(path, overwrite=replace)
    if path.is_dir() and not any(path.glob("**/configs")):
        return import_checkpoint(path, overwrite=replace)
    return install_bundle(path, replace=replace)

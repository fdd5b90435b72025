"""What a bundle's components mean, as two files of its `configs` keep it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.reading.checksums import write_checksums
from factorizer_engine.protocol.description import CHECKSUM_FILE, read_mapping
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.files import write_text
from factorizer_engine.protocol.messages import UnfitValueError, parse
from factorizer_engine.protocol.profiles import Profiles
from factorizer_engine.protocol.unique_keys import read_json

CARD_TITLE = "## What its components mean"
"""Title of the last section of a card with profiles."""

OWN = Path("configs", "components.json")
"""Of the networks that answer for all scans."""

OF_FEWER = Path("configs", "components-fewer.json")
"""Of those that learned from studies which lack scans."""
ATLAS = Path("docs", "atlas")
"""Pictures of the components in an example."""


def read_profiles(root: Path, file: Path = OWN) -> Profiles | None:
    """The profiles in a file of a bundle's folder; None if there are none.

    Raises:
        BadModelError: If they cannot be read.
    """
    path = root / file
    if not path.is_file():
        return None
    status = path.stat()
    return _profiles_of(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=32)
def _profiles_of(path: Path, changed: int, size: int) -> Profiles:
    """Those of a file that was changed then: every request reads all installed models."""
    try:
        return parse(Profiles, read_mapping(path, read_json), "")
    except UnfitValueError as error:
        raise BadModelError(
            f"The model's {path.name} is not valid: {str(error).lstrip('.')}."
        ) from error


def profiles_text(profiles: Profiles) -> str:
    """Profiles as JSON, one component a line."""
    lines = [json.dumps(profile.to_dict(), ensure_ascii=False) for profile in profiles.components]
    cases, listed = json.dumps(list(profiles.cases), ensure_ascii=False), ",\n".join(lines)
    tells = "" if profiles.tells_false_alarms else '\n"tells_false_alarms": false,'
    return f'{{"cases": {cases},{tells}\n"components": [\n{listed}\n]}}\n'


def write_profiles(root: Path, profiles: Profiles | None, fewer: Profiles | None) -> None:
    """Put profiles into a bundle's folder, where there are any; checksums stay as they are."""
    for file, written in ((OWN, profiles), (OF_FEWER, fewer)):
        if written is not None:
            write_text(root / file, profiles_text(written))


def keep_profiles(
    bundle: Bundle,
    profiles: Profiles,
    section: str,
    fewer: Profiles | None = None,
    atlas: Mapping[str, str] | None = None,
) -> None:
    """Put profiles into the folder of a bundle, and say in its card what they are.

    Checksums are renewed if there are any.

    Args:
        bundle: A bundle in a folder.
        profiles: What its components mean.
        section: The same in words, Markdown, for the end of the card; an earlier one is replaced.
        fewer: Likewise of the networks that learned from studies which lack scans.
        atlas: Pictures (SVG) of the components by file name, in place of earlier ones; None keeps
            what is there.

    Raises:
        BadInputError: If the bundle is no folder, or it cannot be written.
    """
    check_can_keep(bundle)
    root = bundle.description.path
    write_profiles(root, profiles, fewer)
    if atlas is not None:
        shutil.rmtree(root / ATLAS, ignore_errors=True)
        (root / ATLAS).mkdir(parents=True, exist_ok=True)  # a browser may have a picture open
        for name, picture in atlas.items():
            write_text(root / ATLAS / name, picture)
    before, _, _ = bundle.description.card.partition(f"\n{CARD_TITLE}\n")
    write_text(root / "docs" / "README.md", f"{before.rstrip()}\n\n{CARD_TITLE}\n\n{section}\n")
    if (root / CHECKSUM_FILE).is_file():
        write_checksums(root)


@dataclass(frozen=True)
class Kept:
    """What `keep_profiles` was given for a bundle; see there."""

    profiles: Profiles
    section: str
    fewer: Profiles | None
    atlas: dict[str, str] | None


def kept_profiles(bundle: Bundle) -> Kept | None:
    """What `keep_profiles` has put into a bundle's folder; None if nothing."""
    if bundle.profiles is None:
        return None
    section = bundle.description.card.partition(f"\n{CARD_TITLE}\n")[2].strip()
    pictures = sorted((bundle.description.path / ATLAS).glob("*"))
    atlas = {picture.name: picture.read_text(encoding="utf-8") for picture in pictures}
    return Kept(bundle.profiles, section, bundle.fewer_profiles, atlas or None)


def check_can_keep(bundle: Bundle) -> None:
    """Refuse what is no folder, before anything is measured.

    Raises:
        BadInputError: If the bundle is a .zip file.
    """
    if bundle.storage is not None:
        raise BadInputError(
            "The descriptions cannot be kept in a .zip file; unpack the model, and name its folder."
        )

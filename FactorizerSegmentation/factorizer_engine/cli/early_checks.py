"""What is wrong with a call, as far as it shows before anything has started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from factorizer_engine.protocol.checks import AMBER, RED, Finding, of_severity
from factorizer_engine.protocol.errors import BadInputError

if TYPE_CHECKING:
    from factorizer_engine.images.scan import Scan


def check_files(inputs: Sequence[str]) -> None:
    """Make sure that the scans of a call exist.

    Args:
        inputs: Each "CHANNEL=FILE" or "FILE", where FILE may be "FOLDER::SERIES".

    Raises:
        BadInputError: If one does not exist.
    """
    from factorizer_engine.images.files import SERIES_MARK, split_series

    for text in inputs:
        if not text.strip():
            raise BadInputError("A scan is given without a file; give one, or leave it out.")
        if Path(text).expanduser().exists():
            continue
        name, separator, file = text.partition("=")
        named = separator and SERIES_MARK not in name
        if named and not file.strip():
            raise BadInputError(f"The channel {name.strip()} is given without a file.")
        path = Path(split_series(file.strip() if named else text)[0]).expanduser()
        if not path.exists():
            raise BadInputError(f"{path} does not exist; check the path.")


def put_together_by_name(inputs: Sequence[str]) -> bool:
    """Whether nobody has said of some scans which channel they are.

    Args:
        inputs: Each "CHANNEL=FILE" or "FILE".
    """
    return not all("=" in text for text in inputs)


def check_one_study(scans: Mapping[str, Scan]) -> None:
    """Make sure that scans which were put together by their names are of one patient and one day.

    Args:
        scans: The scan of each channel.

    Raises:
        BadInputError: If their files name several.
    """
    for place, what in enumerate(("patients", "dates")):
        told = {channel: scan.study[place] for channel, scan in scans.items() if scan.study[place]}
        first, *others = told or [""]
        for other in others:
            if told[other] != told[first]:
                raise BadInputError(
                    f"The scans for {first} and {other} are of different {what}; say by "
                    "--input CHANNEL=FILE which ones belong together."
                )


def doubts_about(findings: Sequence[Finding], strict: bool) -> list[str]:
    """The sentences that are to be said about scans before the model runs on them.

    Args:
        findings: What the engine's check noticed.
        strict: Refuse what is only doubtful, too.

    Raises:
        BadInputError: If the scans cannot be used, or with `strict` if they are doubtful.
    """
    refused = of_severity(findings, RED)
    doubtful = of_severity(findings, AMBER)
    if refused or (strict and doubtful):
        raise BadInputError(" ".join(finding.sentence for finding in refused or doubtful))
    return [finding.sentence for finding in doubtful]


def check_names(model: str, reference: str | None, region: str | None) -> None:
    """Make sure that there is such a model, with such a channel and such a region.

    Args:
        model: Name, family or path; "" leaves the choice open, and the rest unchecked.
        reference: Name of a channel, or None.
        region: Name of a region, or None.

    Raises:
        BadModelError: If there is no such model.
        BadInputError: If it has no such channel or region; of a family, if none of its models has.
    """
    if not model or model.lower().endswith(".zip"):  # unpacking one is work for later
        return
    from factorizer_engine.bundles.registry import bundles_called
    from factorizer_engine.images.checks import channel_named

    found = [bundle.description for bundle in bundles_called(model)]
    if reference is not None:
        channels = {channel.name: channel for m in found for channel in m.channels}
        channel_named(reference, list(channels.values()))
    regions = list(dict.fromkeys(region.name for m in found for region in m.regions))
    if region is not None and region not in regions:
        raise BadInputError(
            f"The model has no region '{region}'; its regions are {', '.join(regions)}."
        )

"""What is wrong with a call, as far as it shows before anything has started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Caution:
    """What is done about scans that look doubtful.

    Attributes:
        strict: They are refused.
        mixed: The user has said that scans of several patients, dates or frames of reference belong
            together; else these are refused, too.
    """

    strict: bool = False
    mixed: bool = False


def doubts_about(findings: Sequence[Finding], caution: Caution) -> list[str]:
    """The sentences that are to be said about scans before the model runs on them.

    Args:
        findings: What the engine's check noticed.
        caution: Whether they may be run.

    Raises:
        BadInputError: If the scans cannot be used, or may not.
    """
    refused = of_severity(findings, RED)
    doubtful = of_severity(findings, AMBER)
    if refused or (caution.strict and doubtful):
        raise BadInputError(" ".join(finding.sentence for finding in refused or doubtful))
    asked = [] if caution.mixed else [finding.sentence for finding in findings if finding.asks]
    if asked:
        raise BadInputError(f"{' '.join(asked)} Give --mixed if they belong together.")
    return [finding.sentence for finding in doubtful]


def check_one_patient(scans: Mapping[str, Scan], mixed: bool) -> None:
    """Make sure that scans which are going to be registered are of one patient and one day.

    Args:
        scans: The scan of each channel; frames of reference do not count.
        mixed: Whether several are meant.

    Raises:
        BadInputError: If their files name several and these are not meant.
    """
    from factorizer_engine.images.plausibility.together import of_several

    unplaced = {
        name: replace(scan, origin=replace(scan.origin, frame="")) for name, scan in scans.items()
    }
    doubts_about(of_several(unplaced), Caution(mixed=mixed))


def check_before_preparation(findings: Sequence[Finding]) -> None:
    """Make sure that scans are worth preparing; a CT without its air is not known as one any more.

    Args:
        findings: What the engine's check noticed about the raw scans.

    Raises:
        BadInputError: If one of them cannot be used, prepared or not.
    """
    doubts_about([found for found in findings if not found.by_preparation], Caution(mixed=True))


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

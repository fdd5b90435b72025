"""Where the label maps come from that are scored: a model, or a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from factorizer_engine.images.checks import channel_named
from factorizer_engine.images.files import read_labels, write_nifti
from factorizer_engine.images.geometry import same_grid
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import ModelDescription, Subset
from factorizer_engine.protocol.runs import RunOptions
from factorizer_engine.protocol.subsets import subset_of
from factorizer_engine.protocol.wording import counted, enumerated
from factorizer_engine.training.data.cases import read_channels
from factorizer_engine.training.data.checks import grids_differ
from factorizer_engine.training.data.dataset import SUFFIXES, Case
from factorizer_engine.training.data.matching import painted_values, places_of_channels

if TYPE_CHECKING:
    from factorizer_engine.inference.result import SegmentationResult
    from factorizer_engine.inference.segmenter import Segmenter


_MOST_CHANNELS = 6  # whose 63 parts are tried


@dataclass(frozen=True)
class FolderPredictor:
    """Reads label maps made elsewhere, `<case>.nii.gz` in a folder.

    Which model made them, and where, is not known.
    """

    folder: Path
    model: None = None
    device: None = None

    @property
    def note(self) -> str:
        return f"label maps in {self.folder.name}"

    def painted(self, regions: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
        """The values of its label maps that hold each region: those of the data."""
        return {name: tuple(values) for name, values in regions.items()}

    def __call__(self, case: Case) -> Scan:
        return read_labels(self.file(case))

    def file(self, case: Case) -> Path:
        """The label map of a case.

        Raises:
            BadInputError: If there is none.
        """
        if not self.folder.is_dir():
            raise BadInputError(f"There is no folder {self.folder} of label maps; check the path.")
        for suffix in SUFFIXES:
            path = self.folder / f"{case.name}{suffix}"
            if path.is_file():
                return path
        raise BadInputError(f"The folder {self.folder} has no label map of the case {case.name}.")


@dataclass(frozen=True)
class ModelPredictor:
    """Segments cases as users would.

    Attributes:
        segmenter: The loaded model.
        note: Which model and settings.
        model: Its fingerprint.
        mirroring: Mirror at test time; None as the model says.
        keep: Folder for the label maps.
        channels: The channels that are given to the model; all without any.
    """

    segmenter: Segmenter
    note: str = ""
    model: str | None = None
    mirroring: bool | None = None
    keep: Path | None = None
    channels: tuple[str, ...] = ()

    @property
    def device(self) -> torch.device:
        return self.segmenter.device

    def __call__(self, case: Case) -> Scan:
        scans, label = self.inputs(case)
        reference = next(iter(scans))
        if not same_grid(scans[reference].grid, label.grid):
            raise BadInputError(f"{case.name}: {grids_differ(label, scans[reference])}")
        found = self.segment(scans, reference)
        if self.keep is not None:
            write_nifti(found, self.keep / f"{case.name}.nii.gz")
        return found

    def painted(self, regions: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
        """The values of its label maps that hold each region of the data, by name."""
        return painted_values(regions, self.segmenter.bundle.description)

    def segment(self, scans: dict[str, Scan], reference: str) -> Scan:
        """The label map of scans by channel name, on the grid of one of them."""
        return self.result(scans, reference).labelmap

    def result(self, scans: dict[str, Scan], reference: str) -> SegmentationResult:
        """What the model finds in scans by channel name, on the grid of one of them."""
        return self.segmenter.segment(scans, reference, RunOptions(mirroring=self.mirroring))

    def inputs(self, case: Case) -> tuple[dict[str, Scan], Scan]:
        """A case's scans by the model's channel names, and its label.

        Channels meet by name, since data may have them in another order. The first scan is the
        reference: the model's first channel on the grid of the label, if any lies on it.

        Raises:
            BadInputError: If the case has other channels than the model, or lacks one that the
                model is to be given.
        """
        model = self.segmenter.bundle.description
        found = read_channels(case)
        if len(found) != len(case.channels):
            raise BadInputError(
                f"The case {case.name} has {counted(len(found), 'channel')}, but its dataset "
                f"names {enumerated(case.channels)}."
            )
        given = self.channels or tuple(channel.name for channel in model.channels)
        places = places_of_channels(case.channels, model, given)
        scans = {name: scan for name, place in places.items() if (scan := found[place]) is not None}
        lacking = [name for name in given if name not in scans]
        if lacking:
            raise BadInputError(
                f"The case {case.name} lacks {enumerated(lacking)}; name by --channel what all "
                "cases have, or leave it out."
            )
        label = read_labels(case.label)
        alike = (name for name, scan in scans.items() if same_grid(scan.grid, label.grid))
        first = next(alike, next(iter(scans)))
        return {first: scans.pop(first), **scans}, label


Predictor = FolderPredictor | ModelPredictor
"""Gives the label map of a case on the grid of its reference label, and says who it is."""


def open_model(
    name: str,
    device: str = "auto",
    precision: str = "float32",
    mirroring: bool | None = None,
    channels: Sequence[str] = (),
    needs: Mapping[str, Sequence[str]] | None = None,
) -> ModelPredictor:
    """Load a model by its name, family or path.

    Args:
        name: Name, family or path.
        device: Where it computes.
        precision: In which type it computes.
        mirroring: Mirror at test time; None as the model says.
        channels: The channels that it is given; all without any.
        needs: Let it take every part of its channels, whatever it says itself; of each region the
            channels without each of which it cannot be seen. A cascade takes what its first stage
            takes.

    Raises:
        EngineError: If it cannot be found, loaded or run on the device, or does not take the
            channels.
    """
    from factorizer_engine.bundles.reading.checksums import fingerprint
    from factorizer_engine.bundles.registry import resolve_model
    from factorizer_engine.inference.segmenter import Segmenter

    bundle = resolve_model(name, device)
    model = bundle.description
    if needs is not None:
        subsets = every_subset(model, needs)
        if bundle.coarse is not None:
            subsets = _seen_by(bundle.coarse.description, subsets)
        model = replace(model, subsets=subsets)
    given = tuple(channel_named(channel, model.channels) for channel in channels)
    if given:
        subset_of(model, given)
    segmenter = Segmenter(replace(bundle, description=model), device, precision)
    mirrored = {None: "", True: ", mirrored", False: ", not mirrored"}[mirroring]
    only = f", {' + '.join(given)} only" if given else ""
    note = f"{model.name} {model.version}, {precision}{mirrored}{only}"
    return ModelPredictor(segmenter, note, fingerprint(bundle), mirroring, channels=given)


def every_subset(model: ModelDescription, needs: Mapping[str, Sequence[str]]) -> tuple[Subset, ...]:
    """Every part of a model's channels with which a region may be seen, the largest first.

    Args:
        needs: Region to the channels without each of which it cannot be seen; others need none.
    """
    names = [channel.name for channel in model.channels]
    if len(names) > _MOST_CHANNELS:
        raise BadInputError(
            f"The model {model.name} has {len(names)} channels, whose parts are too many to try."
        )
    subsets = []
    for size in range(len(names), 0, -1):
        for part in combinations(names, size):
            seen = [r.name for r in model.regions if {*needs.get(r.name, ())} <= {*part}]
            if seen:
                subsets.append(Subset(part, tuple(seen)))
    return tuple(subsets)


def _seen_by(first_stage: ModelDescription, subsets: Sequence[Subset]) -> tuple[Subset, ...]:
    """What is left of subsets in a cascade, whose second stage looks where the first found."""
    found = {subset.channels: subset.regions for subset in first_stage.subsets}
    whole, *parts = subsets
    limited = (
        replace(part, regions=tuple(r for r in part.regions if r in found.get(part.channels, ())))
        for part in parts
    )
    return (whole, *(part for part in limited if part.regions))

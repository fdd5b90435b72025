"""Where the label maps come from that are scored: a model, or a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from factorizer_engine.images.files import read_scan, write_nifti
from factorizer_engine.images.geometry import same_grid
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.runs import RunOptions
from factorizer_engine.training.data.cases import read_channels
from factorizer_engine.training.data.dataset import SUFFIXES, Case

if TYPE_CHECKING:
    from factorizer_engine.inference.segmenter import Segmenter


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

    def __call__(self, case: Case) -> Scan:
        for suffix in SUFFIXES:
            path = self.folder / f"{case.name}{suffix}"
            if path.is_file():
                return read_scan(path)
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
    """

    segmenter: Segmenter
    note: str = ""
    model: str | None = None
    mirroring: bool | None = None
    keep: Path | None = None

    @property
    def device(self) -> torch.device:
        return self.segmenter.device

    def __call__(self, case: Case) -> Scan:
        scans, _ = self.inputs(case)
        found = self.segment(scans, reference=next(iter(scans)))
        if self.keep is not None:
            write_nifti(found, self.keep / f"{case.name}.nii.gz")
        return found

    def segment(self, scans: dict[str, Scan], reference: str) -> Scan:
        """The label map of scans by channel name, on the grid of one of them."""
        return self.segmenter.segment(
            scans, reference, RunOptions(mirroring=self.mirroring)
        ).labelmap

    def inputs(self, case: Case) -> tuple[dict[str, Scan], Scan]:
        """A case's scans by the model's channel names, and its label.

        The first scan is the reference: the model's first channel on the grid of the label, if any
        lies on it.

        Raises:
            BadInputError: If the case has another number of channels than the model.
        """
        model = self.segmenter.bundle.description
        names = [channel.name for channel in model.channels]
        found = read_channels(case)
        if len(found) != len(names):
            raise BadInputError(
                f"The case {case.name} has {len(found)} channels, but the model "
                f"{model.name} takes {len(names)}."
            )
        scans, label = dict(zip(names, found, strict=True)), read_scan(case.label)
        first = next((n for n in names if same_grid(scans[n].grid, label.grid)), names[0])
        return {first: scans.pop(first), **scans}, label


Predictor = FolderPredictor | ModelPredictor
"""Gives the label map of a case on the grid of its reference label, and says who it is."""


def open_model(
    name: str, device: str = "auto", precision: str = "float32", mirroring: bool | None = None
) -> ModelPredictor:
    """Load a model by its name, family or path.

    Raises:
        EngineError: If it cannot be found, loaded or run on the device.
    """
    from factorizer_engine.bundles.reading.checksums import fingerprint
    from factorizer_engine.bundles.registry import resolve_model
    from factorizer_engine.inference.segmenter import Segmenter

    segmenter = Segmenter(resolve_model(name, device), device=device, precision=precision)
    model = segmenter.bundle.description
    mirrored = {None: "", True: ", mirrored", False: ", not mirrored"}[mirroring]
    note = f"{model.name} {model.version}, {precision}{mirrored}"
    return ModelPredictor(segmenter, note, fingerprint(segmenter.bundle), mirroring)

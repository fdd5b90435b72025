"""What all DICOM objects that are derived from a series share: by whom, and on which planes."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues
from pydicom.sr.coding import Code

from factorizer_engine import __version__
from factorizer_engine.images.files.dicom.source import SourceSeries
from factorizer_engine.images.files.dicom.texts import short_text
from factorizer_engine.images.geometry import Grid, overlap_fraction
from factorizer_engine.images.labelmaps import on_whole_grid
from factorizer_engine.images.orientation import LPS_TO_RAS
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import written_atomically
from factorizer_engine.protocol.models import Label

logging.getLogger("highdicom").setLevel(logging.ERROR)  # its warnings quote names of patients

MANUFACTURER = "FactorizerExtension"
PRODUCT = "factorizer"
AI = Code("123110", "DCM", "Artificial Intelligence")
MAKER: dict[str, Any] = {
    "manufacturer": MANUFACTURER,
    "manufacturer_model_name": PRODUCT,
    "software_versions": __version__,
    "device_serial_number": "0",
}
"""What all derived objects say of their maker, as arguments of highdicom's."""
_QUOTED = re.compile(r"(['\"]).*\1")
LEAST_OVERLAP = 0.5
"""Part of a volume that must lie within its series."""
SERIES_NUMBER = 9001
"""That of the segmentation, far above those of scanners; other objects have the ones above it."""


@dataclass(frozen=True)
class Algorithm:
    """What drew the segments.

    Attributes:
        model: Name of the model; "" if people drew them.
        version: Version of the model.
        edited: Names of the labels that people have changed since.
        added: Names of the labels that people alone have drawn.
    """

    model: str = ""
    version: str = ""
    edited: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    def type_of(self, label: Label) -> SegmentAlgorithmTypeValues:
        """Whether the segment of a label was drawn by a program, by people, or both."""
        if not self.model or label.name in self.added:
            return SegmentAlgorithmTypeValues.MANUAL
        if label.name in self.edited:
            return SegmentAlgorithmTypeValues.SEMIAUTOMATIC
        return SegmentAlgorithmTypeValues.AUTOMATIC

    def identification_of(self, label: Label) -> hd.AlgorithmIdentificationSequence | None:
        """The model that has drawn a label, as DICOM tells it; None if people did."""
        if self.type_of(label) == SegmentAlgorithmTypeValues.MANUAL:
            return None
        return hd.AlgorithmIdentificationSequence(
            name=short_text(self.model),
            family=AI,
            version=short_text(self.version) or "unknown",
            source=MANUFACTURER,
        )


def save_dicom(data: hd.base.SOPClass, path: Path) -> None:
    """Write a DICOM object to a file.

    Raises:
        BadInputError: If it cannot be written.
    """
    with written_atomically(path) as temporary:
        data.save_as(temporary)


def on_planes(volume: Scan, source: SourceSeries) -> Scan:
    """A volume on the series' own voxels, if it has these or a part of them; else as it is.

    Raises:
        BadInputError: If it does not lie where the series does.
    """
    whole = on_whole_grid(volume, source.grid)
    if whole.grid is source.grid:
        return whole
    if overlap_fraction(volume.grid, source.grid) < LEAST_OVERLAP:
        raise BadInputError(
            f"{volume.name or 'The volume'} does not lie where the DICOM series {source.title} "
            "does; give the series on which it was made."
        )
    return volume


@contextmanager
def header_errors(source: SourceSeries, what: str) -> Iterator[None]:
    """Say in plain words that highdicom cannot repeat the headers of a series.

    What highdicom warns of and raises quotes them, and so may name the patient in a log.

    Raises:
        BadInputError: In place of what highdicom raises.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (AttributeError, TypeError, ValueError) as error:
        raise BadInputError(
            f"The headers of the DICOM series {source.title} lack or contradict something that a "
            f"DICOM {what} repeats; export the series anew from its archive.",
            _QUOTED.sub("...", repr(error)),
        ) from None


def planes_to_lps(grid: Grid) -> np.ndarray:
    """4x4, from (slice, row, column) to mm in LPS; of voxels (column, row, slice) in RAS."""
    turned = grid.affine[:, [2, 1, 0, 3]]
    return LPS_TO_RAS @ turned

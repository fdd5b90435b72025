"""Results that are there already: folders of `segment`, and segmentations corrected since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from factorizer_engine.cli.outputs import RECORD
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Label

if TYPE_CHECKING:
    from factorizer_engine.images.scan import Scan

SEGMENTATION, AS_COMPUTED = "segmentation.seg.nrrd", "segmentation.nii.gz"


@dataclass(frozen=True, eq=False)
class EarlierResult:
    """A segmentation in a file, and what lies beside it.

    Attributes:
        path: The .seg.nrrd file.
        labelmap: Its voxels.
        labels: What they mean.
        record: What run.json says; empty where there is none.
        told: The model that has drawn each label, by its name, as far as the file itself says.
    """

    path: Path
    labelmap: Scan
    labels: tuple[Label, ...]
    record: Mapping[str, Any] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)

    @property
    def model(self) -> tuple[str, str]:
        """Name and version of the model; empty if neither record nor file says."""
        if not self.record:
            name, _space, version = next(iter(self.told.values()), "").rpartition(" ")
            return name, version
        model = self.record.get("model", {})
        return str(model.get("name", "")), str(model.get("version", ""))

    @property
    def sources(self) -> dict[str, str]:
        """File, DICOM folder or "FOLDER::SERIES" of each channel."""
        return sources_of(self.record)

    @property
    def recorded_source(self) -> str:
        """The source of the channel on whose grid it was made; "" if the record does not say."""
        return self.sources.get(self.reference, "")

    @property
    def reference(self) -> str:
        """The channel on whose grid it was made; "" if the record does not say."""
        return str(self.record.get("reference", ""))

    @property
    def sides_are_known(self) -> bool:
        """Whether left and right of the scan can be told; not if its head is stored mirrored."""
        return not self.record.get("settings", {}).get("upside_down", False)

    @cached_property
    def edited(self) -> tuple[str, ...]:
        """Names of the labels that people had a hand in, as far as is known.

        Their voxels are no longer those that were computed, or these answered clicks.
        """
        if self._answers_clicks:
            return tuple(label.name for label in self.labels)
        before = self._computed
        if before is None:
            return ()
        return tuple(
            label.name
            for label in self.labels
            if ((self.labelmap.array == label.value) != (before == label.value)).any()
        )

    @property
    def perhaps_edited(self) -> tuple[str, ...]:
        """The same, and without a record all that a model has drawn: nobody knows what it drew."""
        return self.edited if self.record else tuple(self.told)

    @property
    def added(self) -> tuple[str, ...]:
        """Names of the labels of which nothing was computed, so that people alone have drawn them.

        That is not said of what neither record nor file tells about.
        """
        if self.told and not self.record:
            return tuple(label.name for label in self.labels if label.name not in self.told)
        before = self._computed
        if before is None:
            return ()
        drawn = set(np.unique(before).tolist())
        return tuple(label.name for label in self.labels if label.value not in drawn)

    @property
    def _answers_clicks(self) -> bool:
        return self.record.get("command") == "refine"

    @cached_property
    def _computed(self) -> np.ndarray | None:
        """The label map as the model left it, on the grid of this one; None if it is gone."""
        from factorizer_engine.images.files import read_scan
        from factorizer_engine.images.resampling import resample

        path = self.path.parent / AS_COMPUTED
        if AS_COMPUTED not in self.record.get("files", ()) or not path.exists():
            return None
        return resample(read_scan(path), self.labelmap.grid, "nearest").array


def read_result(place: Path) -> EarlierResult:
    """Read the result of a run, or a segmentation.

    Args:
        place: A folder that `factorizer segment` wrote, or a .seg.nrrd file.

    Raises:
        BadInputError: If there is none, or it is damaged.
    """
    from factorizer_engine.images.files.seg_reading import models_told, read_seg_nrrd

    path = place.expanduser()
    if path.is_dir():
        path = path / SEGMENTATION
        if not path.exists():
            raise BadInputError(
                f"The folder {place} holds no {SEGMENTATION}; give the folder of a result of "
                "'factorizer segment', or a .seg.nrrd file."
            )
    labelmap, labels = read_seg_nrrd(path)
    record = read_record(path)
    return EarlierResult(path, labelmap, labels, record, models_told(path))


def sources_of(record: Mapping[str, Any]) -> dict[str, str]:
    """File, DICOM folder or "FOLDER::SERIES" of each channel of a run."""
    return {name: item["source"] for name, item in record.get("channels", {}).items()}


def run_facts(record: Mapping[str, Any]) -> dict[str, str]:
    """Model, software, time, device and settings of a run, for people."""
    settings = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in record.get("settings", {}).items()
        if value not in (None, False, [])
    }
    return {
        "Model": " ".join(map(str, record.get("model", {}).values())),
        "Software": " ".join(map(str, record.get("software", {}).values())),
        "Computed": " on ".join(
            str(record[key]) for key in ("finished", "computed_on") if record.get(key)
        ),
        "Settings": ", ".join(f"{name} {value}" for name, value in settings.items()),
    }


def read_record(of: Path) -> dict[str, Any]:
    """The record beside a file; empty if there is none, or if it is of something else.

    Raises:
        BadInputError: If it is damaged.
    """
    path = of.parent / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path} is damaged; remove it, or restore it.", repr(error)) from error
    known = isinstance(record, dict) and isinstance(record.get("channels"), dict)
    return record if known and of.name in record.get("files", ()) else {}

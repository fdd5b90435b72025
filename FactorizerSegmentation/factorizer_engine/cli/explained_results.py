"""What `factorizer components` wrote, read again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from factorizer_engine.cli.earlier_results import EarlierResult, read_record, sources_of
from factorizer_engine.protocol.components import Component, Term
from factorizer_engine.protocol.errors import BadInputError, EngineError
from factorizer_engine.protocol.lesions import Lesion
from factorizer_engine.protocol.models import Region
from factorizer_engine.protocol.tasks.export_dicom import ACTIVITY, EVIDENCE

if TYPE_CHECKING:
    from factorizer_engine.images.files.dicom.parametric_map import ComponentVolume
    from factorizer_engine.images.geometry import Grid
    from factorizer_engine.lesions.reports.content import Explanation

_OTHER_FILES = (
    "The components were computed on other files than the result; make sure that they are of the "
    "same scans."
)
_SAME_MM = 0.5
"""How far the centres of a lesion may be apart when it is measured twice."""


@dataclass(frozen=True)
class ExplainedResult:
    """The components of a result.

    Attributes:
        model: The name of the model.
        components: What they are.
        evidence, activity: Of each, the files of its maps.
        likeness: By the centres of lesions (RAS, mm), their `Lesion.likeness`.
        note: What to know about the contributions, or "".
        doubt: What speaks against their being of this result, or "".
    """

    model: str
    components: tuple[Component, ...]
    evidence: tuple[Path, ...]
    activity: tuple[Path, ...]
    likeness: Mapping[tuple[float, ...], float]
    note: str
    doubt: str = ""

    @classmethod
    def read(cls, folder: Path, found: EarlierResult) -> ExplainedResult:
        """Read components.json.

        Args:
            folder: Where it is.
            found: The result that it has to explain.

        Raises:
            BadInputError: If there is none, it is damaged, or of another model.
        """
        path = folder.expanduser() / "components.json"
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
            model = " ".join(summary["model"].values())
            explained = cls(
                found.model[0],
                tuple(_component(entry) for entry in summary["components"]),
                tuple(path.parent / entry["evidence"] for entry in summary["components"]),
                tuple(path.parent / entry["file"] for entry in summary["components"]),
                {
                    tuple(map(float, entry["centroid_ras"])): float(entry["likeness"])
                    for entry in summary.get("lesions", ())
                    if entry["likeness"] is not None
                },
                str(summary.get("note", "")),
            )
        except FileNotFoundError as error:
            raise BadInputError(
                f"The folder {folder} holds no components.json; give one that "
                "'factorizer components' wrote."
            ) from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInputError(
                f"{path} is damaged; compute the components again.", repr(error)
            ) from error
        if model != " ".join(found.model):
            raise BadInputError(f"The components are of {model}, which did not make this result.")
        theirs = sources_of(read_record(path))
        if theirs and found.sources and theirs != found.sources:
            return replace(explained, doubt=_OTHER_FILES)
        return explained

    def explanation(self, grid: Grid) -> Explanation:
        """For the report, the evidence on a grid."""
        from factorizer_engine.images.files import read_scan
        from factorizer_engine.images.resampling import resample
        from factorizer_engine.lesions.reports.content import Explanation

        evidence = [resample(read_scan(file), grid) for file in self.evidence]
        names = dict.fromkeys(name for c in self.components for name in c.contributions)
        return Explanation(self.components, evidence, _regions(self.model, list(names)), self.note)

    def volumes(self) -> list[ComponentVolume]:
        """For DICOM, the maps of all components: the evidence of each, and its activity."""
        from factorizer_engine.images.files import read_scan
        from factorizer_engine.images.files.dicom.parametric_map import ComponentVolume

        volumes = []
        files = zip(self.components, self.evidence, self.activity, strict=True)
        for number, (component, evidence, activity) in enumerate(files, start=1):
            for file, kind, window in (
                (evidence, EVIDENCE, component.evidence_window),
                (activity, ACTIVITY, component.window),
            ):
                scan = replace(read_scan(file), name=f"The {kind} of {component.name}")
                volumes.append(ComponentVolume(scan, component.name, kind, number, window))
        return volumes

    def with_likeness(self, lesions: Sequence[Lesion]) -> list[Lesion]:
        """Lesions with the likeness of those that are where they were."""
        return [
            replace(lesion, likeness=likeness)
            if (likeness := self._likeness_at(lesion.centroid_ras)) is not None
            else lesion
            for lesion in lesions
        ]

    def _likeness_at(self, centre: Sequence[float]) -> float | None:
        nearest = min(self.likeness, key=lambda other: math.dist(other, centre), default=None)
        if nearest is None or math.dist(nearest, centre) > _SAME_MM:
            return None
        return self.likeness[nearest]


def _component(entry: Mapping[str, Any]) -> Component:
    term = Term.from_dict({key: entry[key] for key in ("network", "block", "head", "rank")})
    contributions = {name: float(value) for name, value in entry["contributions"].items()}
    return Component(
        term,
        str(entry["name"]),
        contributions,
        region=str(entry["region"]),
        window=_window(entry["window"]),
        evidence_window=_window(entry["evidence_window"]),
        level=float(entry["level"]),
    )


def _window(ends: Sequence[float]) -> tuple[float, float]:
    low, high = ends
    return float(low), float(high)


def _regions(model: str, names: Sequence[str]) -> tuple[Region, ...]:
    """The model's regions, if it is still installed; else what can be said of them."""
    from factorizer_engine.bundles.registry import resolve_model

    try:
        return resolve_model(model, "cpu").description.regions
    except EngineError:
        return tuple(Region(name, 0, name) for name in names)

"""Which slices a report shows, over which scan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.diameters import slice_axis
from factorizer_engine.lesions.enhancement import enhancing_labels
from factorizer_engine.lesions.reports.content import Report
from factorizer_engine.lesions.reports.pictures import (
    WHITE,
    Backdrop,
    Heat,
    Outline,
    Picture,
    backdrops,
    css,
    draw,
    peaks_only,
)
from factorizer_engine.lesions.reports.slices import (
    A,
    R,
    S,
    SliceView,
    axis_of,
    slice_through,
)
from factorizer_engine.protocol.lesions import Lesion, LesionPart, Measures
from factorizer_engine.protocol.models import Label
from factorizer_engine.protocol.sequences import sequence_named

MOST_LESIONS = 6
SMALLEST_ML = 0.05
"""Lesions from this size on have pictures and rows; all are in the CSV file."""


@dataclass(frozen=True)
class _Rule:
    """What is seen best on which sequences, by its code or by a part of its name."""

    codes: tuple[str, ...]
    words: tuple[str, ...]
    sequences: tuple[str, ...]


_RULES = (
    _Rule(("79654002",), ("oedema", "edema"), ("FLAIR", "T2")),
    _Rule(("C113842", "6574001"), ("enhanc", "necro"), ("T1ce", "T1")),
    _Rule(("55641003",), ("infarct", "stroke", "isch"), ("DWI", "ADC", "FLAIR")),
)


@dataclass(frozen=True)
class LesionPictures:
    """A lesion with its key images."""

    lesion: Lesion
    pictures: tuple[Picture, ...]


class KeyImages:
    """Draws the pictures of a report.

    Args:
        report: What is reported.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._grid = report.labelmap.grid
        self._backdrops = backdrops(report.scans)

    def overview(self) -> list[Picture]:
        """Slices in all three directions through the largest lesion, each class over its scan."""
        if not self._report.lesions or not self._backdrops:
            return []
        point = self._report.lesions[0].long_axis.middle
        views = [
            slice_through(self._grid, axis_of(self._grid, world), point) for world in (S, A, R)
        ]
        found = {part.label for lesion in self._report.lesions for part in lesion.parts}
        labels = [label for label in self._report.labels if label.value in found]
        return [
            draw(view, self._backdrops[name], self._outlines(group), f"{_names(group)} over {name}")
            for name, group in self._groups(labels).items()
            for view in views
        ]

    def of_lesions(self) -> Iterator[LesionPictures]:
        """The largest lesions, each part over the scan on which it is seen best."""
        largest = [item for item in self._report.lesions if item.volume_ml >= SMALLEST_ML]
        for lesion in largest[:MOST_LESIONS] if self._backdrops else ():
            known = {part.label: part for part in lesion.parts}
            groups = self._groups([item for item in self._report.labels if item.value in known])
            pictures = [
                self._part(lesion, name, labels, [known[label.value] for label in labels])
                for name, labels in groups.items()
            ]
            yield LesionPictures(lesion, tuple(pictures))

    def of_components(self) -> list[Picture]:
        """Each component in the slice in which it contributes most, inside lesions if it does."""
        explanation = self._report.explanation
        if explanation is None or not self._backdrops:
            return []
        backdrop, axis = self._first, axis_of(self._grid, S)
        head, lesions = backdrop.head(self._grid), self._report.labelmap.array > 0
        across = tuple(other for other in range(3) if other != axis)
        pictures = []
        for component, evidence in zip(explanation.components, explanation.evidence, strict=True):
            contribution = component.contributions.get(component.region, 0.0)
            sign = -1 if contribution < 0 else 1
            peaks = peaks_only(np.maximum(sign * evidence.array, 0.0), head)
            inside = peaks * lesions
            activity = (inside if inside.any() else peaks).sum(axis=across)
            view = SliceView(self._grid, axis, int(np.argmax(activity)))
            heat = Heat(peaks, component.evidence_window[1], against=sign < 0)
            outlines = [Outline(lesions, WHITE)]
            pictures.append(draw(view, backdrop, outlines, component.name, heat=heat))
        return pictures

    @property
    def _first(self) -> Backdrop:
        return next(iter(self._backdrops.values()))

    def _part(
        self, lesion: Lesion, name: str, labels: Sequence[Label], parts: Sequence[LesionPart]
    ) -> Picture:
        """Parts of a lesion over one scan, where the lesion is longest, or what enhances in it."""
        values = enhancing_labels(labels)
        enhancing = next((part for part in parts if part.label in values), None)
        measured: Measures = enhancing or lesion
        axis = slice_axis(self._grid.affine)
        picture = draw(
            slice_through(self._grid, axis, measured.long_axis.middle),
            self._backdrops[name],
            self._outlines(labels),
            f"{_names(labels)} over {name}",
            (measured.long_axis, measured.short_axis),
        )
        of = enhancing.name if enhancing else "whole lesion"
        long_axis, short_axis = measured.long_axis.length_mm, measured.short_axis.length_mm
        return replace(picture, caption=f"{of}: {long_axis:.1f} × {short_axis:.1f} mm")

    def _groups(self, labels: Sequence[Label]) -> dict[str, list[Label]]:
        """The classes by the scan on which they are seen best."""
        groups: dict[str, list[Label]] = {}
        for label in labels:
            groups.setdefault(best_channel(label, self._report.scans), []).append(label)
        return groups

    def _outlines(self, labels: Sequence[Label]) -> list[Outline]:
        voxels = self._report.labelmap.array
        return [Outline(voxels == label.value, css(label.color)) for label in labels]


def _names(labels: Sequence[Label]) -> str:
    return ", ".join(label.name for label in labels)


def best_channel(label: Label, channels: Mapping[str, Scan]) -> str:
    """The channel on which a class is seen best; the first if nothing is known about it."""
    by_sequence = {sequence_named(name) or name: name for name in channels}
    name = label.name.lower()
    for rule in _RULES:
        coded = any(f"^{code}^" in label.terminology for code in rule.codes)
        if coded or any(word in name for word in rule.words):
            for sequence in rule.sequences:
                if sequence in by_sequence:
                    return by_sequence[sequence]
    return next(iter(channels))

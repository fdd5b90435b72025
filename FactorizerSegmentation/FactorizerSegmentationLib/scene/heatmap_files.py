"""Heatmaps as files for other programs: NIfTI images, and what the components contribute as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from factorizer_engine.protocol.components import Component
from factorizer_engine.protocol.files import FOR_SPREADSHEETS
from factorizer_engine.protocol.names import plain_name
from FactorizerSegmentationLib.scene.errors import SceneError
from FactorizerSegmentationLib.scene.explanations import Step, stepOf
from FactorizerSegmentationLib.scene.heatmaps import ACTIVITY
from FactorizerSegmentationLib.scene.shown_map import ShownMap

TABLE = "components.csv"
_TRAITS = ("evidence for", "level", "stability", "left without it", "meaning")


def writeHeatmaps(scene, leading: Sequence[Step], folder: Path) -> Iterator[Path]:
    """Write the table and all maps of components, one file at every step of the iterator.

    Images lie on the grid of the scan, as its own file has it, without transforms of the scene.

    Raises:
        SceneError: If a file cannot be written.
    """
    table = folder / TABLE
    try:
        writeTable([step.heatmap.component for step in leading], table)
    except OSError as error:
        raise _failure(table, error.strerror or str(error)) from error
    yield table
    for first in leading:
        second = stepOf(first, ACTIVITY)
        for step in (first,) if second is first else (first, second):
            path = folder / f"{plain_name(step.name)}.nii.gz"
            if step.exists:
                _writeImage(scene, step, path)
                yield path


def writeTable(components: Sequence[Component], path: Path) -> None:
    """A row per component: its place in the model, what it contributes to each region, its traits.

    Among these the region for which its evidence was drawn, and the part of an explained lesion
    that is left without it.

    Raises:
        OSError: If the file cannot be written.
    """
    regions = list(dict.fromkeys(name for it in components for name in it.contributions))
    with path.open("w", newline="", encoding=FOR_SPREADSHEETS) as file:
        rows = csv.writer(file)
        titles = ("component", "network", "block", "head", "rank")
        rows.writerow((*titles, *regions, *_TRAITS))
        for component in components:
            term = component.term
            contributions = [component.contributions.get(name, "") for name in regions]
            traits = (
                component.region,
                component.level,
                component.stability,
                component.left,
                component.meaning,
            )
            place = (component.name, term.network, term.block, term.head, term.rank)
            rows.writerow((*place, *contributions, *traits))


def _writeImage(scene, step: Step, path: Path) -> None:
    shown = ShownMap()
    try:
        written = slicer.util.saveNode(shown.show(scene, step), str(path))
    finally:
        shown.remove(scene)
    if not written:
        raise _failure(path, _("Slicer's log says more"))


def _failure(path: Path, reason: str) -> SceneError:
    sentence = _("The file {path} could not be written ({reason}); choose another folder.")
    return SceneError(sentence.format(path=path, reason=reason))

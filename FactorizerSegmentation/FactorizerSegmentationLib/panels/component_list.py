"""The list of components: a picture of the slice, what each is, and a signed bar."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
import qt
from slicer.i18n import tr as _

from FactorizerSegmentationLib.panels.pictures import icon, signedBar
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.panels.tables import currentKey, fillTable, selectKey
from FactorizerSegmentationLib.scene.thumbnails import EDGE
from FactorizerSegmentationLib.scene.turns import Turns

LINES = 5
"""Of text in a row at most, so that several components are seen in a narrow panel; the tooltip has
all of it."""
PAUSE_MS = 40
"""Between a change of the slice and new pictures, so that moving through slices stays fluent."""


@dataclass(frozen=True)
class Row:
    """A component in the list.

    Attributes:
        key: By which it is known.
        title: Its name, and below it what else is said.
        value: Of its bar.
        tip: What else there is to say.
    """

    key: str
    title: str
    value: float
    tip: str


class ComponentList(qt.QObject):
    """A table of components; the pictures of the rows that are seen follow the slice.

    Args:
        table: A QTableWidget.
        pictureOf: Gives the picture (edge, edge, 3) of a key, or None.
        onSelected: Called when another row was chosen.
    """

    def __init__(
        self,
        table,
        pictureOf: Callable[[str], np.ndarray | None],
        onSelected: Callable[[], None],
    ) -> None:
        super().__init__()
        self._table = table
        self._pictureOf = pictureOf
        self._rows: list[Row] = []
        self._title = ""
        self._outdated: set[int] = set()
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.connect("timeout()", self._drawInTurns)
        self._turns = Turns()
        table.setIconSize(qt.QSize(EDGE, EDGE))
        table.connect("itemSelectionChanged()", onSelected)
        table.verticalScrollBar().connect("valueChanged(int)", self._drawSoon)
        table.installEventFilter(self)

    @property
    def current(self) -> str | None:
        """The key of the chosen row."""
        return currentKey(self._table)

    def select(self, key: str) -> None:
        """Choose the row of a key."""
        selectKey(self._table, key)

    def clearSelection(self) -> None:
        """Choose none."""
        self._table.clearSelection()

    def fill(self, rows: Sequence[Row], title: str) -> None:
        """List components; the chosen one stays chosen.

        Args:
            title: Of the column of the bars.
        """
        if list(rows) == self._rows and title == self._title:
            return
        chosen = self.current
        self._rows, self._title = list(rows), title
        texts = [(row.title, f"{row.value:+.2f}") for row in rows]
        self._table.verticalHeader().maximumSectionSize = self._highestRow()
        fillTable(self._table, (_("Component"), title), texts, [row.key for row in rows])
        largest = max((abs(row.value) for row in rows), default=0.0)
        for number, row in enumerate(rows):
            part = row.value / largest if largest > 0 else 0.0
            self._table.item(number, 1).setIcon(icon(signedBar(part)))
            for column in range(2):
                self._table.item(number, column).setToolTip(row.tip)
        if chosen is not None and chosen in [row.key for row in rows]:
            with signalsBlocked(self._table):
                self.select(chosen)
        self.outdate()

    def outdate(self) -> None:
        """The slice, or how heatmaps are drawn, has changed."""
        self._outdated = set(range(len(self._rows)))
        self._drawSoon()

    def drawPictures(self) -> None:
        """Draw the pictures of the rows that are seen, as far as they are out of date."""
        for _picture in self._pictures():
            pass

    def _drawInTurns(self) -> None:
        problem = "The pictures of components could not be drawn."
        self._turns.startAlone(self._pictures(), problem)

    def _pictures(self) -> Generator[None, None, None]:
        """Draws one at a time."""
        if not self._table.visible or not self._rows:
            return
        first = max(0, self._table.rowAt(0))
        last = self._table.rowAt(self._table.viewport().height - 1)
        last = len(self._rows) - 1 if last < 0 else last
        for number in sorted(self._outdated.intersection(range(first, last + 1))):
            if number >= len(self._rows):  # listed anew in the meantime
                return
            picture = self._pictureOf(self._rows[number].key)
            if picture is not None:
                self._table.item(number, 0).setIcon(icon(picture))
            self._outdated.discard(number)
            yield

    def release(self) -> None:
        """Stop, as before the table is deleted."""
        self._timer.stop()
        self._turns.cancel()
        self._table.removeEventFilter(self)

    def eventFilter(self, watched, event) -> bool:
        """Other rows may be seen."""
        if event.type() in (qt.QEvent.Show, qt.QEvent.Resize):
            self._drawSoon()
        return False

    def _highestRow(self) -> int:
        """Of `LINES` or of the picture, in pixels."""
        probe = qt.QLabel("\n" * (LINES - 1))
        probe.setFont(self._table.font)
        return max(EDGE, probe.sizeHint.height()) + 8

    def _drawSoon(self, *ignored) -> None:
        if not self._timer.isActive():
            self._timer.start()

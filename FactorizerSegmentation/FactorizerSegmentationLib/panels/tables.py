"""Filling of the tables in the panels."""

from __future__ import annotations

from collections.abc import Sequence

import qt

from FactorizerSegmentationLib.panels.signals import signalsBlocked

_LEAST = 6
"""Times the height of its header, which grows with the font: the least width of a first column."""


class FirstColumn(qt.QObject):
    """Leaves the first column of a list room for words: what does not fit beside it is scrolled to.

    Args:
        view: A QTableWidget or QTreeWidget whose first column stretches.
        header: Its horizontal QHeaderView.
    """

    def __init__(self, view, header) -> None:
        super().__init__()
        self._view, self._header = view, header
        header.connect("sectionResized(int,int,int)", self._onResized)
        view.viewport().installEventFilter(self)

    def release(self) -> None:
        """Stop watching, as before the view is deleted."""
        self._view.viewport().removeEventFilter(self)

    def eventFilter(self, watched, event) -> bool:
        """The list has become wider or narrower."""
        if event.type() == qt.QEvent.Resize:
            self._fit()
        return False

    def _onResized(self, *ignored) -> None:
        self._fit()

    def _fit(self) -> None:
        header = self._header
        if header.count() == 0:
            return
        least = _LEAST * header.height
        left = self._view.viewport().width - (header.length() - header.sectionSize(0))
        mode = qt.QHeaderView.Fixed if left < least else qt.QHeaderView.Stretch
        if header.sectionResizeMode(0) != mode:
            header.setSectionResizeMode(0, mode)
        if left < least and header.sectionSize(0) != least:
            header.resizeSection(0, least)


def fillTable(
    table,
    titles: Sequence[str],
    rows: Sequence[Sequence[object]],
    keys: Sequence[object],
    colors: Sequence[tuple[float, float, float] | None] | None = None,
) -> None:
    """Show `rows`; the first column stretches, the others are aligned right.

    Args:
        table: A QTableWidget.
        keys: By row, what `currentKey` returns.
        colors: By row, red, green and blue (0 to 1) of a swatch before the first column.
    """
    with signalsBlocked(table):
        table.clear()
        table.setColumnCount(len(titles))
        table.setRowCount(len(rows))
        table.setHorizontalHeaderLabels(list(titles))
        for row, values in enumerate(rows):
            for column, value in enumerate(values):
                table.setItem(row, column, _item(value, alignRight=column > 0))
            table.item(row, 0).setData(qt.Qt.UserRole, keys[row])
            color = colors[row] if colors is not None else None
            if color is not None:
                table.item(row, 0).setIcon(swatch(color))
        header = table.horizontalHeader()
        for column in range(len(titles)):
            stretch = qt.QHeaderView.Stretch if column == 0 else qt.QHeaderView.ResizeToContents
            header.setSectionResizeMode(column, stretch)
        table.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.clearSelection()
        table.setCurrentItem(None)


def currentKey(table):
    """The key of the selected row, or None."""
    items = table.selectedItems()
    return table.item(items[0].row(), 0).data(qt.Qt.UserRole) if items else None


def selectKey(table, key) -> None:
    """Select the row with `key`."""
    for row in range(table.rowCount):
        if table.item(row, 0).data(qt.Qt.UserRole) == key:
            table.setCurrentItem(table.item(row, 0))
            return


def _item(value: object, alignRight: bool):
    item = qt.QTableWidgetItem()
    item.setData(qt.Qt.DisplayRole, value)
    if alignRight:
        item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
    return item


def swatch(color: tuple[float, float, float]):
    """An icon of one colour, red, green and blue 0 to 1."""
    pixmap = qt.QPixmap(14, 14)
    pixmap.fill(qt.QColor.fromRgbF(*color))
    return qt.QIcon(pixmap)

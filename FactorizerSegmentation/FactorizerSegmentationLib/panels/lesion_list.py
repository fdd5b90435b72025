"""The list of lesions, each with its parts below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import qt
from slicer.i18n import tr as _

from factorizer_engine.protocol.lesions import Lesion, LesionPart, Measures
from factorizer_engine.protocol.wording import rounded
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.panels.tables import FirstColumn, swatch
from FactorizerSegmentationLib.scene.tables import ACCEPTED, REJECTED, UNDECIDED, placeText

Color = tuple[float, float, float]
_COMMAND_KEYS = qt.Qt.ControlModifier | qt.Qt.AltModifier | qt.Qt.MetaModifier


class LesionList(qt.QObject):
    """A tree of lesions with ticks, which is worked by mouse or keyboard.

    Args:
        tree: A QTreeWidget.
        onSelected: Called with the chosen `Lesion`, or None.
        onDecided: Called with a lesion and a verdict of `scene.tables`.
    """

    def __init__(
        self,
        tree,
        onSelected: Callable[[Lesion | None], None],
        onDecided: Callable[[Lesion, str], None],
    ) -> None:
        super().__init__()
        self._tree = tree
        self._onSelected = onSelected
        self._onDecided = onDecided
        self._lesions: list[Lesion] = []
        self._checkable = True
        titles = {
            _("Lesion"): _("Where it lies; below it, its parts"),
            _("mL"): _("Volume"),
            _("mm"): _("Longest diameter in a slice, and the longest line at a right angle to it"),
            _("%"): _("Mean probability; how much is right at which is told by the model's card"),
        }
        tree.setHeaderLabels(list(titles))
        tree.header().setStretchLastSection(False)
        for column, tip in enumerate(titles.values()):
            tree.headerItem().setToolTip(column, tip)
            mode = qt.QHeaderView.Stretch if column == 0 else qt.QHeaderView.ResizeToContents
            tree.header().setSectionResizeMode(column, mode)
        self._firstColumn = FirstColumn(tree, tree.header())
        tree.connect("itemSelectionChanged()", self._onSelectionChanged)
        tree.connect("itemChanged(QTreeWidgetItem*,int)", self._onItemChanged)
        self._keys = {qt.Qt.Key_A: ACCEPTED, qt.Qt.Key_R: REJECTED}
        tree.installEventFilter(self)

    @property
    def current(self) -> Lesion | None:
        """The chosen lesion, or that of the chosen part."""
        row = self._currentRow()
        return self._lesions[row] if row is not None else None

    def fill(
        self,
        lesions: Sequence[Lesion],
        verdicts: Mapping[int, str],
        colorOf: Callable[[int], Color | None],
    ) -> None:
        """List lesions; parts have the colour of their class."""
        self._lesions = list(lesions)
        with signalsBlocked(self._tree):
            self._tree.clear()
            for lesion in lesions:
                self._tree.addTopLevelItem(_lesionItem(lesion, colorOf))
            if len(lesions) == 1:
                self._tree.topLevelItem(0).setExpanded(True)
        self.setVerdicts(verdicts)

    def renew(self, lesions: Sequence[Lesion]) -> None:
        """Take over what else became known of the lesions that are listed."""
        known = {lesion.id: lesion for lesion in lesions}
        self._lesions = [known.get(lesion.id, lesion) for lesion in self._lesions]

    def renameParts(self, colorOf: Callable[[int], Color | None]) -> None:
        """Call and colour the parts as their classes are now."""
        with signalsBlocked(self._tree):
            for row, lesion in enumerate(self._lesions):
                for index, part in enumerate(lesion.parts):
                    _setClass(self._tree.topLevelItem(row).child(index), part, colorOf)

    def setVerdicts(self, verdicts: Mapping[int, str]) -> None:
        """Show what the user has said, by lesion id: a rejected lesion has no tick."""
        with signalsBlocked(self._tree):
            for index, lesion in enumerate(self._lesions):
                item, verdict = self._tree.topLevelItem(index), verdicts.get(lesion.id, UNDECIDED)
                item.setText(0, _title(lesion, verdict))
                item.setToolTip(0, _tip(lesion))
                item.setCheckState(0, qt.Qt.Unchecked if verdict == REJECTED else qt.Qt.Checked)
                font = item.font(0)
                font.setStrikeOut(verdict == REJECTED)
                for column in range(self._tree.columnCount):
                    item.setFont(column, font)

    def setCheckable(self, checkable: bool) -> None:
        """Whether something can be decided."""
        self._checkable = checkable

    def select(self, number: int | None) -> None:
        """Choose the lesion of a number; none if there is no such one."""
        for row, lesion in enumerate(self._lesions):
            if lesion.id == number:
                self._tree.setCurrentItem(self._tree.topLevelItem(row))
                return
        self._tree.clearSelection()

    def selectNext(self) -> None:
        """Go on to the lesion below the chosen one, if there is one."""
        row = self._currentRow()
        if row is not None and row + 1 < len(self._lesions):
            self._tree.setCurrentItem(self._tree.topLevelItem(row + 1))

    def release(self) -> None:
        """Stop listening, as before the tree is deleted."""
        self._tree.removeEventFilter(self)
        self._firstColumn.release()

    def eventFilter(self, watched, event) -> bool:
        """The keys of the verdicts do not go to the search in the list.

        Nor to the application, which has no shortcut of a letter alone. A QEvent.ShortcutOverride
        could make sure of it, but does not tell its key in Slicer.
        """
        if event.type() != qt.QEvent.KeyPress:
            return False
        verdict = self._keys.get(event.key())
        if verdict is None or event.modifiers() & _COMMAND_KEYS:
            return False
        self._onKey(verdict)
        return True

    def _currentRow(self) -> int | None:
        for item in self._tree.selectedItems():
            parent = item.parent()
            return self._tree.indexOfTopLevelItem(item if parent is None else parent)
        return None

    def _onKey(self, verdict: str) -> None:
        lesion = self.current
        if lesion is not None and self._checkable:
            self._onDecided(lesion, verdict)
            self.selectNext()

    def _onSelectionChanged(self) -> None:
        self._onSelected(self.current)

    def _onItemChanged(self, item, column: int) -> None:
        if item.parent() is not None or column != 0:
            return
        lesion = self._lesions[self._tree.indexOfTopLevelItem(item)]
        rejected = item.checkState(0) == qt.Qt.Unchecked
        if self._checkable:
            self._onDecided(lesion, REJECTED if rejected else UNDECIDED)


def _lesionItem(lesion: Lesion, colorOf: Callable[[int], Color | None]):
    item = _item(_title(lesion, UNDECIDED), lesion)
    item.setToolTip(0, _tip(lesion))
    item.setCheckState(0, qt.Qt.Checked)
    for part in lesion.parts:
        child = _item(part.name, part)
        _setClass(child, part, colorOf)
        item.addChild(child)
    return item


def _setClass(item, part: LesionPart, colorOf: Callable[[int], Color | None]) -> None:
    item.setText(0, part.name)
    item.setToolTip(0, part.name)
    color = colorOf(part.label)
    if color is not None:
        item.setIcon(0, swatch(color))


def _item(title: str, measures: Measures):
    long_axis, short_axis = measures.long_axis.length_mm, measures.short_axis.length_mm
    item = qt.QTreeWidgetItem(
        [
            title,
            rounded(measures.volume_ml, 1 if measures.volume_ml >= 10 else 2),
            f"{rounded(long_axis, 0)} \u00d7 {rounded(short_axis, 0)}",
            _percent(measures.mean_probability),
        ]
    )
    tip = _("{product} mm\u00b2; largest diameter in space {diameter} mm").format(
        product=rounded(measures.product_mm2, 0), diameter=rounded(measures.max_diameter_mm, 1)
    )
    for column in range(1, 4):
        item.setTextAlignment(column, qt.Qt.AlignRight | qt.Qt.AlignVCenter)
        item.setToolTip(column, tip)
    item.setToolTip(0, title)
    return item


def _tip(lesion: Lesion) -> str:
    title, told = _title(lesion, UNDECIDED), []
    if lesion.edited_ml > 0:
        told.append(_("{volume} mL edited by hand").format(volume=rounded(lesion.edited_ml, 2)))
    if lesion.is_doubtful:
        told.append(_("other components speak for it than for true lesions; have a look"))
    return f"{title}: {', '.join(told)}" if told else title


def _title(lesion: Lesion, verdict: str) -> str:
    place = placeText(lesion)
    title = f"{lesion.id}: {place}" if place else str(lesion.id)
    if lesion.edited_ml > 0:
        title = f"{title} \u270e"  # a pencil
    if lesion.is_doubtful:
        title = _("{lesion} (false alarm?)").format(lesion=title)
    return f"\u2713 {title}" if verdict == ACCEPTED else title


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f}" if probability == probability else ""

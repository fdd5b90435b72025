"""Of which lesion the components are explained and listed."""

from __future__ import annotations

from collections.abc import Callable

from slicer.i18n import tr as _

from factorizer_engine.protocol.lesions import Lesion
from FactorizerSegmentationLib.panels.signals import signalsBlocked
from FactorizerSegmentationLib.scene import tables


class LesionChoice:
    """A combo box of all lesions and each lesion of a result, which goes along with the review.

    Args:
        combo: A QComboBox.
        onChanged: Called when another entry was chosen.
    """

    def __init__(self, combo, onChanged: Callable[..., None]) -> None:
        self._combo = combo
        self._tableNode: object = None
        self._told: str | None = None
        self._followed: int | None = None
        self._lesions: list[Lesion] = []
        combo.connect("currentIndexChanged(int)", onChanged)

    @property
    def lesion(self) -> Lesion | None:
        """The chosen lesion; None for all."""
        index = self._combo.currentIndex
        return self._lesions[index - 1] if 0 < index <= len(self._lesions) else None

    @property
    def tableNode(self):
        """The lesions that are offered, or None."""
        return self._tableNode

    def offer(self, tableNode, atFirst: Callable[[], int | None]) -> bool:
        """Offer the lesions as they are now.

        Args:
            tableNode: The lesions of the result, or None.
            atFirst: Gives the number of the lesion that is chosen first of another result, or None.

        Returns:
            Whether they are others than before.
        """
        told = tables.lesionsText(tableNode) if tableNode is not None else None
        if self._combo.count > 0 and (tableNode, told) == (self._tableNode, self._told):
            return False
        lesion = self.lesion
        chosen = lesion.id if lesion is not None else None
        if tableNode is not self._tableNode:
            chosen, self._followed = atFirst(), None
        self._tableNode, self._told = tableNode, told
        self._lesions = tables.lesionsOf(tableNode) if tableNode is not None else []
        with signalsBlocked(self._combo):
            self._combo.clear()
            self._combo.addItem(_("All lesions"))
            for lesion in self._lesions:
                title, place = lesionTitle(lesion.id), tables.placeText(lesion)
                self._combo.addItem(f"{title}: {place}" if place else title)
            self._combo.currentIndex = self._indexOf(chosen)
        return True

    def follow(self, lesion: Lesion | None) -> None:
        """Go along with the choice in the review, when that has changed."""
        number = lesion.id if lesion is not None else None
        if number != self._followed:
            self._followed = number
            self._combo.currentIndex = self._indexOf(number)

    def _indexOf(self, number: int | None) -> int:
        """0, all of them, without a number or for a lesion that is gone."""
        ids = [known.id for known in self._lesions]
        return 1 + ids.index(number) if number in ids else 0


def lesionTitle(number: int) -> str:
    """How a lesion is called."""
    return _("Lesion {number}").format(number=number)

"""The foldable sections of the module's panel."""

from __future__ import annotations

import ctk
import qt


class Section(qt.QObject):
    """A titled section around panels that always has the height that they need.

    Slicer's module panel squeezes what has grown since it was shown, instead of scrolling; but what
    states its minimum height it leaves alone.

    Args:
        title, tip: What stands on it, and its tooltip.
        widgets: What is in it, from top to bottom.
        folded: Whether it is closed at first.

    Attributes:
        button: The ctkCollapsibleButton, to be put into a layout.
    """

    def __init__(self, title: str, tip: str, *widgets, folded: bool = False) -> None:
        super().__init__()
        self.button = ctk.ctkCollapsibleButton()
        self.button.text = title
        self.button.toolTip = tip
        self._layout = qt.QVBoxLayout(self.button)
        for widget in widgets:
            self._layout.addWidget(widget)
        self.button.installEventFilter(self)
        self.button.connect("contentsCollapsed(bool)", self._stateHeight)
        self.button.collapsed = folded

    def release(self) -> None:
        """Stop watching, as before the widgets are deleted."""
        self.button.removeEventFilter(self)
        self.button.disconnect("contentsCollapsed(bool)", self._stateHeight)

    def eventFilter(self, watched, event) -> bool:
        """The contents or the width have changed."""
        if event.type() in (qt.QEvent.LayoutRequest, qt.QEvent.Resize):
            self._stateHeight()
        return False

    def _stateHeight(self, *ignored) -> None:
        height = 0
        if not self.button.collapsed:
            height = self._layout.totalMinimumSize().height()
            if self._layout.hasHeightForWidth():  # labels that wrap
                height = max(height, self._layout.totalHeightForWidth(self.button.width))
        if height != self.button.minimumHeight:
            self.button.minimumHeight = height

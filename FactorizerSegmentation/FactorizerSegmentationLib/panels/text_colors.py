"""Colours of texts that stand back or warn, readable in light and in dark style."""

from __future__ import annotations

import qt

SUBDUED, WARNING = "subdued", "warning"
SUBDUED_PART = 0.25
"""Of the background in a text that stands back; contrast stays above 7 to 1 in both styles."""
WARNING_PART = 0.6
WARNING_RED = (217, 60, 55)


class TextColor(qt.QObject):
    """The colour of a label, mixed of the text's and another one, whatever the style of the window.

    A style sheet would do it for one style only, and keep the label from following the font.

    Args:
        label: A QLabel in a parent.
        kind: `SUBDUED`, `WARNING` or "" for text as any other.
    """

    def __init__(self, label, kind: str = "") -> None:
        super().__init__()
        self._label = label
        self._around = label.parentWidget()
        self._kind = kind
        self._around.installEventFilter(self)
        self._mix()

    @property
    def kind(self) -> str:
        """The colour that was chosen."""
        return self._kind

    def setKind(self, kind: str) -> None:
        """Choose among the colours."""
        self._kind = kind
        self._mix()

    def eventFilter(self, watched, event) -> bool:
        """The style of the window may have changed."""
        if event.type() == qt.QEvent.PaletteChange:
            self._mix()
        return False

    def _mix(self) -> None:
        palette = qt.QPalette(self._around.palette)
        text = _channels(palette.color(qt.QPalette.Active, qt.QPalette.WindowText))
        window = _channels(palette.color(qt.QPalette.Active, qt.QPalette.Window))
        other, part = {
            SUBDUED: (window, SUBDUED_PART),
            WARNING: (WARNING_RED, WARNING_PART),
        }.get(self._kind, (text, 0.0))
        mixed = [round((1 - part) * a + part * b) for a, b in zip(text, other, strict=True)]
        for group in (qt.QPalette.Active, qt.QPalette.Inactive):
            palette.setColor(group, qt.QPalette.WindowText, qt.QColor(*mixed))
        self._label.setPalette(palette)


def _channels(color) -> tuple[int, int, int]:
    return color.red(), color.green(), color.blue()

"""Where the Tab key goes."""

from __future__ import annotations

import qt


def putInPlace(form) -> None:
    """Let the Tab key reach the widgets of a form between those that are above and below it.

    Qt puts widgets that are made later at the end. Boxes of several widgets are left out, since
    they may hand their focus on to one of them.

    Args:
        form: A widget in a layout of another one, whose own place is right.
    """
    last = form.parentWidget()
    while not _takesTab(last):
        last = last.previousInFocusChain()
    parts, part = [], form.nextInFocusChain()
    while form.isAncestorOf(part):
        parts.append(part)
        part = part.nextInFocusChain()
    for part in filter(_takesTab, parts):
        qt.QWidget.setTabOrder(last, part)
        last = part


def _takesTab(widget) -> bool:
    return bool(widget.focusPolicy & qt.Qt.TabFocus) and widget.focusProxy() is None

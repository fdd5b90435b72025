"""What qMRMLNodeComboBoxes would do by themselves, and had better not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def deselect(selectors: Iterable[Any], node) -> None:
    """Choose nothing where `node` is chosen, before it leaves the scene or the list.

    A selector would go on to the next node of its list, which nobody has chosen.
    """
    for selector in selectors:
        if selector.currentNode() is node:
            selector.setCurrentNode(None)


def hide(selectors: Iterable[Any], nodes: Iterable[Any]) -> None:
    """Offer all nodes of the selectors' types but these."""
    nodes = list(nodes)
    hidden = sorted(node.GetID() for node in nodes)
    for selector in selectors:
        proxy = selector.sortFilterProxyModel()
        if sorted(proxy.hiddenNodeIDs) == hidden:
            continue
        for node in nodes:
            deselect([selector], node)
        proxy.hiddenNodeIDs = hidden


def release(selectors: Iterable[Any]) -> None:
    """Let selectors go of the scene, as before they are deleted, without telling anybody."""
    for selector in selectors:
        selector.blockSignals(True)
        selector.setMRMLScene(None)

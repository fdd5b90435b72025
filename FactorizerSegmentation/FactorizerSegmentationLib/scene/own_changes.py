"""Changes of segments by this module, told apart from those that a user makes by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

Box = tuple[slice, ...]


class Watcher(Protocol):
    """Wants to know of the changes of one segmentation."""

    segmentationNode: object

    def beforeOwnChange(self) -> None:
        """The module is about to change segments."""

    def afterOwnChange(self, box: Box | None) -> None:
        """It has done so, inside a box (k, j, i) of the scan's grid only if one is given."""


_watchers: list[Watcher] = []


def watchersOf(segmentationNode) -> list[Watcher]:
    """Those that watch it."""
    return [item for item in _watchers if item.segmentationNode is segmentationNode]


def watch(watcher: Watcher) -> None:
    """Tell it from now on."""
    _watchers.append(watcher)


def unwatch(watcher: Watcher) -> None:
    """Tell it no more."""
    _watchers.remove(watcher)


@contextmanager
def ownChange(segmentationNode, box: Box | None = None) -> Iterator[None]:
    """What changes in the segmentation inside the block was not done by hand."""
    concerned = watchersOf(segmentationNode)
    for watcher in concerned:
        watcher.beforeOwnChange()
    try:
        yield
    finally:
        for watcher in concerned:
            watcher.afterOwnChange(box)

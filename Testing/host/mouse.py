"""The mouse in the axial view, as a test moves it."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

_MOVE = ("EnterEvent", "MouseMoveEvent")
_PRESS = ("LeftButtonPressEvent", "LeftButtonReleaseEvent")


def move_mouse(host, place) -> None:
    """Move the mouse to a place (RAS in mm), whose slice is shown first."""
    _send(host, _reached(host, place), _MOVE)


def click(host, place) -> None:
    """Click there, and leave the view, as on the way to the panel."""
    interactor = _reached(host, place)
    _send(host, interactor, (*_MOVE, *_PRESS))
    _send(host, interactor, ("LeaveEvent",))


def leave_view() -> None:
    """Move the mouse out of the view."""
    _axial().sliceView().interactorStyle().GetInteractor().InvokeEvent("LeaveEvent")


def _axial() -> Any:
    return slicer.app.layoutManager().sliceWidget("Red")


def _reached(host, place) -> Any:
    """The interactor of the view, with the position of a place in it."""
    node = _axial().mrmlSliceNode()
    node.JumpSliceByCentering(*place)
    slicer.util.forceRenderAllViews()
    host.process_events()
    toView = np.linalg.inv(slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()))
    x, y = (toView @ [*place, 1])[:2]
    interactor = _axial().sliceView().interactorStyle().GetInteractor()
    interactor.SetEventInformation(round(x), round(y), 0, 0, "0", 0, None)
    return interactor


def _send(host, interactor, events: tuple[str, ...]) -> None:
    for event in events:
        interactor.InvokeEvent(event)
        host.process_events()

"""Arrays as icons, and bars for numbers."""

from __future__ import annotations

import numpy as np
import qt
import vtk
from vtk.util import numpy_support

BAR_WIDTH, BAR_HEIGHT = 56, 12
"""In pixels."""
_FOR, _AGAINST, _AXIS = (214, 96, 60), (67, 133, 200), (128, 128, 128)
"""Seen on light and on dark ground."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"
"""Blocks of 0 to 8 eighths of a letter's width."""


def icon(picture: np.ndarray):
    """An icon that looks the same in a selected row.

    Args:
        picture: Shape (height, width, 3 or 4), uint8: red, green, blue, and opacity.
    """
    pixmap = qt.QPixmap()
    pixmap.loadFromData(_png(picture))
    made = qt.QIcon(pixmap)
    made.addPixmap(pixmap, qt.QIcon.Selected)
    return made


def signedBar(part: float) -> np.ndarray:
    """A picture of a number from -1 to 1: to the right of the middle what speaks for, to the left
    what speaks against."""
    bar = np.zeros((BAR_HEIGHT, BAR_WIDTH, 4), np.uint8)
    middle = BAR_WIDTH // 2
    length = round(float(np.clip(abs(part), 0, 1)) * (middle - 1))
    columns = slice(middle, middle + 1 + length) if part > 0 else slice(middle - length, middle + 1)
    bar[2:-2, columns] = (*(_FOR if part > 0 else _AGAINST), 255)
    bar[:, middle] = (*_AXIS, 255)
    return bar


def barText(part: float, letters: int) -> str:
    """A bar of block letters for a number from 0 to 1, as a text."""
    eighths = round(8 * letters * float(np.clip(part, 0, 1)))
    return (_EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def _png(picture: np.ndarray) -> bytes:
    height, width, channels = picture.shape
    image = vtk.vtkImageData()
    image.SetDimensions(width, height, 1)
    rows = np.ascontiguousarray(picture[::-1]).reshape(-1, channels)  # VTK begins at the bottom
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(rows, deep=True))
    writer = vtk.vtkPNGWriter()
    writer.SetInputData(image)
    writer.SetCompressionLevel(1)
    writer.WriteToMemoryOn()
    writer.Write()
    return numpy_support.vtk_to_numpy(writer.GetResult()).tobytes()

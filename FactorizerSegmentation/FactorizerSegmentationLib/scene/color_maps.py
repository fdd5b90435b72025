"""Colour maps whose lightness follows the value, for one sign and for both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
from slicer.i18n import tr as _

Points = tuple[tuple[float, float, float, float], ...]
"""Position, red, green, blue, each 0 to 1."""


@dataclass(frozen=True)
class ColorMap:
    """A colour map.

    Attributes:
        name: By which the scene remembers it; the name of the node that this module makes.
        title: For people.
        points: Its colours.
        known: Names of nodes of the application that serve as well.
    """

    name: str
    title: str
    points: Points
    known: tuple[str, ...] = ()


def activityMaps() -> tuple[ColorMap, ...]:
    """For values from 0, dark to light; the first is the usual one."""
    return (
        ColorMap("Factorizer heat", _("Heat"), _HEAT, ("Inferno",)),
        ColorMap("Factorizer green", _("Blue to yellow over green"), _GREEN, ("Viridis",)),
        ColorMap("Factorizer grey", _("Blue to yellow over grey"), _GREY, ("Cividis",)),
    )


def evidenceMaps() -> tuple[ColorMap, ...]:
    """From against over nothing, which is light, to for; the first is the usual one."""
    return (
        ColorMap("Factorizer evidence", _("Blue to red"), _BLUE_RED),
        ColorMap("Factorizer evidence green", _("Purple to green"), _PURPLE_GREEN),
    )


def pairMap(second: bool, falling: bool) -> ColorMap:
    """Shades of one colour, for one of two heatmaps that are shown at once.

    Args:
        second: Blue, not orange.
        falling: The darkest shade belongs to the highest value, as of evidence against.
    """
    name = "Factorizer blue shades" if second else "Factorizer orange shades"
    points = _BLUE if second else _ORANGE
    if falling:
        mirrored = [(1 - x, *colors) for x, *colors in reversed(points)]
        return ColorMap(f"{name}, falling", "", tuple(mirrored))  # type: ignore[arg-type]
    return ColorMap(name, "", points)


def chosenMap(maps: tuple[ColorMap, ...], name: str) -> ColorMap:
    """The map of that name; the first if there is none, as a scene file can hold anything."""
    return next((item for item in maps if item.name == name), maps[0])


def colorNodeOf(scene, colorMap: ColorMap):
    """The node of a colour map: one of the application, or else one that is made once."""
    nodes = {
        node.GetName(): node for node in slicer.util.getNodesByClass("vtkMRMLColorNode", scene)
    }
    for name in (*colorMap.known, colorMap.name):
        if name in nodes:
            return nodes[name]
    node = scene.AddNewNodeByClass("vtkMRMLProceduralColorNode", colorMap.name)
    for position, red, green, blue in colorMap.points:
        node.GetColorTransferFunction().AddRGBPoint(position, red, green, blue)
    return node


def colorsOf(colorNode, count: int) -> np.ndarray:
    """Colours (count, 3), 0 to 1, of a colour node, from its first to its last."""
    isProcedural = colorNode.IsA("vtkMRMLProceduralColorNode")
    colors = colorNode.GetColorTransferFunction() if isProcedural else colorNode.GetLookupTable()
    low, high = colors.GetRange()
    return np.array([colors.GetColor(value) for value in np.linspace(low, high, count)])


_HEAT: Points = (
    (0.00, 0.001, 0.000, 0.014),
    (0.25, 0.342, 0.062, 0.429),
    (0.50, 0.736, 0.216, 0.330),
    (0.75, 0.978, 0.557, 0.035),
    (1.00, 0.988, 0.998, 0.645),
)
_GREEN: Points = (
    (0.00, 0.267, 0.005, 0.329),
    (0.25, 0.230, 0.322, 0.545),
    (0.50, 0.128, 0.567, 0.551),
    (0.75, 0.369, 0.789, 0.383),
    (1.00, 0.993, 0.906, 0.144),
)
_GREY: Points = (
    (0.00, 0.000, 0.135, 0.305),
    (0.25, 0.256, 0.303, 0.424),
    (0.50, 0.488, 0.485, 0.471),
    (0.75, 0.741, 0.688, 0.397),
    (1.00, 0.995, 0.909, 0.218),
)
_BLUE_RED: Points = (
    (0.00, 0.020, 0.190, 0.380),
    (0.25, 0.260, 0.580, 0.760),
    (0.50, 0.970, 0.970, 0.970),
    (0.75, 0.960, 0.560, 0.390),
    (1.00, 0.700, 0.090, 0.170),
)
_PURPLE_GREEN: Points = (
    (0.00, 0.250, 0.000, 0.290),
    (0.25, 0.600, 0.440, 0.670),
    (0.50, 0.970, 0.970, 0.970),
    (0.75, 0.350, 0.680, 0.380),
    (1.00, 0.000, 0.270, 0.110),
)
_ORANGE: Points = ((0.0, 0.20, 0.07, 0.00), (0.5, 0.85, 0.38, 0.02), (1.0, 1.00, 0.80, 0.45))
_BLUE: Points = ((0.0, 0.00, 0.10, 0.20), (0.5, 0.00, 0.48, 0.75), (1.0, 0.55, 0.90, 1.00))

"""Draws who imports whom, from the code as it is: `python docs/tools/architecture.py`.

A box is a room (a sub-package or module of one of the two packages), an arrow says "imports".
Arrows that follow from others are left out, so what is drawn is the order of dependencies.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path

import grimp
import networkx as nx

ROOT = Path(__file__).resolve().parents[2]
CODE = ROOT / "FactorizerSegmentation"
PICTURE = ROOT / "docs" / "explanation" / "architecture.svg"

PACKAGES = {
    "FactorizerSegmentationLib": "Slicer's process: FactorizerSegmentationLib",
    "factorizer_engine": "A process of its own: factorizer_engine",
}
SHARED = "factorizer_engine.protocol"
BOX, GAP, ROW, MARGIN = (116, 34), 18, 72, 24
"""Width and height of a box, and distances, in pixels."""

HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"
     font-size="13" text-anchor="middle" role="img" aria-label="Who imports whom">
<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7"
  orient="auto"><path d="M0 0 8 4 0 8z" fill="#5b6b7b"/></marker></defs>
<rect width="100%" height="100%" fill="#ffffff"/>
"""

Point = str | tuple[str, str, int]
"""A room, or where the arrow from one room to another crosses a row."""
Centre = tuple[float, float]


def main() -> None:
    """Write the picture beside the page that shows it."""
    PICTURE.write_text(draw(rooms()), encoding="utf-8", newline="\n")


def rooms() -> nx.DiGraph:
    """The rooms of both packages, with an edge from each to every other that it imports.

    Raises:
        ValueError: If rooms import each other in a circle.
    """
    if str(CODE) not in sys.path:
        sys.path.insert(0, str(CODE))
    imports = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)
    graph = nx.DiGraph()
    for package in PACKAGES:
        graph.add_nodes_from(sorted(imports.find_children(package)))
    graph.add_edges_from(
        (one, other)
        for one in graph
        for other in graph
        if one != other
        and imports.direct_import_exists(importer=one, imported=other, as_packages=True)
    )
    if not nx.is_directed_acyclic_graph(graph):
        circle = " -> ".join(edge[0] for edge in nx.find_cycle(graph))
        raise ValueError(f"Rooms import each other in a circle: {circle}.")
    return graph


def draw(graph: nx.DiGraph) -> str:
    """The picture as the text of an SVG file."""
    order = nx.transitive_reduction(graph)
    heights = _heights(order)
    paths = {edge: _path(edge, heights) for edge in sorted(order.edges)}
    centres = _places(order, heights, paths.values())
    width = max(x for x, _ in centres.values()) + BOX[0] / 2 + MARGIN
    height = centres[SHARED][1] + BOX[1] / 2 + MARGIN
    parts = [HEAD.format(width=f"{width:g}", height=f"{height:g}"), *_frames(centres)]
    parts += [_arrow(path, centres) for path in paths.values()]
    parts += [_box(name, centres[name], width) for name in sorted(order)]
    return "\n".join([*parts, "</svg>", ""])


def _heights(order: nx.DiGraph) -> dict[str, int]:
    """The row of every room: the shared one is 0, others are as near to their users as can be."""
    based = order.copy()
    based.add_edges_from((name, SHARED) for name in order if name != SHARED)
    heights: dict[str, int] = {}
    for row, names in enumerate(nx.topological_generations(based.reverse())):
        heights |= dict.fromkeys(names, row)
    for name in nx.topological_sort(based):
        if users := list(order.predecessors(name)):
            heights[name] = min(heights[user] for user in users) - 1
    return heights | {SHARED: 0}


def _path(edge: tuple[str, str], heights: Mapping[str, int]) -> list[Point]:
    """An arrow's points from room to room; in the rows between it has a place of its own."""
    one, other = edge
    between = range(heights[one] - 1, heights[other], -1)
    return [one, *((one, other, row) for row in between), other]


def _places(
    order: nx.DiGraph, heights: Mapping[str, int], paths: Iterable[list[Point]]
) -> dict[Point, Centre]:
    """The centre of every point; the two packages side by side, above what they share."""
    below = nx.DiGraph()
    below.add_nodes_from(order)
    for path in paths:
        nx.add_path(below, path)
    top = max(heights.values())
    places: dict[Point, Centre] = {}
    left = MARGIN
    for package in PACKAGES:
        rows: dict[int, list[Point]] = {}
        for point in below:
            if _is_in(package, point):
                row = heights[point] if isinstance(point, str) else point[2]
                rows.setdefault(row, []).append(point)
        span = max(max(map(len, rows.values())), 3) * (BOX[0] + GAP)
        for row in sorted(rows):  # upwards, so that a point is near those below that it leads to
            step = span / len(rows[row])
            points = sorted(rows[row], key=lambda point: _wish(point, below, places))
            for number, point in enumerate(points):
                x = left + step * (number + 0.5)
                places[point] = (x, 2.5 * MARGIN + (top - row) * ROW)
        left += span + 2 * MARGIN
    places[SHARED] = ((left - MARGIN) / 2, 2.5 * MARGIN + top * ROW)
    return places


def _is_in(package: str, point: Point) -> bool:
    name = point if isinstance(point, str) else point[0]
    return name.startswith(f"{package}.") and name != SHARED


def _wish(point: Point, below: nx.DiGraph, places: Mapping[Point, Centre]) -> tuple[float, str]:
    """Where a point would like to be: over the middle of what it leads to."""
    middles = [places[other][0] for other in below.successors(point) if other in places]
    return (sum(middles) / len(middles) if middles else float("inf"), str(point))


def _frames(centres: Mapping[Point, Centre]) -> Iterator[str]:
    """A frame with a title around the rooms of each package."""
    for package, title in PACKAGES.items():
        inside = [at for point, at in centres.items() if _is_in(package, point)]
        left = min(x for x, _ in inside) - (BOX[0] + MARGIN) / 2
        right = max(x for x, _ in inside) + (BOX[0] + MARGIN) / 2
        bottom = max(y for _, y in inside) + (BOX[1] + MARGIN) / 2
        yield (
            f'<rect x="{left:g}" y="4" width="{right - left:g}" height="{bottom - 4:g}" rx="8" '
            'fill="#f4f7fa" stroke="#c9d4de"/>'
            f'<text x="{(left + right) / 2:g}" y="26" fill="#33475b">{escape(title)}</text>'
        )


def _arrow(path: list[Point], centres: Mapping[Point, Centre]) -> str:
    """A curve from box to box; what is shared is as wide as the picture and met from above."""
    x, y = centres[path[0]]
    curve = f"M{x:g} {y:g}"
    for point in path[1:]:
        next_x, next_y = (x, centres[SHARED][1]) if point == SHARED else centres[point]
        top, bottom = y + BOX[1] / 2, next_y - BOX[1] / 2
        middle = (top + bottom) / 2
        curve += f" V{top:g} C{x:g} {middle:g} {next_x:g} {middle:g} {next_x:g} {bottom:g}"
        x, y = next_x, next_y
    return f'<path d="{curve}" fill="none" stroke="#5b6b7b" marker-end="url(#tip)"/>'


def _box(name: str, centre: Centre, picture_width: float) -> str:
    x, y = centre
    shared = name == SHARED
    width = picture_width - 2 * MARGIN if shared else BOX[0]
    fill = "#d9ead3" if shared else "#ffffff"
    text = "protocol: what both processes know" if shared else name.rpartition(".")[2]
    return (
        f'<rect x="{x - width / 2:g}" y="{y - BOX[1] / 2:g}" width="{width:g}" height="{BOX[1]}" '
        f'rx="5" fill="{fill}" stroke="#33475b"/>'
        f'<text x="{x:g}" y="{y + 4.5:g}" fill="#1b2733">{escape(text)}</text>'
    )


if __name__ == "__main__":
    main()

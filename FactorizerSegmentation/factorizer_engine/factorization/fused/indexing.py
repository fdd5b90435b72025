"""Where the kernels of `fused` find their voxels. Needs Triton.

Maps are channels-last with three spatial axes, (B, n0, n1, n2, C); missing axes have one voxel.
Work is cut in three ways:

- *Windows*: one program per item, window, shifted grid and group of heads reads the window's voxels
  straight from the map (a cyclic shift is an indexing). Programs of one window's grids are
  neighbours, so that they read it from the cache.
- *Lines*: one program per piece of a line of voxels along the last axis, whose voxels follow each
  other in memory. Each voxel looks up what its windows have.
- *Cells*: boxes of voxels that no window of any shifted grid cuts, so that something per window is
  the same for all of them.

One program owns what it writes: no sum over grids goes through memory, nothing is added atomically,
and results are deterministic. What there is per window is numbered by *row*: (grid, item, window).
"""

from __future__ import annotations

import triton
import triton.language as tl

SIZES = (
    "items", "n0", "n1", "n2", "cells0", "cells1", "cells2", "first_line", "rows", "heads",
    "shifts", "sweeps",
)  # fmt: skip
"""Arguments of kernels of which not every value is worth compiling anew."""


@triton.jit
def find_window(number, items, windows, shifts):
    """Item, grid and window of a program, neighbours being grids of one window; and its row."""
    grid, window = number % shifts, number // shifts % windows
    item = number // shifts // windows
    return item.to(tl.int64), grid, window, ((grid * items + item) * windows + window).to(tl.int64)


@triton.jit
def group_of_heads(
    group, channels, HEAD: tl.constexpr, HEAD_WIDTH: tl.constexpr, HEADS: tl.constexpr
):
    """Channels of a group of heads, which of them there are, and which pairs belong to one head.

    A head takes HEAD_WIDTH lanes, a power of two, of which the first HEAD are used.
    """
    lane = tl.arange(0, HEADS * HEAD_WIDTH)
    head, inside = lane // HEAD_WIDTH, lane % HEAD_WIDTH
    channel = (group * HEADS + head) * HEAD + inside
    exists = (inside < HEAD) & (channel < channels)
    same = (head[:, None] == head[None, :]) & exists[:, None] & exists[None, :]
    return channel, exists, same


@triton.jit
def wrapped(i, n):
    """An index along an axis of n voxels that goes on cyclically, from -n to 2 n - 1."""
    return tl.where(i < 0, i + n, tl.where(i >= n, i - n, i))


@triton.jit
def plane_of_window(window, shift_ptr, n0, n1, n2, position, P0, P1, P2):
    """Where a window of the grid that is shifted so lies in the map.

    Returns its first index along the first axis, before wrapping, and the voxels at positions of a
    plane of it (P1 x P2), as flat indices in a plane of the map.
    """
    grid1, grid2 = n1 // P1, n2 // P2
    i0 = window // (grid1 * grid2) * P0 - tl.load(shift_ptr)
    i1 = window // grid2 % grid1 * P1 + position // P2 - tl.load(shift_ptr + 1)
    i2 = window % grid2 * P2 + position % P2 - tl.load(shift_ptr + 2)
    return i0, wrapped(i1, n1).to(tl.int64) * n2 + wrapped(i2, n2)


@triton.jit
def piece_of_line(number, first_line, n0, n1, n2, ROWS: tl.constexpr):
    """Voxels of a piece of a line, counting from `first_line` of all items' lines.

    Returns where they are (item and indices along the axes), and their flat indices over all items
    and from `first_line` on.
    """
    pieces = tl.cdiv(n2, ROWS)
    line = first_line + number // pieces
    i2 = number % pieces * ROWS + tl.arange(0, ROWS)
    place = line // (n0 * n1), line // n1 % n0, line % n1, i2
    voxel = line.to(tl.int64) * n2 + i2
    return place, voxel, voxel - first_line * n2


@triton.jit
def rows_on_line(
    place, grid, items, shifts_ptr, n0, n1, n2,
    P0: tl.constexpr, P1: tl.constexpr, P2: tl.constexpr,
):  # fmt: skip
    """The rows of the windows of a grid that voxels of a line lie in."""
    item, i0, i1, i2 = place
    grid0, grid1, grid2 = n0 // P0, n1 // P1, n2 // P2
    shift_ptr = shifts_ptr + grid * 3
    w0 = wrapped(i0 + tl.load(shift_ptr), n0) // P0
    w1 = wrapped(i1 + tl.load(shift_ptr + 1), n1) // P1
    w2 = wrapped(i2 + tl.load(shift_ptr + 2), n2) // P2
    line_of_windows = ((grid * items + item) * grid0 + w0) * grid1 + w1
    return line_of_windows.to(tl.int64) * grid2 + w2


@triton.jit
def find_cell(cell, segments_ptr, cells0, cells1, cells2):
    """Item, first voxel and extent of a cell; `segments` holds (start, length) axis by axis."""
    item = cell // (cells0 * cells1 * cells2)
    segment0 = segments_ptr + 2 * (cell // (cells1 * cells2) % cells0)
    segment1 = segments_ptr + 2 * (cells0 + cell // cells2 % cells1)
    segment2 = segments_ptr + 2 * (cells0 + cells1 + cell % cells2)
    starts = tl.load(segment0), tl.load(segment1), tl.load(segment2)
    return item, starts, (tl.load(segment0 + 1), tl.load(segment1 + 1), tl.load(segment2 + 1))


@triton.jit
def cell_voxels(
    item, starts, extent, n0, n1, n2, Q1: tl.constexpr, Q2: tl.constexpr, ROWS: tl.constexpr
):
    """The voxels of a cell: offsets along the axes, which there are, and flat indices."""
    voxel = tl.arange(0, ROWS)
    j0, j1, j2 = voxel // (Q1 * Q2), voxel // Q2 % Q1, voxel % Q2
    inside = (j0 < extent[0]) & (j1 < extent[1]) & (j2 < extent[2])
    first = (item.to(tl.int64) * n0 + starts[0]) * n1
    index = ((first + j0 * n1 + starts[1] + j1) * n2) + starts[2] + j2
    return (j0, j1, j2), inside, index


@triton.jit
def window_of_cell(starts, shift_ptr, n0, n1, n2, P0, P1, P2):
    """The window of a shifted grid that a cell lies in, and where its first voxel is there."""
    i0 = wrapped(starts[0] + tl.load(shift_ptr), n0)
    i1 = wrapped(starts[1] + tl.load(shift_ptr + 1), n1)
    i2 = wrapped(starts[2] + tl.load(shift_ptr + 2), n2)
    window = (i0 // P0 * (n1 // P1) + i1 // P1) * (n2 // P2) + i2 // P2
    return window, (i0 % P0, i1 % P1, i2 % P2)

"""Where the kernels of the rank-1 mixing layer find their voxels; see `triton_kernels`."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def group_of_heads(group, channels, HEAD: tl.constexpr, GROUP: tl.constexpr, WIDTH: tl.constexpr):
    """Channels of a group, which of them there are, and which pairs belong to one head."""
    lane = tl.arange(0, WIDTH)
    channel = group * GROUP + lane
    exists = (lane < GROUP) & (channel < channels)
    same = (lane[:, None] // HEAD == lane[None, :] // HEAD) & exists[:, None] & exists[None, :]
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

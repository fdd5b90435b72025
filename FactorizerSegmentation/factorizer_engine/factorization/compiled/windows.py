"""Windows of a map in Numba: one head of a window at a time, with its channels apart.

In a map the channels of a voxel lie beside each other, in a window the voxels of a channel do.
Blocks of four voxels and four channels are turned in registers.
"""

from __future__ import annotations

import numba
import numpy as np

from factorizer_engine.factorization.compiled.vectors import (
    fetch,
    first_halves,
    last_halves,
    load,
    plus,
    positive,
    store,
)

OPTIONS = {"nogil": True, "fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}
"""Of all compiled functions. Sums may be reordered and multiply-adds contracted."""

_small = numba.njit(**OPTIONS)  # compiled once for all kernels, into which LLVM puts them
_ZERO = np.float32(0)
_FETCHED = 16  # values that come into the cache at once, on most processors


@numba.njit(inline="always")
def first_voxel(number, w2, grid, patch, offset, size):
    """Batch entry and first voxel of window w2 of the row of windows `number`."""
    place = (
        (number // grid[1] % grid[0] * patch[0] + offset[0]) % size[0],
        (number % grid[1] * patch[1] + offset[1]) % size[1],
        (w2 * patch[2] + offset[2]) % size[2],
    )
    return number // (grid[0] * grid[1]), place


@numba.njit(inline="always")
def _around(index, size):
    """index % size of an index below twice the size, much faster."""
    return index - size if index >= size else index


@_small
def _turned(x0, x1, x2, x3):
    """The columns of four vectors of four."""
    even0, even1 = first_halves(x0, x2), last_halves(x0, x2)
    odd0, odd1 = first_halves(x1, x3), last_halves(x1, x3)
    return (
        first_halves(even0, odd0),
        last_halves(even0, odd0),
        first_halves(even1, odd1),
        last_halves(even1, odd1),
    )


@_small
def _cut_block(line, k, channel, rectified, window, c, p):
    """Four voxels' channels, from `channel` on, to the rows of a window from c on."""
    x0, x1 = load(line[k], channel, 4), load(line[k + 1], channel, 4)
    x2, x3 = load(line[k + 2], channel, 4), load(line[k + 3], channel, 4)
    if rectified:
        x0, x1, x2, x3 = positive(x0), positive(x1), positive(x2), positive(x3)
    y0, y1, y2, y3 = _turned(x0, x1, x2, x3)
    store(y0, window[c], p)
    store(y1, window[c + 1], p)
    store(y2, window[c + 2], p)
    store(y3, window[c + 3], p)


@_small
def _voxels(window, c, p):
    """Four voxels of a window, from p on, with the four channels from c on."""
    return _turned(
        load(window[c], p, 4),
        load(window[c + 1], p, 4),
        load(window[c + 2], p, 4),
        load(window[c + 3], p, 4),
    )


@_small
def _put_voxel(values, adds, voxel, channel):
    if adds:
        values = plus(values, load(voxel, channel, 4))
    store(values, voxel, channel)


@numba.njit(inline="always")
def _put_block(window, p, d, adds, line, k, channel):
    """Four voxels of a window to a line of voxels from k on; what lies together is written so."""
    for c in range(0, d - d % 8, 8):
        x0, x1, x2, x3 = _voxels(window, c, p)
        y0, y1, y2, y3 = _voxels(window, c + 4, p)
        _put_voxel(x0, adds, line[k], channel + c)
        _put_voxel(y0, adds, line[k], channel + c + 4)
        _put_voxel(x1, adds, line[k + 1], channel + c)
        _put_voxel(y1, adds, line[k + 1], channel + c + 4)
        _put_voxel(x2, adds, line[k + 2], channel + c)
        _put_voxel(y2, adds, line[k + 2], channel + c + 4)
        _put_voxel(x3, adds, line[k + 3], channel + c)
        _put_voxel(y3, adds, line[k + 3], channel + c + 4)
    for c in range(d - d % 8, d, 4):
        x0, x1, x2, x3 = _voxels(window, c, p)
        _put_voxel(x0, adds, line[k], channel + c)
        _put_voxel(x1, adds, line[k + 1], channel + c)
        _put_voxel(x2, adds, line[k + 2], channel + c)
        _put_voxel(x3, adds, line[k + 3], channel + c)


@numba.njit(inline="always")
def cut(x, batch, place, inside, channel, d, rectified, window):
    """One head of a window, perhaps its ReLU, its channels apart: window (d, P).

    The window behind it along the last axis is brought into the cache, as it is likely to be next.
    """
    _, size0, size1, size2, _ = x.shape
    n0, n1, n2 = inside
    for i in range(n0):
        for j in range(n1):
            line = x[batch, _around(place[0] + i, size0), _around(place[1] + j, size1)]
            at = (i * n1 + j) * n2
            if channel % _FETCHED < d:  # not what came with the head before
                for k in range(place[2] + n2, min(place[2] + n2 + n2, size2)):
                    fetch(line[k], channel)
            for first in range(0, n2, 4):
                q = _around(place[2] + first, size2)
                if first + 4 <= n2 and q + 4 <= size2:
                    for c in range(0, d, 4):
                        _cut_block(line, q, channel + c, rectified, window, c, at + first)
                else:
                    for k in range(first, min(first + 4, n2)):
                        q = _around(place[2] + k, size2)
                        for c in range(d):
                            value = line[q, channel + c]
                            window[c, at + k] = _ZERO if rectified and value < _ZERO else value


@numba.njit(inline="always")
def put(window, batch, place, inside, channel, d, adds, result):
    """Write one head of a window (d, P) to its place in the map, or add it there."""
    _, size0, size1, size2, _ = result.shape
    n0, n1, n2 = inside
    for i in range(n0):
        for j in range(n1):
            line = result[batch, _around(place[0] + i, size0), _around(place[1] + j, size1)]
            at = (i * n1 + j) * n2
            for first in range(0, n2, 4):
                q = _around(place[2] + first, size2)
                if d % 4 == 0 and first + 4 <= n2 and q + 4 <= size2:
                    _put_block(window, at + first, d, adds, line, q, channel)
                else:
                    for k in range(first, min(first + 4, n2)):
                        q = _around(place[2] + k, size2)
                        for c in range(d):
                            value = window[c, at + k]
                            line[q, channel + c] = line[q, channel + c] + value if adds else value

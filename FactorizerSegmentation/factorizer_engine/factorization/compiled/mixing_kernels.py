"""The kernels of a whole mixing layer and of its gradient; the way of working is that of `kernels`.

For one head and window, with gY the gradient of Y = u v^T over the number of grids, where
v = (X^T u + eps 1) / c and u = u_T, the gradient is what `fused.gradient_kernels` derives: first
through v and the left u, then back through the sweeps of `rank_one` in d dimensions, at last

    gX = (gG + gG^T) X + (u u^T / c) gY + gs 1^T + ga v_0^T.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numba
import numpy as np

from factorizer_engine.factorization.compiled.kernels import (
    compiled,
    left_factors,
    products,
    right_factor,
    right_norm,
    squared_norm,
    statistics,
)
from factorizer_engine.factorization.compiled.windows import cut, first_voxel, put

_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)


@numba.njit(inline="always")
def _dot(x, y, d):
    total = _ZERO
    for i in range(d):
        total += x[i] * y[i]
    return total


@numba.njit(inline="always")
def _through_sweeps(
    gram, row_sum, history, start_norm, d, columns, sweeps, eps, gram_u, gu, gw, gram_out, sum_out
):
    """Back from gu = dL / du_T to G, s and, in gu, a."""
    gram_out[:] = _ZERO
    sum_out[:] = _ZERO
    for t in range(sweeps - 2, -1, -1):
        u, following = history[t], history[t + 1]
        c, norm = right_norm(gram, row_sum, u, d, columns, eps, gram_u)
        gn = -_dot(gu, following, d) / (norm + eps)
        gm = gn / c / c
        gc = _ZERO
        for i in range(d):
            gw[i] = gu[i] / (norm + eps) / c
            gc -= gw[i] * (gram_u[i] + eps * row_sum[i])
        gc = gc / c - _TWO * gn * norm / c
        for i in range(d):
            sum_out[i] += eps * (gw[i] + _TWO * gm * u[i])
            gu[i] = gm * (gram_u[i] + _TWO * eps * row_sum[i]) + _TWO * u[i] * gc
        for i in range(d):
            gw[i] += gm * u[i]  # the gradient of G u_t
        for i in range(d):
            for j in range(d):
                gram_out[i, j] += gw[i] * u[j]
                gu[i] += gram[i, j] * gw[j]
    for i in range(d):
        gu[i] /= start_norm + eps


@lru_cache
def mixing_kernel(d: int, patch: tuple[int, int, int]) -> Any:
    """`mix` for heads of d channels and such windows."""
    columns = patch[0] * patch[1] * patch[2]

    @compiled
    def mix(x, first, stop, offset, v0, sweeps, eps, weight, adds, mixed):
        """The rank-1 reconstruction of ReLU(x) in the windows of one shifted grid.

        Args:
            x: Map (B, X, Y, Z, C), float32.
            first, stop: Which of the B * gx * gy rows of windows to compute.
            offset: Where voxel 0 of window 0 is, at least 0 and below the size.
            v0: The starting right factor (P,).
            sweeps, eps, weight: HALS sweeps, its guard, and a factor for the result.
            adds: Whether the result is added to what is there.
            mixed: Map to write, of the same shape.
        """
        _, size0, size1, size2, channels = x.shape
        grid0, grid1, grid2 = size0 // patch[0], size1 // patch[1], size2 // patch[2]
        window, column = np.empty((d, columns), np.float32), np.empty(columns, np.float32)
        gram, history = np.empty((d, d), np.float32), np.empty((sweeps, d), np.float32)
        row_sum, start = np.empty(d, np.float32), np.empty(d, np.float32)
        gram_u, n = np.empty(d, np.float32), np.float32(columns)
        start_norm = squared_norm(v0, columns)
        for number in range(first, stop):
            for w2 in range(grid2):
                batch, place = first_voxel(
                    number, w2, (grid0, grid1), patch, offset, (size0, size1, size2)
                )
                for h in range(channels // d):
                    cut(x, batch, place, patch, h * d, d, True, window)
                    statistics(window, v0, d, columns, gram, row_sum, start)
                    left_factors(
                        gram, row_sum, start, start_norm, d, n, sweeps, eps, gram_u, history
                    )
                    left = history[sweeps - 1]
                    scale = weight / (squared_norm(left, d) + eps)
                    right_factor(window, left, d, columns, eps, column)
                    for i in range(d):
                        for p in range(columns):
                            window[i, p] = left[i] * scale * column[p]
                    put(window, batch, place, patch, h * d, d, adds, mixed)

    return mix


@lru_cache
def gradient_kernel(d: int, patch: tuple[int, int, int]) -> Any:
    """`mixing_gradient` for heads of d channels and such windows."""
    columns = patch[0] * patch[1] * patch[2]

    @compiled
    def mixing_gradient(x, gradient, first, stop, offset, v0, sweeps, eps, weight, adds, result):
        """The gradient of `mix` with respect to x, from that with respect to what it writes.

        Args:
            x: Map (B, X, Y, Z, C), float32.
            gradient: Of the mixed map, of the same shape.
            first, stop, offset, v0, sweeps, eps, weight, adds: As for `mix`.
            result: Gradient to write, of the same shape.
        """
        _, size0, size1, size2, channels = x.shape
        grid0, grid1, grid2 = size0 // patch[0], size1 // patch[1], size2 // patch[2]
        maps, column = np.empty((3, d, columns), np.float32), np.empty(columns, np.float32)
        window, dy, dx = maps[0], maps[1], maps[2]
        matrices, vectors = np.empty((3, d, d), np.float32), np.empty((7, d), np.float32)
        gram, cross, dgram = matrices[0], matrices[1], matrices[2]
        row_sum, start, gram_u, dy_v = vectors[0], vectors[1], vectors[2], vectors[3]
        du, dw, dsum = vectors[4], vectors[5], vectors[6]
        history = np.empty((sweeps, d), np.float32)
        n, start_norm = np.float32(columns), squared_norm(v0, columns)
        for number in range(first, stop):
            for w2 in range(grid2):
                batch, place = first_voxel(
                    number, w2, (grid0, grid1), patch, offset, (size0, size1, size2)
                )
                for h in range(channels // d):
                    cut(x, batch, place, patch, h * d, d, True, window)
                    cut(gradient, batch, place, patch, h * d, d, False, dy)
                    statistics(window, v0, d, columns, gram, row_sum, start)
                    left_factors(
                        gram, row_sum, start, start_norm, d, n, sweeps, eps, gram_u, history
                    )
                    products(dy, window, d, columns, False, cross)
                    left = history[sweeps - 1]
                    c = squared_norm(left, d) + eps
                    for i in range(d):
                        total = _ZERO
                        for p in range(columns):
                            total += dy[i, p]
                        dy_v[i] = (_dot(cross[i], left, d) + eps * total) * weight
                    shrinking = _TWO * _dot(left, dy_v, d) / c / c
                    for i in range(d):
                        through_v = _ZERO
                        for j in range(d):
                            through_v += cross[j, i] * left[j]
                        du[i] = (dy_v[i] + through_v * weight) / c - left[i] * shrinking
                    _through_sweeps(
                        gram,
                        row_sum,
                        history,
                        start_norm,
                        d,
                        n,
                        sweeps,
                        eps,
                        gram_u,
                        du,
                        dw,
                        dgram,
                        dsum,
                    )
                    right_factor(dy, left, d, columns, _ZERO, column)
                    for i in range(d):
                        along = left[i] * weight / c
                        for p in range(columns):
                            dx[i, p] = along * column[p] + dsum[i] + du[i] * v0[p]
                        for j in range(0, d, 4):
                            m0 = dgram[i, j] + dgram[j, i]
                            m1 = dgram[i, j + 1] + dgram[j + 1, i]
                            m2 = dgram[i, j + 2] + dgram[j + 2, i]
                            m3 = dgram[i, j + 3] + dgram[j + 3, i]
                            for p in range(columns):
                                dx[i, p] += (
                                    m0 * window[j, p]
                                    + m1 * window[j + 1, p]
                                    + m2 * window[j + 2, p]
                                    + m3 * window[j + 3, p]
                                )
                        for p in range(columns):
                            dx[i, p] *= _ONE if window[i, p] > _ZERO else _ZERO
                    put(dx, batch, place, patch, h * d, d, adds, result)

    return mixing_gradient

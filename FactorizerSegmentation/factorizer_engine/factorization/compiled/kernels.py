"""The kernels of `compiled`, in Numba. Importing this module needs Numba and compiles nothing.

All release the interpreter's lock and compute a range of their work, so that threads can share it.
Sums may be reordered and multiply-adds contracted; not-a-numbers and infinities are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np

from factorizer_engine.factorization.compiled.cache import keep_compiled
from factorizer_engine.factorization.compiled.vectors import load, plus_scaled, store
from factorizer_engine.factorization.compiled.windows import OPTIONS, cut, first_voxel, put

_ZERO, _ONE = np.float32(0), np.float32(1)


def is_interpreted() -> bool:
    """Whether Numba was told to compile nothing."""
    return bool(numba.config.DISABLE_JIT)


def compiled(function: Callable[..., Any]) -> Any:
    """`function` compiled at its first call, and kept for other processes if possible."""
    kernel = numba.njit(**OPTIONS)(function)
    if not is_interpreted():
        keep_compiled(kernel, function)
    return kernel


@numba.njit(inline="always")
def products(x, y, d, columns, lower, result):
    """x y^T of x and y (d, P), or the blocks up to its diagonal; d a multiple of 4.

    16 sums at once stay in registers.
    """
    for i in range(0, d, 4):
        for j in range(0, i + 4 if lower else d, 4):
            g00 = g01 = g02 = g03 = g10 = g11 = g12 = g13 = _ZERO
            g20 = g21 = g22 = g23 = g30 = g31 = g32 = g33 = _ZERO
            for p in range(columns):
                a0, a1, a2, a3 = x[i, p], x[i + 1, p], x[i + 2, p], x[i + 3, p]
                b0, b1, b2, b3 = y[j, p], y[j + 1, p], y[j + 2, p], y[j + 3, p]
                g00 += a0 * b0
                g01 += a0 * b1
                g02 += a0 * b2
                g03 += a0 * b3
                g10 += a1 * b0
                g11 += a1 * b1
                g12 += a1 * b2
                g13 += a1 * b3
                g20 += a2 * b0
                g21 += a2 * b1
                g22 += a2 * b2
                g23 += a2 * b3
                g30 += a3 * b0
                g31 += a3 * b1
                g32 += a3 * b2
                g33 += a3 * b3
            result[i + 0, j + 0] = g00
            result[i + 0, j + 1] = g01
            result[i + 0, j + 2] = g02
            result[i + 0, j + 3] = g03
            result[i + 1, j + 0] = g10
            result[i + 1, j + 1] = g11
            result[i + 1, j + 2] = g12
            result[i + 1, j + 3] = g13
            result[i + 2, j + 0] = g20
            result[i + 2, j + 1] = g21
            result[i + 2, j + 2] = g22
            result[i + 2, j + 3] = g23
            result[i + 3, j + 0] = g30
            result[i + 3, j + 1] = g31
            result[i + 3, j + 2] = g32
            result[i + 3, j + 3] = g33


@numba.njit(inline="always")
def statistics(window, v0, d, columns, gram, row_sum, start):
    """G = X X^T (d, d), s = X 1 and a = X v_0 (d,) of X (d, P)."""
    products(window, window, d, columns, True, gram)
    for i in range(d):
        for j in range(i + 1, d):
            gram[i, j] = gram[j, i]
    for i in range(d):
        total, product = _ZERO, _ZERO
        for p in range(columns):
            total += window[i, p]
            product += window[i, p] * v0[p]
        row_sum[i], start[i] = total, product


@numba.njit(inline="always")
def squared_norm(x, d):
    """x^T x of x (d,)."""
    total = _ZERO
    for i in range(d):
        total += x[i] * x[i]
    return total


@numba.njit(inline="always")
def right_norm(gram, row_sum, u, d, columns, eps, gram_u):
    """c = u^T u + eps and v^T v of the v that belongs to u; writes G u."""
    norm, total = _ZERO, _ZERO
    for i in range(d):
        product = _ZERO
        for j in range(d):
            product += gram[i, j] * u[j]
        gram_u[i] = product
    c = squared_norm(u, d) + eps
    for i in range(d):
        norm += u[i] * gram_u[i]
        total += row_sum[i] * u[i]
    return c, (norm + eps * total + eps * total + eps * eps * columns) / c / c


@numba.njit(inline="always")
def left_factors(gram, row_sum, start, start_norm, d, columns, sweeps, eps, gram_u, history):
    """`rank_one.left_factor` of one matrix: u_t of every sweep t, into history (sweeps, d)."""
    for i in range(d):
        history[0, i] = (start[i] + eps) / (start_norm + eps)
    for t in range(1, sweeps):
        c, norm = right_norm(gram, row_sum, history[t - 1], d, columns, eps, gram_u)
        for i in range(d):
            history[t, i] = ((gram_u[i] + eps * row_sum[i]) / c + eps) / (norm + eps)


@numba.njit(inline="always")
def right_factor(window, u, d, columns, eps, v):
    """c v = X^T u + eps of X (d, P), d a multiple of 4, into v (P,)."""
    v[:] = eps
    for i in range(0, d, 4):
        u0, u1, u2, u3 = u[i], u[i + 1], u[i + 2], u[i + 3]
        for p in range(columns):
            v[p] += (
                window[i, p] * u0
                + window[i + 1, p] * u1
                + window[i + 2, p] * u2
                + window[i + 3, p] * u3
            )


@lru_cache
def factors_kernel(d: int, patch: tuple[int, int, int]) -> Any:
    """`factors` for heads of d channels and such windows: loops of known length are much faster."""
    n0, n1, n2 = patch
    columns = n0 * n1 * n2

    @compiled
    def factors(x, first, stop, offset, v0, sweeps, eps, weight, u, v):
        """The factors of rank 1 of ReLU(x) in the windows of one shifted grid.

        Rank-1 HALS (Ashtari et al., MedIA 84:102706, 2023, section 3.2) of a nonnegative window
        X (d x P) is a projection: with G = X X^T, s = X 1 and a = X v_0 its sweeps happen in d
        dimensions and give u, and v = (X^T u + eps) / (u^T u + eps) (see `rank_one`). So a window
        is read once a head, into a buffer that stays in the cache.

        Args:
            x: Map (B, X, Y, Z, C), float32.
            first, stop: Which of the B * gx * gy rows of windows to compute.
            offset: Where voxel 0 of window 0 is, at least 0 and below the size.
            v0: The starting right factor (P,).
            sweeps, eps, weight: HALS sweeps, its guard, and a factor for v; eps and weight float32.
            u: Left factors to write, (B, gx, gy, gz, heads, d).
            v: Right factors times weight to write, at their voxels: (B, X, Y, Z, heads).
        """
        _, size0, size1, size2, _ = x.shape
        _, grid0, grid1, grid2, heads, _ = u.shape
        window, right = np.empty((d, columns), np.float32), np.empty((4, columns), np.float32)
        gram, history = np.empty((d, d), np.float32), np.empty((sweeps, d), np.float32)
        row_sum, start = np.empty(d, np.float32), np.empty(d, np.float32)
        gram_u, n = np.empty(d, np.float32), np.float32(columns)
        start_norm = squared_norm(v0, columns)
        for number in range(first, stop):
            w0, w1 = number // grid1 % grid0, number % grid1
            for w2 in range(grid2):
                batch, place = first_voxel(
                    number, w2, (grid0, grid1), patch, offset, (size0, size1, size2)
                )
                for h in range(heads):
                    cut(x, batch, place, patch, h * d, d, True, window)
                    statistics(window, v0, d, columns, gram, row_sum, start)
                    left_factors(
                        gram, row_sum, start, start_norm, d, n, sweeps, eps, gram_u, history
                    )
                    left, column = history[sweeps - 1], right[h % 4]
                    u[batch, w0, w1, w2, h, :] = left
                    right_factor(window, left, d, columns, eps, column)
                    column *= weight / (squared_norm(left, d) + eps)
                    if h % 4 == 3:  # four at once, as they lie beside each other
                        put(right, batch, place, patch, h - 3, 4, False, v)
                for h in range(heads - heads % 4, heads):
                    put(right[h % 4 :], batch, place, patch, h, 1, False, v)

    return factors


@numba.njit(inline="always")
def _add_columns(total, activity, vector, c, width):
    """The columns of `_add_window` from c on, four voxels at once in registers."""
    voxels, heads = activity.shape
    fours = voxels - voxels % 4
    for k in range(0, fours, 4):
        t0, t1 = load(total[k], c, width), load(total[k + 1], c, width)
        t2, t3 = load(total[k + 2], c, width), load(total[k + 3], c, width)
        for h in range(heads):
            values = load(vector[h], c, width)
            t0 = plus_scaled(t0, activity[k, h], values)
            t1 = plus_scaled(t1, activity[k + 1, h], values)
            t2 = plus_scaled(t2, activity[k + 2, h], values)
            t3 = plus_scaled(t3, activity[k + 3, h], values)
        store(t0, total[k], c)
        store(t1, total[k + 1], c)
        store(t2, total[k + 2], c)
        store(t3, total[k + 3], c)
    for k in range(fours, voxels):
        t0 = load(total[k], c, width)
        for h in range(heads):
            t0 = plus_scaled(t0, activity[k, h], load(vector[h], c, width))
        store(t0, total[k], c)


@numba.njit(inline="always")
def _add_window(total, activity, vector):
    """total (n, C) += activity (n, heads) times vector (heads, C), C a multiple of 4."""
    channels = total.shape[1]
    sixteens = channels - channels % 16
    for c in range(0, sixteens, 16):
        _add_columns(total, activity, vector, c, 16)
    for c in range(sixteens, channels, 4):
        _add_columns(total, activity, vector, c, 4)


@numba.njit(inline="always")
def _layer_norm(x, gain, offset, eps, result):
    """The layer norm of one voxel's channels."""
    channels = len(x)
    mean, square = _ZERO, _ZERO
    for c in range(channels):
        mean += x[c]
    mean /= np.float32(channels)
    for c in range(channels):
        square += (x[c] - mean) * (x[c] - mean)
    scale = _ONE / np.sqrt(square / np.float32(channels) + eps)
    for c in range(channels):
        result[c] = (x[c] - mean) * scale * gain[c] + offset[c]


@compiled
def normalise(x, gain, offset, eps, result):
    """The layer norm of every row of x (N, C), with weight and bias (C,) and a float32 guard."""
    for k in range(len(x)):
        _layer_norm(x[k], gain, offset, eps, result[k])


@compiled
def expand(x, first, stop, patch, shifts, projected, v, bias, gain, offset, eps, y, normed):
    """The sum of a map and of the linear map of what was mixed, and its layer norm.

    The mixed map is never formed: with a head's columns W_h of the linear map,

        y = x + bias + sum over grids and heads of v_h(voxel) * (W_h u_h)(window),

    which is exact but for rounding.

    Args:
        x: Map (B, X, Y, Z, C), float32.
        first, stop: Which of the B * X * Y lines of voxels to compute.
        patch: Voxels of a window along each axis.
        shifts: (grids, 3), where voxel 0 is in each grid: at least 0 and below the size.
        projected: W_h u_h, (grids, B, gx, gy, gz, heads, C).
        v: Right factors, (grids, B, X, Y, Z, heads).
        bias: Of the linear map, (C,).
        gain, offset, eps: Weight and bias (C,) of the layer norm, and its guard (float32).
        y: The sum to write, (stop - first, Z, C).
        normed: Its layer norm to write, of the same shape.
    """
    _, size0, size1, size2, channels = x.shape
    n0, n1, n2 = patch
    for number in range(first, stop):
        batch = number // (size0 * size1)
        i, j = number // size1 % size0, number % size1
        line, total, result = x[batch, i, j], y[number - first], normed[number - first]
        for k in range(size2):
            for c in range(channels):
                total[k, c] = line[k, c] + bias[c]
        for g in range(len(v)):
            w0 = (i + shifts[g, 0]) % size0 // n0
            w1 = (j + shifts[g, 1]) % size1 // n1
            k = 0
            while k < size2:
                place = (k + shifts[g, 2]) % size2
                end = min(k + n2 - place % n2, size2)
                vector = projected[g, batch, w0, w1, place // n2]
                _add_window(total[k:end], v[g, batch, i, j, k:end], vector)
                k = end
        for k in range(size2):
            _layer_norm(total[k], gain, offset, eps, result[k])

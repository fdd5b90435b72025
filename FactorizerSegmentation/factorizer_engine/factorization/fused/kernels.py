"""Kernels that find the factors of a map and expand them. Needs Triton."""

from __future__ import annotations

import triton
import triton.language as tl

from factorizer_engine.factorization.fused.indexing import (
    SIZES,
    find_window,
    group_of_heads,
    piece_of_line,
    plane_of_window,
    rows_on_line,
    wrapped,
)
from factorizer_engine.factorization.fused.statistics import relu, statistics, sweep


@triton.jit(do_not_specialize=SIZES)
def factors_kernel(
    x_ptr,
    v0_ptr,
    shifts_ptr,
    u_ptr,
    v_ptr,
    items,
    n0,
    n1,
    n2,
    channels,
    shifts,
    sweeps,
    eps,
    P0: tl.constexpr,
    P1: tl.constexpr,
    P2: tl.constexpr,
    HEAD: tl.constexpr,
    HEAD_WIDTH: tl.constexpr,
    HEADS: tl.constexpr,
    BLOCK: tl.constexpr,
    PRODUCT: tl.constexpr,
    SPLIT: tl.constexpr,
):
    """u_T (rows, C) of every window, and v = (X^T u + eps) / c over the number of grids.

    v is written at its voxels, (grids, B, n0, n1, n2, heads). A window is read twice, the second
    time from the cache.
    """
    WIDTH: tl.constexpr = HEADS * HEAD_WIDTH
    groups = tl.cdiv(channels, HEADS * HEAD)
    windows = (n0 // P0) * (n1 // P1) * (n2 // P2)
    item, grid, window, row = find_window(tl.program_id(0) // groups, items, windows, shifts)
    group = tl.program_id(0) % groups
    channel, exists, same = group_of_heads(group, channels, HEAD, HEAD_WIDTH, HEADS)
    x_ptr += item * n0 * n1 * n2 * channels
    shift_ptr = shifts_ptr + grid * 3
    gram, row_sum, start, start_norm, _, _ = statistics(
        x_ptr,
        None,
        v0_ptr,
        shift_ptr,
        window,
        channel,
        exists,
        n0,
        n1,
        n2,
        channels,
        P0,
        P1,
        P2,
        WIDTH,
        BLOCK,
        PRODUCT,
        SPLIT,
        False,
    )
    u = (start + eps) / (start_norm + eps)
    for _ in range(sweeps - 1):
        _, _, _, u = sweep(u, gram, row_sum, same, eps, P0 * P1 * P2)
    tl.store(u_ptr + row * channels + channel, u, mask=exists)

    u = tl.where(exists, u, 0.0)
    c = tl.sum(tl.reshape(u * u, (HEADS, HEAD_WIDTH)), 1) + eps
    head = group * HEADS + tl.arange(0, HEADS)
    heads = channels // HEAD
    v_ptr += (grid * items + item) * n0 * n1 * n2 * heads
    for first in range(0, P1 * P2, BLOCK):
        position = first + tl.arange(0, BLOCK)
        i0, voxel = plane_of_window(window, shift_ptr, n0, n1, n2, position, P0, P1, P2)
        inside = position < P1 * P2
        for plane in range(P0):
            index = wrapped(i0 + plane, n0).to(tl.int64) * n1 * n2 + voxel
            offset = index[:, None] * channels + channel[None, :]
            mask = inside[:, None] & exists[None, :]
            x = relu(tl.load(x_ptr + offset, mask=mask, other=0.0))
            along = tl.sum(tl.reshape(x * u[None, :], (BLOCK, HEADS, HEAD_WIDTH)), 2)
            v = (along + eps) / c[None, :] / shifts
            mask = inside[:, None] & (head < heads)[None, :]
            tl.store(v_ptr + index[:, None] * heads + head[None, :], v, mask=mask)


@triton.jit(do_not_specialize=SIZES)
def reconstruction_kernel(
    u_ptr,
    v_ptr,
    shifts_ptr,
    mixed_ptr,
    items,
    n0,
    n1,
    n2,
    channels,
    P0: tl.constexpr,
    P1: tl.constexpr,
    P2: tl.constexpr,
    SHIFTS: tl.constexpr,
    HEAD: tl.constexpr,
    HEAD_WIDTH: tl.constexpr,
    HEADS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """The mixed map: at every voxel the sum over the grids of u v, line by line."""
    heads = channels // HEAD
    groups = tl.cdiv(heads, HEADS)
    place, voxel, _ = piece_of_line(tl.program_id(0) // groups, 0, n0, n1, n2, ROWS)
    head = tl.program_id(0) % groups * HEADS + tl.arange(0, HEADS)
    lane = tl.arange(0, HEAD_WIDTH)
    channel = head[:, None] * HEAD + lane[None, :]
    of_heads = (place[3] < n2)[:, None] & (head < heads)[None, :]
    mask = of_heads[:, :, None] & (lane < HEAD)[None, None, :]
    voxels = items * n0 * n1 * n2
    total = tl.zeros((ROWS, HEADS, HEAD_WIDTH), tl.float32)
    for grid in tl.static_range(SHIFTS):
        row = rows_on_line(place, grid, items, shifts_ptr, n0, n1, n2, P0, P1, P2)
        at = row[:, None, None] * channels + channel[None, :, :]
        u = tl.load(u_ptr + at, mask=mask, other=0.0)
        at = (grid * voxels + voxel)[:, None] * heads + head[None, :]
        total += u * tl.load(v_ptr + at, mask=of_heads, other=0.0)[:, :, None]
    offset = voxel[:, None, None] * channels + channel[None, :, :]
    tl.store(mixed_ptr + offset, total, mask=mask)


@triton.jit
def _normalised(x, channel, channels, weight_ptr, bias_ptr, eps):
    """The layer norm of rows; channels that do not exist hold zeros."""
    exists = channel < channels
    centred = x - (tl.sum(x, 1) / channels)[:, None]
    centred = tl.where(exists[None, :], centred, 0.0)
    deviation = tl.sqrt(tl.sum(centred * centred, 1) / channels + eps)
    weight = tl.load(weight_ptr + channel, mask=exists, other=0.0).to(tl.float32)
    bias = tl.load(bias_ptr + channel, mask=exists, other=0.0).to(tl.float32)
    return centred / deviation[:, None] * weight[None, :] + bias[None, :]


@triton.jit(do_not_specialize=SIZES)
def expansion_kernel(
    x_ptr,
    projected_ptr,
    v_ptr,
    shifts_ptr,
    bias_ptr,
    norm_weight_ptr,
    norm_bias_ptr,
    y_ptr,
    normed_ptr,
    first_line,
    items,
    n0,
    n1,
    n2,
    channels,
    heads,
    norm_eps,
    P0: tl.constexpr,
    P1: tl.constexpr,
    P2: tl.constexpr,
    SHIFTS: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """y = x + b + sum over grids and heads of v W u, and the layer norm of y, line by line.

    `projected` is W u of every window and head, (rows, heads, C); y and its norm are written from
    `first_line` on.
    """
    place, voxel, target = piece_of_line(tl.program_id(0), first_line, n0, n1, n2, ROWS)
    channel = tl.arange(0, WIDTH)
    inside, exists = place[3] < n2, channel < channels
    mask = inside[:, None] & exists[None, :]
    voxels = items * n0 * n1 * n2
    x = tl.load(x_ptr + voxel[:, None] * channels + channel[None, :], mask=mask, other=0.0)
    bias = tl.load(bias_ptr + channel, mask=exists, other=0.0).to(tl.float32)
    y = x.to(tl.float32) + bias[None, :]
    for grid in tl.static_range(SHIFTS):
        row = rows_on_line(place, grid, items, shifts_ptr, n0, n1, n2, P0, P1, P2)
        for head in range(heads):
            v = tl.load(v_ptr + (grid * voxels + voxel) * heads + head, mask=inside, other=0.0)
            at = (row * heads + head)[:, None] * channels + channel[None, :]
            y += v[:, None] * tl.load(projected_ptr + at, mask=mask, other=0.0)
    normed = _normalised(y, channel, channels, norm_weight_ptr, norm_bias_ptr, norm_eps)
    offset = target[:, None] * channels + channel[None, :]
    tl.store(y_ptr + offset, y, mask=mask)
    tl.store(normed_ptr + offset, normed, mask=mask)


@triton.jit(do_not_specialize=SIZES)
def layer_norm_kernel(
    x_ptr, weight_ptr, bias_ptr, result_ptr, rows, channels, eps,
    ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """The layer norm of rows (N, C)."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channel = tl.arange(0, WIDTH)
    offset = row[:, None] * channels + channel[None, :]
    mask = (row < rows)[:, None] & (channel < channels)[None, :]
    x = tl.load(x_ptr + offset, mask=mask, other=0.0).to(tl.float32)
    normed = _normalised(x, channel, channels, weight_ptr, bias_ptr, eps)
    tl.store(result_ptr + offset, normed, mask=mask)

"""Kernels of the rank-1 mixing layer's gradient. Needs Triton.

For one head and window, with gY the gradient of Y = u v^T over the number of grids, where
v = (X^T u + eps 1) / c and u = u_T, the gradient passes through v and the left u first,

    K = gY X^T,  h = K u + eps gY 1
    gu = h / c + K^T u / c - 2 u (u^T h) / c^2,

then back through the sweeps of `rank_one`, all in d dimensions, where D = v_t^T v_t + eps:

    gz = gu / D,  gn = -gu^T u_{t+1} / D            (u_{t+1} = z / D)
    gw = gz / c,  gm = gn / c^2                     (z = w / c + eps, v_t^T v_t = m / c^2)
    gc = -gw^T w / c - 2 gn (v_t^T v_t) / c
    gq = gw + gm u_t                                (w = q + eps s, q = G u_t)
    gG += gq u_t^T,  gs += eps (gw + 2 gm u_t)
    gu = gm (q + 2 eps s) + G gq + 2 u_t gc         (the gradient of u_t)

and at the start ga = gu / (v_0^T v_0 + eps). What X gets is linear in X and gY, column by column:

    gX = (gG + gG^T) X + (u u^T / c) gY + gs 1^T + ga v_0^T.
"""

from __future__ import annotations

import triton
import triton.language as tl

from factorizer_engine.factorization.fused.indexing import (
    SIZES,
    cell_voxels,
    find_cell,
    find_window,
    group_of_heads,
    window_of_cell,
)
from factorizer_engine.factorization.fused.statistics import (
    product,
    relu,
    statistics,
    sum_over_head,
    sweep,
    times,
)


@triton.jit
def _column(matrix, index, SIZE: tl.constexpr):
    """One column of a matrix in registers."""
    return tl.sum(tl.where(tl.arange(0, SIZE)[None, :] == index, matrix, 0.0), 1)


@triton.jit(do_not_specialize=SIZES)
def factor_gradient_kernel(
    x_ptr,
    gradient_ptr,
    v0_ptr,
    shifts_ptr,
    vectors_ptr,
    matrices_ptr,
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
    SWEEPS: tl.constexpr,
    PRODUCT: tl.constexpr,
    SPLIT: tl.constexpr,
):
    """What gX is made of: writes u, gs and ga, (rows, 3, C), and gG + gG^T.

    The matrices are (rows, C, d): of every channel, its row within its head.
    SWEEPS is the number of sweeps rounded up to a power of two: all u_t stay in registers.
    """
    WIDTH: tl.constexpr = HEADS * HEAD_WIDTH
    groups = tl.cdiv(channels, HEADS * HEAD)
    windows = (n0 // P0) * (n1 // P1) * (n2 // P2)
    item, grid, window, row = find_window(tl.program_id(0) // groups, items, windows, shifts)
    item_offset = item * n0 * n1 * n2 * channels
    group = tl.program_id(0) % groups
    channel, exists, same = group_of_heads(group, channels, HEAD, HEAD_WIDTH, HEADS)
    gram, row_sum, start, start_norm, cross, gradient_sum = statistics(
        x_ptr + item_offset,
        gradient_ptr + item_offset,
        v0_ptr,
        shifts_ptr + grid * 3,
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
        True,
    )
    columns = P0 * P1 * P2
    step = tl.arange(0, SWEEPS)[None, :]
    u = (start + eps) / (start_norm + eps)
    history = tl.where(step == 0, u[:, None], 0.0)
    for t in range(1, sweeps):
        _, _, _, u = sweep(u, gram, row_sum, same, eps, columns)
        history = tl.where(step == t, u[:, None], history)

    c = sum_over_head(u * u, same) + eps
    h = (times(cross, u, same) + eps * gradient_sum) / shifts
    through_v = tl.sum(tl.where(same, cross * u[:, None], 0.0), 0) / shifts
    u_gradient = (h + through_v) / c - 2 * u * (sum_over_head(u * h, same) / c / c)
    sum_gradient = tl.zeros((WIDTH,), tl.float32)
    gram_gradient = tl.zeros((WIDTH, WIDTH), tl.float32)
    u_last = u
    for back in range(1, sweeps):
        t = sweeps - 1 - back
        u_next, u = u, _column(history, t, SWEEPS)
        gram_u, c, v_norm, _ = sweep(u, gram, row_sum, same, eps, columns)
        n_gradient = -sum_over_head(u_gradient * u_next, same) / (v_norm + eps)
        w_gradient = u_gradient / (v_norm + eps) / c
        m_gradient = n_gradient / c / c
        c_gradient = -sum_over_head(w_gradient * (gram_u + eps * row_sum), same) / c
        c_gradient -= 2 * n_gradient * v_norm / c
        q_gradient = w_gradient + m_gradient * u
        sum_gradient += eps * (w_gradient + 2 * m_gradient * u)
        gram_gradient += q_gradient[:, None] * u[None, :]
        u_gradient = m_gradient * (gram_u + 2 * eps * row_sum) + 2 * u * c_gradient
        u_gradient += times(gram, q_gradient, same)
    start_gradient = u_gradient / (start_norm + eps)

    vector_ptr = vectors_ptr + row * 3 * channels + channel
    tl.store(vector_ptr, u_last, mask=exists)
    tl.store(vector_ptr + channels, sum_gradient, mask=exists)
    tl.store(vector_ptr + 2 * channels, start_gradient, mask=exists)
    gram_gradient += tl.trans(gram_gradient)
    entry = (row * channels + channel)[:, None] * HEAD + (channel % HEAD)[None, :]
    tl.store(matrices_ptr + entry, gram_gradient, mask=same)


@triton.jit(do_not_specialize=SIZES)
def input_gradient_kernel(
    x_ptr,
    gradient_ptr,
    v0_ptr,
    shifts_ptr,
    segments_ptr,
    vectors_ptr,
    matrices_ptr,
    result_ptr,
    items,
    n0,
    n1,
    n2,
    channels,
    cells0,
    cells1,
    cells2,
    eps,
    P0: tl.constexpr,
    P1: tl.constexpr,
    P2: tl.constexpr,
    Q1: tl.constexpr,
    Q2: tl.constexpr,
    SHIFTS: tl.constexpr,
    HEAD: tl.constexpr,
    HEAD_WIDTH: tl.constexpr,
    HEADS: tl.constexpr,
    ROWS: tl.constexpr,
    SPLIT: tl.constexpr,
):
    """gX summed over the grids and through the ReLU, cell by cell."""
    WIDTH: tl.constexpr = HEADS * HEAD_WIDTH
    groups = tl.cdiv(channels, HEADS * HEAD)
    item, starts, extent = find_cell(
        tl.program_id(0) // groups, segments_ptr, cells0, cells1, cells2
    )
    axes, inside, voxel = cell_voxels(item, starts, extent, n0, n1, n2, Q1, Q2, ROWS)
    group = tl.program_id(0) % groups
    channel, exists, same = group_of_heads(group, channels, HEAD, HEAD_WIDTH, HEADS)
    offset = voxel[:, None] * channels + channel[None, :]
    mask = inside[:, None] & exists[None, :]
    x = relu(tl.load(x_ptr + offset, mask=mask, other=0.0))
    gradient = tl.load(gradient_ptr + offset, mask=mask, other=0.0).to(tl.float32)

    windows = (n0 // P0) * (n1 // P1) * (n2 // P2)
    of_x = tl.zeros((WIDTH, WIDTH), tl.float32)
    of_gradient = tl.zeros((WIDTH, WIDTH), tl.float32)
    total = tl.zeros((ROWS, WIDTH), tl.float32)
    for grid in tl.static_range(SHIFTS):
        window, first = window_of_cell(starts, shifts_ptr + grid * 3, n0, n1, n2, P0, P1, P2)
        position = ((first[0] + axes[0]) * P1 + first[1] + axes[1]) * P2 + first[2] + axes[2]
        v0 = tl.load(v0_ptr + position, mask=inside, other=0.0)
        row = ((grid * items + item) * windows + window).to(tl.int64) * channels
        entry = (row + channel)[:, None] * HEAD + (channel % HEAD)[None, :]
        of_x += tl.load(matrices_ptr + entry, mask=same, other=0.0)
        vector_ptr = vectors_ptr + 3 * row + channel
        u = tl.load(vector_ptr, mask=exists, other=0.0)
        scaled = u / (sum_over_head(u * u, same) + eps)
        of_gradient += tl.where(same, scaled[:, None] * u[None, :], 0.0)
        sum_gradient = tl.load(vector_ptr + channels, mask=exists, other=0.0)
        start_gradient = tl.load(vector_ptr + 2 * channels, mask=exists, other=0.0)
        total += sum_gradient[None, :] + start_gradient[None, :] * v0[:, None]
    total = product(x, of_x, total, SPLIT)
    total = product(gradient, of_gradient / SHIFTS, total, SPLIT)
    tl.store(result_ptr + offset, tl.where(x > 0, total, 0.0), mask=mask)

"""Gram matrices of windows, and the sweeps in as many dimensions as a head has. Needs Triton.

A group of heads is handled as one matrix whose rows and columns are all its channels. `same` marks
the diagonal blocks, pairs of channels of one head; everything outside is left out when summing.
Names follow `rank_one`.
"""

from __future__ import annotations

import triton
import triton.language as tl

from factorizer_engine.factorization.fused.indexing import plane_of_window, wrapped


@triton.jit
def sum_over_head(x, same):
    """Of a vector of channels: the sum over the head of each channel."""
    return tl.sum(tl.where(same, x[None, :], 0.0), 1)


@triton.jit
def times(matrix, x, same):
    """Of the matrices on the diagonal blocks: their products with the heads' vectors."""
    return tl.sum(tl.where(same, matrix * x[None, :], 0.0), 1)


@triton.jit
def relu(x):
    """ReLU in float32 that lets NaN through, as torch's does."""
    return tl.maximum(x.to(tl.float32), 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _leading_bits(x):
    """x rounded towards zero to the bits that tensor cores take of a float32 number."""
    return (x.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)


@triton.jit
def product(a, b, total, SPLIT: tl.constexpr):
    """total + a b in float32.

    With SPLIT, float32 factors go to the tensor cores in two parts of 11 bits. What is left out,
    the product of the lower parts and bits beyond the 22nd, is as small as float32's rounding.
    """
    if SPLIT and a.dtype == tl.float32:
        high_a, high_b = _leading_bits(a), _leading_bits(b)
        total = tl.dot(a - high_a, high_b, total, input_precision="tf32")
        total = tl.dot(high_a, b - high_b, total, input_precision="tf32")
        total = tl.dot(high_a, high_b, total, input_precision="tf32")
    else:
        total = tl.dot(a, b, total, input_precision="ieee")
    return total


@triton.jit
def statistics(
    x_ptr,
    gradient_ptr,
    v0_ptr,
    shift_ptr,
    window,
    channel,
    exists,
    n0,
    n1,
    n2,
    channels,
    P0: tl.constexpr,
    P1: tl.constexpr,
    P2: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    PRODUCT: tl.constexpr,
    SPLIT: tl.constexpr,
    WITH_GRADIENT: tl.constexpr,
):
    """What the sweeps need of X, and what the way back needs of the gradient gY.

    PRODUCT is the type that matrices are multiplied in, that of the map: products of half precision
    are exact in the float32 that they are summed in.

    Returns G = X X^T, s = X 1, a = X v_0, v_0^T v_0, K = gY X^T and gY 1, in float32.
    """
    gram = tl.zeros((WIDTH, WIDTH), tl.float32)
    cross = tl.zeros((WIDTH, WIDTH), tl.float32)
    row_sum = tl.zeros((BLOCK, WIDTH), tl.float32)
    start = tl.zeros((BLOCK, WIDTH), tl.float32)
    gradient_sum = tl.zeros((BLOCK, WIDTH), tl.float32)
    start_norm = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, P1 * P2, BLOCK):
        position = first + tl.arange(0, BLOCK)
        i0, voxel = plane_of_window(window, shift_ptr, n0, n1, n2, position, P0, P1, P2)
        offset = voxel[:, None] * channels + channel[None, :]
        inside = position < P1 * P2
        mask = inside[:, None] & exists[None, :]
        for plane in range(P0):
            skipped = wrapped(i0 + plane, n0).to(tl.int64) * n1 * n2 * channels
            x = relu(tl.load(x_ptr + skipped + offset, mask=mask, other=0.0))
            v0 = tl.load(v0_ptr + plane * (P1 * P2) + position, mask=inside, other=0.0)
            factor = x.to(PRODUCT)
            gram = product(tl.trans(factor), factor, gram, SPLIT)
            row_sum += x
            start += x * v0[:, None]
            start_norm += v0 * v0
            if WITH_GRADIENT:
                gradient = tl.load(gradient_ptr + skipped + offset, mask=mask, other=0.0)
                gradient_sum += gradient.to(tl.float32)
                gradient = tl.trans(gradient.to(PRODUCT))
                cross = product(gradient, factor, cross, SPLIT)
    return (
        gram,
        tl.sum(row_sum, 0),
        tl.sum(start, 0),
        tl.sum(start_norm, 0),
        cross,
        tl.sum(gradient_sum, 0),
    )


@triton.jit
def sweep(u, gram, row_sum, same, eps, columns):
    """G u_t, c_t, v_t^T v_t and u_{t+1} of a sweep in d dimensions (see `rank_one`)."""
    gram_u = times(gram, u, same)
    c = sum_over_head(u * u, same) + eps
    v_norm = sum_over_head(u * (gram_u + 2 * eps * row_sum), same) + eps * eps * columns
    v_norm = v_norm / c / c
    return gram_u, c, v_norm, ((gram_u + eps * row_sum) / c + eps) / (v_norm + eps)

"""Rank-1 HALS as a projection: X is read once for its Gram matrix and once to project.

For X >= 0 and positive starts the ReLU of HALS never acts. With G = X X^T (d x d), s = X 1 and
a_0 = X v_0, the sweeps

    u_t = (X v_{t-1} + eps) / (v_{t-1}^T v_{t-1} + eps)
    v_t = (X^T u_t + eps) / (u_t^T u_t + eps)

need no column of X, because with c_t = u_t^T u_t + eps

    X v_t     = (G u_t + eps s) / c_t
    v_t^T v_t = (u_t^T G u_t + 2 eps s^T u_t + eps^2 P) / c_t^2

so they happen in d dimensions, and the reconstruction is u_T (X^T u_T + eps)^T / c_T. This is
exact, eps included; it is the sweep form of `solvers.CoordinateDescent` with other rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor


def left_factor(
    gram: Tensor,
    row_sum: Tensor,
    start: Tensor,
    start_norm: Tensor,
    columns: int,
    sweeps: int,
    eps: float,
) -> Tensor:
    """u_T of the sweeps above.

    Args:
        gram: G = X X^T, (..., d, d).
        row_sum: s = X 1, (..., d).
        start: X v_0, (..., d).
        start_norm: v_0^T v_0, a scalar tensor.
        columns: P, the number of columns of X.
        sweeps: T, at least 1.
        eps: The solver's guard.

    Returns:
        (..., d).
    """
    u = (start + eps) / (start_norm + eps)
    for _ in range(sweeps - 1):
        gram_u = (gram @ u.unsqueeze(-1)).squeeze(-1)
        c = (u * u).sum(-1, keepdim=True) + eps
        v_norm = (u * gram_u).sum(-1, keepdim=True) + 2 * eps * (row_sum * u).sum(-1, keepdim=True)
        # By c twice: the gradient of a division by c * c would overflow where X is nearly empty.
        v_norm = (v_norm + eps * eps * columns) / c / c
        u = ((gram_u + eps * row_sum) / c + eps) / (v_norm + eps)
    return u


def rank_one_factors(x: Tensor, v0: Tensor, sweeps: int, eps: float) -> tuple[Tensor, Tensor]:
    """The factors u_T (..., d, 1) and v_T (..., P, 1) of nonnegative matrices (..., d, P).

    Args:
        x: Nonnegative matrices, at least float32.
        v0: The starting right factor, (P,), positive.
        sweeps: T.
        eps: The solver's guard.
    """
    v0 = v0.to(x.dtype)
    start, row_sum = (x @ torch.stack([v0, torch.ones_like(v0)], dim=1)).unbind(-1)
    u = left_factor(x @ x.mT, row_sum, start, v0 @ v0, v0.numel(), sweeps, eps).unsqueeze(-1)
    v = (x.mT @ u + eps) / ((u * u).sum(-2, keepdim=True) + eps)
    return u, v

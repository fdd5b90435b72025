"""Rank-1 mixing of whole maps: ReLU, matricise, rank-1 NMF, put back, average over the shifts."""

from __future__ import annotations

import torch
from torch import Tensor

from factorizer_engine.factorization.matricize import Matricize
from factorizer_engine.factorization.rank_one import factorize_rank_one


def mix_rank_one(x: Tensor, reshape: Matricize, v0: Tensor, sweeps: int, eps: float) -> Tensor:
    """Average over the shifted grids of the rank-1 reconstruction of ReLU(x).

    Args:
        x: Map (B, C, *S) of any sign.
        reshape: The matricisation.
        v0: The starting right factor (P,), positive.
        sweeps: Number of HALS sweeps T.
        eps: The solver's guard.
    """
    with torch.autocast(x.device.type, enabled=False):
        matrices = reshape(torch.relu(x))
        return reshape.inverse_forward(factorize_rank_one(matrices, v0, sweeps, eps))

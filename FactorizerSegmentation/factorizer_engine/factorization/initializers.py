"""Starting factors of a factorisation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class RandomInit(nn.Module):
    """Fixed random factors, drawn once and kept with the weights as buffers `u0` and `v0`.

    Args:
        size: (rows M, columns N) of the matrices.
        rank: Number of components R.
        method: Name of a `torch.nn.init` distribution ("uniform", "normal"), or one per factor.
    """

    u0: Tensor
    v0: Tensor

    def __init__(
        self, size: tuple[int, int], rank: int, method: str | tuple[str, str] = "uniform"
    ) -> None:
        super().__init__()
        u_method, v_method = (method, method) if isinstance(method, str) else method
        self.register_buffer("u0", torch.empty(size[0], rank))
        self.register_buffer("v0", torch.empty(size[1], rank))
        getattr(nn.init, f"{u_method}_")(self.u0)
        getattr(nn.init, f"{v_method}_")(self.v0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Starts (..., M, R) and (..., N, R) for matrices (..., M, N)."""
        u, v = (start.to(x.dtype).expand(*x.shape[:-2], -1, -1) for start in (self.u0, self.v0))
        return u, v


class NNDSVDInit(nn.Module):
    """Nonnegative double singular value decomposition (Boutsidis and Gallopoulos, 2008).

    Each singular pair is replaced by whichever of its positive and negative parts weighs more.
    """

    def __init__(self, size: tuple[int, int], rank: int) -> None:
        super().__init__()
        self.rank = rank

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Starts (..., M, R) and (..., N, R) for matrices (..., M, N)."""
        left, singular, right = torch.linalg.svd(x, full_matrices=False)
        root = singular[..., None, : self.rank].sqrt()
        u, v = left[..., : self.rank] * root, right.mT[..., : self.rank] * root
        positive = torch.relu(u), torch.relu(v)
        negative = torch.relu(-u), torch.relu(-v)
        keep_positive = _pair_weight(*positive) >= _pair_weight(*negative)
        return (
            torch.where(keep_positive, positive[0], negative[0]),
            torch.where(keep_positive, positive[1], negative[1]),
        )


def _pair_weight(u: Tensor, v: Tensor) -> Tensor:
    return u.norm(dim=-2, keepdim=True) * v.norm(dim=-2, keepdim=True)


def make_initializer(
    init: str | Callable[..., nn.Module], size: tuple[int, int], rank: int
) -> nn.Module:
    """An initialiser from its name ("uniform", "normal", "nndsvd") or class.

    Raises:
        ValueError: For an unknown name.
    """
    if not isinstance(init, str):
        return init(size=size, rank=rank)
    if init == "nndsvd":
        return NNDSVDInit(size, rank)
    if init in ("uniform", "normal"):
        return RandomInit(size, rank, init)
    raise ValueError(f"Unknown initialiser {init!r}; use uniform, normal or nndsvd.")

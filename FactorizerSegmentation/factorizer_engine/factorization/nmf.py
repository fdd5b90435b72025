"""Matrix factorisation layers: X is replaced by its low-rank reconstruction U V^T."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from factorizer_engine.factorization.initializers import make_initializer
from factorizer_engine.factorization.solvers import make_solver


class MatrixFactorization(nn.Module):
    """Unrolled factorisation with T sweeps of a solver (paper section 3.2, algorithm 1).

    Args:
        size: (rows M, columns N) of the matrices.
        rank: Number of components R; when None it follows from `compression`.
        compression: Wanted ratio of M N to R (M + N).
        init: Initialiser name or class, see `make_initializer`.
        solver: Solver name or names, see `make_solver`.
        num_iters: Sweeps T.
        num_grad_steps: How many of the last sweeps are differentiated; all when None.
        eps: The solver's guard against division by zero (1e-8 in networks of version 0.0.1).
    """

    def __init__(
        self,
        size: Sequence[int],
        rank: int | None = None,
        compression: float = 10.0,
        init: str | Callable[..., nn.Module] = "normal",
        solver: str | Sequence[str] = "cd",
        num_iters: int = 5,
        num_grad_steps: int | None = None,
        eps: float = 1e-16,
    ) -> None:
        super().__init__()
        rows, columns = self.size = (size[0], size[1])
        if rank is None:
            rank = max(math.ceil(rows * columns / (compression * (rows + columns))), 1)
        self.rank = rank
        self.num_iters = num_iters
        self.num_grad_steps = num_iters if num_grad_steps is None else num_grad_steps
        self.eps = eps
        self.init = make_initializer(init, self.size, rank)
        self.solver_name = solver
        self.solver = make_solver(solver, eps)

    def set_sweeps(self, sweeps: int) -> None:
        """Take `sweeps` sweeps from now on, as many of them differentiated as before, or all."""
        every = self.num_grad_steps >= self.num_iters
        self.num_iters = sweeps
        self.num_grad_steps = sweeps if every else min(self.num_grad_steps, sweeps)

    def decompose(self, x: Tensor, *args: Tensor) -> tuple[Tensor, Tensor]:
        """Factors U (..., M, R) and V (..., N, R) of X (..., M, N)."""
        u, v = self.init(x)
        for sweep in range(self.num_iters):
            differentiated = sweep >= self.num_iters - self.num_grad_steps
            with torch.set_grad_enabled(differentiated and torch.is_grad_enabled()):
                u, v = self.solver(x, u, v, *args)
        return u, v

    def reconstruct(self, u: Tensor, v: Tensor) -> Tensor:
        """U V^T, shape (..., M, N)."""
        return u @ v.mT

    def forward(self, x: Tensor) -> Tensor:
        return self.reconstruct(*self.decompose(x))

    def extra_repr(self) -> str:
        return (
            f"size={self.size}, rank={self.rank}, num_iters={self.num_iters}, "
            f"solver={self.solver_name}"
        )


class NMF(MatrixFactorization):
    """Nonnegative matrix factorisation of nonnegative X, by HALS from uniform starts by default."""

    def __init__(
        self,
        size: Sequence[int],
        rank: int | None = None,
        compression: float = 10.0,
        init: str | Callable[..., nn.Module] = "uniform",
        solver: str | Sequence[str] = "hals",
        num_iters: int = 5,
        num_grad_steps: int | None = None,
        eps: float = 1e-16,
    ) -> None:
        super().__init__(size, rank, compression, init, solver, num_iters, num_grad_steps, eps)

"""Block-coordinate solvers of X ~ U V^T: one call is one sweep over the factors.

X is (..., M, N), U is (..., M, R) and V is (..., N, R). With A = X V and B = V^T V, the update of U
solves, or descends on, ||X - U V^T||^2 for fixed V; the update of V is the same on X^T.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Projection = Callable[[Tensor], Tensor]


class Solver(nn.Module):
    """A sweep that updates the factors named in `factors` (0 is U, 1 is V) in that order.

    Args:
        factors: Which factors to update.
        project: Applied to every updated factor (or column), such as ReLU for nonnegativity.
        eps: Added to numerators and denominators, so that zero matrices stay finite.
    """

    def __init__(
        self,
        factors: Sequence[int] = (0, 1),
        project: Projection | None = None,
        eps: float = 1e-16,
    ) -> None:
        super().__init__()
        self.factors = tuple(factors)
        self.project = project or nn.Identity()
        self.eps = eps

    def update(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """The new U for fixed V."""
        raise NotImplementedError

    def forward(self, x: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        for factor in self.factors:
            if factor == 0:
                u = self.update(x, u, v)
            else:
                v = self.update(x.mT, v, u)
        return u, v


class CoordinateDescent(Solver):
    """Exact minimisation column by column; with ReLU this is HALS (Cichocki and Phan, 2009)."""

    def update(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        a, b = x @ v, v.mT @ v
        if b.shape[-1] == 1:
            return self.project((a + self.eps) / (b + self.eps))
        columns = list(u.unbind(-1))
        for r in range(len(columns)):
            others = [j for j in range(len(columns)) if j != r]
            explained = torch.stack([columns[j] for j in others], -1) @ b[..., others, r : r + 1]
            numerator = a[..., r : r + 1] - explained + self.eps
            denominator = b[..., r : r + 1, r : r + 1] + self.eps
            columns[r] = self.project(numerator / denominator).squeeze(-1)
        return torch.stack(columns, -1)


class MultiplicativeUpdate(Solver):
    """Lee and Seung's multiplicative update (NeurIPS 2000)."""

    def update(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        return (u * (x @ v) + self.eps) / (u @ (v.mT @ v) + self.eps)


class FastMultiplicativeUpdate(Solver):
    """The multiplicative update as single three-operand contractions: fewer intermediates."""

    def update(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        numerator = torch.einsum("...ij,...ir,...jr->...ir", x, u, v)
        denominator = torch.einsum("...is,...js,...jr->...ir", u, v, v)
        return (numerator + self.eps) / (denominator + self.eps)


class WeightedMultiplicativeUpdate(Solver):
    """Multiplicative update of ||W * (X - U V^T)||^2; W (..., M, N) weighs the entries of X."""

    def forward(
        self, x: Tensor, u: Tensor, v: Tensor, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        weight = torch.ones_like(x) if weight is None else weight
        for factor in self.factors:
            if factor == 0:
                u = self._weighted_update(x, u, v, weight)
            else:
                v = self._weighted_update(x.mT, v, u, weight.mT)
        return u, v

    def _weighted_update(self, x: Tensor, u: Tensor, v: Tensor, weight: Tensor) -> Tensor:
        numerator = u * ((weight * x) @ v) + self.eps
        return numerator / ((weight * (u @ v.mT)) @ v + self.eps)


class SemiMultiplicativeUpdate(Solver):
    """Semi-NMF's update for signed X and nonnegative factors (Ding, Li and Jordan, 2010)."""

    def update(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        a, b = x @ v, v.mT @ v
        numerator = torch.relu(a) + u @ torch.relu(-b) + self.eps
        denominator = torch.relu(-a) + u @ torch.relu(b) + self.eps
        return u * torch.sqrt(numerator / denominator)


class ProjectedGradient(Solver):
    """A gradient step of exact length for each matrix, then the projection."""

    def update(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        a, b = x @ v, v.mT @ v
        descent = a - u @ b
        squared = (descent * descent).sum((-2, -1), keepdim=True)
        curvature = (descent * (descent @ b)).sum((-2, -1), keepdim=True)
        return self.project(u + (squared + self.eps) / (curvature + self.eps) * descent)


class LeastSquares(Solver):
    """The unconstrained least-squares factor, then the projection.

    Raises:
        torch.linalg.LinAlgError: When the Gram matrix of the fixed factor is singular.
    """

    def update(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        if x.shape[-2] >= x.shape[-1]:
            return self.project(x @ torch.linalg.pinv(v).mT)
        return self.project(torch.linalg.solve(v.mT @ v, (x @ v).mT).mT)


class Sequential(Solver):
    """Several sweeps in a row, counted as one."""

    def __init__(self, solvers: Sequence[Solver]) -> None:
        super().__init__()
        self.solvers = nn.ModuleList(solvers)

    def forward(self, x: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        for solver in self.solvers:
            u, v = solver(x, u, v)
        return u, v


_SOLVERS: dict[str, tuple[type[Solver], Projection | None]] = {
    "cd": (CoordinateDescent, None),
    "hals": (CoordinateDescent, torch.relu),
    "mu": (MultiplicativeUpdate, None),
    "fmu": (FastMultiplicativeUpdate, None),
    "wmu": (WeightedMultiplicativeUpdate, None),
    "smu": (SemiMultiplicativeUpdate, None),
    "pg": (ProjectedGradient, None),
    "pg_relu": (ProjectedGradient, torch.relu),
    "ls": (LeastSquares, None),
    "nnls": (LeastSquares, torch.relu),
}


def make_solver(solver: str | Sequence[str], eps: float = 1e-16) -> Solver:
    """A solver from its name; a list of names is run in order.

    A name that ends in "-0" or "-1" updates only U or only V.

    Raises:
        ValueError: For an unknown name.
    """
    if not isinstance(solver, str):
        return Sequential([make_solver(name, eps) for name in solver])
    name, _, factor = solver.partition("-")
    if name not in _SOLVERS or factor not in ("", "0", "1"):
        raise ValueError(f"Unknown solver {solver!r}; use one of {', '.join(_SOLVERS)}.")
    solver_class, project = _SOLVERS[name]
    return solver_class((0, 1) if not factor else (int(factor),), project, eps)

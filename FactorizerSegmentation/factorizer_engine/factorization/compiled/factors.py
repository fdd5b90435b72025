"""Whole maps through the kernels, in threads."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from factorizer_engine.factorization.compiled.failure import guarded
from factorizer_engine.factorization.matricize import Matricize
from factorizer_engine.factorization.threads import part_values, run_in_threads

_RANGES_A_THREAD = 4  # so that threads end at about the same time


def kernels() -> ModuleType:
    """The module of the kernels.

    Raises:
        Exception: Whatever importing Numba raises.
    """
    return importlib.import_module("factorizer_engine.factorization.compiled.kernels")


def mixing_kernels() -> ModuleType:
    """The module of the kernels of whole layers; raises what `kernels` raises."""
    return importlib.import_module("factorizer_engine.factorization.compiled.mixing_kernels")


def rows_of_windows(batch: int, reshape: Matricize) -> list[range]:
    """The rows of windows of a grid, in parts for threads."""
    grid = three(reshape.grid_size)
    rows = batch * grid[0] * grid[1]
    return _split(rows, max(1, rows // (_RANGES_A_THREAD * torch.get_num_threads())))


@dataclass(frozen=True)
class Factors:
    """Factors of rank 1 of all heads and shifted grids of a map, as with three axes.

    Attributes:
        u: Left factors (grids, B, gx, gy, gz, heads, d).
        v: Right factors over the number of grids, at their voxels: (grids, B, X, Y, Z, heads).
        patch: Voxels of a window along each axis.
        shifts: (grids, 3), where voxel 0 is in each grid.
    """

    u: Tensor
    v: Tensor
    patch: tuple[int, ...]
    shifts: np.ndarray


def find_factors(x: Tensor, reshape: Matricize, v0: Tensor, sweeps: int, eps: float) -> Factors:
    """The factors of ReLU(x), as `rank_one.rank_one_factors` gives them window by window.

    Args:
        x: Map (B, C, *S) for which `is_available` holds; channels-last memory saves a copy.
        reshape: The matricisation.
        v0: The starting right factor (P,), positive.
        sweeps: Number of HALS sweeps T, at least 1.
        eps: The solver's guard.

    Raises:
        KernelError: If a kernel fails.
    """
    maps = _tokens(x)
    batch, *size, _ = maps.shape
    patch, grid = three(reshape.patch_size), three(reshape.grid_size)
    grids, heads = len(reshape.shifts), reshape.num_heads
    shifts = np.array([np.mod(three(s, 0), size) for s in reshape.shifts], np.int64)
    u = torch.empty(grids, batch, *grid, heads, reshape.head_dim)
    v = torch.empty(grids, batch, *size, heads)
    settings = (
        v0.detach().float().contiguous().numpy(),
        sweeps,
        np.float32(eps),
        np.float32(1 / grids),
    )
    with guarded():
        factors = kernels().factors_kernel(reshape.head_dim, patch)

    def compute(part: tuple[int, range]) -> None:
        number, rows = part
        offset = tuple(int(n) for n in -shifts[number] % size)
        target = u[number].numpy(), v[number].numpy()
        factors(maps, rows.start, rows.stop, offset, *settings, *target)

    parts = rows_of_windows(batch, reshape)
    with guarded():
        run_in_threads(compute, [(n, part) for n in range(grids) for part in parts])
    return Factors(u, v, patch, shifts)


class Expansion:
    """x plus a linear map of the mixed map, and the layer norm of that, from factors.

    Args:
        x: Map (B, C, *S), float32 on the CPU.
        factors: Of the map that is mixed.
        weight, bias: Of the linear map, (C, C) and (C,).
        norm: The layer norm.
    """

    def __init__(
        self, x: Tensor, factors: Factors, weight: Tensor, bias: Tensor, norm: torch.nn.LayerNorm
    ) -> None:
        self._maps = _tokens(x)
        heads, d = factors.u.shape[-2:]
        by_head = weight.detach().unflatten(1, (heads, d)).permute(1, 2, 0)  # (heads, d, C)
        projected = torch.matmul(factors.u.view(-1, heads, d).transpose(0, 1), by_head)
        projected = projected.transpose(0, 1).contiguous()
        self._arguments = (
            factors.patch,
            factors.shifts,
            projected.view(*factors.u.shape[:-1], -1).numpy(),
            factors.v.numpy(),
            *(t.detach().numpy() for t in (bias, norm.weight, norm.bias)),
            np.float32(norm.eps),
        )

    @cached_property
    def parts(self) -> list[range]:
        """Lines of voxels, in parts that stay in a core's cache."""
        batch, *size, channels = self._maps.shape
        lines = max(1, part_values(self._maps.size) // (size[2] * channels))
        return _split(batch * size[0] * size[1], lines)

    def voxels(self, lines: range) -> slice:
        """The voxels of some lines."""
        length = self._maps.shape[3]
        return slice(lines.start * length, lines.stop * length)

    def __call__(self, lines: range) -> tuple[Tensor, Tensor]:
        """The sum and its layer norm, (voxels, C) each.

        Raises:
            KernelError: If a kernel fails.
        """
        length, channels = self._maps.shape[3:]
        y, normed = np.empty((2, len(lines), length, channels), np.float32)
        with guarded():
            kernels().expand(self._maps, lines.start, lines.stop, *self._arguments, y, normed)
        result = torch.from_numpy(y), torch.from_numpy(normed)
        return result[0].view(-1, channels), result[1].view(-1, channels)


def layer_norm(x: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    """The layer norm of rows (N, C), float32 on the CPU.

    Raises:
        KernelError: If the kernel fails.
    """
    result = torch.empty(x.shape)
    weights = norm.weight.detach().numpy(), norm.bias.detach().numpy(), np.float32(norm.eps)
    with guarded():
        kernels().normalise(x.contiguous().numpy(), *weights, result.numpy())
    return result


def _tokens(x: Tensor) -> np.ndarray:
    """A map (B, C, *S) as (B, X, Y, Z, C)."""
    tokens = x.detach().movedim(1, -1).contiguous()
    return tokens.view(len(tokens), *three(tokens.shape[1:-1]), tokens.shape[-1]).numpy()


def three(values: Sequence[int], missing: int = 1) -> tuple[int, ...]:
    """Numbers of axes as if there were three."""
    return (missing,) * (3 - len(values)) + tuple(values)


def _split(count: int, step: int) -> list[range]:
    return [range(i, min(i + step, count)) for i in range(0, count, step)]

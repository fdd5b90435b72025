"""Whole maps through the compiled kernels, in threads."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from factorizer_engine.factorization.backend import Backend, Then
from factorizer_engine.factorization.factors import Factors, as_tokens, three
from factorizer_engine.factorization.matricize import Matricize
from factorizer_engine.factorization.threads import part_values, run_in_threads

_MOST_COLUMNS = 4096  # a window's head must stay in the cache
_FEWEST_VALUES = 2**14  # of a map for whose mixing as a layer it is worth to compile
_RANGES_A_THREAD = 4  # so that threads end at about the same time


class CompiledKernels(Backend):
    """For float32 in the CPU's memory, heads of a multiple of four channels, and small windows.

    Layers with gradients take half precision, too, and compute in float32. Results do not depend on
    the number of threads.
    """

    family = "compiled kernels"

    def serves(self, device: torch.device, dtype: torch.dtype) -> bool:
        return device.type == "cpu" and dtype == torch.float32

    def suits(self, reshape: Matricize) -> bool:
        return reshape.head_dim % 4 == 0 and reshape.output_size[-1] <= _MOST_COLUMNS

    def mixing_dtype(self, dtype: torch.dtype) -> torch.dtype:
        return torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype

    def is_worth_mixing(self, values: int) -> bool:
        return values >= _FEWEST_VALUES

    def layer_norm(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        result = torch.empty(x.shape)
        weights = norm.weight.detach().numpy(), norm.bias.detach().numpy(), np.float32(norm.eps)
        with self.trust.guarded():
            kernels().normalise(x.contiguous().numpy(), *weights, result.numpy())
        return result

    def find_factors(
        self, x: Tensor, reshape: Matricize, v0: Tensor, sweeps: int, eps: float
    ) -> Factors:
        tokens = as_tokens(x)
        factors = Factors.empty(tokens, reshape)
        maps, batch, size = tokens.numpy(), len(tokens), tokens.shape[1:-1]
        grids = len(factors.shifts)
        settings = (*_settings(v0, sweeps, eps), np.float32(1 / grids))
        with self.trust.guarded():
            compute = kernels().factors_kernel(reshape.head_dim, factors.patch)

        def find(part: tuple[int, range]) -> None:
            number, rows = part
            offset = tuple(int(n) for n in -factors.shifts[number] % size)
            target = factors.u[number].numpy(), factors.v[number].numpy()
            compute(maps, rows.start, rows.stop, offset, *settings, *target)

        parts = _rows_of_windows(batch, reshape)
        with self.trust.guarded():
            run_in_threads(find, [(n, part) for n in range(grids) for part in parts])
        return factors

    def expand(
        self,
        x: Tensor,
        factors: Factors,
        weight: Tensor,
        bias: Tensor,
        norm: nn.LayerNorm,
        then: Then,
        spare: Tensor,
    ) -> Tensor:
        maps = as_tokens(x).numpy()
        batch, *size, channels = maps.shape
        arguments = (
            factors.patch,
            factors.shifts,
            factors.projected(weight).numpy(),
            factors.v.numpy(),
            *(t.detach().numpy() for t in (bias, norm.weight, norm.bias)),
            np.float32(norm.eps),
        )
        # The result takes the place of what is not needed any more.
        result = spare.movedim(1, -1).view(-1, size[2], channels)

        def compute(lines: range) -> None:
            y, normed = np.empty((2, len(lines), size[2], channels), np.float32)
            with self.trust.guarded():
                kernels().expand(maps, lines.start, lines.stop, *arguments, y, normed)
            rows = (torch.from_numpy(a).view(-1, channels) for a in (y, normed))
            target = result[lines.start : lines.stop]
            target.copy_(then(*rows).view(target.shape))

        lines = max(1, part_values(maps.size) // (size[2] * channels))
        run_in_threads(compute, _split(batch * size[0] * size[1], lines))
        return spare

    def mix(self, maps: Tensor, reshape: Matricize, v0: Tensor, sweeps: int, eps: float) -> Tensor:
        return self._run("mixing_kernel", (maps,), reshape, v0, sweeps, eps)

    def mixing_gradient(
        self,
        maps: Tensor,
        gradient: Tensor,
        reshape: Matricize,
        v0: Tensor,
        sweeps: int,
        eps: float,
    ) -> Tensor:
        return self._run("gradient_kernel", (maps, gradient), reshape, v0, sweeps, eps)

    def _run(
        self,
        kernel: str,
        maps: tuple[Tensor, ...],
        reshape: Matricize,
        v0: Tensor,
        sweeps: int,
        eps: float,
    ) -> Tensor:
        """A kernel of `mixing_kernels` on all grids: the first is written, the others are added."""
        result = torch.empty(maps[0].shape)
        *sources, target = (_as_array(m) for m in (*maps, result))
        size = target.shape[1:4]
        settings = (*_settings(v0, sweeps, eps), np.float32(1 / len(reshape.shifts)))
        with self.trust.guarded():
            compute = getattr(mixing_kernels(), kernel)(reshape.head_dim, three(reshape.patch_size))
            for number, shift in enumerate(reshape.shifts):
                offset = tuple(-s % n for s, n in zip(three(shift, 0), size, strict=True))

                def grid(rows: range, offset=offset, adds=number > 0) -> None:
                    compute(*sources, rows.start, rows.stop, offset, *settings, adds, target)

                run_in_threads(grid, _rows_of_windows(len(target), reshape))
        return result.to(maps[0].dtype)


def kernels() -> ModuleType:
    """The module of the kernels.

    Raises:
        Exception: Whatever importing Numba raises, or that it was told to compile nothing.
    """
    module = importlib.import_module("factorizer_engine.factorization.compiled.kernels")
    if module.is_interpreted():
        raise RuntimeError("NUMBA_DISABLE_JIT is set")
    return module


def mixing_kernels() -> ModuleType:
    """The module of the kernels of whole layers; raises what `kernels` raises."""
    kernels()
    return importlib.import_module("factorizer_engine.factorization.compiled.mixing_kernels")


def _settings(v0: Tensor, sweeps: int, eps: float) -> tuple[np.ndarray, int, np.float32]:
    return v0.detach().float().contiguous().numpy(), sweeps, np.float32(eps)


def _as_array(maps: Tensor) -> np.ndarray:
    """Maps (B, *S, C) as (B, X, Y, Z, C) in float32."""
    return as_tokens(maps.float().movedim(-1, 1)).numpy()


def _rows_of_windows(batch: int, reshape: Matricize) -> list[range]:
    """The rows of windows of a grid, in parts for threads."""
    grid = three(reshape.grid_size)
    rows = batch * grid[0] * grid[1]
    return _split(rows, max(1, rows // (_RANGES_A_THREAD * torch.get_num_threads())))


def _split(count: int, step: int) -> list[range]:
    return [range(i, min(i + step, count)) for i in range(0, count, step)]

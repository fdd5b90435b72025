"""Starting the kernels of `fused`. Triton is imported at the first start."""

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from factorizer_engine.factorization.factors import Factors
from factorizer_engine.factorization.fused.layout import make_layout
from factorizer_engine.factorization.matricize import Matricize

_MIN_DOT = 16  # the smallest side of a matrix product in Triton
# Channels whose Gram matrices are formed together: fewer waste less off the diagonal blocks.
_GROUP_CHANNELS = 16
# Voxels of a window that are read at a time; on the way back there are twice as many values each.
_BLOCK_VOXELS, _BLOCK_VOXELS_BACK = 32, 16
_PROGRAM_VALUES = 4096  # about the most voxels times channels of a program that follows lines
_WARP_VALUES, _MAX_WARPS = 1024, 8


class Launcher:
    """Starts the kernels that see the windows of a map.

    Args:
        tokens: (B, X, Y, Z, C), contiguous.
        reshape, v0, sweeps, eps: As for `Backend.find_factors`.
    """

    def __init__(
        self, tokens: Tensor, reshape: Matricize, v0: Tensor, sweeps: int, eps: float
    ) -> None:
        self.tokens = tokens
        self.v0 = v0.detach().to(torch.float32).contiguous()
        self.sweeps, self.eps = sweeps, float(eps)
        self.layout = make_layout(
            reshape.spatial_size, reshape.patch_size, reshape.shifts, tokens.device
        )
        self.rows = len(tokens) * math.prod(reshape.grid_size) * len(reshape.shifts)
        head_width = _power_of_two(reshape.head_dim)
        heads = max(_GROUP_CHANNELS // head_width, 1)
        self.groups = -(-reshape.num_heads // heads)
        self.heads = {"HEAD": reshape.head_dim, "HEAD_WIDTH": head_width, "HEADS": heads}
        self.on_tensor_cores = _has_tensor_cores(tokens.device)
        # Few warps each: they would have the parts of the small matrix products in common.
        self.num_warps = min(heads * head_width // _MIN_DOT, _MAX_WARPS)

    def find(self, factors: Factors) -> None:
        """Write the factors of the map."""
        pointers = self.tokens, self.v0, self.layout.shifts, factors.u, factors.v
        self._start_for_windows(_kernels().factors_kernel, pointers, _BLOCK_VOXELS)

    def reconstruct(self, factors: Factors, mixed: Tensor) -> None:
        """Write the map that the factors make up."""
        batch, *size, channels = self.tokens.shape
        head, head_width = self.heads["HEAD"], self.heads["HEAD_WIDTH"]
        heads = min(_power_of_two(channels // head), _PROGRAM_VALUES // head_width)
        rows = _rows(size[2], heads * head_width)
        groups = -(-channels // (heads * head))
        programs = batch * size[0] * size[1] * -(-size[2] // rows) * groups
        _kernels().reconstruction_kernel[(programs,)](
            factors.u,
            factors.v,
            self.layout.shifts,
            mixed,
            *self.tokens.shape,
            *self.layout.patch,
            SHIFTS=len(self.layout.shifts),
            HEAD=head,
            HEAD_WIDTH=head_width,
            HEADS=heads,
            ROWS=rows,
            num_warps=_warps(rows * heads * head_width),
        )

    def differentiate(self, gradient: Tensor, result: Tensor) -> None:
        """Write the gradient of the map from that of what `reconstruct` writes."""
        layout, channels = self.layout, self.tokens.shape[-1]
        vectors = self.v0.new_empty((self.rows, 3, channels))
        matrices = self.v0.new_empty((self.rows, channels, self.heads["HEAD"]))
        self._start_for_windows(
            _gradient_kernels().factor_gradient_kernel,
            (self.tokens, gradient, self.v0, layout.shifts, vectors, matrices),
            _BLOCK_VOXELS_BACK,
            SWEEPS=_power_of_two(self.sweeps),
        )
        cells = len(self.tokens) * math.prod(layout.cells)
        _gradient_kernels().input_gradient_kernel[(cells * self.groups,)](
            self.tokens,
            gradient,
            self.v0,
            layout.shifts,
            layout.segments,
            vectors,
            matrices,
            result,
            *self.tokens.shape,
            *layout.cells,
            self.eps,
            *layout.patch,
            *layout.cell[1:],
            SHIFTS=len(layout.shifts),
            **self.heads,
            ROWS=max(_power_of_two(layout.cell_voxels), _MIN_DOT),
            SPLIT=self.on_tensor_cores,
            num_warps=min(2 * self.num_warps, _MAX_WARPS),
        )

    def _start_for_windows(
        self, kernel: Any, pointers: Sequence[Tensor], most_voxels: int, **constants: int
    ) -> None:
        """One program per item, window, grid and group of heads, with the statistics' arguments."""
        layout = self.layout
        plane = _power_of_two(math.prod(layout.patch[1:]))
        kernel[(self.rows * self.groups,)](
            *pointers,
            *self.tokens.shape,
            len(layout.shifts),
            self.sweeps,
            self.eps,
            *layout.patch,
            **self.heads,
            BLOCK=min(max(plane, _MIN_DOT), most_voxels),
            PRODUCT=_product_type(self.tokens.dtype if self.on_tensor_cores else torch.float32),
            SPLIT=self.on_tensor_cores,
            num_warps=self.num_warps,
            **constants,
        )


def expand_lines(
    lines: range,
    tokens: Tensor,
    factors: Factors,
    projected: Tensor,
    bias: Tensor,
    norm: nn.LayerNorm,
    y: Tensor,
    normed: Tensor,
) -> None:
    """Write the sum and its layer norm, rows (N, C) each, of some lines of voxels.

    Args:
        lines: Which.
        tokens: (B, X, Y, Z, C), contiguous.
        factors: Of the map that is mixed.
        projected: As `Factors.projected` gives it.
        bias: Of the linear map, (C,).
        norm: The layer norm.
        y, normed: Written.
    """
    batch, *size, channels = tokens.shape
    width = _power_of_two(channels)
    rows = _rows(size[2], width)
    shifts = _on_device(tuple(map(tuple, factors.shifts.tolist())), tokens.device)
    _kernels().expansion_kernel[(len(lines) * -(-size[2] // rows),)](
        tokens,
        projected,
        factors.v,
        shifts,
        bias,
        norm.weight,
        norm.bias,
        y,
        normed,
        lines.start,
        *tokens.shape,
        projected.shape[-2],
        norm.eps,
        *factors.patch,
        SHIFTS=len(shifts),
        ROWS=rows,
        WIDTH=width,
        num_warps=_warps(rows * width),
    )


def normalise(x: Tensor, norm: nn.LayerNorm, result: Tensor) -> None:
    """Write the layer norm of rows (N, C), of which there may be none."""
    count, channels = x.shape
    if not count:
        return
    width = _power_of_two(channels)
    rows = _rows(count, width)
    _kernels().layer_norm_kernel[(-(-count // rows),)](
        x,
        norm.weight,
        norm.bias,
        result,
        count,
        channels,
        norm.eps,
        ROWS=rows,
        WIDTH=width,
        num_warps=_warps(rows * width),
    )


def on_device(x: Tensor) -> contextlib.AbstractContextManager:
    """Kernels start on the current device, which is not always that of the map."""
    return torch.cuda.device(x.device) if x.is_cuda else contextlib.nullcontext()


@lru_cache
def _on_device(shifts: tuple[tuple[int, ...], ...], device: torch.device) -> Tensor:
    return torch.tensor(shifts, dtype=torch.int32, device=device)


def _kernels() -> ModuleType:
    """The module of the kernels; raises whatever importing Triton raises."""
    return importlib.import_module("factorizer_engine.factorization.fused.kernels")


def _gradient_kernels() -> ModuleType:
    return importlib.import_module("factorizer_engine.factorization.fused.gradient_kernels")


def _product_type(dtype: torch.dtype) -> Any:
    """Triton's name of a type."""
    language = importlib.import_module("triton.language")
    return getattr(language, str(dtype).removeprefix("torch."))


@lru_cache
def _has_tensor_cores(device: torch.device) -> bool:
    """Whether tensor cores multiply all types; elsewhere all is multiplied in plain float32."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def _rows(most: int, width: int) -> int:
    return min(_power_of_two(most), max(_PROGRAM_VALUES // width, 1))


def _warps(values: int) -> int:
    return min(max(values // _WARP_VALUES, 1), _MAX_WARPS)


def _power_of_two(n: int) -> int:
    """The smallest power of two that is not below n."""
    return 1 << (n - 1).bit_length()

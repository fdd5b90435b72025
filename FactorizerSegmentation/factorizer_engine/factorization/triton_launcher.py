"""Starting the kernels of the rank-1 mixing layer. Imports Triton."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from factorizer_engine.factorization.matricize import Matricize
from factorizer_engine.factorization.triton_backward_kernels import (
    factor_gradient_kernel,
    input_gradient_kernel,
    start_gradient_kernel,
)
from factorizer_engine.factorization.triton_kernels import factor_kernel, project_kernel
from factorizer_engine.factorization.triton_layout import make_layout

_PRODUCTS = {
    torch.float32: tl.float32,
    torch.bfloat16: tl.bfloat16,
    torch.float16: tl.float16,
}
_MIN_DOT = 16  # the smallest side of a matrix product in Triton
# Channels whose Gram matrices are formed together: fewer waste less off the diagonal blocks.
_GROUP_CHANNELS = 16
# Voxels of a window that are read at a time; on the way back there are twice as many values each.
_BLOCK_VOXELS, _BLOCK_VOXELS_BACK = 32, 16
_CELL_ELEMENTS = 4096  # about the most voxels times channels that one program projects
_MAX_WARPS = 8


class Launcher:
    """Starts the kernels for one map."""

    def __init__(self, x: Tensor, reshape: Matricize, v0: Tensor, sweeps: int, eps: float) -> None:
        self.x = x
        self.tokens = _channels_last(x)
        self.v0 = v0.detach().to(torch.float32).contiguous()
        self.sweeps, self.eps = sweeps, float(eps)
        self.head_dim = reshape.head_dim
        self.layout = make_layout(
            reshape.spatial_size, reshape.patch_size, reshape.shifts, x.device
        )
        self.rows = x.shape[0] * math.prod(reshape.grid_size) * len(reshape.shifts)
        heads = min(max(_GROUP_CHANNELS // self.head_dim, 1), reshape.num_heads)
        self.group = heads * self.head_dim
        self.groups = -(-reshape.num_heads // heads)
        self.width = max(_power_of_two(self.group), _MIN_DOT)
        self.on_tensor_cores = _has_tensor_cores(x.device)
        self.product = _PRODUCTS[x.dtype if self.on_tensor_cores else torch.float32]
        # Few warps each: they would have the parts of the small matrix products in common.
        self.num_warps = min(self.width // _MIN_DOT, _MAX_WARPS)

    def forward(self) -> Tensor:
        """The mixed map."""
        layout = self.layout
        channels = self.tokens.shape[-1]
        u = self.tokens.new_empty((self.rows, channels), dtype=torch.float32)
        output = torch.empty_like(self.tokens)
        rows = _power_of_two(layout.cell_voxels)
        head_width = _power_of_two(self.head_dim)
        heads = max(_CELL_ELEMENTS // (rows * head_width), 1)
        heads = min(heads, _power_of_two(channels // self.head_dim))
        with _on(self.x.device):
            pointers = self.tokens, self.v0, layout.shifts, u
            self._start_for_windows(factor_kernel, pointers, _BLOCK_VOXELS)
            groups = -(-channels // (heads * self.head_dim))
            project_kernel[(self.x.shape[0] * math.prod(layout.cells) * groups,)](
                self.tokens,
                u,
                layout.shifts,
                layout.segments,
                output,
                *layout.size,
                channels,
                *layout.cells,
                self.eps,
                *layout.patch,
                *layout.cell[1:],
                SHIFTS=len(layout.shifts),
                HEAD=self.head_dim,
                HEAD_WIDTH=head_width,
                HEADS=heads,
                ROWS=rows,
                num_warps=_project_warps(rows * heads * head_width),
            )
        return output.movedim(-1, 1)

    def backward(
        self, gradient: Tensor, for_x: bool, for_v0: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of x and v0, as far as wanted, from that of the output."""
        layout = self.layout
        gradient = _channels_last(gradient)
        channels = self.tokens.shape[-1]
        vectors = self.v0.new_empty((self.rows, 4, channels))
        matrices = self.v0.new_empty((self.rows, channels, self.head_dim))
        with _on(self.x.device):
            pointers = self.tokens, gradient, self.v0, layout.shifts, vectors, matrices
            self._start_for_windows(
                factor_gradient_kernel,
                pointers,
                _BLOCK_VOXELS_BACK,
                SWEEPS=_power_of_two(self.sweeps),
            )
            return (
                self._input_gradient(gradient, vectors, matrices) if for_x else None,
                self._start_gradient(vectors) if for_v0 else None,
            )

    def _start_for_windows(
        self, kernel: Any, pointers: Sequence[Tensor], most_voxels: int, **constants: int
    ) -> None:
        """One program per item, window, grid and group of heads, with the statistics' arguments."""
        layout = self.layout
        kernel[(self.rows * self.groups,)](
            *pointers,
            *layout.size,
            self.tokens.shape[-1],
            len(layout.shifts),
            self.sweeps,
            self.eps,
            *layout.patch,
            HEAD=self.head_dim,
            GROUP=self.group,
            WIDTH=self.width,
            BLOCK=self._block(most_voxels),
            PRODUCT=self.product,
            SPLIT=self.on_tensor_cores,
            num_warps=self.num_warps,
            **constants,
        )

    def _block(self, most: int) -> int:
        """Voxels of a plane of a window that are read at a time."""
        plane = math.prod(self.layout.patch[1:])
        return min(max(_power_of_two(plane), _MIN_DOT), most)

    def _input_gradient(self, gradient: Tensor, vectors: Tensor, matrices: Tensor) -> Tensor:
        layout = self.layout
        result = torch.empty_like(self.tokens)
        cells = self.x.shape[0] * math.prod(layout.cells)
        input_gradient_kernel[(cells * self.groups,)](
            self.tokens,
            gradient,
            self.v0,
            layout.shifts,
            layout.segments,
            vectors,
            matrices,
            result,
            *layout.size,
            self.tokens.shape[-1],
            *layout.cells,
            self.eps,
            *layout.patch,
            *layout.cell[1:],
            SHIFTS=len(layout.shifts),
            HEAD=self.head_dim,
            GROUP=self.group,
            WIDTH=self.width,
            ROWS=max(_power_of_two(layout.cell_voxels), _MIN_DOT),
            SPLIT=self.on_tensor_cores,
            num_warps=min(2 * self.num_warps, _MAX_WARPS),
        )
        return result.movedim(-1, 1)

    def _start_gradient(self, vectors: Tensor) -> Tensor:
        layout, columns = self.layout, self.v0.numel()
        result = self.v0.new_empty((self.rows, columns))
        start_gradient_kernel[(self.rows,)](
            self.tokens,
            vectors,
            layout.shifts,
            result,
            *layout.size,
            self.tokens.shape[-1],
            len(layout.shifts),
            *layout.patch,
            WIDTH=_GROUP_CHANNELS,
            BLOCK=self._block(_BLOCK_VOXELS_BACK),
            num_warps=4,
        )
        return result.sum(0) + 2 * self.v0 * vectors[:, 3].sum()


def _channels_last(x: Tensor) -> Tensor:
    """(B, C, *S) as (B, *S, C), contiguous."""
    return x.detach().movedim(1, -1).contiguous()


def _on(device: torch.device) -> contextlib.AbstractContextManager:
    """Kernels start on the current device, which is not always that of the map."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


@lru_cache
def _has_tensor_cores(device: torch.device) -> bool:
    """Whether tensor cores multiply all types; elsewhere all is multiplied in plain float32."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def _project_warps(elements: int) -> int:
    return min(max(elements // 1024, 1), _MAX_WARPS)


def _power_of_two(n: int) -> int:
    """The smallest power of two that is not below n."""
    return 1 << (n - 1).bit_length()

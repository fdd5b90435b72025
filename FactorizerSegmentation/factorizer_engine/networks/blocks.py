"""Factorizer blocks: mixing of context by matrix factorisation, then an MLP (paper section 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import torch
from torch import Tensor, nn

from factorizer_engine.factorization import (
    NMF,
    Factors,
    Matricize,
    MatrixFactorization,
    SWMatricize,
)
from factorizer_engine.factorization.backend import Backend
from factorizer_engine.factorization.backends import BACKENDS
from factorizer_engine.factorization.mixing import mix_rank_one
from factorizer_engine.factorization.rank_one import rank_one_factors
from factorizer_engine.factorization.trust import KernelError
from factorizer_engine.networks.layers import (
    MLP,
    LayerNorm,
    Linear,
    NeighborhoodConvolution,
    project,
)
from factorizer_engine.networks.parts import by_parts

ComponentFilter = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
FactorObserver = Callable[[Factors | tuple[Tensor, Tensor]], None]
MixedFilter = Callable[[Tensor], Tensor]
Reshape = Callable[..., Matricize] | tuple[Callable[..., Matricize], dict[str, Any]]


class FactMixer(nn.Module):
    """Linear map, matricise, ReLU, factorise and reconstruct, put back together, linear map.

    Args:
        channels: Channels in and out.
        spatial_size: Voxels of the maps along each axis.
        reshape: A matricisation class, or (class, its arguments).
        act: Activation before the factorisation; NMF needs a nonnegative one.
        factorize: A factorisation class, called with the size of the matrices.
        dropout: Probability after the last linear map.
        **factorize_args: Passed to `factorize` (rank, num_iters, init, solver, eps, ...).

    Attributes:
        component_filter: When set, every forward hands it the factors U
            (shifts * B * heads, windows, d, R) and V (..., P, R) and reconstructs from what it
            returns: the way to remove components. None, the default, takes the fast path where
            there is one.
        factor_observer: When set, it is told the factors of every forward, as kernels
            give them (`Factors`) or as for `component_filter`. What the mixer computes does not
            change by one bit.
        mixed_filter: When set, every forward goes on with what it returns for the map (B, C, *S)
            between the linear maps: the way to differentiate and to change that map.
        short_circuited: Whether the factorisation passes on what it gets; then there are no
            factors, and neither filters nor the observer act.
    """

    def __init__(
        self,
        channels: int,
        spatial_size: Sequence[int],
        reshape: Reshape = (SWMatricize, {"head_dim": 8, "patch_size": 8}),
        act: Callable[[], nn.Module] = nn.ReLU,
        factorize: Callable[..., MatrixFactorization] = NMF,
        dropout: float = 0.0,
        **factorize_args: Any,
    ) -> None:
        super().__init__()
        reshape_class, reshape_args = reshape if isinstance(reshape, Sequence) else (reshape, {})
        self.in_proj = Linear(channels, channels, bias=False)
        self.reshape = reshape_class((None, channels, *spatial_size), **reshape_args)
        self.act = act()
        self.factorize = factorize(self.reshape.output_size[2:], **factorize_args)
        self.out_proj = Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)
        self.component_filter: ComponentFilter | None = None
        self.factor_observer: FactorObserver | None = None
        self.mixed_filter: MixedFilter | None = None
        self.short_circuited = False

    @property
    def has_fast_path(self) -> bool:
        """Whether the factorisation is the nonnegative rank-1 projection of `rank_one`."""
        return (
            type(self.factorize) is NMF
            and self.factorize.rank == 1
            and self.factorize.solver_name == "hals"
            and self.factorize.num_grad_steps >= self.factorize.num_iters > 0
            and isinstance(self.act, nn.ReLU)
            and hasattr(self.factorize.init, "v0")
        )

    @property
    def drops(self) -> bool:
        """Whether dropout is active, so that results depend on the order of random draws."""
        return self.dropout.training and self.dropout.p > 0

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) to (B, C, *S)."""
        return self.project(self.mix(self.in_proj(x)))

    def kernels_for(self, x: Tensor) -> Backend | None:
        """Kernels that compute all that follows `in_proj` from the factors of such a map."""
        is_filtered = self.component_filter is not None or self.mixed_filter is not None
        if is_filtered or self.short_circuited or self.drops or not self.has_fast_path:
            return None
        return next((b for b in BACKENDS if b.is_available(x, self.reshape)), None)

    def factors(self, x: Tensor, kernels: Backend) -> Factors:
        """The factors of what `in_proj` gives."""
        factors = kernels.find_factors(x, self.reshape, *self._rank_one_settings())
        if self.factor_observer is not None:
            self.factor_observer(factors)
        return factors

    def mix(self, x: Tensor) -> Tensor:
        """What is between the linear maps: the only part that looks beyond single voxels."""
        if self.short_circuited:  # matrices of the map and back again are the map
            return self.act(x)
        if self.component_filter is None and self.has_fast_path:
            if self.factor_observer is not None:
                self.factor_observer(self._factors(_at_least_float32(self.act(self.reshape(x)))))
            mixed = mix_rank_one(x, self.reshape, *self._rank_one_settings())
        else:
            mixed = self._mix_by_definition(x)
        return mixed if self.mixed_filter is None else self.mixed_filter(mixed)

    def project(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """The last linear map and dropout, then perhaps the sum with a map."""
        return project(x, self.out_proj, self.dropout, add)

    def _mix_by_definition(self, x: Tensor) -> Tensor:
        """With explicit factors, for every solver and rank."""
        matrices = self.act(self.reshape(x))
        with torch.autocast(x.device.type, enabled=False):
            u, v = self._factors(_at_least_float32(matrices))
            if self.component_filter is not None:
                u, v = self.component_filter(u, v)
            if self.factor_observer is not None:
                self.factor_observer((u, v))
            reconstruction = self.factorize.reconstruct(u, v).to(x.dtype)
        return self.reshape.inverse_forward(reconstruction)

    def _factors(self, matrices: Tensor) -> tuple[Tensor, Tensor]:
        if self.has_fast_path:
            return rank_one_factors(matrices, *self._rank_one_settings())
        return self.factorize.decompose(matrices)

    def _rank_one_settings(self) -> tuple[Tensor, int, float]:
        v0 = cast(Tensor, self.factorize.init.v0)
        return v0[:, 0], self.factorize.num_iters, self.factorize.eps


class FactorizerBlock(nn.Module):
    """x + Mix(LayerNorm(x)), then x + MLP(LayerNorm(x)).

    Args:
        channels: Channels in and out.
        spatial_size: Voxels along each axis.
        mlp_ratio: Hidden channels of the MLP relative to `channels`.
        norm: Normalisation class, called with the number of channels.
        dropout: Probability inside the mixer and the MLP.
        **mixer_args: Passed to `FactMixer`.
    """

    def __init__(
        self,
        channels: int,
        spatial_size: Sequence[int],
        mlp_ratio: float = 2,
        norm: Callable[[int], nn.Module] = LayerNorm,
        dropout: float = 0.0,
        **mixer_args: Any,
    ) -> None:
        super().__init__()
        self.norm1 = norm(channels)
        self.fact = FactMixer(channels, spatial_size, dropout=dropout, **mixer_args)
        self.norm2 = norm(channels)
        self.mlp = MLP(channels, mlp_ratio, dropout)

    def forward(self, x: Tensor) -> Tensor:
        if {type(self.norm1), type(self.norm2)} == {LayerNorm}:
            kernels = self.fact.kernels_for(x)
            if kernels is not None:
                with suppress(KernelError):  # torch's form serves, here and from now on
                    return self._by_factors(x, kernels)
        if self.fact.short_circuited and not self.fact.drops:
            return by_parts(self._voxelwise, x)
        projected = by_parts(lambda part: self.fact.in_proj.of_normed(part, self.norm1), x)
        mixed = self.fact.mix(projected)
        del projected
        return self.behind(x, mixed)

    def behind(self, x: Tensor, mixed: Tensor) -> Tensor:
        """What `forward` gives for x where the mixer, between its linear maps, gives `mixed`.

        Args:
            x: (B, C, *S), or (1, C, *S) for all of a batch.
            mixed: (B, C, *S).
        """
        maps = x.expand(len(mixed), *x.shape[1:]), mixed
        # Threads do not keep the order of parts, in which dropout would draw.
        return self._add(*maps) if self.fact.drops else by_parts(self._add, *maps)

    def _voxelwise(self, x: Tensor) -> Tensor:
        """What `forward` gives when it is short-circuited, so that no voxel sees another."""
        return self._add(x, self.fact.mix(self.fact.in_proj(self.norm1(x))))

    def _by_factors(self, x: Tensor, kernels: Backend) -> Tensor:
        """What `forward` gives, without the mixed map."""
        norm1, norm2 = (cast(LayerNorm, norm).norm for norm in (self.norm1, self.norm2))
        projected = by_parts(lambda part: self.fact.in_proj(kernels.layer_norm(part, norm1)), x)
        factors = self.fact.factors(projected, kernels)
        layer = self.fact.out_proj.linear
        weight, bias = layer.weight.squeeze(-1), cast(Tensor, layer.bias)

        def then(y: Tensor, normed: Tensor) -> Tensor:
            return self.mlp(normed, add=y)

        return kernels.expand(x, factors, weight, bias, norm2, then, spare=projected)

    def _add(self, x: Tensor, mixed: Tensor) -> Tensor:
        return self.mlp.residual(self.fact.project(mixed, add=x), self.norm2)


class FactorizerStage(nn.Module):
    """Blocks at one resolution, after an adapter where the channels change.

    Args:
        in_channels: Channels coming in.
        channels: Channels of the blocks and going out.
        spatial_size: Voxels along each axis.
        depth: Number of blocks.
        adapter_kernel: Voxels that the adapter sees along each axis; 1 is a linear map of each.
        pos_embed: Position embedding class, or None.
        **block_args: Passed to `FactorizerBlock`.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        spatial_size: Sequence[int],
        depth: int = 1,
        adapter_kernel: int = 1,
        pos_embed: Callable[..., nn.Module] | None = None,
        **block_args: Any,
    ) -> None:
        super().__init__()
        if in_channels != channels:
            self.adapter = (
                Linear(in_channels, channels, bias=False)
                if adapter_kernel == 1
                else NeighborhoodConvolution(
                    len(spatial_size), in_channels, channels, adapter_kernel
                )
            )
        if pos_embed is not None:
            self.pos_embed = pos_embed(channels, spatial_size)
        self.blocks = nn.ModuleList(
            FactorizerBlock(channels, spatial_size, **block_args) for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.refine(self.adapter(x) if hasattr(self, "adapter") else x)

    def join(self, x: Tensor, y: Tensor) -> Tensor:
        """The adapter of two maps beside each other."""
        return self.adapter.join(x, y)

    def refine(self, x: Tensor) -> Tensor:
        """All after the adapter."""
        if hasattr(self, "pos_embed"):
            x = self.pos_embed(x)
        for block in self.blocks:
            x = block(x)
        return x


def _at_least_float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x

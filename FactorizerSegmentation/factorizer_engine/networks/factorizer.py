"""Factorizer: a U-shaped network of Factorizer blocks (paper section 3.5, figure 3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

from torch import Tensor, nn

from factorizer_engine.factorization import NMF, MatrixFactorization, SWMatricize
from factorizer_engine.networks.blocks import FactMixer, FactorizerStage, Reshape
from factorizer_engine.networks.layers import (
    LayerNorm,
    Linear,
    NeighborhoodConvolution,
    PatchConvolution,
    TransposedPatchConvolution,
)
from factorizer_engine.networks.parts import is_plain
from factorizer_engine.networks.position import PositionalEmbedding


class EncoderStage(nn.Module):
    """Strided convolution (where the resolution or width changes), then Factorizer blocks."""

    def __init__(
        self, in_channels: int, channels: int, stride: int, bias: bool, dims: int, **stage_args: Any
    ) -> None:
        super().__init__()
        if stride > 1:
            self.downsample = PatchConvolution(dims, in_channels, channels, stride, bias)
            in_channels = channels
        self.block = FactorizerStage(in_channels, channels, **stage_args)

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "downsample"):
            x = self.downsample(x)
        return self.block(x)


class DecoderStage(nn.Module):
    """Transposed convolution, concatenation with the skip, then Factorizer blocks."""

    def __init__(
        self, in_channels: int, channels: int, stride: int, dims: int, **stage_args: Any
    ) -> None:
        super().__init__()
        self.upsample = TransposedPatchConvolution(dims, in_channels, channels, stride)
        self.block = FactorizerStage(2 * channels, channels, **stage_args)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.block.refine(self.merge(x, skip))

    def merge(self, x: Tensor, skip: Tensor) -> Tensor:
        """What goes into the blocks."""
        adapter = self.block.adapter
        if type(adapter) is Linear and is_plain(x):
            return self.upsample.join(skip, x, adapter)
        return self.block.join(skip, self.upsample(x))


class Stages(nn.Module):
    """The stages of one side of the network, under the name that they have in published weights."""

    def __init__(self, stages: Iterable[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(stages)


class Factorizer(nn.Module):
    """Segmentation Factorizer in two or three dimensions.

    Args:
        in_channels: Input channels.
        out_channels: Output channels (logits).
        spatial_size: Voxels of the input along each axis; fixed, because of the position embedding.
        encoder_depth: Blocks per encoder stage, finest first.
        encoder_width: Channels per stage.
        strides: Downsampling before each stage; the first is 1.
        decoder_depth: Blocks per decoder stage, coarsest first.
        norm: Normalisation class.
        reshape: Matricisation class or (class, arguments).
        act: Activation before the factorisation.
        factorize: Factorisation class.
        rank, num_iters, num_grad_steps, init, solver, eps: See `MatrixFactorization`.
        mlp_ratio: Hidden channels of the MLPs relative to the stage's.
        dropout: Probability inside mixers and MLPs.
        num_deep_supr: Number of heads, at the finest resolutions; 1, False or None is one head and
            a plain output.
        downsample_bias: Whether strided convolutions have a bias (published networks of version
            0.0.1 have none).
        adapter_kernel: Voxels along each axis that the adapters see where a skip joins the decoder;
            1, as published, is a linear map of every voxel, 3 a convolution.
        pos_embed: Position embedding class at the bottleneck; True is the learned one, False or
            None is without.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_size: Sequence[int],
        encoder_depth: Sequence[int] = (1, 1, 1, 1, 1),
        encoder_width: Sequence[int] = (32, 64, 128, 256, 512),
        strides: Sequence[int] = (1, 2, 2, 2, 2),
        decoder_depth: Sequence[int] = (1, 1, 1, 1),
        norm: Callable[[int], nn.Module] = LayerNorm,
        reshape: Reshape = (SWMatricize, {"head_dim": 8, "patch_size": 8}),
        act: Callable[[], nn.Module] = nn.ReLU,
        factorize: Callable[..., MatrixFactorization] = NMF,
        rank: int | None = 1,
        num_iters: int = 5,
        num_grad_steps: int | None = None,
        init: str | Callable[..., nn.Module] = "uniform",
        solver: str | Sequence[str] = "hals",
        eps: float = 1e-16,
        mlp_ratio: float = 2,
        dropout: float = 0.0,
        num_deep_supr: int | bool | None = None,
        downsample_bias: bool = True,
        adapter_kernel: int = 1,
        pos_embed: Callable[..., nn.Module] | bool | None = True,
    ) -> None:
        super().__init__()
        dims = len(spatial_size)
        self.spatial_size = tuple(spatial_size)
        self.in_channels = in_channels
        self.out_channels = out_channels
        block_args = {
            "norm": norm,
            "reshape": reshape,
            "act": act,
            "factorize": factorize,
            "rank": rank,
            "num_iters": num_iters,
            "num_grad_steps": num_grad_steps,
            "init": init,
            "solver": solver,
            "eps": eps,
            "mlp_ratio": mlp_ratio,
            "dropout": dropout,
        }
        stages = len(encoder_width)
        if {len(encoder_depth), len(strides), len(decoder_depth) + 1} != {stages}:
            raise ValueError(
                "encoder_depth, encoder_width and strides need a number for every stage, and "
                "decoder_depth one less"
            )
        sizes = _stage_sizes(spatial_size, strides)
        bottleneck = stages - 1
        embedding = PositionalEmbedding if pos_embed is True else (pos_embed or None)

        self.stem = NeighborhoodConvolution(dims, in_channels, encoder_width[0], kernel_size=3)
        self.encoder = Stages(
            EncoderStage(
                encoder_width[max(i - 1, 0)],
                width,
                strides[i],
                downsample_bias,
                dims,
                spatial_size=sizes[i],
                depth=encoder_depth[i],
                pos_embed=embedding if i == bottleneck else None,
                **block_args,
            )
            for i, width in enumerate(encoder_width)
        )
        self.decoder = Stages(
            DecoderStage(
                encoder_width[i + 1],
                encoder_width[i],
                strides[i + 1],
                dims,
                spatial_size=sizes[i],
                depth=depth,
                adapter_kernel=adapter_kernel,
                **block_args,
            )
            for i, depth in zip(reversed(range(bottleneck)), decoder_depth, strict=True)
        )
        self.num_heads = int(num_deep_supr or 1)
        heads = [
            PatchConvolution(dims, width, out_channels) for width in encoder_width[: self.num_heads]
        ]
        if self.num_heads == 1:
            self.head = heads[0]
        else:
            self.heads = nn.ModuleList(heads)

    def features(self, x: Tensor) -> list[Tensor]:
        """Decoder features, finest first, ending with the bottleneck.

        Raises:
            ValueError: If the input is not of the spatial size that the network was built for.
        """
        if tuple(x.shape[2:]) != self.spatial_size:
            raise ValueError(
                f"The network takes {self.spatial_size} voxels, "
                f"but the input has {tuple(x.shape[2:])}."
            )
        x = self.stem(x)
        skips = []
        for stage in self.encoder.blocks:
            x = stage(x)
            skips.append(x)
        features = [skips.pop()]
        for stage in self.decoder.blocks:
            stage = cast(DecoderStage, stage)
            # In two steps, so that the skip is freed before the blocks need memory.
            x = stage.merge(features[0], skips.pop())
            features.insert(0, stage.block.refine(x))
        return features

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Logits (B, out_channels, *S) of x (B, in_channels, *S).

        With deep supervision a list of logits, finest first.
        """
        features = self.features(x)
        if self.num_heads == 1:
            return self.head(features[0])
        return [head(f) for head, f in zip(self.heads, features, strict=False)]


def named_mixers(network: nn.Module) -> Iterator[tuple[str, FactMixer]]:
    """Every mixer with the name of its stage and block, such as "encoder.0.0" or "decoder.3.0"."""
    for name, module in network.named_modules():
        if isinstance(module, FactMixer):
            side, *parts = name.split(".")
            yield ".".join([side, *(part for part in parts if part.isdigit())]), module


def _stage_sizes(spatial_size: Sequence[int], strides: Sequence[int]) -> list[tuple[int, ...]]:
    factors = [math.prod(strides[: i + 1]) for i in range(len(strides))]
    return [tuple(s // factor for s in spatial_size) for factor in factors]

"""The networks that are compared, at the sizes at which they are usually used."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from monai.networks.nets import UNETR, DynUNet, SegResNet, SwinUNETR
from torch import Tensor, nn
from torch.nn import functional as F

from factorizer_engine.factorization import NMF, SWMatricize
from factorizer_engine.networks import Factorizer
from factorizer_engine.networks.blocks import FactorizerBlock, FactorizerStage
from factorizer_engine.networks.layers import (
    MLP,
    Linear,
    NeighborhoodConvolution,
    PatchConvolution,
    TransposedPatchConvolution,
)
from factorizer_engine.protocol.triples import triple

OURS = "Factorizer"
STRAIGHTFORWARD = "Factorizer, straightforward"
DYNUNET, SWINUNETR, UNETR_BASE = "DynUNet (nnU-Net)", "SwinUNETR (24)", "UNETR"

CLASSES = 3
LEVELS = 5
WIDTH = 32
LARGEST_PATCH = 8
SMALLEST_PLANNED = 4
"""nnU-Net halves an axis as long as this many voxels are left."""


@dataclass(frozen=True)
class Window:
    """The input of a network.

    Attributes:
        channels: Scans.
        size: Voxels along the three axes, multiples of 32.
    """

    channels: int
    size: tuple[int, int, int]

    @classmethod
    def parse(cls, text: str) -> Window:
        """From "4x128x128x128": channels and voxels.

        Raises:
            ValueError: If the text is anything else.
        """
        channels, *size = (int(part) for part in text.lower().split("x"))
        if len(size) != 3 or min(channels, *size) < 1 or any(n % 32 for n in size):
            raise ValueError("a window is CHANNELSxXxYxZ, with X, Y and Z multiples of 32")
        return cls(channels, triple(size))

    @property
    def title(self) -> str:
        """Such as "128³ x 4 channels"."""
        cube = len(set(self.size)) == 1
        size = f"{self.size[0]}³" if cube else " x ".join(map(str, self.size))
        return f"{size} x {self.channels} channels"

    def input(self, device: torch.device | str) -> Tensor:
        """Noise of the window's shape, the same every time."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(1, self.channels, *self.size, generator=generator).to(device)


def build(name: str, window: Window, device: torch.device | str = "cpu") -> nn.Module:
    """The network called `name` for a window, in evaluation mode, with the weights of seed 0."""
    torch.manual_seed(0)
    with torch.device(device):
        network = CONTESTANTS[name](window)
    return network.eval().requires_grad_(False)


def patch_size(window: Window) -> int:
    """The paper's 8, or the largest smaller size that cuts the coarsest maps evenly."""
    coarsest = math.gcd(*window.size) // 2 ** (LEVELS - 1)
    return next(p for p in range(LARGEST_PATCH, 0, -1) if coarsest % p == 0)


class SweptNMF(NMF):
    """NMF that mixers do not recognise, so that they go through every sweep with explicit factors.

    This is the definition against which tests hold the fast form.
    """


class PlainStage(FactorizerStage):
    """Skips concatenated with what comes from below."""

    def join(self, x: Tensor, y: Tensor) -> Tensor:
        return self.adapter(torch.cat((x, y), dim=1))

    def refine(self, x: Tensor) -> Tensor:
        return super().refine(x.contiguous())


class PlainBlock(FactorizerBlock):
    """The block on whole maps, one step after the other."""

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.fact(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PlainLinear(Linear):
    """`Linear` as the 1x1 convolution that it is by definition."""

    # No plain block asks it for more.
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.linear(x.flatten(2)).unflatten(2, x.shape[2:])


class PlainMLP(MLP):
    """`MLP` layer by layer."""

    # The plain block asks it for no sum.
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.block(x)


class PlainNeighborhoodConvolution(NeighborhoodConvolution):
    """torch's own convolution."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv3d(x, self.weight, padding="same")


class PlainPatchConvolution(PatchConvolution):
    """torch's own strided convolution."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv3d(x, self.weight, self.bias, self.stride)


class PlainTransposedPatchConvolution(TransposedPatchConvolution):
    """torch's own transposed convolution."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose3d(x, self.weight, self.bias, self.stride)


PLAIN_FORMS: dict[type[nn.Module], type[nn.Module]] = {
    NMF: SweptNMF,
    FactorizerStage: PlainStage,
    FactorizerBlock: PlainBlock,
    Linear: PlainLinear,
    MLP: PlainMLP,
    NeighborhoodConvolution: PlainNeighborhoodConvolution,
    PatchConvolution: PlainPatchConvolution,
    TransposedPatchConvolution: PlainTransposedPatchConvolution,
}


def straighten(network: Factorizer) -> Factorizer:
    """Make a network compute by its definition: rolled maps, explicit factors, every sweep.

    In place, with the same weights under the same names.
    """
    for module in network.modules():
        module.__class__ = PLAIN_FORMS.get(type(module), type(module))
    return network


def _straightforward(window: Window) -> Factorizer:
    return straighten(_factorizer(window))


def _factorizer(window: Window) -> Factorizer:
    """The Swin Factorizer of the paper: rank 1, five sweeps, two grids."""
    reshape = (SWMatricize, {"head_dim": 8, "patch_size": patch_size(window)})
    return Factorizer(window.channels, CLASSES, window.size, reshape=reshape)


def _dynunet(window: Window) -> nn.Module:
    """nnU-Net's network as nnU-Net plans it: axes are halved down to 4 voxels, at most 5 times."""
    halvings = [min(int(math.log2(n / SMALLEST_PLANNED)), 5) for n in window.size]
    strides = [[2 if level < h else 1 for h in halvings] for level in range(max(halvings))]
    strides.insert(0, [1, 1, 1])
    return DynUNet(
        3,
        window.channels,
        CLASSES,
        kernel_size=[[3, 3, 3]] * len(strides),
        strides=strides,
        upsample_kernel_size=strides[1:],
    )


def _segresnet(window: Window) -> nn.Module:
    return SegResNet(3, 32, window.channels, CLASSES)


def _swinunetr(window: Window) -> nn.Module:
    return SwinUNETR(in_channels=window.channels, out_channels=CLASSES, feature_size=24)


def _unetr(window: Window) -> nn.Module:
    return UNETR(window.channels, CLASSES, window.size)


CONTESTANTS: dict[str, Callable[[Window], nn.Module]] = {
    OURS: _factorizer,
    STRAIGHTFORWARD: _straightforward,
    DYNUNET: _dynunet,
    "SegResNet (32)": _segresnet,
    SWINUNETR: _swinunetr,
    "UNETR": _unetr,
}

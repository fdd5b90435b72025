"""The networks that are compared, at the sizes at which they are usually used."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from monai.networks.nets import UNETR, DynUNet, SegResNet, SwinUNETR
from torch import Tensor, nn

from factorizer_engine.factorization import NMF, SWMatricize
from factorizer_engine.networks import Factorizer
from factorizer_engine.networks.layers import (
    MLP,
    Linear,
    PatchConvolution,
    TransposedPatchConvolution,
)

OURS = "Factorizer"
STRAIGHTFORWARD = "Factorizer, straightforward"
DYNUNET, SWINUNETR = "DynUNet (nnU-Net)", "SwinUNETR (24)"

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
        numbers = [int(part) for part in text.lower().split("x")]
        if len(numbers) != 4 or min(numbers) < 1 or any(n % 32 for n in numbers[1:]):
            raise ValueError("a window is CHANNELSxXxYxZ, with X, Y and Z multiples of 32")
        return cls(numbers[0], tuple(numbers[1:]))

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


class PlainLinear(nn.Module):
    """`Linear` as the 1x1 convolution that it is by definition."""

    def __init__(self, linear: nn.Conv1d) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(2)).unflatten(2, x.shape[2:])


class PlainMLP(nn.Module):
    """`MLP` on the whole map at once."""

    def __init__(self, block: nn.Sequential) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


def plain(layer: nn.Module) -> nn.Module:
    """The layer as torch's own, with the same weights; others stay what they are."""
    if type(layer) is Linear:
        return PlainLinear(layer.linear)
    if type(layer) is MLP:
        return PlainMLP(layer.block)
    if type(layer) is PatchConvolution:
        outputs, inputs = layer.weight.shape[:2]
        convolution = nn.Conv3d(inputs, outputs, layer.stride, layer.stride)
    elif type(layer) is TransposedPatchConvolution:
        inputs, outputs = layer.weight.shape[:2]
        convolution = nn.ConvTranspose3d(inputs, outputs, layer.stride, layer.stride)
    else:
        return layer
    convolution.weight, convolution.bias = layer.weight, layer.bias
    return convolution


def _straightforward(window: Window) -> Factorizer:
    """The same network by its definition: rolled maps, explicit factors, every sweep."""
    network = _factorizer(window, factorize=SweptNMF)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            setattr(parent, name, plain(child))
    return network


def _factorizer(window: Window, **arguments) -> Factorizer:
    """The Swin Factorizer of the paper: rank 1, five sweeps, two grids."""
    reshape = (SWMatricize, {"head_dim": 8, "patch_size": patch_size(window)})
    return Factorizer(window.channels, CLASSES, window.size, reshape=reshape, **arguments)


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

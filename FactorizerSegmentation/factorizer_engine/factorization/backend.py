"""What kernels for rank-1 mixing offer, whatever they run on; torch's form stays the definition."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from factorizer_engine.factorization.comparison import Kind, factors_agree, mixing_agrees
from factorizer_engine.factorization.factors import Factors
from factorizer_engine.factorization.matricize import Matricize
from factorizer_engine.factorization.trust import Trust

Then = Callable[[Tensor, Tensor], Tensor]


class Backend(ABC):
    """Kernels for one kind of processor.

    The methods that compute raise `KernelError` where a kernel fails; none is used any more then.

    Attributes:
        family: What the kernels are called in the log, such as "compiled kernels".
        trust: What is known of them in this process.
    """

    family: str

    def __init__(self) -> None:
        self.trust = Trust(self.family)

    def is_available(self, x: Tensor, reshape: Matricize) -> bool:
        """Whether a block with the map x (B, C, *S) can do without its mixed map.

        That is so without gradients, where the factors are no larger than the map. The first map of
        its kind waits until the kernels are compiled and compared.
        """
        return (
            not torch.is_grad_enabled()
            and self.serves(x.device, torch.float32)  # elsewhere torch may know no autocast
            and self._fits(x, reshape)
            and self._expands(reshape, x.device, linear_dtype(x))
            and self._finds_right(_kind(reshape, x.device, linear_dtype(x)))
        )

    def is_waiting(self, reshape: Matricize, device: torch.device, dtype: torch.dtype) -> bool:
        """Whether the kernels for blocks with such maps are yet to be compiled or loaded."""
        return (
            not self.trust.failed
            and self._expands(reshape, device, dtype)
            and _kind(reshape, device, dtype) not in self.trust.verdicts
        )

    def prepare(self, reshape: Matricize, device: torch.device, dtype: torch.dtype) -> None:
        """Compile or load them now, and compare them."""
        self._finds_right(_kind(reshape, device, dtype))

    def is_waiting_to_mix(
        self, reshape: Matricize, device: torch.device, dtype: torch.dtype
    ) -> bool:
        """Whether `mix` and `mixing_gradient` of such maps are yet to be compiled or loaded."""
        dtype = self.mixing_dtype(dtype)
        values = reshape.num_heads * reshape.head_dim * math.prod(reshape.spatial_size)
        return (
            not self.trust.failed
            and self.suits(reshape)
            and self.serves(device, dtype)
            and self.is_worth_mixing(values)
            and _mixing(_kind(reshape, device, dtype)) not in self.trust.verdicts
        )

    def prepare_to_mix(self, reshape: Matricize, device: torch.device, dtype: torch.dtype) -> None:
        """Compile or load them now, and compare them."""
        self._mixes_right(_kind(reshape, device, self.mixing_dtype(dtype)))

    def mixes(self, x: Tensor, reshape: Matricize, v0: Tensor) -> bool:
        """Whether `mix` and `mixing_gradient` serve the map x (B, C, *S), also under autocast.

        The first map of its kind waits until the kernels are compiled and compared.
        """
        return (
            self._fits(x, reshape)
            and self.is_worth_mixing(x.numel())
            and v0.numel() == reshape.output_size[-1]
            and v0.device == x.device
            and self.serves(x.device, self.mixing_dtype(x.dtype))
            and self._mixes_right(_kind(reshape, x.device, self.mixing_dtype(x.dtype)))
        )

    @abstractmethod
    def serves(self, device: torch.device, dtype: torch.dtype) -> bool:
        """Whether there may be kernels for maps of this type there."""

    @abstractmethod
    def suits(self, reshape: Matricize) -> bool:
        """Whether there are kernels for such heads and windows."""

    def mixing_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """In which type maps of a type are read and written when they are mixed."""
        return dtype

    def is_worth_mixing(self, values: int) -> bool:
        """Whether a map of so many values is large enough to compile kernels for it."""
        return True

    @abstractmethod
    def layer_norm(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        """The layer norm of rows (N, C), in the type that linear maps compute in."""

    @abstractmethod
    def find_factors(
        self, x: Tensor, reshape: Matricize, v0: Tensor, sweeps: int, eps: float
    ) -> Factors:
        """The factors of ReLU(x), as `rank_one.rank_one_factors` gives them window by window.

        Args:
            x: Map (B, C, *S); channels-last memory saves a copy.
            reshape: The matricisation.
            v0: The starting right factor (P,), positive.
            sweeps: Number of HALS sweeps T, at least 1.
            eps: The solver's guard, positive.
        """

    @abstractmethod
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
        """What `then` makes of x plus a linear map of the mixed map, which is never formed.

        Args:
            x: Map (B, C, *S).
            factors: Of the map that is mixed.
            weight, bias: Of the linear map, (C, C) and (C,).
            norm: The layer norm behind the sum.
            then: Takes the sum and its layer norm, rows (N, C) each, voxel by voxel to rows (N, C).
            spare: A map like x in channels-last memory that is not needed any more.

        Returns:
            (B, C, *S) in channels-last memory, perhaps that of `spare`.
        """

    @abstractmethod
    def mix(self, maps: Tensor, reshape: Matricize, v0: Tensor, sweeps: int, eps: float) -> Tensor:
        """`mixing.mix_rank_one` of maps (B, *S, C), contiguous, without a graph."""

    @abstractmethod
    def mixing_gradient(
        self,
        maps: Tensor,
        gradient: Tensor,
        reshape: Matricize,
        v0: Tensor,
        sweeps: int,
        eps: float,
    ) -> Tensor:
        """The gradient of `mix` with respect to the maps, from that of what it gives."""

    def _expands(self, reshape: Matricize, device: torch.device, dtype: torch.dtype) -> bool:
        return (
            reshape.num_heads <= reshape.output_size[-1]
            and self.suits(reshape)
            and self.serves(device, dtype)
        )

    def _fits(self, x: Tensor, reshape: Matricize) -> bool:
        return (
            not torch.compiler.is_compiling()
            and not self.trust.failed
            and type(x) is Tensor
            and x.numel() > 0
            and 1 <= x.ndim - 2 <= 3
            and tuple(x.shape[1:]) == (reshape.num_heads * reshape.head_dim, *reshape.spatial_size)
            and self.suits(reshape)
        )

    def _finds_right(self, kind: Kind) -> bool:
        return self.trust.covers(kind, lambda: factors_agree(self, kind))

    def _mixes_right(self, kind: Kind) -> bool:
        return self.trust.covers(_mixing(kind), lambda: mixing_agrees(self, kind))


def linear_dtype(x: Tensor) -> torch.dtype:
    """The type in which a linear map of x is computed."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def _mixing(kind: Kind) -> tuple[Kind, str]:
    """By which the trust knows kernels of whole layers from those of factors."""
    return kind, "mixing"


def _kind(reshape: Matricize, device: torch.device, dtype: torch.dtype) -> Kind:
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    return Kind(reshape.head_dim, reshape.patch_size, device, dtype)

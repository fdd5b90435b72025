"""What a component is: one rank-one term of one head of a block's factorisation.

A block replaces the d x P matrix of every head and window by U V^T = sum over r of u_r v_r^T. The
term r of a head, in all windows and shifted grids together, is one component. Where it is active is
`component_map`; what it contributes is measured by leaving it out (`ablation.py`), and estimated
voxel by voxel from gradients (`evidence.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from factorizer_engine.factorization import Factors, Matricize
from factorizer_engine.networks import FactMixer, Factorizer, named_mixers
from factorizer_engine.networks.blocks import ComponentFilter, FactorObserver, MixedFilter
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.errors import BadInputError, BadModelError

_NO_COMPONENTS = "This model has no factorisation components to look into; choose a Factorizer."


class Baseline(str, Enum):
    """What takes the place of a component that is left out.

    ZERO is nothing. MEAN is the mean of its term over the head, at every voxel of the head, so that
    a level which the following layers expect stays.
    """

    ZERO = "zero"
    MEAN = "mean"


def component_map(reshape: Matricize, u: Tensor, v: Tensor) -> Tensor:
    """Where and how strongly the components of a block are active.

    At a voxel in column p of its window a component is ||u_r|| * |v_r[p]|: the norm over the head's
    channels of that term of the reconstruction there, averaged over the shifted grids. It has the
    unit of the activations and does not change when u_r and v_r are rescaled against each other.

    Args:
        reshape: The block's matricisation.
        u: (shifts * B * heads, windows, d, R).
        v: (shifts * B * heads, windows, P, R).

    Returns:
        Nonnegative, (B, heads * R, *S) on the block's grid; component (h, r) is channel h * R + r.
    """
    activity = v.abs() * torch.linalg.vector_norm(u, dim=-2, keepdim=True)
    return reshape.inverse_forward(activity.mT)


def activity(reshape: Matricize, factors: Factors | tuple[Tensor, Tensor]) -> Tensor:
    """`component_map` of what a mixer tells its observer, (B, heads * R, *S)."""
    if not isinstance(factors, Factors):
        return component_map(reshape, *factors)
    _, batch, *size, heads = factors.v.shape
    norms = torch.linalg.vector_norm(factors.u, dim=-1)
    device = factors.v.device
    total = torch.zeros(batch, *size, heads, device=device)
    for norm, v, shift in zip(norms, factors.v, factors.shifts, strict=True):
        p, q, r = factors.patch
        spread = norm[:, :, None, :, None, :, None].expand(-1, -1, p, -1, q, -1, r, -1)
        spread = spread.reshape(v.shape)
        moved = [-int(by) for by in shift]
        total.addcmul_(spread.roll(moved, dims=(1, 2, 3)) if any(moved) else spread, v)
    return total.movedim(-1, 1).reshape(batch, heads, *reshape.spatial_size)


def head_mask(image: Tensor, size: Sequence[int]) -> Tensor:
    """Where an image (1, C, *S) shows the patient, at a block's resolution: boolean (1, 1, *size).

    A voxel of the block counts if any voxel under it is nonzero in any channel.
    """
    occupied = (image != 0).any(dim=1, keepdim=True).float()
    return F.interpolate(occupied, size=tuple(size), mode="area") > 0


def term_means(reshape: Matricize, u: Tensor, v: Tensor, head: Tensor) -> Tensor:
    """The mean of every term over the head, (heads, d, R), of the factors of one sample.

    Args:
        reshape: The block's matricisation.
        u, v: As for `component_map`, of one sample.
        head: Boolean, (1, 1, *S) on the block's grid.
    """
    means = [
        masked_mean(reshape.inverse_forward(u[..., r : r + 1] @ v[..., r : r + 1].mT), head)
        for r in range(u.shape[-1])
    ]
    return torch.stack(means, dim=-1).unflatten(0, (reshape.num_heads, reshape.head_dim))


def masked_mean(x: Tensor, head: Tensor) -> Tensor:
    """The mean (C,) of a map (1, C, *S) over the voxels of `head` (1, 1, *S)."""
    return (x * head).flatten(2).sum(-1)[0] / head.sum().clamp(min=1)


def without_all(
    reshape: Matricize, terms: Sequence[Term], head: Tensor | None = None
) -> ComponentFilter:
    """A filter for `FactMixer` that leaves out all `terms`.

    It serves any batch size, with the mean over the head in their place one sample.

    Args:
        reshape: The mixer's matricisation.
        terms: What is left out.
        head: Where the mean of a term takes its place, boolean (1, 1, *S); None for zero.
    """
    heads = [term.head for term in terms]
    ranks = [term.rank for term in terms]

    def remove(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        kept = _by_head(u, reshape).clone()
        kept[:, :, heads, :, :, ranks] = 0.0
        if head is None:
            return kept.flatten(0, 2), v
        means, activities = term_means(reshape, u, v, head), _by_head(v, reshape).clone()
        kept[:, :, heads, :, :, ranks] = means[heads, :, ranks][:, None, None, None]
        activities[:, :, heads, :, :, ranks] = _indicator(reshape, head).to(v.dtype)[None, :, None]
        return kept.flatten(0, 2), activities.flatten(0, 2)

    return remove


def mixers_of(network: nn.Module) -> dict[str, FactMixer]:
    """The mixers of a network by the names of their blocks, but for those short-circuited.

    Raises:
        BadModelError: If the network has none.
    """
    mixers = {name: mixer for name, mixer in named_mixers(network) if not mixer.short_circuited}
    if not mixers:
        raise BadModelError(_NO_COMPONENTS)
    return mixers


def factorizers_of(networks: Iterable[nn.Module]) -> list[Factorizer]:
    """The networks of a model whose components can be measured.

    Raises:
        BadModelError: If one is no Factorizer.
    """
    factorizers = []
    for network in networks:
        if not isinstance(network, Factorizer):
            raise BadModelError(_NO_COMPONENTS)
        factorizers.append(network)
    return factorizers


def terms_of(
    mixers: Mapping[str, FactMixer], blocks: Sequence[str], network: int = 0
) -> list[Term]:
    """All terms of some blocks of a network, which is that member of the ensemble.

    Raises:
        BadInputError: If there is no such block.
    """
    unknown = [block for block in blocks if block not in mixers]
    if unknown:
        raise BadInputError(
            f"The model has no block '{unknown[0]}'; its blocks are {', '.join(mixers)}."
        )
    return [
        Term(network, block, head, rank)
        for block in dict.fromkeys(blocks)
        for head in range(mixers[block].reshape.num_heads)
        for rank in range(mixers[block].factorize.rank)
    ]


def channel_of(term: Term, mixers: Mapping[str, FactMixer]) -> int:
    """Which channel of its block's component maps (heads * R, *S) is that of a term."""
    return term.head * mixers[term.block].factorize.rank + term.rank


def component_name(term: Term, mixers: Mapping[str, FactMixer]) -> str:
    """A name for people, such as "Decoder 4, component 3"; both are counted from 1."""
    side, stage, position = term.block.split(".")
    name = f"{side.capitalize()} {int(stage) + 1}"
    if sum(block.startswith(f"{side}.{stage}.") for block in mixers) > 1:
        name += f", block {int(position) + 1}"
    return f"{name}, component {channel_of(term, mixers) + 1}"


def filtered(filters: Mapping[FactMixer, ComponentFilter]):
    """Give component filters to mixers, and what they had before back at the end."""
    return _attached("component_filter", filters)


def observed(observers: Mapping[FactMixer, FactorObserver]):
    """Give factor observers to mixers, and what they had before back at the end."""
    return _attached("factor_observer", observers)


def changed(filters: Mapping[FactMixer, MixedFilter]):
    """Give filters of the mixed map to mixers, and what they had before back at the end."""
    return _attached("mixed_filter", filters)


@contextmanager
def _attached(attribute: str, values: Mapping[FactMixer, Callable[..., Any]]) -> Iterator[None]:
    before = {mixer: getattr(mixer, attribute) for mixer in values}
    try:
        for mixer, value in values.items():
            setattr(mixer, attribute, value)
        yield
    finally:
        for mixer, value in before.items():
            setattr(mixer, attribute, value)


def _indicator(reshape: Matricize, head: Tensor) -> Tensor:
    """A mask (1, 1, *S) in the windows of every grid: (grids, windows, P)."""
    channels = reshape.num_heads * reshape.head_dim
    matrices = reshape(head.expand(1, channels, *head.shape[2:]))
    return _by_head(matrices, reshape)[:, 0, 0, :, 0]


def _by_head(factor: Tensor, reshape: Matricize) -> Tensor:
    """(shifts * B * heads, windows, rows, R) as (shifts, B, heads, windows, rows, R)."""
    return factor.reshape(len(reshape.shifts), -1, reshape.num_heads, *factor.shape[1:])

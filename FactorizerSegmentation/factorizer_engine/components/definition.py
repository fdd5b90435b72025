"""What a component is: one rank-one term of one head of a block's factorisation.

A block replaces the d x P matrix of every head and window by U V^T = sum over r of u_r v_r^T. The
term r of a head, in all windows and shifted grids together, is one component. Where it is active is
`component_map`; what it contributes is measured by leaving it out (`ablation.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from factorizer_engine.factorization import Matricize
from factorizer_engine.networks import FactMixer, Factorizer, named_mixers
from factorizer_engine.networks.blocks import ComponentFilter
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.errors import BadInputError, BadModelError

_NO_COMPONENTS = "This model has no factorisation components to look into; choose a Factorizer."


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


def without(reshape: Matricize, terms: Sequence[Term]) -> ComponentFilter:
    """A filter for `FactMixer` that makes one copy of the sample per term, each without it.

    The mixer must be given a single sample; its output has the batch size len(terms). What comes
    before the mixer is thus computed only once.
    """
    heads = torch.tensor([term.head for term in terms])
    ranks = torch.tensor([term.rank for term in terms])
    copies = torch.arange(len(terms))

    def remove(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        u = _by_head(u, reshape).repeat(1, len(terms), 1, 1, 1, 1)
        v = _by_head(v, reshape).expand(-1, len(terms), -1, -1, -1, -1)
        u[:, copies, heads, :, :, ranks] = 0.0
        return u.flatten(0, 2), v.flatten(0, 2)

    return remove


def without_all(reshape: Matricize, terms: Sequence[Term]) -> ComponentFilter:
    """A filter for `FactMixer` that leaves out all `terms`, for any batch size."""
    heads = [term.head for term in terms]
    ranks = [term.rank for term in terms]

    def remove(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        kept = _by_head(u, reshape).clone()
        kept[:, :, heads, :, :, ranks] = 0.0
        return kept.flatten(0, 2), v

    return remove


def mixers_of(network: nn.Module) -> dict[str, FactMixer]:
    """The mixers of a network by the names of their blocks.

    Raises:
        BadModelError: If the network has none.
    """
    mixers = dict(named_mixers(network))
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


def component_name(term: Term, mixers: Mapping[str, FactMixer]) -> str:
    """A name for people, such as "Decoder 4, component 3"; both are counted from 1."""
    side, stage, position = term.block.split(".")
    name = f"{side.capitalize()} {int(stage) + 1}"
    if sum(block.startswith(f"{side}.{stage}.") for block in mixers) > 1:
        name += f", block {int(position) + 1}"
    number = term.head * mixers[term.block].factorize.rank + term.rank + 1
    return f"{name}, component {number}"


@contextmanager
def filtered(filters: Mapping[FactMixer, ComponentFilter]) -> Iterator[None]:
    """Give filters to mixers, and what they had before back at the end."""
    before = {mixer: mixer.component_filter for mixer in filters}
    try:
        for mixer, component_filter in filters.items():
            mixer.component_filter = component_filter
        yield
    finally:
        for mixer, filter_before in before.items():
            mixer.component_filter = filter_before


def _by_head(factor: Tensor, reshape: Matricize) -> Tensor:
    """(shifts * B * heads, windows, rows, R) as (shifts, B, heads, windows, rows, R)."""
    return factor.reshape(len(reshape.shifts), -1, reshape.num_heads, *factor.shape[1:])

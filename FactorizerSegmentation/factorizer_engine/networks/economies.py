"""A trained Factorizer with fewer sweeps, or without some of its factorisations.

The factorisation is an optimisation within the network, so its number of sweeps can be changed
after the training, and a layer can be short-circuited: its matrices go on as they are, without
being reduced to a low rank. Neither needs other weights.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from factorizer_engine.networks.factorizer import named_mixers
from factorizer_engine.protocol.errors import BadInputError


def economise(
    network: nn.Module, sweeps: int | None = None, short_circuits: Sequence[str] = ()
) -> None:
    """Change how a network's factorisations are computed, from now on.

    Args:
        network: Any network.
        sweeps: Sweeps T of every factorisation; None leaves them as they are.
        short_circuits: Names of the blocks whose factorisation passes on what it gets.

    Raises:
        BadInputError: If the network has no factorisations, or no such blocks.
    """
    if sweeps is None and not short_circuits:
        return
    mixers = dict(named_mixers(network))
    if not mixers:
        raise BadInputError(
            "This model has no factorisations, so neither sweeps nor short circuits can be chosen; "
            "leave them out, or choose a Factorizer."
        )
    unknown = [block for block in short_circuits if block not in mixers]
    if unknown:
        raise BadInputError(
            f"The model has no block '{unknown[0]}' to short-circuit; its blocks are "
            f"{', '.join(mixers)}."
        )
    for mixer in mixers.values():
        if sweeps is not None:
            mixer.factorize.set_sweeps(sweeps)
    for block in short_circuits:
        mixers[block].short_circuited = True

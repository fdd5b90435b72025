"""Networks translated by torch.compile, for those who ask for it."""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from factorizer_engine.networks import finest
from factorizer_engine.protocol.errors import EngineMemoryError
from factorizer_engine.protocol.failures import as_engine_error

COMPILING = "compiling the model (only once, but for minutes)"
"""What the progress says; it goes on until the first windows are done."""


class CompiledNetwork:
    """A network that is compiled at its first call and runs as it is where that fails.

    Compiling takes long and holds for one size of batches, so that all batches are brought to the
    size of the first: larger ones are cut, smaller ones are filled up.

    Args:
        network: In evaluation mode, on its device.

    Attributes:
        ready: Whether there is nothing left to compile.
    """

    def __init__(self, network: nn.Module) -> None:
        self.ready = False
        self._network = network
        self._run = torch.compile(network, dynamic=False)
        self._size = 0

    def __call__(self, batch: Tensor) -> Tensor:
        """The finest logits of (B, C, *S)."""
        if self.ready:
            return self._in_parts(batch)
        self._size = len(batch)
        try:
            logits = self._in_parts(batch)
        except Exception as error:
            if isinstance(as_engine_error(error), EngineMemoryError):
                raise
            logging.getLogger(__name__).warning(
                "The model runs without being compiled, which failed here: %s",
                str(error).partition("\n")[0],
            )
            self._run = self._network
            logits = self._in_parts(batch)
        self.ready = True
        return logits

    def _in_parts(self, batch: Tensor) -> Tensor:
        found = []
        for part in batch.split(self._size):
            count, missing = len(part), self._size - len(part)
            if missing:
                part = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])])
            found.append(finest(self._run(part))[:count])
        return torch.cat(found) if len(found) > 1 else found[0]

"""One process or many: what PyTorch's launcher (torchrun) says, and the few exchanges needed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

Value = TypeVar("Value")


@dataclass(frozen=True)
class Team:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def share_of(self, items: list[Value]) -> list[Value]:
        """The part of `items` that this process handles."""
        return items[self.rank :: self.size]

    def gather(self, values: list[Value]) -> list[Value]:
        """All processes' lists in one, in order of rank."""
        if self.size == 1:
            return values
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, values)
        return [value for part in parts for value in part]

    def agree(self, value: Value) -> Value:
        """The first process's `value`, for all."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def mean(self, value: float) -> float:
        """Mean over the processes."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64)
        if dist.get_backend() == "nccl":
            tensor = tensor.cuda(self.local_rank)
        dist.all_reduce(tensor)
        return float(tensor) / self.size

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            dist.barrier()

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """The network with gradients averaged over the team."""
        if self.size == 1:
            return network
        # Kernels of 1^3 have two equal layouts; copying their gradients costs next to nothing.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        ids = [device.index] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=ids)


@contextmanager
def joined_team(device: torch.device) -> Iterator[Team]:
    """Join the processes started by torchrun, or be alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    team = Team(dist.get_rank(), size, int(os.environ.get("LOCAL_RANK", "0")))
    try:
        yield team
        team.wait()  # gloo aborts a process whose peer leaves while it still has something to say
    finally:
        dist.destroy_process_group()

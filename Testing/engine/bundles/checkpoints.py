"""Writes checkpoints as other software left them, for tests of reading them."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

LEGACY_NAMES = {
    "norm1": "blocks.nmf.fn.0",
    "fact": "blocks.nmf.fn.1",
    "norm2": "blocks.mlp.fn.0",
    "mlp": "blocks.mlp.fn.1",
}


def legacy_key(key: str) -> str:
    """Today's state-dict key as version 0.0.1 called it, for stages of one block."""
    match = re.fullmatch(r"((en|de)coder\.blocks\.(\d+))\.(\w+)\.(.+)", key)
    if match is None or match[4] == "upsample":
        return key
    stage, side, number, part, tail = match.groups()
    if part == "downsample":
        return f"{stage}.blocks.0.{tail}"
    block = f"{stage}.blocks.{1 if side == 'en' and number != '0' else 0}"
    if tail.startswith("adapter."):
        return f"{block}.adapter.0.{tail.removeprefix('adapter.')}"
    if tail.startswith("pos_embed."):
        return f"{block}.{tail}"
    module, remainder = tail.removeprefix("blocks.0.").split(".", 1)
    return f"{block}.{LEGACY_NAMES[module]}.{remainder}"


@contextmanager
def vanishing_package(name: str, *classes: str) -> Iterator[types.SimpleNamespace]:
    """A package with empty classes that exists only while a checkpoint is written."""
    module = types.ModuleType(name)
    for class_name in classes:
        setattr(module, class_name, type(class_name, (), {"__module__": name}))
    sys.modules[name] = module
    try:
        yield types.SimpleNamespace(**{c: getattr(module, c) for c in classes})
    finally:
        del sys.modules[name]


def write_deepisles_checkpoint(path: Path, network: nn.Module) -> None:
    """The layout of the challenge checkpoints: Lightning, keys of 0.0.1, pickled classes."""
    with vanishing_package(
        "absent_factorizer_package",
        "Segmenter",
        "Subblock",
        "SWMatricize",
        "NMF",
        "MLP",
        "Inferer",
        "Loss",
        "Metric",
    ) as absent:
        inferer = absent.Inferer()
        inferer.__dict__.update(spacing=[2.0, 2.0, 2.0], overlap=0.5, post="class")
        settings = {
            "network": [
                absent.Segmenter,
                {
                    "in_channels": 3,
                    "out_channels": 1,
                    "spatial_size": [64, 64, 64],
                    "strides": [1, 2, 2, 2, 2],
                    "stem": [nn.Conv3d, {"kernel_size": 3, "padding": 1, "bias": False}],
                    "num_deep_supr": 3,
                    "dropout": 0.1,
                    "nmf": [
                        absent.Subblock,
                        {
                            "tensorize": [
                                absent.SWMatricize,
                                {"head_dim": 8, "patch_size": 4, "shifts": [None, 1, 2, 3]},
                            ],
                            "act": nn.ReLU,
                            "factorize": absent.NMF,
                            "rank": 1,
                            "num_iters": 5,
                            "num_grad_steps": None,
                            "init": "uniform",
                            "solver": "hals",
                        },
                    ],
                    "mlp": [absent.MLP, {"ratio": 2, "dropout": 0.1}],
                },
            ],
            "inferer": inferer,
            "loss": absent.Loss(),
            "metrics": {"dice": absent.Metric()},
            "optimizer": [torch.optim.AdamW, {"lr": 0.0001, "weight_decay": 0.01}],
        }
        write_lightning_checkpoint(path, network.state_dict(), settings)


def write_lightning_checkpoint(
    path: Path, state: Mapping[str, Tensor], hyper_parameters: Any
) -> None:
    """A Lightning checkpoint with keys of version 0.0.1."""
    content = {
        "epoch": 1999,
        "global_step": 99999,
        "pytorch-lightning_version": "1.5.10",
        "state_dict": {f"net.{legacy_key(key)}": tensor for key, tensor in state.items()},
        "optimizer_states": [{"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}}],
        "hyper_parameters": hyper_parameters,
    }
    torch.save(content, path)

"""Small bundles: one written by this project, and two laid out like the authors' published ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from factorizer_engine.bundles.architecture import build_network
from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.saving import save_bundle
from factorizer_engine.bundles.settings import (
    InferenceSettings,
    NetworkSpec,
    PostprocessingSettings,
    Preprocessing,
)
from factorizer_engine.protocol import conventions
from factorizer_engine.protocol.models import ModelDescription

NETWORK = NetworkSpec(
    "Factorizer",
    {
        "in_channels": 4,
        "out_channels": 3,
        "spatial_size": [16, 16, 16],
        "encoder_depth": [1, 1],
        "encoder_width": [8, 16],
        "strides": [1, 2],
        "decoder_depth": [1],
        "norm": "LayerNorm",
        "reshape": ["SWMatricize", {"head_dim": 8, "patch_size": 4, "shifts": [None, 1, 2, 3]}],
        "act": "ReLU",
        "factorize": "NMF",
        "rank": 1,
        "num_iters": 5,
        "mlp_ratio": 2,
    },
)

AUTHORS_YAML = """
imports: [$import os, $from torch import nn, $import factorizer]
bundle_root: .
weights_files: $sorted(os.listdir(os.path.join(@bundle_root, 'models')))
device: $torch.device('cuda' if torch.cuda.is_available() else 'cpu')
window: [16, 16, 16]
voxel: [2.0, 2.0, 1.5]
network_def:
  _target_: factorizer.Factorizer
  in_channels: {inputs}
  out_channels: {outputs}
  spatial_size: "@window"
  encoder_depth: [1, 1]
  encoder_width: [8, 16]
  strides: [1, 2]
  decoder_depth: [1]
  norm: $factorizer.LayerNorm
  reshape:
    - $factorizer.SWMatricize
    - {{head_dim: 8, patch_size: 4, shifts: [null, 1, 2, 3]}}
  act: $nn.ReLU
  factorize: $factorizer.NMF
  rank: 1
  num_iters: 5
  num_grad_steps: null
  init: uniform
  solver: hals
  mlp_ratio: 2
network: "$@network_def.to(@device)"
preprocessing:
  _target_: Compose
  transforms:
    - {{_target_: LoadImaged, keys: image, ensure_channel_first: true}}
    - {{_target_: CropForegroundd, keys: image, source_key: image, margin: 10}}
    - {{_target_: Orientationd, keys: image, axcodes: LPS}}
    - {{_target_: NormalizeIntensityd, keys: image, nonzero: true, channel_wise: true}}
    - {{_target_: Spacingd, keys: image, pixdim: "@voxel", mode: bilinear}}
    - _target_: EnsureTyped
      keys: image
      dtype: $torch.float32"
inferer:
  _target_: SlidingWindowInfererAdapt
  roi_size: "@window"
  overlap: 0.25
  mode: gaussian
postprocessing:
  _target_: Compose
  transforms:
    - {{_target_: MeanEnsembled, keys: "$['p%d' % i for i in range(len(@undefined_list))]"}}
    - {{_target_: AsDiscreted, keys: pred, threshold: 0.4}}
    - _target_: Lambdad
      keys: pred
      func: "$lambda x: os.system('echo this must never run')"
    - {{_target_: SaveImaged, keys: pred, separate_folder: "@undefined_option"}}
run: [$@evaluator.run()]
"""


@pytest.fixture
def settings() -> Bundle:
    """All settings of a small glioma model, without weights."""
    description = ModelDescription(
        name="glioma-tiny",
        version="1.2.0",
        family="glioma",
        title="Glioma, tiny",
        summary="Random weights.",
        channels=tuple(map(conventions.channel, ("FLAIR", "T1", "T1ce", "T2"))),
        regions=conventions.glioma_regions(),
        labels=conventions.glioma_labels(),
        expected_seconds={"cpu": 12.5},
        devices=("cpu",),
        notes=("Nothing was trained.",),
        card="# Tiny\n\nRandom weights.\n",
    )
    return Bundle(
        description,
        preprocessing=Preprocessing((1.0, 1.0, 1.5), "LPS", 4, "zscore"),
        inference=InferenceSettings((16, 16, 16), 0.25, "constant", (0, 2), 0.45),
        postprocessing=PostprocessingSettings({"ET": 0.05}, {"ET": 0.2}),
        network=NETWORK,
    )


@pytest.fixture
def network() -> nn.Module:
    """The network of `settings` with fixed random weights."""
    torch.manual_seed(7)
    return build_network(NETWORK).eval()


@pytest.fixture
def bundle(settings: Bundle, network: nn.Module, tmp_path: Path) -> Bundle:
    """A small glioma model on disk, with exact weights."""
    return save_bundle(settings, [network], tmp_path / "glioma-tiny", dtype="float32")


@pytest.fixture
def authors_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle laid out like the authors': an ensemble of torch checkpoints and a YAML."""

    def write(channels: dict[str, str], outputs: dict[str, str], folds: int = 2) -> Path:
        root = tmp_path / "Authors_Model"
        (root / "configs").mkdir(parents=True)
        (root / "models").mkdir()
        text = AUTHORS_YAML.format(inputs=len(channels), outputs=len(outputs))
        (root / "configs" / "inference.yaml").write_text(text)
        metadata = {
            "version": "0.0.1",
            "name": "A challenge",
            "description": "Segments things.",
            "network_data_format": {
                "inputs": {"image": {"channel_def": channels}},
                "outputs": {"pred": {"channel_def": outputs}},
            },
        }
        (root / "configs" / "metadata.json").write_text(json.dumps(metadata))
        arguments = {
            **NETWORK.arguments,
            "in_channels": len(channels),
            "out_channels": len(outputs),
        }
        for fold in range(folds):
            torch.manual_seed(fold)
            state = build_network(NetworkSpec("Factorizer", arguments)).state_dict()
            torch.save({"model": state, "trainer": {}}, root / "models" / f"fold_{fold}.pt")
        return root

    return write

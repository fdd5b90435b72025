"""Small real networks with random weights, a bundle around them, and scans that suit it."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
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
    PromptSettings,
)
from factorizer_engine.images.files import write_nifti
from factorizer_engine.images.scan import Scan
from factorizer_engine.networks import Factorizer
from factorizer_engine.protocol.models import Channel, Label, ModelDescription, Region

WINDOW = (16, 16, 16)
REGIONS = (
    Region("ET", 4, "Enhancing tumour", 2),
    Region("TC", 1, "Tumour core", 1),
    Region("WT", 2, "Whole tumour", 0),
)


def arguments(**changes) -> dict:
    """Arguments of a small Swin Factorizer with three levels."""
    return {
        "in_channels": 2,
        "out_channels": 3,
        "spatial_size": list(WINDOW),
        "encoder_depth": [1, 1, 1],
        "encoder_width": [8, 16, 16],
        "strides": [1, 2, 2],
        "decoder_depth": [1, 1],
        "reshape": ["SWMatricize", {"head_dim": 4, "patch_size": 4}],
        **changes,
    }


def network(seed: int = 0, **changes) -> Factorizer:
    """A small network in evaluation mode that finds every region in about a third of the voxels."""
    torch.manual_seed(seed)
    built = build_network(NetworkSpec("Factorizer", arguments(**changes))).eval()
    assert isinstance(built, Factorizer)
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            if name.endswith(("out_proj.linear.weight", "head.weight", "heads.0.weight")):
                parameter.mul_(3.0)
        image = torch.randn(1, built.in_channels, *built.spatial_size)
        logits = built(image) if built.num_heads == 1 else built(image)[0]
        head = built.head if built.num_heads == 1 else built.heads[0]
        head.bias -= logits[0].flatten(1).quantile(0.65, dim=1)
    return built


def bundle(
    folder: Path,
    networks: list[nn.Module] | None = None,
    fewer_networks: tuple[nn.Module, ...] = (),
    dtype: Literal["float16", "float32"] = "float32",
    **changes,
) -> Bundle:
    """A saved bundle of small networks, by default one, with those for fewer scans if any."""
    described = {f.name for f in fields(ModelDescription)} & changes.keys()
    description = ModelDescription(
        name="tiny",
        version="1.0.0",
        family="test-lesion",
        title="Tiny test model",
        summary="Random weights.",
        channels=(Channel("FLAIR"), Channel("T1", ("t1w",))),
        regions=REGIONS,
        labels=(
            Label(1, "Core", (0, 0, 200)),
            Label(2, "Oedema", (0, 200, 0)),
            Label(4, "Enhancing", (200, 0, 0)),
        ),
    )
    description = replace(description, **{name: changes.pop(name) for name in described})
    settings = {
        "preprocessing": Preprocessing(spacing=None),
        "inference": InferenceSettings(WINDOW),
        "postprocessing": PostprocessingSettings(),
        "network": NetworkSpec("Factorizer", arguments()),
        **changes,
    }
    members = [network()] if networks is None else networks
    made = Bundle(description, **settings)
    return save_bundle(made, members, folder / description.name, dtype, fewer=fewer_networks)


def bundle_for_clicks(
    folder: Path, prompts: PromptSettings | None = None, **changes: Any
) -> Bundle:
    """A saved bundle that takes one scan, has one region and answers clicks only."""
    inputs = {"in_channels": 4, "out_channels": 1}
    network_of_one = network(**inputs)
    return bundle(
        folder,
        [network_of_one],
        name="tiny-clicks",
        title="Tiny click model",
        family="test-clicks",
        channels=(Channel("Scan"),),
        regions=(Region("lesion", 1, "Lesion"),),
        labels=(Label(1, "Lesion", (200, 0, 0)),),
        by_clicks=True,
        prompts=prompts or PromptSettings(3.0),
        network=NetworkSpec("Factorizer", arguments(**inputs)),
        **changes,
    )


def dataset_of_one_scan(root: Path, name: str, scan: Scan) -> Path:
    """Write a data set of one case with one scan, whose lesion is a box; returns its folder."""
    label = np.zeros(scan.shape, np.uint8)
    label[8:14, 6:12, 5:11] = 1
    for folder, file, written in (
        ("imagesTr", f"{name}_0000", scan),
        ("labelsTr", name, scan.with_array(label)),
    ):
        (root / folder).mkdir()
        write_nifti(written, root / folder / f"{file}.nii.gz")
    described = {"channel_names": {"0": "Scan"}, "labels": {"lesion": 1}}
    (root / "dataset.json").write_text(json.dumps(described))
    return root


def scans(shape=(21, 19, 23), seed: int = 0) -> dict[str, Scan]:
    """Two different noisy channels of an ellipsoid with zeros around it."""
    generator = np.random.default_rng(seed)
    axes = [np.linspace(-1, 1, n) for n in shape]
    radius = sum(g**2 for g in np.meshgrid(*axes, indexing="ij"))
    affine = np.array([[-1.5, 0, 0, 10], [0, -1.2, 0, 9], [0, 0, 2.0, -8], [0, 0, 0, 1]], float)
    return {
        name: Scan.of(
            np.where(radius < 0.9, 50 + 20 * generator.random(shape), 0).astype(np.float32),
            affine,
            name,
        )
        for name in ("FLAIR", "T1")
    }

"""What must leave the evidence as it is, and what must not."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch

from factorizer_engine.components.ablation import Probe
from factorizer_engine.components.definition import head_mask
from factorizer_engine.networks import Factorizer, finest

NOISE = 0.05
"""Standard deviations of a channel that must not change the evidence."""


def with_noise(probe: Probe, random: np.random.Generator) -> Probe:
    """The probe with noise of `NOISE` in the head."""
    image = probe.image
    noise = torch.from_numpy(random.standard_normal(image.shape, np.float32)).to(image.device)
    return replace(probe, image=image + NOISE * noise * (image != 0))


def with_shuffled_weights(network: Factorizer, random: np.random.Generator) -> Factorizer:
    """A copy of the network whose weights are exchanged at random within every parameter.

    Adebayo et al., *Sanity checks for saliency maps*, NeurIPS 2018.
    """
    shuffled = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in shuffled.parameters():
            order = torch.from_numpy(random.permutation(parameter.numel()))
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return shuffled


def where_it_finds(network: Factorizer, probe: Probe, region: int) -> Probe:
    """The probe with a logit read where this network finds the region, as explanations do.

    What it finds are the voxels of the head with the highest logits, as many as the probe reads:
    weights that are no good may find nothing, or everything, at the model's own threshold.
    """
    size = probe.weights.shape[1:]
    with torch.inference_mode():
        logits = finest(network(probe.image))[0, region]
    outside = ~head_mask(probe.image, size)[0, 0]
    count = int((probe.weights[region] > 0).sum())
    found = logits.masked_fill(outside, -torch.inf).flatten().topk(count).indices
    weights = torch.zeros_like(probe.weights)
    weights[region].view(-1)[found] = 1.0 / max(count, 1)
    return replace(probe, weights=weights)

"""Matricisation against the recorded permutations."""

from __future__ import annotations

import pytest
import torch

from engine import reference
from factorizer_engine.factorization import Matricize, SWMatricize

CLASSES = {"Matricize": Matricize, "SWMatricize": SWMatricize}


@pytest.mark.parametrize("name", reference.present("matricize"))
def test_matrices_and_their_inverse_are_the_recorded_ones(name):
    tensors, entry = reference.load(name), reference.MANIFEST["matricize"][name]
    matricize = CLASSES[entry["kind"]]((None, *entry["input_shape"][1:]), **entry["args"])

    matrices = matricize(tensors["x"].float())

    assert torch.equal(matrices, tensors["y"].float())
    assert matricize.output_size == tuple(entry["output_size_attr"])
    torch.testing.assert_close(
        matricize.inverse_forward(tensors["z"].double()),
        tensors["inv_z"].double(),
        rtol=1e-6,
        atol=1e-6,
    )
    torch.testing.assert_close(matricize.inverse_forward(matrices), tensors["x"].float())


@pytest.mark.parametrize(
    "arguments",
    [
        {"head_dim": 3, "patch_size": 4},
        {"head_dim": 4, "patch_size": 5},
        {"patch_size": 4},
        {"head_dim": 4},
    ],
)
def test_a_map_that_cannot_be_cut_is_refused_at_construction(arguments):
    with pytest.raises(ValueError):
        Matricize((8, 8, 8), **arguments)


def test_a_weight_map_with_one_row_becomes_one_channel_per_head():
    matricize = SWMatricize((16, 8, 8, 8), head_dim=8, patch_size=4)
    weights = torch.rand(2 * 3 * 2, 8, 1, 64)
    assert matricize.inverse_forward(weights).shape == (3, 2, 8, 8, 8)

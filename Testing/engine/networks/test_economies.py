"""Fewer sweeps and short circuits of a trained network."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from engine import tiny
from factorizer_engine.bundles.reading.checksums import fingerprint
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.bundles.settings import InferenceSettings
from factorizer_engine.components import explain
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.networks import FactMixer, economise, named_mixers
from factorizer_engine.protocol.errors import BadInputError, BadModelError

BLOCK = "decoder.1.0"


@pytest.fixture
def image():
    network = tiny.network()
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, network.in_channels, *network.spatial_size, generator=generator)


@pytest.mark.parametrize("rank", [1, 2])
@torch.no_grad()
def test_a_network_with_other_sweeps_is_the_one_that_was_built_with_them(image, rank):
    changed, wanted = tiny.network(rank=rank), tiny.network(rank=rank, num_iters=2)
    wanted.load_state_dict(changed.state_dict())
    before = changed(image)

    economise(changed, sweeps=2)

    assert torch.equal(changed(image), wanted(image))
    assert not torch.allclose(changed(image), before)


@torch.no_grad()
def test_a_short_circuited_mixer_is_its_linear_maps_and_what_is_between_them():
    mixer = FactMixer(16, (8, 8, 8)).eval()
    x = torch.randn(2, 16, 8, 8, 8)
    factorised = mixer(x)

    mixer.short_circuited = True

    assert torch.equal(mixer(x), mixer.out_proj(mixer.in_proj(x).relu()))
    assert not torch.allclose(mixer(x), factorised)


@torch.no_grad()
def test_only_the_named_blocks_are_short_circuited(image):
    network = tiny.network()
    before = network(image)

    economise(network, short_circuits=[BLOCK])

    found = {name for name, mixer in named_mixers(network) if mixer.short_circuited}
    assert found == {BLOCK}
    assert not torch.allclose(network(image), before)


def test_what_a_network_does_not_have_is_refused_in_a_sentence():
    with pytest.raises(BadInputError, match="has no factorisations, so neither sweeps nor"):
        economise(nn.Conv3d(1, 1, 1), sweeps=2)
    with pytest.raises(BadInputError, match=r"no block 'x' to .*; its blocks are encoder\.0\.0, "):
        economise(tiny.network(), short_circuits=["x"])


def test_a_model_remembers_both_and_has_no_components_where_there_is_no_factorisation(tmp_path):
    settings = InferenceSettings(tiny.WINDOW, sweeps=2, short_circuits=(BLOCK,))
    saved = tiny.bundle(tmp_path, inference=settings)
    bundle = load_bundle(saved.description.path)
    assert bundle.inference == settings

    segmenter = Segmenter(bundle, "cpu")
    mixers = dict(named_mixers(segmenter.networks[0]))
    assert {mixer.factorize.num_iters for mixer in mixers.values()} == {2}
    result = segmenter.segment(tiny.scans((14, 15, 13)))
    found = [drawn.component.term for drawn in explain(segmenter, result, count=99).maps]
    assert {term.block for term in found} == mixers.keys() - {BLOCK}
    with pytest.raises(BadInputError, match="no block"):
        explain(segmenter, result, blocks=[BLOCK])


def test_a_model_with_less_than_one_sweep_is_refused(tmp_path):
    with pytest.raises(BadModelError, match="takes 0 sweeps"):
        tiny.bundle(tmp_path, inference=InferenceSettings(tiny.WINDOW, sweeps=0))


def test_both_decide_what_a_model_is(tmp_path):
    bundle = tiny.bundle(tmp_path)
    others = [{"sweeps": 2}, {"short_circuits": (BLOCK,)}]
    sums = {
        fingerprint(replace(bundle, inference=InferenceSettings(tiny.WINDOW, **other)))
        for other in ({}, *others)
    }
    assert len(sums) == 3

"""Evidence adds up to what components contribute, and lies where they contribute it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from engine import tiny
from factorizer_engine.bundles.settings import InferenceSettings
from factorizer_engine.components.ablation import Probe, measure_contributions, place_probes
from factorizer_engine.components.definition import (
    Baseline,
    activity,
    component_map,
    filtered,
    mixers_of,
    observed,
    terms_of,
)
from factorizer_engine.components.evidence import evidence_along_a_path, find_evidence
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.inference.windows import plan_windows
from factorizer_engine.protocol.components import Term


def probe(seed: int = 0) -> Probe:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(3, *tiny.WINDOW, generator=generator)
    image = torch.rand(1, 2, *tiny.WINDOW, generator=generator)
    image[..., :4] = 0
    return Probe(image, weights / weights.sum(dim=(1, 2, 3), keepdim=True))


class DoubleProbe(Probe):
    """A probe that keeps double precision."""

    def read(self, logits: torch.Tensor) -> torch.Tensor:
        return torch.einsum("brxyz,rxyz->br", logits, self.weights)


def linear_after(network, block: str) -> None:
    """Make a network linear after the mixed map of its last block: the MLP adds nothing."""
    mlp = network.get_submodule("decoder.blocks.1.block.blocks.0.mlp")
    assert block == "decoder.1.0"
    with torch.no_grad():
        mlp.block[3].linear.weight.zero_()
        mlp.block[3].linear.bias.zero_()


@pytest.mark.parametrize("baseline", Baseline)
@pytest.mark.parametrize("changes", [{}, {"rank": 2}])
def test_where_the_rest_is_linear_evidence_adds_up_to_the_exact_contribution(changes, baseline):
    network, block = tiny.network(**changes), "decoder.1.0"
    linear_after(network, block)
    mixers = mixers_of(network)
    terms = terms_of(mixers, [block])
    found = find_evidence(network, [probe()], [0, 1, 2], baseline)
    exact = measure_contributions(network, [probe()], terms, baseline=baseline)
    assert np.abs(exact).max() > 0.05
    np.testing.assert_allclose(found.contributions(mixers, terms), exact, atol=2e-5)


def test_evidence_is_what_a_finite_change_of_a_term_does_voxel_by_voxel():
    network, where, block = tiny.network().double(), probe(), "decoder.0.0"
    where = DoubleProbe(where.image.double(), where.weights.double())
    mixer = mixers_of(network)[block]
    found = find_evidence(network, [where], [2])
    recorded = RecordedPass(network, where.image)
    place, head, size = (3, 5, 2), 1, 1e-4

    def changed_there(mixed):
        mixed = mixed.clone()
        own = slice(head * 4, head * 4 + 4)
        mixed[(0, own, *place)] -= size * recorded.mixed[block][(0, own, *place)]
        return mixed

    mixer.mixed_filter = changed_there
    with torch.no_grad():
        after = where.read(network(where.image))[0, 2]
    mixer.mixed_filter = None
    with torch.no_grad():
        before = where.read(network(where.image))[0, 2]
    expected = float(before - after) / size
    assert float(found.windows[0].maps[block][(0, head, *place)]) == pytest.approx(
        expected, rel=1e-2, abs=1e-7
    )


@pytest.mark.parametrize("axes", [(), (0, 2)])
def test_drawn_over_the_volume_evidence_has_the_sum_of_the_contribution(axes):
    network = tiny.network()
    mixers = mixers_of(network)
    volume = np.random.default_rng(0).uniform(0.5, 2.0, (2, 24, 30, 18)).astype(np.float32)
    masks = np.zeros((3, 24, 30, 18), bool)
    masks[:, 8:14, 6:20, 5:11] = True
    plan = plan_windows(volume, InferenceSettings(tiny.WINDOW, mirror_axes=axes))
    probes = place_probes(plan, volume, masks)
    assert len(probes) > 1
    found = find_evidence(network, probes, [2, 0])
    terms = terms_of(mixers, list(mixers))
    sums = found.contributions(mixers, terms)
    for row in (0, 5, len(terms) - 1):
        for column, region in enumerate((2, 0)):
            drawn = found.draw(mixers, terms[row], region, plan)
            assert drawn.shape == (24, 30, 18)
            assert drawn.sum(dtype=float) == pytest.approx(sums[row, column], abs=1e-4)


def test_a_mirrored_window_is_drawn_the_right_way_round():
    network = tiny.network()
    term = Term(0, "decoder.1.0", 0, 0)
    where, plan = probe(), plan_windows(np.ones((2, *tiny.WINDOW)), InferenceSettings(tiny.WINDOW))
    box = (slice(0, 16),) * 3
    plain = find_evidence(network, [Probe(where.image, where.weights, box)], [0])
    turned = find_evidence(network, [Probe(where.image, where.weights, box, (3,))], [0])
    ours, theirs = (f.draw(mixers_of(network), term, 0, plan) for f in (plain, turned))
    np.testing.assert_array_equal(ours[:, ::-1], theirs)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_estimate_ranks_as_leaving_out_does(seed):
    network = tiny.network(seed)
    mixers = mixers_of(network)
    terms = terms_of(mixers, list(mixers))
    estimate = find_evidence(network, [probe()], [0, 1, 2]).contributions(mixers, terms)
    exact = measure_contributions(network, [probe()], terms)
    assert spearmanr(estimate.ravel(), exact.ravel()).statistic > 0.8


def test_a_component_that_is_the_same_everywhere_is_a_level():
    network, block = tiny.network(), "decoder.1.0"
    linear_after(network, block)
    mixers = mixers_of(network)
    terms = terms_of(mixers, [block])

    def even(u, v):
        return torch.ones_like(u) * u.mean(), torch.ones_like(v)

    where = Probe(probe().image.clamp(min=0.1), probe().weights)
    with filtered({mixers[block]: even}):
        levels = find_evidence(network, [where], [0], blocks=[block]).levels(mixers, terms)
    np.testing.assert_allclose(levels, 1.0, atol=1e-4)
    peaked = find_evidence(network, [where], [0], blocks=[block]).levels(mixers, terms)
    assert ((peaked >= 0) & (peaked <= 1)).all()


@pytest.mark.parametrize(
    "changes", [{}, {"rank": 2}, {"reshape": ["Matricize", {"head_dim": 4, "grid_size": 1}]}]
)
def test_observing_the_factors_changes_no_bit_and_shows_the_maps(changes):
    network, image = tiny.network(**changes), probe().image
    mixers = mixers_of(network)
    seen, expected = {}, {}

    def see(block, mixer):
        return lambda factors: seen.__setitem__(block, activity(mixer.reshape, factors))

    def define(block, mixer):
        def keep(u, v):
            expected[block] = component_map(mixer.reshape, u, v)
            return u, v

        return keep

    with torch.inference_mode():
        plain = network(image)
        with observed({mixer: see(block, mixer) for block, mixer in mixers.items()}):
            assert torch.equal(network(image), plain)
        with filtered({mixer: define(block, mixer) for block, mixer in mixers.items()}):
            network(image)
    assert seen.keys() == mixers.keys()
    for block in mixers:
        scale = float(expected[block].max())
        torch.testing.assert_close(seen[block], expected[block], atol=1e-4 * scale, rtol=1e-3)


def test_the_network_is_left_as_it_was():
    network = tiny.network()
    with torch.no_grad():
        before = network(probe().image)
        find_evidence(network, [probe()], [0])
        assert torch.equal(network(probe().image), before)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("changes", [{}, {"rank": 2}])
def test_along_a_path_components_share_out_all_that_they_do_together(changes):
    network, where = tiny.network(**changes), probe()
    mixers = mixers_of(network)
    blocks = ["encoder.1.0", "decoder.0.0", "decoder.1.0"]
    terms = terms_of(mixers, blocks)
    recorded = RecordedPass(network, where.image)
    together = where.read(recorded.logits - recorded.without(terms))[0].numpy()
    steps = evidence_along_a_path(network, [where], [0, 2], blocks, 24)
    shared = sum(found.contributions(mixers, terms) for found in steps)
    assert np.abs(together).min() > 0.1
    np.testing.assert_allclose(shared.sum(axis=0), together[[0, 2]], rtol=0.03, atol=0.01)

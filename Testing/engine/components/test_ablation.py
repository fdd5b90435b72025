"""Contributions are what a brute-force ablation of the whole network gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine import tiny
from factorizer_engine.bundles.settings import InferenceSettings
from factorizer_engine.components.ablation import (
    Probe,
    mean_logits,
    measure_contributions,
    place_probes,
)
from factorizer_engine.components.definition import (
    Baseline,
    changed,
    filtered,
    head_mask,
    mixers_of,
    terms_of,
    without_all,
)
from factorizer_engine.components.passes import RecordedPass
from factorizer_engine.inference.sliding_window import Ensemble, predict_windows
from factorizer_engine.inference.windows import plan_windows
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.errors import CancelledError
from factorizer_engine.protocol.progress import Monitor

ROI = tiny.WINDOW


def probe(seed: int = 0) -> Probe:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(3, *ROI, generator=generator)
    weights /= weights.sum(dim=(1, 2, 3), keepdim=True)
    return Probe(torch.rand(1, 2, *ROI, generator=generator), weights)


def brute_force(network, where: Probe, term: Term) -> np.ndarray:
    """Change of the mean logits when the term is set to zero in one run of everything."""
    reshape = mixers_of(network)[term.block].reshape

    def remove(u, v):
        u = u.clone()
        heads = torch.arange(len(u)) % reshape.num_heads
        u[heads == term.head, :, :, term.rank] = 0
        return u, v

    def read() -> torch.Tensor:
        output = network(where.image)
        logits = output if isinstance(output, torch.Tensor) else output[0]
        return (logits[0] * where.weights).sum(dim=(1, 2, 3))

    with torch.no_grad():
        original = read()
        with filtered({mixers_of(network)[term.block]: remove}):
            return (original - read()).numpy()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rank": 2},
        {"adapter_kernel": 3},
        {"encoder_depth": [1, 2, 1], "decoder_depth": [2, 1], "num_deep_supr": 2},
        {"reshape": ["SWMatricize", {"head_dim": 4, "patch_size": 4, "shifts": [None, 1, 2, 3]}]},
    ],
)
def test_contributions_are_those_of_a_brute_force_ablation(changes):
    network = tiny.network(**changes)
    terms = terms_of(mixers_of(network), list(mixers_of(network)))
    expected = np.array([brute_force(network, probe(), term) for term in terms])
    assert np.abs(expected).max() > 0.05
    for batch_size in (1, 3):
        found = measure_contributions(network, [probe()], terms, batch_size)
        np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("rank", [1, 2])
def test_mean_ablation_puts_the_mean_over_the_head_in_place_of_a_term(rank):
    network, where = tiny.network(rank=rank), probe()
    where.image[..., :5] = 0
    mixer, term = mixers_of(network)["decoder.1.0"], Term(0, "decoder.1.0", 1, rank - 1)
    head = head_mask(where.image, mixer.reshape.spatial_size)
    terms = {}

    def only_this(u, v):
        u, heads = u.clone(), torch.arange(len(u)) % mixer.reshape.num_heads
        u[heads != term.head] = 0
        u[..., [r for r in range(rank) if r != term.rank]] = 0
        return u, v

    def keep(mixed):
        terms["own"] = mixed
        return mixed

    def replaced(mixed):
        mean = (terms["own"] * head).sum((2, 3, 4), keepdim=True) / head.sum()
        return mixed - terms["own"] + mean * head

    with torch.no_grad():
        original = where.read(network(where.image))[0]
        with filtered({mixer: only_this}), changed({mixer: keep}):
            network(where.image)
        with changed({mixer: replaced}):
            expected = original - where.read(network(where.image))[0]
    for others in ([], [Term(0, "decoder.1.0", 0, 0)]):
        found = measure_contributions(network, [where], [term, *others], 2, None, Baseline.MEAN)
        np.testing.assert_allclose(found[0], expected, atol=2e-5)
    removed = without_all(mixer.reshape, [term], head)
    with torch.no_grad(), filtered({mixer: removed}):
        alone = original - where.read(network(where.image))[0]
    np.testing.assert_allclose(alone, expected, atol=2e-5)
    assert not np.allclose(expected, brute_force(network, where, term), atol=1e-3)


def test_contributions_of_several_windows_add_up():
    network = tiny.network()
    terms = terms_of(mixers_of(network), ["decoder.1.0", "encoder.0.0"])
    first, second = (measure_contributions(network, [probe(s)], terms) for s in (0, 1))
    both = measure_contributions(network, [probe(0), probe(1)], terms)
    np.testing.assert_allclose(both, first + second, atol=1e-6)


def test_the_order_of_the_components_does_not_matter():
    network = tiny.network()
    terms = terms_of(mixers_of(network), ["decoder.1.0", "encoder.0.0"])
    mixed = terms[1::2] + terms[::2]
    found = dict(zip(mixed, measure_contributions(network, [probe()], mixed), strict=True))
    expected = measure_contributions(network, [probe()], terms)
    for term, values in zip(terms, expected, strict=True):
        np.testing.assert_allclose(found[term], values, atol=1e-6)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("baseline", list(Baseline))
def test_terms_that_are_left_out_side_by_side_are_those_left_out_alone(rank, baseline):
    network = tiny.network(rank=rank)
    terms = terms_of(mixers_of(network), list(mixers_of(network)))
    before = torch.get_num_threads()
    found = {}
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found[threads] = measure_contributions(network, [probe()], terms, baseline=baseline)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(found[3], found[1], atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"rank": 2}, {"encoder_depth": [2, 1, 1]}])
def test_a_recorded_pass_taken_up_again_ends_where_the_network_does(changes):
    network = tiny.network(num_deep_supr=2, **changes)
    image = probe().image
    with torch.no_grad():
        expected = network(image)[0]
        recorded = RecordedPass(network, image)
        torch.testing.assert_close(recorded.logits, expected)
        for block, mixed in recorded.mixed.items():
            torch.testing.assert_close(recorded.behind(block, mixed), expected)


@pytest.mark.parametrize("baseline", Baseline)
@pytest.mark.parametrize("rank", [1, 2])
def test_terms_of_several_blocks_are_left_out_together(rank, baseline):
    network = tiny.network(rank=rank)
    where = probe()
    where.image[..., :5] = 0
    left_out = [Term(0, "decoder.1.0", 1, 0), Term(0, "encoder.1.0", 2, rank - 1)]
    left_out.append(Term(0, "encoder.1.0", 0, 0))
    recorded = RecordedPass(network, where.image)
    filters = {}
    for block in ("decoder.1.0", "encoder.1.0"):
        mixer = mixers_of(network)[block]
        head = head_mask(where.image, mixer.reshape.spatial_size)
        own = [term for term in left_out if term.block == block]
        taken = head if baseline is Baseline.MEAN else None
        filters[mixer] = without_all(mixer.reshape, own, taken)
    with torch.no_grad(), filtered(filters):
        expected = network(where.image)
    torch.testing.assert_close(recorded.without(left_out, baseline), expected, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(recorded.without([]), recorded.logits)
    assert not torch.allclose(expected, recorded.logits, atol=1e-3)


def test_the_network_is_left_as_it_was():
    network = tiny.network()
    with torch.no_grad():
        before = network(probe().image)
        measure_contributions(network, [probe()], [Term(0, "decoder.1.0", 0, 0)])
        assert torch.equal(network(probe().image), before)


def test_measuring_stops_when_it_is_cancelled():
    network = tiny.network()
    terms = terms_of(mixers_of(network), ["decoder.1.0"])
    seen = []
    monitor = Monitor(seen.append, lambda: len(seen) >= 1)
    with pytest.raises(CancelledError):
        measure_contributions(network, [probe()], terms, monitor=monitor)
    assert len(seen) == 1
    assert all(mixer.component_filter is None for mixer in mixers_of(network).values())


def volume(shape=(24, 20, 18)) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.5, 2.0, (2, *shape)).astype(np.float32)


@pytest.mark.parametrize("axes", [(), (0,), (0, 2)])
def test_with_all_windows_the_probes_read_the_mean_of_the_blended_logits(axes):
    network, image = tiny.network(), volume()
    masks = np.random.default_rng(1).random((3, *image.shape[1:])) < 0.3
    plan = plan_windows(image, InferenceSettings(ROI, mirror_axes=axes))
    probes = place_probes(plan, image, masks, limit=99, least=0.0)
    assert len(probes) == 8 * 2 ** len(axes)

    def mean_of_prediction() -> np.ndarray:
        logits = predict_windows(Ensemble([network], 3), image, plan)
        return np.array([logits[r][masks[r]].mean() for r in range(3)])

    complete = mean_of_prediction()
    np.testing.assert_allclose(mean_logits(network, probes), complete, atol=1e-4)
    mixer = mixers_of(network)["decoder.1.0"]
    left_out = Term(0, "decoder.1.0", 1, 0)
    found = measure_contributions(network, probes, [left_out])[0]
    with filtered({mixer: without_all(mixer.reshape, [left_out])}):
        np.testing.assert_allclose(found, complete - mean_of_prediction(), atol=1e-4)
    assert np.abs(found).max() > 0.01


def test_the_windows_that_cover_the_lesion_best_are_probed():
    image = volume((16, 16, 48))
    plan = plan_windows(image, InferenceSettings(ROI))
    masks = np.zeros((1, *image.shape[1:]), dtype=bool)
    masks[..., 26:38] = True
    (only,) = place_probes(plan, image, masks, limit=1)
    np.testing.assert_array_equal(only.image[0].numpy(), image[..., 24:40])
    assert float(only.weights.sum()) == pytest.approx(1.0, abs=1e-5)


def test_no_more_windows_are_probed_than_the_lesion_needs():
    image = volume((16, 16, 48))
    masks = np.zeros((1, *image.shape[1:]), dtype=bool)
    masks[..., 9:12] = True
    assert len(place_probes(plan_windows(image, InferenceSettings(ROI)), image, masks)) == 1

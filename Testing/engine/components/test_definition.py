"""What a component is: nonnegative, free of scale, and the norm of its term."""

from __future__ import annotations

import pytest
import torch

from engine import tiny
from factorizer_engine.components import component_map
from factorizer_engine.components.definition import (
    component_name,
    filtered,
    mixers_of,
    terms_of,
    without_all,
)
from factorizer_engine.factorization import Matricize, SWMatricize
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.errors import BadInputError, BadModelError

SIZE = (8, 8, 8, 8)
LOCAL = {"head_dim": 4, "patch_size": 4}
SHIFTED = {**LOCAL, "shifts": [None, 1, 2]}


def factors(reshape: Matricize, rank: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    _, windows, rows, columns = reshape.output_size
    matrices = len(reshape.shifts) * batch * reshape.num_heads
    return torch.rand(matrices, windows, rows, rank), torch.rand(matrices, windows, columns, rank)


def reconstruction(reshape: Matricize, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """(B, heads, d, *S)."""
    return reshape.inverse_forward(u @ v.mT).unflatten(1, (reshape.num_heads, -1))


@pytest.mark.parametrize("rank", [1, 3])
def test_maps_are_nonnegative_with_one_channel_per_head_and_term(rank):
    reshape = SWMatricize(SIZE, **SHIFTED)
    u, v = factors(reshape, rank)
    maps = component_map(reshape, u, -v)
    assert maps.shape == (2, 2 * rank, 8, 8, 8)
    assert (maps >= 0).all() and maps.max() > 0


def test_a_map_does_not_change_when_the_factors_are_rescaled_against_each_other():
    reshape = SWMatricize(SIZE, **SHIFTED)
    u, v = factors(reshape, rank=2)
    scale = torch.rand(*u.shape[:2], 1, 2) + 0.5
    torch.testing.assert_close(
        component_map(reshape, u * scale, v / scale), component_map(reshape, u, v)
    )


def test_on_one_grid_a_rank_one_map_is_the_norm_of_the_reconstruction():
    reshape = Matricize(SIZE, **LOCAL)
    u, v = factors(reshape, rank=1)
    expected = reconstruction(reshape, u, v).norm(dim=2)
    torch.testing.assert_close(component_map(reshape, u, v), expected)


def test_every_term_has_the_map_it_would_have_alone():
    reshape = SWMatricize(SIZE, **SHIFTED)
    u, v = factors(reshape, rank=3)
    together = component_map(reshape, u, v)
    for term in range(3):
        alone = component_map(reshape, u[..., term : term + 1], v[..., term : term + 1])
        torch.testing.assert_close(together[:, term::3], alone)


def test_on_shifted_grids_the_map_bounds_the_norm_of_the_averaged_term():
    reshape = SWMatricize(SIZE, **SHIFTED)
    u, v = factors(reshape, rank=1)
    norm = reconstruction(reshape, u, v).norm(dim=2)
    maps = component_map(reshape, u, v)
    assert (norm <= maps + 1e-5).all()
    assert (norm < 0.999 * maps).any()


def test_removed_terms_are_exactly_those_missing_from_the_reconstruction():
    reshape = SWMatricize(SIZE, **SHIFTED)
    u, v = factors(reshape, rank=2, batch=1)
    left_out = [Term(0, "b", 0, 1), Term(0, "b", 1, 0)]
    whole = reconstruction(reshape, u, v)
    expected = whole[0].clone()
    for term in left_out:
        own = slice(term.rank, term.rank + 1)
        expected[term.head] -= reconstruction(reshape, u[..., own], v[..., own])[0, term.head]
    together = reconstruction(reshape, *without_all(reshape, left_out)(u, v))[0]
    torch.testing.assert_close(together, expected)


def test_filters_leave_the_factors_they_are_given_untouched():
    reshape = SWMatricize(SIZE, **SHIFTED)
    u, v = factors(reshape, rank=2, batch=1)
    before = u.clone(), v.clone()
    without_all(reshape, [Term(0, "b", 0, 0)])(u, v)
    assert torch.equal(u, before[0]) and torch.equal(v, before[1])


def test_filters_are_taken_back_even_after_an_error():
    mixer = next(iter(mixers_of(tiny.network()).values()))
    with pytest.raises(RuntimeError), filtered({mixer: lambda u, v: (u, v)}):
        assert mixer.component_filter is not None
        raise RuntimeError
    assert mixer.component_filter is None


def test_components_are_counted_from_one_in_their_names():
    mixers = mixers_of(tiny.network(rank=2, decoder_depth=[1, 2]))
    assert component_name(Term(0, "decoder.0.0", 1, 0), mixers) == "Decoder 1, component 3"
    assert component_name(Term(0, "encoder.2.0", 3, 1), mixers) == "Encoder 3, component 8"
    assert component_name(Term(0, "decoder.1.1", 0, 0), mixers) == "Decoder 2, block 2, component 1"
    names = [component_name(term, mixers) for term in terms_of(mixers, list(mixers))]
    assert len(set(names)) == len(names)


def test_an_unknown_block_is_refused_with_the_known_ones():
    with pytest.raises(BadInputError, match=r"no block 'decoder.7.0'; its blocks are encoder.0.0"):
        terms_of(mixers_of(tiny.network()), ["decoder.7.0"])


def test_a_network_without_factorisation_is_refused():
    with pytest.raises(BadModelError, match="no factorisation components"):
        mixers_of(torch.nn.Conv3d(1, 1, 1))

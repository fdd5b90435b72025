"""The weights of clicks, fitted to those of simulated users."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import click_weights
from benchmarks.click_weights import Samples, fit
from engine import tiny
from factorizer_engine.interaction.regression import NETWORK_ADDS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A case of one scan whose lesion is a box."""
    return tiny.dataset_of_one_scan(tmp_path_factory.mktemp("data"), "case", tiny.scans()["FLAIR"])


def test_weights_that_made_the_samples_are_found_again():
    generator = np.random.default_rng(0)
    true = np.array([0.5, 2.0, -1.0])
    columns = np.column_stack([np.ones(40000), generator.normal(3, 2, (40000, 2))])
    agrees = generator.random(40000) < 1 / (1 + np.exp(-columns @ true))
    found = fit(Samples(columns, agrees, np.ones(40000)))
    np.testing.assert_allclose(found, true, atol=0.15)


def test_a_feature_that_is_always_nothing_takes_no_part():
    generator = np.random.default_rng(0)
    columns = np.column_stack([np.ones(40000), generator.normal(3, 1, 40000), np.zeros(40000)])
    agrees = generator.random(40000) < 1 / (1 + np.exp(-(2 * columns[:, 1] - 5)))
    found = fit(Samples(columns, agrees, np.ones(40000)))
    np.testing.assert_allclose(found, [-5, 2, 0], atol=0.2)


def test_samples_without_an_exception_give_finite_weights():
    columns = np.column_stack([np.ones(100), np.linspace(-5, 5, 100)])
    found = fit(Samples(columns, columns[:, 1] > 0, np.ones(100)))
    assert np.isfinite(found).all() and found[1] > 1


def test_clicks_of_a_simulated_user_become_weights_by_name(data, tmp_path, capsys):
    model = str(tiny.bundle_for_clicks(tmp_path).description.path)
    click_weights.main([str(data), model, "--apart", "--turned"])
    told = capsys.readouterr().out
    assert told.startswith("adds\n")
    assert all(f'"{name}": ' in told for name in NETWORK_ADDS)


def test_every_click_weighs_the_same(data, tmp_path):
    model = str(tiny.bundle_for_clicks(tmp_path).description.path)
    predictor = click_weights.open_model(model, "cpu", "float32", None, (), None)
    samples = click_weights.collect(predictor, str(data), ["distance"])
    clicks = sum(some.weights.sum() for some in samples.values())
    assert clicks == pytest.approx(round(clicks)) and clicks >= 5

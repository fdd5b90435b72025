"""Networks that can be trained."""

from __future__ import annotations

import pytest

from engine.training.run.runs import REFERENCES, configured, same_weights
from factorizer_engine.protocol.errors import EngineError
from factorizer_engine.training.records.history import read_history
from factorizer_engine.training.run.run import train


@pytest.mark.parametrize("network", REFERENCES, ids=lambda network: network["type"])
def test_reference_networks_train_in_the_same_loop(settings, write_config, network):
    settings["network"] = network
    history = read_history(train(configured(settings, write_config)))
    assert len([r for r in history if r["kind"] == "training"]) == 6


def test_a_window_that_does_not_fit_the_network_is_refused(settings, write_config):
    settings["window"] = [18, 16, 16]
    with pytest.raises(EngineError, match="18"):
        train(configured(settings, write_config))


def test_gradient_checkpointing_changes_no_weight(settings, write_config, tmp_path):
    plain = train(configured(settings, write_config, tmp_path / "plain"))
    settings["optimization"]["gradient_checkpointing"] = True
    frugal = train(configured(settings, write_config, tmp_path / "frugal"))
    assert same_weights(plain, frugal)

"""Training windows with the clicks of a simulated user."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.training.run.runs import configured
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import InteractionSection, load_config
from factorizer_engine.training.export.export import export
from factorizer_engine.training.records.history import read_history
from factorizer_engine.training.run.prompting import Prompter
from factorizer_engine.training.run.run import train

SHAPE = (24, 24, 24)


@pytest.fixture
def window():
    image = torch.randn(2, *SHAPE)
    target = torch.zeros(2, *SHAPE)
    target[0, 4:14, 4:14, 4:14] = 1
    target[1, 16:20, 16:20, 16:20] = 1
    return image, target


def prompter(**settings) -> Prompter:
    return Prompter(InteractionSection(**{"clicks": 3, "radius_mm": 2.0, **settings}), (1, 1, 1), 0)


def nothing(batch: torch.Tensor) -> torch.Tensor:
    """A network that finds nothing."""
    return torch.zeros(1, 2, *batch.shape[2:])


def test_plain_windows_have_empty_prompts(window):
    image, target = window
    asked, near = prompter(plain=1.0).with_prompts(image, target, 0, nothing)
    torch.testing.assert_close(asked[:2], image)
    assert asked.shape == (8, *SHAPE)
    assert not asked[2:].any() and not near.any()


def test_users_click_on_what_the_network_missed(window):
    for number in range(8):
        asked, near = prompter(plain=0.0, rough=0.0).with_prompts(*window, number, nothing)
        added, removed = asked[[2, 5]], asked[[3, 6]]
        assert not removed.any()
        assert added.any() and near.any()
        truth = window[1].bool()
        centers = (added == 1).any(0)
        assert (truth.any(0) | ~centers)[added.amax(0) == 1].float().mean() > 0.5
        assert near[centers].all()


def test_windows_may_begin_with_nothing_whatever_the_network_says(window):
    def everything(batch):
        return torch.ones(1, 2, *batch.shape[2:])

    for number in range(8):
        asked, _ = prompter(plain=0.0, empty=1.0, clicks=1).with_prompts(
            *window, number, everything
        )
        assert not asked[[3, 6]].any() and asked[[2, 5]].any()  # added to, nothing removed
        assert not asked[[4, 7]].any()


def test_users_go_on_with_the_errors_that_are_left_after_asking(window):
    calls = []

    def knows_the_first(batch):
        calls.append(batch.clone())
        found = torch.zeros(1, 2, *SHAPE)
        found[0, 0] = window[1][0]
        return found

    for number in range(12):
        calls.clear()
        asked, _ = prompter(plain=0.0, rough=0.0).with_prompts(*window, number, knows_the_first)
        assert not calls[0][0, 2:].any()  # the start is the network's own, without prompts
        assert not asked[[2, 3]].any() and asked[5].any()  # only the second region is wrong
        np.testing.assert_array_equal(asked[4], window[1][0])  # what it found is told
        assert len(calls) <= 3  # the start, and before each of up to two further rounds


def test_the_network_is_asked_again_between_rounds_of_clicks(window):
    calls = []

    def finds_nothing(batch):
        calls.append(batch[0, [2, 5]].amax() > 0)
        return nothing(batch)

    rounds = []
    for number in range(20):
        calls.clear()
        prompter(plain=0.0, empty=1.0, clicks=5).with_prompts(*window, number, finds_nothing)
        assert all(calls)  # it is told of the clicks before
        rounds.append(len(calls))
    assert min(rounds) == 0 and max(rounds) >= 2


def test_a_window_is_a_pure_function_of_its_number(window):
    first, second = (prompter().with_prompts(*window, 7, nothing)[0] for _ in range(2))
    other = prompter().with_prompts(*window, 8, nothing)[0]
    torch.testing.assert_close(first, second)
    assert not torch.equal(first, other)


def test_nobody_clicks_where_nothing_is_known(window):
    image, target = window
    target[0] = -1.0
    for number in range(8):
        asked, _ = prompter(plain=0.0).with_prompts(image, target, number, nothing)
        assert not asked[[2, 3]].any()


def test_a_run_with_clicks_becomes_a_model_with_prompts(settings, write_config, tmp_path):
    settings["interaction"] = {"clicks": 2, "radius_mm": 3.0, "near": 1.0}
    settings["preprocessing"] = {**settings.get("preprocessing", {}), "spacing": [1, 1, 1]}
    folder = train(configured(settings, write_config))
    assert [r for r in read_history(folder) if r["kind"] == "validation"]
    bundle = load_bundle(export(folder, tmp_path / "clicked").description.path)
    assert bundle.prompts is not None and bundle.prompts.radius_mm == 3.0
    regions, channels = len(bundle.description.regions), len(bundle.description.channels)
    assert bundle.network.arguments["in_channels"] == channels + 3 * regions


def test_clicks_need_a_voxel_size(settings, write_config):
    settings["interaction"] = {"clicks": 2}
    settings["preprocessing"] = {**settings.get("preprocessing", {}), "spacing": None}
    with pytest.raises(BadInputError, match="do not go together: interaction.clicks needs"):
        load_config(write_config(settings))

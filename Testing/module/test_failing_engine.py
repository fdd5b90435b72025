"""The quick part of the engine's stress: runs that fail leave nothing, and the next one works."""

from __future__ import annotations

import random
import sys

import pytest

from stress import engine

if sys.platform == "win32":
    pytest.skip("the failing engine needs signals", allow_module_level=True)


@pytest.fixture(scope="module")
def scenario(host, tmp_path_factory):
    """The window with a made-up engine that can be told to go wrong."""
    from FactorizerSegmentationLib.engine import process

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACTORIZER_MODELS", "")  # the scenario sets it
        patch.setattr(process, "KILL_AFTER_MS", 300)
        patch.setattr(engine, "HANGING", 0.5)
        scenario = engine.Scenario(host, tmp_path_factory.mktemp("stress"), real=False)
        yield scenario
        assert scenario.close() == ""


@pytest.mark.parametrize("kind", engine.KINDS)
def test_a_run_that_fails_leaves_the_scene_as_it_was_and_the_next_one_works(scenario, kind):
    chance = random.Random(len(kind))
    assert scenario.trial(kind, chance).fault == ""

"""What the engine keeps from one job to the next, and what it loads anew."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from engine import tiny
from factorizer_engine.bundles.reading.checksums import write_checksums
from factorizer_engine.bundles.saving import save_bundle
from factorizer_engine.bundles.settings import CascadeSettings, Preprocessing
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.runs import ModelChoice
from factorizer_engine.service.engine import Engine


@pytest.fixture
def engine():
    made = Engine()
    yield made
    made.close()


@pytest.fixture
def cascade(tmp_path):
    coarse = tiny.bundle(
        tmp_path / "coarse", [tiny.network(0), tiny.network(1)], preprocessing=Preprocessing()
    )
    whole = replace(coarse, cascade=CascadeSettings(), coarse=coarse)
    return save_bundle(whole, [tiny.network(2), tiny.network(3)], tmp_path / "whole", "float32")


def test_a_model_stays_warm(engine, cascade):
    choice = ModelChoice(str(cascade.description.path), "cpu")
    assert engine.ready(choice, Monitor()) is engine.ready(choice, Monitor())


def test_a_model_whose_settings_were_changed_is_loaded_anew(engine, cascade):
    folder = cascade.description.path
    choice = ModelChoice(str(folder), "cpu")
    assert engine.ready(choice, Monitor()).bundle.inference.threshold == 0.5
    path = folder / "configs" / "metadata.json"
    content = json.loads(path.read_text())
    content["factorizer"]["inference"]["threshold"] = 0.25
    path.write_text(json.dumps(content))
    write_checksums(folder)
    assert engine.ready(choice, Monitor()).bundle.inference.threshold == 0.25


def test_both_stages_of_a_cascade_are_applied_as_chosen(engine, cascade):
    choice = ModelChoice(str(cascade.description.path), "cpu", members=1, sweeps=2)
    for segmenter in (ready := engine.ready(choice, Monitor()), ready.coarse):
        assert segmenter.bundle.inference.sweeps == 2 and len(segmenter.networks) == 1

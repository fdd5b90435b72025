"""The quick part of the stress: what is broken is read, refused in a sentence, or answered."""

from __future__ import annotations

import random
import sys
from itertools import islice

import pytest

from stress.containers import ARCHIVES, CHECKPOINTS, container_trials
from stress.files import bundle_trials, scan_trials
from stress.kinds import KINDS
from stress.messages import message_trials
from stress.places import place_trials


@pytest.mark.filterwarnings("ignore:::pydicom")
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("trials", [scan_trials, bundle_trials, message_trials])
def test_what_is_broken_is_read_or_refused(tmp_path, monkeypatch, trials):
    monkeypatch.chdir(tmp_path)
    made = list(islice(trials(tmp_path, random.Random(0)), 40))
    assert [trial.fault for trial in made if trial.fault] == []
    assert any(trial.refused for trial in made)


@pytest.mark.skipif(sys.platform == "win32", reason="measures memory as POSIX does")
def test_harmful_models_do_nothing_and_are_refused_quickly(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACTORIZER_MODELS", "")  # the trials set it
    count = len(ARCHIVES) + len(CHECKPOINTS)
    made = list(islice(container_trials(tmp_path, random.Random(0)), count))
    assert [trial.fault for trial in made if trial.fault] == []
    assert sum(trial.refused for trial in made) >= count - 3  # odd but harmless


def test_scans_lie_where_nibabel_and_itk_put_them(tmp_path):
    made = islice(place_trials(tmp_path, random.Random(0)), 0, None, 31)
    assert [trial.fault for trial in made if trial.fault] == []


def test_every_kind_of_trial_can_begin(tmp_path):
    for kind in KINDS:
        assert iter(kind.start(tmp_path, random.Random(0)))

"""The quick part of the stress: what is broken is read, refused in a sentence, or answered."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from stress.files import bundle_trials, scan_trials
from stress.kinds import KINDS
from stress.messages import message_trials


@pytest.mark.filterwarnings("ignore:::pydicom")
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("trials", [scan_trials, bundle_trials, message_trials])
def test_what_is_broken_is_read_or_refused(tmp_path, monkeypatch, trials):
    monkeypatch.chdir(tmp_path)
    made = list(islice(trials(tmp_path, random.Random(0)), 40))
    assert [trial.fault for trial in made if trial.fault] == []
    assert any(trial.refused for trial in made)


def test_every_kind_of_trial_can_begin(tmp_path):
    for kind in KINDS:
        assert iter(kind.start(tmp_path, random.Random(0)))

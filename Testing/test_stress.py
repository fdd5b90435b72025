"""The quick part of the stress: broken files are read, or refused in one sentence."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from stress.trials import bundle_trials, scan_trials


@pytest.mark.filterwarnings("ignore:::pydicom")
@pytest.mark.parametrize("trials", [scan_trials, bundle_trials])
def test_broken_files_are_read_or_refused(tmp_path, trials):
    made = list(islice(trials(tmp_path, random.Random(0)), 40))
    assert [trial.fault for trial in made if trial.fault] == []
    assert any(trial.refused for trial in made)

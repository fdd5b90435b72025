"""The quick part of the stress: what is broken is read, refused in a sentence, or answered."""

from __future__ import annotations

import random
import sys
from itertools import islice

import numpy as np
import pytest

from engine import tiny
from engine.images.files.samples import save_nifti
from stress.containers import ARCHIVES, CHECKPOINTS, container_trials
from stress.files import bundle_trials, scan_trials
from stress.kinds import KINDS
from stress.messages import message_trials
from stress.places import place_trials
from stress.readers import reader_trials
from stress.threads import Found, compared, segmented


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


def test_files_are_read_as_other_readers_read_them(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)  # dcm2niix is for the long run
    made = list(islice(reader_trials(tmp_path, random.Random(0)), 10))
    assert [trial.fault for trial in made if trial.fault] == []
    assert any(trial.refused for trial in made) and not all(trial.refused for trial in made)


def test_every_kind_of_trial_can_begin(tmp_path):
    for kind in KINDS:
        if kind.name == "storms":
            pytest.importorskip("hypothesis")
        assert iter(kind.start(tmp_path, random.Random(0)))


def test_the_number_of_threads_hardly_changes_a_result(tmp_path):
    model = tiny.bundle(tmp_path).description.path
    inputs = []
    for name, scan in tiny.scans().items():
        save_nifti(scan, tmp_path / f"{name}.nii")
        inputs.append(f"{name}={tmp_path / name}.nii")
    first, again, other = (segmented(str(model), inputs, n, tmp_path) for n in (1, 1, 3))
    assert first.labels.any()
    assert compared("again", first, again, exactly=True).fault == ""
    assert compared("3 threads", first, other).fault == ""
    turned = Found(np.roll(first.labels, 1), first.probabilities)
    assert compared("turned", first, turned).fault

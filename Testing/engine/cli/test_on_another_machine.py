"""`--on USER@HOST`: the real engine, behind an ssh that leads to this machine."""

from __future__ import annotations

import json
import shlex
import sys

import nibabel as nib
import numpy as np
import pytest

SSH = shlex.join(
    [sys.executable, "-c", "from factorizer_engine.service.remote.far import serve; serve()"]
)


def inputs(scans) -> list[str]:
    return [part for name, path in scans.items() for part in ("-i", f"{name}={path}")]


def test_a_study_is_segmented_there_as_it_is_here(tmp_path, run_cli, cli, scans, tiny_bundle):
    arguments = ("segment", "-m", str(tiny_bundle), *inputs(scans), "--probabilities", "-o")
    here = cli(*arguments, tmp_path / "here")
    there = run_cli(*arguments, tmp_path / "there", "--on", "me@gpu", FACTORIZER_SSH=SSH)

    assert (here.code, there.code) == (0, 0), there.errors
    files = [sorted(p.name for p in (tmp_path / place).iterdir()) for place in ("here", "there")]
    assert files[0] == files[1]
    for name in ("segmentation.nii.gz", "probabilities.nii.gz"):
        expected, found = (nib.load(tmp_path / place / name) for place in ("here", "there"))
        np.testing.assert_allclose(found.get_fdata(), expected.get_fdata(), atol=1e-5)
        np.testing.assert_array_equal(found.affine, expected.affine)
    assert json.loads((tmp_path / "there" / "run.json").read_text())["computed_on"] == "me@gpu:cpu"


def test_a_machine_that_is_not_there_is_one_sentence(tmp_path, run_cli, scans):
    failing = shlex.join(["sh", "-c", "echo 'ssh: connect: Connection refused' >&2; exit 255"])
    outcome = run_cli(
        "segment",
        "-m",
        "glioma",
        *inputs(scans),
        "-o",
        tmp_path / "out",
        "--on",
        "me@gpu",
        FACTORIZER_SSH=failing,
    )

    assert outcome.code == 1
    assert outcome.sentence.startswith("me@gpu accepts no ssh connections")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--on", "-oProxyCommand=x"], "is no address of a machine"),
        (["--on", "me@gpu", "--studies", ".", "--scheduler", "tcp://x:1"], "not to both"),
    ],
)
def test_what_cannot_be_done_there_is_said_at_once(tmp_path, cli, more, sentence):
    outcome = cli("segment", "-o", tmp_path / "out", *more)

    assert outcome.code == 2
    assert sentence in outcome.sentence

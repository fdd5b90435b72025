"""The benchmark runs from end to end, and takes turns and ratios as it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import (
    cases,
    engine,
    interaction,
    layers,
    levels,
    load,
    profile,
    scaling,
    start,
    studies,
    training,
)
from benchmarks.__main__ import PARTS, main
from benchmarks.contestants import CONTESTANTS, OURS, STRAIGHTFORWARD, Window, build, patch_size
from benchmarks.goals import GPU_GOALS, NO_GPU, Goal
from benchmarks.measure import Setting, ratio, take_turns
from engine import tiny
from factorizer_engine.images.files import write_nifti
from factorizer_engine.networks import named_mixers
from factorizer_engine.networks.blocks import FactMixer

MODULE_DIR = Path(__file__).resolve().parents[2] / "FactorizerSegmentation"
WINDOW = Window(2, (64, 32, 32))
SETTING = Setting(torch.device("cpu"), torch.float32, 1, 1, say=lambda text: None)


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `factorizer bench`."""
    return subprocess.run(
        [sys.executable, "-m", "factorizer_engine.cli", "bench", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(MODULE_DIR)},
        capture_output=True,
        text=True,
        timeout=1800,  # on a machine that many share
    )


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Path:
    """A folder with the scans of a small case."""
    folder = tmp_path_factory.mktemp("patient")
    for name, scan in tiny.scans().items():
        write_nifti(scan, folder / f"{name}.nii.gz")
    return folder


def test_one_command_measures_everything_and_writes_a_complete_table(case, tmp_path):
    model = tiny.bundle(tmp_path).description.path
    options = ["--rounds", 1, "--threads", 1, "--window", "2x64x32x32"]
    for part in PARTS:
        options += ["--part", part] * (part != "training")  # which is of a network of full size

    done = bench(*options, "--model", model, "--case", case, "--output", tmp_path / "out")

    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    sections: dict[str, list[dict]] = {}
    for row in report["rows"]:
        sections.setdefault(row["section"], []).append(row)
    networks = sections[WINDOW.title]
    assert [row["name"] for row in networks] == list(CONTESTANTS)
    assert all(row["median"] > 0 and row["operations"] > 1e9 for row in networks)
    assert networks[0]["difference"] < 1e-4
    assert len(sections[layers.section_title(WINDOW)]) == (
        5 * (5 + 1) + 4 * 2  # levels and their sum, and four by factors where windows are large
    )
    arithmetic = sections[levels.section_title(WINDOW)]
    assert len(arithmetic) == 1 + (5 + 1)  # the matrix product, levels and their sum
    assert all(row["ratios"][levels.LIMIT] > 0 for row in arithmetic[1:])
    stages = {row["name"]: row["median"] for row in sections[cases.section_title(case)]}
    assert set(cases.STAGES) < set(stages)
    assert sum(stages[stage] for stage in cases.STAGES) == pytest.approx(
        stages[cases.TOTAL], rel=0.2
    )
    assert [row["name"] for row in sections[engine.SECTION]] == [
        engine.STARTED,
        engine.FIRST,
        engine.AGAIN,
        engine.FULL_STUDY,
    ]
    assert [row["name"] for row in sections[studies.SECTION]] == [
        studies.IN_TURN,
        studies.SIDE_BY_SIDE,
    ]
    assert [row["name"] for row in sections[start.SECTION]] == [start.COMPILING, start.LOADING]
    assert sections[load.SECTION][1]["ratios"][load.QUIET] > 0
    waited_for = [row["name"] for row in sections[interaction.SECTION]]
    checked = [name for name in interaction.NAMES if name != interaction.CHECKING]
    assert waited_for in ([interaction.NOT_MEASURED], checked)  # this model expects no scans
    stated = {goal["title"]: goal["verdict"] for goal in report["goals"]}
    assert sum(verdict == NO_GPU for verdict in stated.values()) == len(GPU_GOALS)
    assert stated[f"{cases.section_title(case)}: part of the {cases.DIFFERING}"] == "met"
    printed = done.stdout
    markdown = (tmp_path / "out" / "benchmark.md").read_text()
    for row in report["rows"]:
        assert row["name"] in printed and f"| {row['name']} |" in markdown
    assert report["environment"]["Threads"].startswith("1 of ")


def test_a_training_step_is_measured_beside_torchs_own():
    ours, torchs = training.measure_training(SETTING, widths=(8, 8, 8, 8, 8))

    assert [ours.name, torchs.name] == [training.STEP, training.TORCHS_STEP]
    assert ours.ratios[training.TORCHS_STEP] > 0
    assert "memory" in ours.note


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("--window", "4x100x100x100"), "'4x100x100x100' is not a window"),
        pytest.param(
            ("--device", "cuda"),
            "'cuda' is not usable where this is computed",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="There is a GPU."),
        ),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_sentence(
    arguments, sentence, tmp_path, monkeypatch, capsys
):
    threads = str(torch.get_num_threads())
    for name, value in {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}.items():
        monkeypatch.setenv(name, value)  # which the command sets for all that comes later
    assert main([*arguments, "--threads", threads, "--output", str(tmp_path)]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_contestants_take_turns_and_the_warm_up_is_left_out():
    calls = []

    def contestant(name):
        def take_a_turn():
            calls.append(name)
            return len(calls)

        return take_a_turn

    samples = take_turns({name: contestant(name) for name in "ABC"}, rounds=2)

    assert calls == list("ABCABCABC")
    assert samples == {"A": [4, 7], "B": [5, 8], "C": [6, 9]}


def test_ratios_are_taken_within_a_turn():
    assert ratio([1.0, 10.0, 2.0], [2.0, 20.0, 4.0]) == 0.5


def test_a_missed_goal_says_by_how_much():
    assert Goal("speed", 0.8, 0.8).verdict == "met"
    assert Goal("speed", 0.8, 1.0).verdict == "missed: 1.25 times the limit"


def test_what_was_not_measured_is_neither_met_nor_missed():
    assert Goal("speed", 0.8, None).verdict == NO_GPU


def test_without_the_host_the_window_is_passed_over_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(interaction, "_PACKAGES", ("no_such_host",))

    (row,) = interaction.measure_interaction(tiny.bundle(tmp_path), tmp_path, SETTING)

    assert row.name == interaction.NOT_MEASURED and "no_such_host" in row.note


def test_the_profile_lists_operators_by_their_share_of_the_time():
    rows = profile.profile_window(WINDOW, SETTING)

    shares = [row.ratios["all"] for row in rows]
    assert sum(shares) == pytest.approx(1.0)
    assert shares[:-1] == sorted(shares[:-1], reverse=True)


def test_windows_are_cut_as_in_the_paper_or_into_the_largest_patches_that_fit():
    assert patch_size(Window(4, (128, 128, 128))) == 8
    assert patch_size(Window(4, (96, 96, 96))) == 6
    assert patch_size(Window(2, (64, 64, 64))) == 4


def test_the_straightforward_network_is_the_same_network_by_another_path():
    fast, straight = build(OURS, WINDOW), build(STRAIGHTFORWARD, WINDOW)
    paths = [
        {mixer.has_fast_path for _, mixer in named_mixers(network)} for network in (fast, straight)
    ]

    assert paths == [{True}, {False}]
    assert fast.state_dict().keys() == straight.state_dict().keys()
    assert all(
        torch.equal(value, straight.state_dict()[key]) for key, value in fast.state_dict().items()
    )
    with torch.inference_mode():
        x = WINDOW.input("cpu")
        torch.testing.assert_close(fast(x), straight(x), rtol=0, atol=1e-4)


def test_layers_compared_over_sizes_do_what_their_names_say(monkeypatch):
    monkeypatch.setattr(scaling, "_memory", lambda *_: 1)
    monkeypatch.setitem(scaling.LONGEST, scaling.EXPLICIT, 8)
    rows = scaling.measure_scaling(SETTING, (8, 16))
    names = [row.name for row in rows]
    assert f"8: {scaling.EXPLICIT}" in names and f"16: {scaling.EXPLICIT}" not in names
    assert all(row.seconds[0] > 0 for row in rows)
    x = torch.randn(1, scaling.WIDTH, 8, 8, 8)
    fused, explicit = (scaling.build(n, 8) for n in (scaling.ATTENTION, scaling.EXPLICIT))
    explicit.load_state_dict(fused.state_dict())
    torch.testing.assert_close(fused(x), explicit(x), atol=1e-5, rtol=1e-4)
    matrices = {}
    for name in (scaling.GLOBAL, scaling.LOCAL, scaling.SHIFTED):
        mixer = scaling.build(name, 16)
        assert isinstance(mixer, FactMixer)
        matrices[name] = mixer.reshape.output_size[1:]
    assert matrices[scaling.GLOBAL] == (1, scaling.HEAD, 16**3)
    assert matrices[scaling.LOCAL] == matrices[scaling.SHIFTED] == (8, scaling.HEAD, 8**3)


def test_growth_is_read_off_the_largest_two_sizes(tmp_path):
    rows = [
        {
            "section": scaling.SCALING,
            "name": f"{edge}: some layer",
            "seconds": [edge**3.0, 2.0 * edge**3, 99.0 * edge**3],
            "memory": edge**6,
        }
        for edge in (16, 24, 32)
    ]
    assert scaling.exponents(rows, "seconds")["some layer"] == pytest.approx(1)
    assert scaling.exponents(rows, "memory")["some layer"] == pytest.approx(2)
    scaling.draw(rows, tmp_path / "plot.svg")
    assert "some layer" in (tmp_path / "plot.svg").read_text(encoding="utf-8")

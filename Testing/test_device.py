"""The script for a lent graphics card, as far as it can be tried without one."""

from __future__ import annotations

import json
import subprocess
import sys
from zipfile import ZipFile

import pytest

from device.lease import (
    LIMIT,
    MODULE,
    TESTING,
    Step,
    main,
    run_step,
    steps_of,
    unpack,
    with_tables,
    write_results,
)

ABSENT = (
    "SimpleITK", "highdicom", "numba", "llvmlite", "skimage", "requests", "PIL", "pandas", "dask",
    "distributed", "hypothesis", "slicer", "vtk",
)  # fmt: skip
"""What may be missing where a card is lent, wheels included."""


def test_facts_and_results_are_all_that_is_written(tmp_path):
    assert main(["--device", "cpu", "--only", "facts", "--output", str(tmp_path)]) == 0
    (outcome,) = json.loads((tmp_path / "lease.json").read_text(encoding="utf-8"))
    assert outcome["state"] == "passed"
    assert json.loads(outcome["text"])["torch"]
    assert "| facts | passed |" in (tmp_path / "lease.md").read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {"lease.json", "lease.md"}


def test_steps_that_fail_or_take_too_long_are_told(tmp_path):
    failed = run_step(Step("failing", ("-c", "raise SystemExit('no card')"), 60))
    slow = run_step(Step("slow", ("-c", "import time; print(1); time.sleep(60)"), 1))
    assert (failed.state, failed.text) == ("failed", "no card")
    assert (slow.state, slow.text) == ("cut short", "1")
    write_results([failed, slow], tmp_path)
    assert "no card" in (tmp_path / "lease.md").read_text(encoding="utf-8")


def test_what_a_step_has_started_does_not_outlast_its_time():
    sleeper = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleeper!r}])"
    assert run_step(Step("parent", ("-c", child + "; input()"), 1)).seconds < 30


def test_no_step_has_more_time_than_is_left():
    step = Step("slow", ("-c", "import time; time.sleep(60)"), 60)
    assert run_step(step, seconds=1.5).state == "cut short"
    assert run_step(step, seconds=0.5).state == "not begun"


def test_packages_in_wheels_are_there_in_every_step(tmp_path):
    wheel = tmp_path / "tidings-1.0-py3-none-any.whl"
    about = "tidings-1.0.dist-info"
    with ZipFile(wheel, "w") as archive:
        archive.writestr("tidings.py", "NEWS = 'good'\n")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tidings\nVersion: 1.0")
        archive.writestr(
            f"{about}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any",
        )
        archive.writestr(f"{about}/RECORD", "")
    site = tmp_path / "site"
    unpack(tmp_path, site)
    program = "import tidings, torch, factorizer_engine; print(tidings.NEWS)"
    assert run_step(Step("reader", ("-c", program), 60), site).text == "good"


def test_the_tables_of_a_benchmark_are_part_of_the_results(tmp_path):
    folder = tmp_path / "bench"
    folder.mkdir()
    outcome = run_step(Step("bench", ("-c", "print('done')"), 60))
    assert with_tables(outcome, folder) == outcome
    (folder / "benchmark.json").write_text('{"rows": [1]}', encoding="utf-8")
    (folder / "benchmark.md").write_text("| a | b |", encoding="utf-8")
    write_results([with_tables(outcome, folder)], tmp_path)
    (record,) = json.loads((tmp_path / "lease.json").read_text(encoding="utf-8"))
    assert record["measured"] == {"rows": [1]}
    assert "\n| a | b |\n" in (tmp_path / "lease.md").read_text(encoding="utf-8")


def test_the_most_valuable_steps_come_first_and_fit_into_one_command_of_ten_minutes(tmp_path):
    steps = steps_of("cuda", quick=False, work=tmp_path, output=tmp_path)
    assert [step.name for step in steps][:3] == ["facts", "kernels", "engine"]
    assert sum(step.seconds for step in steps[:4]) <= LIMIT < 600
    more = steps_of("cuda", False, tmp_path, tmp_path, packed=[tmp_path], seconds=300)
    assert more[:-1] == steps and more[-1].name == "training"
    assert 300 < more[-1].seconds <= LIMIT and str(tmp_path) in more[-1].arguments


@pytest.mark.parametrize("module", ["device.train", "benchmarks.run", "engine.tiny"])
def test_what_runs_on_a_lent_card_does_without_what_is_missing_there(module):
    program = f"import sys; sys.modules.update(dict.fromkeys({ABSENT})); import {module}"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path[:0] = {[str(MODULE), str(TESTING)]}; " + program,
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr

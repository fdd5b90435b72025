"""The script for a lent graphics card, as far as it can be tried without one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from device.lease import Step, main, run_step, steps_of, write_results


def test_facts_and_results_are_written(tmp_path):
    assert main(["--device", "cpu", "--only", "facts", "--output", str(tmp_path)]) == 0
    (outcome,) = json.loads((tmp_path / "lease.json").read_text(encoding="utf-8"))
    assert outcome["state"] == "passed"
    assert json.loads(outcome["text"])["torch"]
    assert "| facts | passed |" in (tmp_path / "lease.md").read_text(encoding="utf-8")


def test_steps_that_fail_or_take_too_long_are_told(tmp_path):
    python = Path(sys.executable)
    failed = run_step(Step("failing", ("-c", "raise SystemExit('no card')"), 60), python)
    slow = run_step(Step("slow", ("-c", "import time; time.sleep(60)"), 1), python)
    assert (failed.state, failed.text) == ("failed", "no card")
    assert slow.state == "cut short"
    write_results([failed, slow], tmp_path)
    assert "no card" in (tmp_path / "lease.md").read_text(encoding="utf-8")


def test_all_steps_together_fit_into_one_command_of_ten_minutes(tmp_path):
    steps = steps_of("cuda", quick=False, output=tmp_path)
    assert sum(step.seconds for step in steps) <= 600
    assert [step.name for step in steps][:2] == ["facts", "kernels"]
    more = steps_of("cuda", quick=False, output=tmp_path, packed=[tmp_path], seconds=300)
    assert more[:-1] == steps and more[-1].name == "training"
    assert 300 < more[-1].seconds <= 600 and str(tmp_path) in more[-1].arguments

"""What the command line says of scans that look wrong, before anything is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from factorizer_engine.cli import session
from factorizer_engine.protocol.checks import Finding
from factorizer_engine.protocol.tasks.check import CHECK, CheckResult


def inputs(scans: dict[str, Path]) -> list[str]:
    return [part for name, path in scans.items() for part in ("--input", f"{name}={path}")]


@pytest.fixture
def findings(monkeypatch):
    """What the check of the scans is made to find."""
    found: list[Finding] = []
    run = session.Session.run

    def answer(own, task, *arguments, **particular):
        if task is CHECK and found:
            return CheckResult(tuple(found))
        return run(own, task, *arguments, **particular)

    monkeypatch.setattr(session.Session, "run", answer)
    return found


@pytest.mark.parametrize("command", ["segment", "components"])
def test_doubts_are_said_before_the_run_and_refused_on_request(
    tmp_path, cli, scans, findings, command
):
    findings.append(Finding(("T1",), "amber", "T1 looks like T2."))
    arguments = (command, "-m", "tiny", *inputs(scans), "-o", tmp_path / "o")
    assert cli(*arguments, "--strict").code == 2
    outcome = cli(*arguments)
    assert outcome.code == 0
    assert "T1 looks like T2." in outcome.errors


def test_scans_that_cannot_be_used_are_refused_with_the_sentence(tmp_path, cli, scans, findings):
    findings.append(Finding(("T1",), "red", "T1 is a label map."))
    outcome = cli("segment", "-m", "tiny", *inputs(scans), "-o", tmp_path / "o")
    assert (outcome.code, outcome.errors) == (2, "factorizer: T1 is a label map.\n")


def test_check_lists_what_it_finds(cli, scans, findings):
    arguments = ("check", "-m", "tiny", *inputs(scans))
    assert cli(*arguments).output == "Nothing looks wrong.\n"
    findings.append(Finding(("T1",), "amber", "T1 looks like T2."))
    assert cli(*arguments).output == "amber  T1 looks like T2.\n"
    assert cli(*arguments).code == 0
    assert cli(*arguments, "--strict").code == 2

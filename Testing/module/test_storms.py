"""A few sequences of clicks at random; `run.py stress storms` makes hundreds."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("hypothesis")
if sys.platform == "win32":
    pytest.skip("the made-up engine needs a POSIX shell", allow_module_level=True)

from stress import storms  # noqa: E402


def test_clicks_at_random_lose_nothing_and_leave_nothing(host, tmp_path, monkeypatch):
    from FactorizerSegmentationLib.engine import process

    monkeypatch.setattr(process, "KILL_AFTER_MS", 300)
    monkeypatch.setattr(storms, "STEPS", 8)
    monkeypatch.setenv("FACTORIZER_MODELS", "")  # the machine sets it
    machine = storms.Storm.begin(host, tmp_path)
    host.select_module("FactorizerSegmentation")
    try:
        storms.run_storms(machine, 3, seed=7)
    finally:
        widget = machine().widget
        widget.logic.engine.stop()
        widget.segmentPanel.ui.pythonLineEdit.text = ""

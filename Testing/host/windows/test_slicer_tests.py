"""The tests that Slicer itself runs (ctest, Reload and Test) also pass in the host."""

from __future__ import annotations

import importlib.util
import sys
import unittest

import pytest
import slicer

from host.application import REPOSITORY

CTEST_FILE = REPOSITORY / "FactorizerSegmentation/Testing/Python/FactorizerSegmentationPanelTest.py"


def test_the_tests_for_ctest_pass(host, module, monkeypatch):
    from FactorizerSegmentationLib.panels import run_controls

    monkeypatch.setattr(run_controls, "DOUBLE_CLICK_S", 0.4)  # as in Slicer
    spec = importlib.util.spec_from_file_location(CTEST_FILE.stem, CTEST_FILE)
    code = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(code)

    suite = unittest.defaultTestLoader.loadTestsFromModule(code)
    result = unittest.TextTestRunner(verbosity=2).run(suite)

    assert result.testsRun > 3
    assert result.wasSuccessful(), result.failures + result.errors


def test_reload_and_test_passes(host, module):
    module.onReload()
    host.process_events()

    slicer.selfTests["FactorizerSegmentation"]()

    review = slicer.util.getModuleWidget(slicer.modules.factorizersegmentation).reviewPanel
    assert review.ui.lesionsTree.topLevelItemCount > 0, "it was not the button that was pressed"


def test_the_self_test_fails_when_the_panel_cannot_open(host, module, monkeypatch):
    def missing(path):
        raise AttributeError("No such widget.")

    with monkeypatch.context() as broken:
        broken.setattr(slicer.util, "loadUI", missing)
        with pytest.raises(AttributeError):  # a real Slicer just prints it
            module.onReload()

        with pytest.raises(RuntimeError, match="could not be opened"):
            slicer.selfTests["FactorizerSegmentation"]()
    slicer.util.getModuleWidget(slicer.modules.factorizersegmentation).onReload()


def test_the_self_test_fails_when_the_button_does_nothing(host, module, monkeypatch):
    code = sys.modules["FactorizerSegmentation"]
    monkeypatch.setattr(code.FactorizerSegmentationLogic, "prepareEngine", lambda *given: False)

    with pytest.raises(RuntimeError, match="did not start"):
        slicer.selfTests["FactorizerSegmentation"]()

"""The tests that Slicer itself runs (ctest, Reload and Test) also pass in the host."""

from __future__ import annotations

import importlib.util
import unittest

import slicer

from host.application import REPOSITORY

CTEST_FILE = REPOSITORY / "FactorizerSegmentation/Testing/Python/FactorizerSegmentationPanelTest.py"


def test_the_tests_for_ctest_pass(host, module):
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

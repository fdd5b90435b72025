"""What the panel says about scans that look wrong, before anything is run."""

from __future__ import annotations

import pytest

from module.panels.user import AFFINE, NAMES, SHAPE


@pytest.fixture
def checked(host, widget, panel, add_model, add_volume, fake_python):
    """Chooses a model that says what it expects, and volumes for it: `checked(T1="T1 amber")`."""

    def choose(**names: str):
        add_model("picky", expects={"modality": "MR", "anatomy": "brain"})
        panel.ui.pythonLineEdit.text = fake_python("answer")
        widget.logic.getParameterNode().inputs.modelName = "picky"
        widget.enter()
        for name in NAMES:
            node = add_volume(names.get(name, name), SHAPE, AFFINE)
            panel.inputs.channels.selector(name).setCurrentNode(node)
        host.process_events()
        assert host.wait_until(lambda: "✓" in label(panel, "FLAIR").text)
        return panel

    return choose


def label(panel, name: str):
    return panel.inputs.channels._labels[name]


def test_scans_that_look_right_are_marked_green_and_can_be_run(checked):
    panel = checked()
    assert all("✓" in label(panel, name).text for name in NAMES)
    assert not panel.inputs.ui.checkLabel.visible
    assert panel.ui.applyButton.enabled


def test_a_doubtful_scan_is_marked_and_can_be_run_nevertheless(checked):
    panel = checked(T1="T1 amber")
    assert "⚠" in label(panel, "T1").text
    assert "T1 is amber." in panel.inputs.channels.selector("T1").toolTip
    assert panel.inputs.ui.checkLabel.text == "T1 is amber."
    assert panel.ui.applyButton.enabled


def test_a_scan_that_cannot_be_used_disables_the_button_which_says_why(host, checked, add_volume):
    panel = checked(T2="T2 red", T1="T1 amber")
    assert "✕" in label(panel, "T2").text
    assert not panel.ui.applyButton.enabled
    assert "T2 is red." in panel.ui.applyButton.toolTip
    assert panel.inputs.ui.checkLabel.text == "T2 is red."

    panel.inputs.channels.selector("T2").setCurrentNode(add_volume("T2 good", SHAPE, AFFINE))
    assert panel.ui.applyButton.enabled
    assert host.wait_until(lambda: "✓" in label(panel, "T2").text)
    assert panel.inputs.ui.checkLabel.text == "T1 is amber."


def test_a_model_that_does_not_say_what_it_expects_is_not_checked(host, panel, volumes, widget):
    host.process_events()
    assert not widget.logic.engine.running
    assert label(panel, "T1").text == "T1:"

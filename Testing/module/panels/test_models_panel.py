"""Installing and removing models by clicks."""

from __future__ import annotations

import pytest
import slicer

from factorizer_engine.protocol.catalogue import published_models


@pytest.fixture
def qt(host):
    """Slicer's module of Qt's names, which the host makes."""
    import qt

    return qt


@pytest.fixture
def models(widget):
    """The panel, opened."""
    widget.workbench.sections[-1].button.collapsed = False
    widget.modelsPanel.ui.sha256LineEdit.text = ""
    return widget.modelsPanel


def install(host, widget, source: str, python: str) -> None:
    panel = widget.modelsPanel
    widget.segmentPanel.ui.pythonLineEdit.text = python
    panel.ui.sourceComboBox.setEditText(source)
    panel.ui.installButton.click()
    assert host.wait_until(lambda: not panel.controls.running)


def listed(panel) -> list[str]:
    table = panel.ui.installedTable
    return [table.item(row, 0).text() for row in range(table.rowCount)]


def select(panel, title: str) -> None:
    table = panel.ui.installedTable
    table.setCurrentItem(table.item(listed(panel).index(title), 0))


def test_a_model_is_installed_chosen_and_deleted(host, widget, models, fake_python, monkeypatch):
    python = fake_python("answer")
    install(host, widget, "https://models.example/Lesions.zip", python)

    assert "is installed" in models.ui.installStatusLabel.text
    assert "ab" * 32 in models.ui.installStatusLabel.text
    assert listed(models).count("Fake") == 1
    combo = widget.inputsPanel.ui.modelComboBox
    assert "Fake" in [combo.itemText(row) for row in range(combo.count)]
    assert widget.inputsPanel.model.name == "fake"  # what was chosen stays chosen

    asked = []
    monkeypatch.setattr(
        slicer.util, "confirmOkCancelDisplay", lambda text, title: asked.append(text) or True
    )
    select(models, "Fake")
    models.ui.removeButton.click()
    assert host.wait_until(lambda: not models.controls.running)
    assert "Lesions" in asked[0]
    assert "Fake" not in listed(models)
    assert "deleted" in models.ui.installStatusLabel.text


def test_nothing_is_deleted_if_the_user_thinks_better_of_it(widget, models, monkeypatch):
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, title: False)
    before = listed(models)
    select(models, "Model fake")
    models.ui.removeButton.click()
    assert not models.controls.running
    assert listed(models) == before


def test_models_of_the_extension_cannot_be_deleted(models):
    (shipped,) = [m for m in models._models if m.name == "glioma-fast"]
    select(models, shipped.title)
    assert not models.ui.removeButton.enabled


def test_a_published_model_is_described_before_it_is_downloaded(models):
    (published, *_) = published_models()
    models.ui.sourceComboBox.currentIndex = 0
    assert published.page in models.ui.publishedLabel.text
    assert published.licence in models.ui.publishedLabel.text
    assert models.ui.publishedLabel.visible
    assert not models.ui.sha256LineEdit.visible
    assert models.ui.installButton.enabled


def test_what_archives_of_published_models_need_is_asked_for(
    host, widget, models, fake_python, monkeypatch
):
    needed = []
    monkeypatch.setattr(
        widget.logic,
        "prepareEngine",
        lambda program, additional, here: needed.append((additional, here)),
    )
    models.ui.sourceComboBox.currentIndex = 0
    models.ui.installButton.click()
    assert needed == [(("py7zr>=0.22",), True)]
    assert not models.controls.running


def test_an_address_may_come_with_its_sum(models):
    models.ui.sourceComboBox.setEditText("https://models.example/m.zip")
    assert models.ui.sha256LineEdit.visible
    models.ui.sha256LineEdit.text = "12"
    models.ui.installButton.click()
    assert "64 hexadecimal digits" in models.ui.installStatusLabel.text
    assert not models.controls.running


def test_nothing_can_be_installed_without_saying_what(models):
    assert "address or file" in models.ui.sourceComboBox.lineEdit().placeholderText
    models.ui.sourceComboBox.setEditText("  ")
    assert not models.ui.installButton.enabled
    assert "Choose a model" in models.ui.installButton.toolTip


@pytest.mark.parametrize(
    ("button", "dialog"),
    [("fileButton", "getOpenFileName"), ("folderButton", "getExistingDirectory")],
)
def test_files_and_folders_are_chosen_in_a_dialog(qt, models, monkeypatch, button, dialog):
    monkeypatch.setattr(qt.QFileDialog, dialog, lambda *arguments: "/data/model")
    getattr(models.ui, button).click()
    assert models.ui.sourceComboBox.currentText == "/data/model"
    monkeypatch.setattr(qt.QFileDialog, dialog, lambda *arguments: "")
    getattr(models.ui, button).click()
    assert models.ui.sourceComboBox.currentText == "/data/model"


def test_an_installation_can_be_cancelled_and_blocks_runs_meanwhile(
    host, widget, models, fake_python
):
    widget.segmentPanel.ui.pythonLineEdit.text = fake_python("obey")
    models.ui.sourceComboBox.setEditText("/data/model.zip")
    models.ui.installButton.click()
    assert host.wait_until(lambda: models.ui.installProgressBar.value > 0)
    assert models.ui.installButton.text == "Cancel"
    assert not models.ui.sourceComboBox.enabled
    assert "Wait" in widget.inputsPanel.problem()

    models.ui.installButton.click()
    assert host.wait_until(lambda: not models.controls.running)
    assert "cancelled" in models.ui.installStatusLabel.text
    assert models.ui.sourceComboBox.currentText == "/data/model.zip"


def test_an_installation_goes_on_when_the_scene_is_closed(
    host, scene, widget, models, fake_python, tmp_path
):
    gate = tmp_path / "gate"
    widget.segmentPanel.ui.pythonLineEdit.text = fake_python("gate", gate)
    models.ui.sourceComboBox.setEditText("/data/model.zip")
    models.ui.installButton.click()
    assert host.wait_until(lambda: models.ui.installProgressBar.value > 0)
    scene.Clear(False)
    host.process_events(0.2)
    assert models.controls.running
    gate.touch()
    assert host.wait_until(lambda: not models.controls.running)
    assert "is installed" in models.ui.installStatusLabel.text


def test_a_refusal_is_one_sentence(host, widget, models, fake_python):
    install(host, widget, "/data/model.zip", fake_python("refuse"))
    assert models.ui.installStatusLabel.text == "FLAIR and T1 do not overlap."


def test_the_folder_is_made_and_opened(qt, models, widget, monkeypatch):
    opened = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", opened.append)
    models.ui.openFolderButton.click()
    assert widget.logic.modelFolder.is_dir()
    assert opened[0].toLocalFile() == str(widget.logic.modelFolder)

"""The browser of components, worked by clicks: pictures, ranking, colours, two at once, 3D."""

from __future__ import annotations

import codecs

import numpy as np
import pytest
import slicer

from module.geometry import apply
from module.panels.test_components_panel import (
    composites,
    heatmap,
    is_complete,
    sequences,
    shown,
    start,
)
from module.panels.user import AFFINE, SHAPE, run

ADDITIONAL = 3


@pytest.fixture
def browser(host, widget, panel, volumes, fake_python):
    """The panel after a result was explained by three components."""
    run(host, panel, fake_python("answer"))
    components = start(widget, "")
    assert host.wait_until(lambda: is_complete(components))
    open_section(host, widget)
    return components


def open_section(host, widget) -> None:
    (section,) = (s for s in widget.workbench.sections if s.button.text.startswith("Look inside"))
    if section.button.collapsed:
        section.button.click()
    host.process_events(0.2)


def picture(components, row: int) -> np.ndarray:
    """The thumbnail of a row, (height, width, 3)."""
    image = components.ui.componentsTable.item(row, 0).icon().pixmap(56, 56).toImage()
    colors = [[image.pixelColor(x, y) for x in range(image.width())] for y in range(image.height())]
    return np.array([[(c.red(), c.green(), c.blue()) for c in line] for line in colors])


def colored(pixels: np.ndarray) -> int:
    """How many pixels are not grey."""
    return int((np.ptp(pixels, axis=2) > 12).sum())


def jump(host, k: int) -> None:
    """Show the axial slice through a plane of voxels."""
    node = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    node.JumpSliceByCentering(*apply(AFFINE, (SHAPE[0] / 2, SHAPE[1] / 2, k)))
    host.process_events(0.3)


def texts(components, column: int) -> list[str]:
    table = components.ui.componentsTable
    return [table.item(row, column).text() for row in range(table.rowCount)]


def test_rows_say_what_a_component_means(browser):
    assert texts(browser, 0)[0] == "Component 1\nMeaning 1"
    assert texts(browser, 0)[1] == "Component 2\nUnstable\nMeaning 2"
    assert "by 0.90" in browser.ui.componentsTable.item(0, 0).toolTip()
    assert "WT -0.75" in browser.ui.componentsTable.item(0, 1).toolTip()


def test_pictures_follow_the_slice(host, browser):
    jump(host, 1)
    assert host.wait_until(lambda: colored(picture(browser, 0)) > 20, 10)
    jump(host, 5)
    assert host.wait_until(lambda: colored(picture(browser, 0)) == 0, 10)

    assert picture(browser, 0).shape == (56, 56, 3)


def test_only_rows_that_are_seen_are_drawn(host, browser):
    drawn = []
    list_, pictureOf = browser.list, browser.list._pictureOf
    list_._pictureOf = lambda key: drawn.append(key) or pictureOf(key)
    table = browser.ui.componentsTable
    least = table.minimumHeight
    table.setFixedHeight(table.horizontalHeader().height + 40)
    host.process_events(0.3)
    list_.drawPictures()
    drawn.clear()
    list_.outdate()
    list_.drawPictures()
    seen = list(drawn)
    table.maximumHeight, table.minimumHeight = 16777215, least
    keys = [step.key for step in browser.steps]
    everything = host.wait_until(lambda: drawn == keys, 10)
    list_._pictureOf = pictureOf

    assert seen == keys[:1]
    assert everything


def test_choosing_a_region_ranks_the_components_for_it(host, browser):
    combo = browser.ui.regionComboBox
    combo.currentIndex = combo.findData("WT")
    host.process_events()

    assert browser.ui.componentsTable.horizontalHeaderItem(1).text() == "WT"
    assert [text.partition("\n")[0] for text in texts(browser, 0)] == [
        "Component 3",
        "Component 2",
        "Component 1",
    ]
    assert texts(browser, 1) == ["+0.25", "-0.25", "-0.75"]


def test_what_is_stable_leads_the_ranking_for_a_region(host, browser):
    combo = browser.ui.regionComboBox
    combo.currentIndex = combo.findData("ET")
    host.process_events()

    assert texts(browser, 1) == ["+2.00", "+0.67", "+1.00"]
    assert "Unstable" in texts(browser, 0)[2]


def test_bars_point_to_their_sign(host, browser):
    combo = browser.ui.regionComboBox
    combo.currentIndex = combo.findData("WT")
    host.process_events()

    def side(row: int) -> int:
        image = browser.ui.componentsTable.item(row, 1).icon().pixmap(56, 56).toImage()
        middle, y = image.width() // 2, image.height() // 2
        reach = [image.pixelColor(middle + step, y).alpha() for step in (-4, 4)]
        return (reach[1] > 0) - (reach[0] > 0)

    assert side(0) == 1 and side(2) == -1


def test_colours_can_be_chosen_for_each_map(host, widget, browser):
    browser.ui.colorsComboBox.currentIndex = 1
    host.process_events()
    evidence = heatmap(1).GetDisplayNode().GetColorNode().GetName()
    browser.ui.mapComboBox.currentIndex = 1
    host.process_events()
    browser.ui.colorsComboBox.currentIndex = 2
    host.process_events()
    own = widget.logic.getParameterNode().components

    assert evidence == own.evidenceColors == "Factorizer evidence green"
    activity = heatmap(1, "activity").GetDisplayNode().GetColorNode().GetName()
    assert activity == own.activityColors == "Factorizer grey"


def test_voxels_can_be_seen_as_they_are(host, browser):
    assert heatmap(1).GetDisplayNode().GetInterpolate()
    assert heatmap(1).GetImageData().GetDimensions() == SHAPE
    bounds = bounds_of(heatmap(1))
    browser.ui.smoothCheckBox.click()
    host.process_events()

    assert not heatmap(1).GetDisplayNode().GetInterpolate()
    assert heatmap(1).GetImageData().GetDimensions() == tuple(-(-n // 2) for n in SHAPE)
    np.testing.assert_allclose(bounds_of(heatmap(1)), bounds, atol=2 * np.abs(AFFINE[:3, :3]).max())

    browser.ui.smoothCheckBox.click()
    host.process_events()
    assert heatmap(1).GetImageData().GetDimensions() == SHAPE


def test_the_voxels_of_deleted_explanations_do_not_stay(host, widget, browser):
    (explanation,) = sequences()
    assert len(sequences(own=True)) == 1
    slicer.mrmlScene.RemoveNode(explanation)
    start(widget, "")
    assert host.wait_until(lambda: is_complete(browser))

    assert len(sequences()) == len(sequences(own=True)) == 1


def bounds_of(node) -> list[float]:
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    return bounds


def test_two_components_are_shown_in_two_colours_and_put_away_together(host, browser):
    combo = browser.ui.togetherComboBox
    combo.currentIndex = combo.findText("Component 3")
    host.process_events()

    assert shown() == heatmap(1).GetName()
    assert {c.GetNthLayerVolumeID(ADDITIONAL) for c in composites()} == {heatmap(3).GetID()}
    names = [heatmap(n).GetDisplayNode().GetColorNode().GetName() for n in (1, 3)]
    assert names == ["Factorizer orange shades", "Factorizer blue shades"]
    assert "Component 3" in browser.ui.secondLabel.text
    assert "Logits per mL for ET" in browser.ui.secondLabel.text

    browser.ui.hideHeatmapButton.click()
    host.process_events()
    assert {c.GetNthLayerVolumeID(ADDITIONAL) for c in composites()} == {None}
    assert not browser.ui.secondLabel.visible and combo.currentIndex == 0


def test_each_lesion_keeps_its_components(host, widget, browser):
    lesions, label = browser.ui.lesionComboBox, browser.ui.explanationLabel
    lesions.currentIndex = 2
    host.process_events()
    assert "all lesions" in label.text and label.visible

    start(widget, "")
    assert host.wait_until(lambda: not browser.controls.running)
    ofLesion = [step.key for step in browser.steps]
    assert label.text.startswith("Explained near")
    browser.list.select(ofLesion[1])

    lesions.currentIndex = 0
    host.process_events()
    assert browser.list.current == browser.steps[1].key == browser.overlay.step.key
    assert not {step.key for step in browser.steps} & set(ofLesion)
    assert not label.visible

    tree = widget.reviewPanel.ui.lesionsTree
    tree.setCurrentItem(tree.topLevelItem(1))
    host.process_events()
    assert [step.key for step in browser.steps] == ofLesion


def test_a_model_without_components_offers_its_probability_map(host, widget, volumes, fake_python):
    run(host, widget.segmentPanel, fake_python("plain"))
    components = start(widget, "")
    assert host.wait_until(lambda: not components.controls.running)
    assert "no components" in components.ui.explainStatusLabel.text
    assert components.ui.probabilityButton.visible

    components.ui.probabilityButton.click()
    host.process_events()
    (shown,) = {c.GetForegroundVolumeID() for c in composites()}
    assert "TC" in slicer.mrmlScene.GetNodeByID(shown).GetName()
    components.ui.hideHeatmapButton.click()
    assert {c.GetForegroundVolumeID() for c in composites()} == {None}


def test_a_scene_without_the_files_of_the_components_opens(host, widget, browser, tmp_path):
    assert slicer.util.saveScene(str(tmp_path / "scene"))
    found = [path for path in (tmp_path / "scene").rglob("*omponent*") if path.is_file()]
    lost = [path for path in found if path.suffix == ".nrrd"]
    assert sorted(path.name for path in lost) == [
        "Component 1 (evidence).nrrd",
        "FLAIR components (own voxels).seq.nrrd",
        "FLAIR components.seq.nrrd",
    ]
    for path in lost:
        path.unlink()
    slicer.mrmlScene.Clear(False)
    host.process_events()
    (file,) = (tmp_path / "scene").glob("*.mrml")
    with pytest.raises(RuntimeError):  # Slicer tells that files are lost
        slicer.util.loadScene(str(file))
    host.process_events(0.2)

    assert not browser.ui.heatmapsBox.visible
    assert not widget.logic.heatmaps()
    assert {c.GetForegroundVolumeID() for c in composites()} == {None}
    assert widget.reviewPanel.ui.lesionsTree.topLevelItemCount == 2


@pytest.fixture
def folder(host, monkeypatch, tmp_path):
    """The folder that is chosen in the next dialogs."""
    import qt

    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *arguments: str(tmp_path))
    return tmp_path


def test_maps_and_contributions_are_written_as_files(host, browser, folder, volumes):
    nib = pytest.importorskip("nibabel")
    browser.ui.exportHeatmapsButton.click()
    assert not browser.ui.exportHeatmapsButton.enabled
    assert host.wait_until(lambda: not browser.export.running)

    assert browser.ui.explainStatusLabel.text == f"7 files are in {folder.name}."
    assert sorted(path.name for path in folder.glob("*.nii.gz")) == sorted(
        f"Component {number} ({kind}).nii.gz"
        for number in (1, 2, 3)
        for kind in ("activity", "evidence")
    )
    image = nib.load(folder / "Component 2 (activity).nii.gz")
    assert image.shape == volumes["FLAIR"].GetImageData().GetDimensions()
    assert np.asanyarray(image.dataobj).max() == pytest.approx(2, abs=0.01)
    table = (folder / "components.csv").read_bytes()
    assert table.startswith(codecs.BOM_UTF8)  # for spreadsheets
    lines = table.decode("utf-8-sig").splitlines()
    traits = "evidence for,level,stability,left without it,meaning"
    assert lines[0] == f"component,network,block,head,rank,ET,WT,{traits}"
    assert lines[1] == "Component 1,0,decoder.3.0,0,0,2.0,-0.75,ET,0.0,0.9,,Meaning 1"
    assert shown() == "Component 1 (evidence)"  # nothing else has changed
    assert [node.GetName() for node in slicer.util.getNodes("Component*)").values()] == [shown()]


def test_maps_of_another_result_are_not_replaced_unasked(browser, folder, monkeypatch):
    asked = []
    monkeypatch.setattr(
        slicer.util, "confirmOkCancelDisplay", lambda text, *arguments: asked.append(text)
    )
    (folder / "components.csv").write_text("another", encoding="utf-8")
    browser.ui.exportHeatmapsButton.click()
    assert not browser.export.running and len(asked) == 1
    assert (folder / "components.csv").read_text(encoding="utf-8") == "another"


def test_a_folder_that_cannot_be_written_is_told(host, browser, folder):
    (folder / "components.csv").mkdir()
    browser.ui.exportHeatmapsButton.click()
    host.process_events()

    assert "could not be written" in browser.ui.explainStatusLabel.text
    assert "another folder" in browser.ui.explainStatusLabel.text
    assert browser.ui.exportHeatmapsButton.enabled


def test_rows_stay_low_however_much_is_said(host, widget, browser):
    from FactorizerSegmentationLib.panels.component_list import LINES, Row

    table = browser.ui.componentsTable
    tall = Row("key", "\n".join(["A long meaning"] * 4 * LINES), 1.0, "All of it")
    browser.list.fill([tall], "ET")
    host.process_events()
    high = table.rowHeight(0)
    browser.list.fill([Row("key", "\n".join(["A"] * LINES), 1.0, "")], "ET")
    host.process_events()

    assert table.rowHeight(0) <= high <= table.rowHeight(0) + 12
    widget.enter()

"""The list of lesions follows what is changed in the segments, by hand or by the panel."""

from __future__ import annotations

import pytest
import slicer

from FactorizerSegmentationLib.scene.tables import REJECTED, UNDECIDED, lesionsOf, verdictsOf
from module.panels.user import segmentations

ENHANCING, CORE = "Label_4", "Label_1"
"""The fake engine's lesions: enhancing is [4:6, 2:4, 1:3] and core [0:3, 2:4, 1:3], (i, j, k)."""

VOXEL_MM3 = 6
PENCIL = "\u270e"


@pytest.fixture
def result(scene, review):
    (node,) = segmentations(scene)
    return node


@pytest.fixture
def measured(host, widget, review):
    """Waits until the changes so far have been measured; gives the volumes in voxels by number."""

    def wait() -> dict[int, int]:
        assert host.wait_until(lambda: review.ui.lesionsBox.title == "Lesions (being measured)", 10)
        assert host.wait_until(lambda: review.ui.lesionsBox.title == "Lesions", 20)
        lesions = lesionsOf(widget.logic.getParameterNode().segment.lesionTable)
        return {lesion.id: round(1000 * lesion.volume_ml / VOXEL_MM3) for lesion in lesions}

    return wait


def paint(node, segment: str, where: tuple, value: int = 1) -> None:
    """As a brush of the Segment Editor does."""
    scan = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, scan)
    mask[where[::-1]] = value
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, scan)


def titles(review) -> list[str]:
    tree = review.ui.lesionsTree
    return [tree.topLevelItem(row).text(0) for row in range(tree.topLevelItemCount)]


def test_what_is_painted_is_measured_and_marked(host, review, result, measured):
    paint(result, CORE, (slice(0, 3), slice(2, 4), slice(3, 5)))

    assert measured() == {2: 24, 1: 8}
    assert [PENCIL in title for title in titles(review)] == [True, False]
    review.ui.lesionsTree.setCurrentItem(review.ui.lesionsTree.topLevelItem(0))
    assert "0.072 mL edited by hand" in review.ui.lesionLabel.text


def test_a_lesion_that_was_painted_gets_a_number_of_its_own(review, result, measured):
    paint(result, CORE, (7, 0, 5))

    assert measured() == {2: 12, 1: 8, 3: 1}
    assert [PENCIL in title for title in titles(review)] == [False, False, True]


def test_a_lesion_of_one_voxel_is_not_told_as_nothing(widget, review, result, measured):
    paint(result, CORE, (7, 0, 5))
    measured()
    review.lesions.select(3)

    item = review.ui.lesionsTree.topLevelItem(2)
    assert item.text(1) == "0.0060"
    assert review.ui.lesionLabel.text.startswith("Lesion 3: 0.0060 mL, ")
    assert "0.0060 mL edited by hand" in review.ui.lesionLabel.text


def test_a_class_that_is_deleted_is_no_longer_listed(review, result, measured):
    result.GetSegmentation().RemoveSegment(CORE)

    assert measured() == {1: 8}
    assert len(titles(review)) == 1


def test_a_class_with_a_label_map_to_itself_that_is_deleted_is_no_longer_listed(
    host, widget, review, result, measured
):
    """As one has that was painted on over another."""
    paint(result, ENHANCING, (slice(0, 1), slice(2, 4), slice(1, 3)))
    measured()
    assert result.GetSegmentation().GetNumberOfLayers() == 2
    result.GetSegmentation().RemoveSegment(CORE)  # not the one that was changed last

    measured()
    names = {part.name for lesion in widget.reviewPanel.lesions._lesions for part in lesion.parts}
    assert names == {"Enhancing"}


def test_what_was_erased_and_put_back_is_no_edit(review, result, measured):
    paint(result, CORE, (0, 2, 1), 0)
    assert measured() == {2: 11, 1: 8}
    assert any(PENCIL in title for title in titles(review))

    paint(result, CORE, (0, 2, 1), 1)
    assert measured() == {2: 12, 1: 8}
    assert not any(PENCIL in title for title in titles(review))


def test_a_slider_is_measured_and_is_no_edit(widget, review, result, measured):
    widget.adjustPanel.ui.adjustRegionComboBox.currentIndex = 1
    widget.adjustPanel.ui.thresholdSlider.value = 20

    assert measured()[2] > 12
    assert not any(PENCIL in title for title in titles(review))


def test_a_rejected_lesion_stays_in_the_list_and_comes_back(review, result, measured):
    review.ui.lesionsTree.setCurrentItem(review.ui.lesionsTree.topLevelItem(0))
    review.ui.rejectButton.click()
    assert set(measured()) == {1, 2}
    rejected = next(
        review.ui.lesionsTree.topLevelItem(row)
        for row, title in enumerate(titles(review))
        if title.startswith("1")
    )
    assert rejected.font(0).strikeOut()

    review.ui.undoButton.click()
    assert measured() == {1: 8, 2: 12}
    assert not any(PENCIL in title for title in titles(review))


def test_what_is_drawn_where_a_lesion_was_rejected_is_another_one(widget, review, result, measured):
    review.lesions.select(1)
    review.ui.rejectButton.click()
    before = measured()
    paint(result, ENHANCING, (4, slice(2, 4), slice(1, 3)))
    assert measured() == {**before, 3: 4}
    paint(result, ENHANCING, (5, slice(2, 4), slice(1, 3)))
    assert measured() == {**before, 3: 8}

    verdicts = verdictsOf(widget.logic.getParameterNode().segment.lesionTable)
    assert verdicts == {1: REJECTED, 2: UNDECIDED, 3: UNDECIDED}


def test_edits_of_a_rejected_lesion_are_known_when_it_is_back(review, result, measured):
    paint(result, ENHANCING, (6, 2, 1))
    measured()
    review.ui.lesionsTree.setCurrentItem(review.ui.lesionsTree.topLevelItem(1))
    assert review.lesions.current.id == 1
    review.ui.rejectButton.click()
    measured()
    review.ui.undoButton.click()

    assert measured() == {2: 12, 1: 9}
    assert [PENCIL in title for title in titles(review)] == [False, True]


def test_a_verdict_and_the_chosen_lesion_stay(review, result, measured):
    review.ui.lesionsTree.setCurrentItem(review.ui.lesionsTree.topLevelItem(1))
    number = review.lesions.current.id
    review.ui.acceptButton.click()
    paint(result, CORE, (slice(0, 3), slice(2, 4), slice(3, 5)))
    measured()

    assert review.lesions.current.id == number == 2
    assert titles(review)[0].startswith("\u2713 2")


def test_edits_are_known_in_a_scene_that_is_opened_again(
    host, scene, widget, review, result, measured, tmp_path
):
    paint(result, CORE, (7, 0, 5))
    measured()
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    scene.Clear(False)
    host.process_events()
    slicer.util.loadScene(str(path))
    host.process_events()
    (node,) = segmentations(scene)
    assert any(PENCIL in title for title in titles(review))

    paint(node, ENHANCING, (4, 2, 1), 0)
    assert measured() == {2: 12, 1: 7, 3: 1}
    assert [PENCIL in title for title in titles(review)] == [False, True, True]


def test_a_crash_while_measuring_loses_nothing(host, widget, panel, review, result, fake_python):
    panel.ui.pythonLineEdit.text = fake_python("incomplete")
    before = titles(review)
    paint(result, CORE, (7, 0, 5))
    assert host.wait_until(lambda: "safetensors" in panel.ui.logTextEdit.toPlainText(), 20)

    assert host.wait_until(lambda: review.ui.lesionsBox.title == "Lesions", 10)
    assert titles(review) == before


def test_a_scene_that_is_closed_while_lesions_are_measured_is_no_error(host, scene, review, result):
    paint(result, CORE, (7, 0, 5))
    assert host.wait_until(lambda: review.ui.lesionsBox.title == "Lesions (being measured)", 10)
    scene.Clear(False)
    host.process_events(0.5)

    assert review.ui.noLesionsLabel.visible


def test_a_list_that_is_deleted_is_made_anew_and_steps_stay(host, scene, review, result, measured):
    review.lesions.select(1)
    review.ui.rejectButton.click()
    measured()

    scene.RemoveNode(slicer.util.getNode("FLAIR lesions"))
    host.process_events()

    assert review.ui.lesionsBox.visible and list(measured().values()) == [12]
    assert "lesion 1 rejected" in review.ui.undoButton.toolTip
    review.ui.undoButton.click()
    assert sorted(measured().values()) == [8, 12]
    review.ui.redoButton.click()
    assert list(measured().values()) == [12]

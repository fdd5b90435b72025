"""The panel in a narrow dock: what does not fit is scrolled, never squeezed."""

from __future__ import annotations

import pytest
import slicer

from factorizer_engine.protocol.errors import BadInputError
from module.panels.user import run

WIDTHS = (380, 400, 500)
FONT_SIZES = (9, 14)


@pytest.fixture(params=WIDTHS)
def narrow(host, request):
    """A dock of few pixels."""
    dock = slicer.util.findChild(slicer.util.mainWindow(), "ModulePanel")
    before = dock.minimumWidth
    dock.setFixedWidth(request.param)
    host.process_events()
    yield
    dock.maximumWidth = 16777215
    dock.minimumWidth = before
    host.process_events()


@pytest.fixture(params=FONT_SIZES)
def font_size(host, request):
    """The size that the user has chosen for the whole application, in points."""
    before = host.app.font()
    font = host.app.font()
    font.setPointSize(request.param)
    host.app.setFont(font)
    host.process_events()
    yield request.param
    host.app.setFont(before)
    host.process_events()


def managed(layout) -> list:
    """The widgets in a layout, and in the layouts in it, that are seen."""
    found = []
    for item in map(layout.itemAt, range(layout.count())):
        if item.layout() is not None:
            found += managed(item.layout())
        elif item.widget() is not None and item.widget().visible:
            found.append(item.widget())
            inner = item.widget().layout()
            found += managed(inner) if inner is not None else []
    return found


def squeezed(widget) -> list[str]:
    """What has less height than it needs, and how much."""
    wrong = []
    for part in managed(widget.layout):
        hint = part.minimumSizeHint
        least = hint() if callable(hint) else hint  # the host overrides a method
        needed = least.height()
        if part.className() == "QLabel" and part.wordWrap:
            needed = max(needed, part.heightForWidth(part.width))
        if part.height < needed or part.width < least.width():
            size = f"{part.width} x {part.height} of {least.width()} x {needed}"
            wrong.append(f"{part.className()} {part.objectName}: {size}")
    return wrong


def squeezed_at_last(host, widget) -> list[str]:
    """The same when the window has had the time to lay itself out."""
    host.wait_until(lambda: not squeezed(widget), 20)
    return squeezed(widget)


def explain(host, widget) -> None:
    components = widget.componentsPanel
    components.ui.explainButton.click()
    assert host.wait_until(lambda: not components.controls.running)


def test_nothing_is_squeezed_when_results_make_the_panel_longer(
    host, widget, panel, volumes, narrow, font_size, fake_python
):  # fmt: skip
    assert squeezed_at_last(host, widget) == []

    run(host, panel, fake_python("answer"))
    host.process_events()
    assert squeezed_at_last(host, widget) == []

    explain(host, widget)
    host.process_events()
    assert squeezed_at_last(host, widget) == []


def test_nothing_is_squeezed_when_everything_is_open(
    host, widget, panel, volumes, narrow, font_size, fake_python
):  # fmt: skip
    run(host, panel, fake_python("refuse"))
    for button in (
        panel.inputs.ui.boxCheckBox,
        panel.ui.advancedButton,
        panel.ui.logButton,
        panel.inputs.ui.aboutModelButton,
        *(section.button for section in widget.workbench.sections[-3:]),
    ):
        button.click()
        host.process_events()
        assert squeezed_at_last(host, widget) == []


def test_nothing_is_squeezed_with_all_sections_open_and_results_in_them(
    host, widget, panel, volumes, narrow, font_size, fake_python
):  # fmt: skip
    folded = [section.button for section in widget.workbench.sections]
    folded += [panel.ui.advancedButton, panel.ui.logButton, widget.editPanel.ui.editByHandButton]
    folded = [button for button in folded if button.collapsed]
    panel.inputs.ui.prepareCheckBox.checked = True
    run(host, panel, fake_python("answer"))
    run(host, panel, fake_python("answer"))  # the first is now an earlier study
    for button in folded:
        button.collapsed = False
    explain(host, widget)
    review = widget.reviewPanel.ui.lesionsTree
    review.setCurrentItem(review.topLevelItem(0))
    widget.reportPanel.exportControls.failed(BadInputError("Not in any of these folders. " * 4))
    for controls in (panel.controls, widget.componentsPanel.controls, widget.reportPanel.controls):
        controls.ended("A sentence that is long enough to be wrapped in a narrow panel. " * 2)
    widget.proposalPanel.ui.addLesionButton.click()

    assert squeezed_at_last(host, widget) == []
    widget.proposalPanel.ui.addLesionButton.click()
    for button in folded:
        button.collapsed = True


def test_first_columns_of_lists_leave_room_for_words(
    host, widget, panel, volumes, narrow, font_size, fake_python
):
    """Where a lesion lies, and what became of it; the numbers beside it are scrolled to."""
    from FactorizerSegmentationLib.panels.tables import fillTable

    folded = widget.workbench.sections[-3].button
    folded.collapsed = False
    run(host, panel, fake_python("answer"))
    lesions, changes = widget.reviewPanel.ui.lesionsTree, widget.followUpPanel.ui.changesTable
    widget.followUpPanel.ui.changesBox.visible = True
    titles = ("Lesion", "before", "after", "mL", "%")
    fillTable(changes, titles, [("grown, left, frontal", *["+123.45"] * 4)], [0])
    host.process_events()

    for view, header in ((lesions, lesions.header()), (changes, changes.horizontalHeader())):
        assert header.sectionSize(0) >= 10 * font_size
        assert view.viewport().width <= header.length()
    folded.collapsed = True


def test_all_texts_grow_with_the_font(host, widget, font_size):
    labels = slicer.util.findChildren(widget.parent, className="QLabel")

    assert labels
    assert {label.font.pointSize() for label in labels} == {font_size}


@pytest.mark.parametrize("window, text", [("#efefef", "#000000"), ("#353535", "#ffffff")])
def test_texts_that_stand_back_or_warn_have_contrast_in_every_style(host, panel, window, text):
    import qt

    palette = qt.QPalette(host.app.palette())
    before = qt.QPalette(palette)
    for role, color in ((qt.QPalette.Window, window), (qt.QPalette.WindowText, text)):
        palette.setColor(qt.QPalette.All, role, qt.QColor(color))
    host.app.setPalette(palette)
    host.process_events()
    panel.controls.failed(BadInputError("Wrong."))
    subdued, warning = panel.inputs.ui.modelDescriptionLabel, panel.ui.statusLabel
    colors = [
        label.palette.color(qt.QPalette.Active, qt.QPalette.WindowText)
        for label in (subdued, warning)
    ]
    host.app.setPalette(before)
    panel.controls.setStatus("")

    assert all(contrast(color, qt.QColor(window)) > 4.5 for color in colors)
    assert len({color.name() for color in (*colors, qt.QColor(text))}) == 3


def contrast(first, second) -> float:
    """By the rules of the WCAG 2.1, 1 to 21."""
    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color) -> float:
    channels = [part / 255 for part in (color.red(), color.green(), color.blue())]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_folded_section_takes_no_more_than_its_title(host, widget, narrow):
    first, second, *_ = (section.button for section in widget.workbench.sections)
    height = first.height

    first.click()
    host.process_events()
    assert host.wait_until(lambda: first.height < 40)
    assert second.y < height
    assert squeezed_at_last(host, widget) == []

    first.click()
    host.process_events()
    assert host.wait_until(lambda: first.height == height)
    assert squeezed_at_last(host, widget) == []

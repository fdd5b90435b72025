"""`python -m benchmarks.interaction_in_host TASK`: one round in a window; see `interaction.py`.

Prints the seconds of each interaction as JSON. A process has one host, so every round is a process.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial

import slicer

from benchmarks.interaction import (
    AGAIN,
    BOXED,
    CHECKING,
    CLICKING,
    EXPLAINING,
    FIRST,
    HERE,
    OPACITY,
    OPENING,
    PAUSE,
    PAUSE_EXPLAINING,
    QUICK,
    SHOWN_PART,
    SWITCHING,
    THUMBNAILS,
)
from host.application import MODULE_FILE, HostApplication, scripted_module
from host.pauses import Pauses

MODULE = "FactorizerSegmentation"
RUN_SECONDS = 900
OFFSETS_MM = (0.0, 2.0, -2.0, 4.0, -4.0)
DRAWING_SECONDS = 0.5
POSITIONS = (70, 60, 50, 40, 30)
"""Of a slider, in percent; the first is the warm-up."""


def measure_round(task: dict) -> dict[str, list[float]]:
    """Every interaction of one session with the module, in the order in which users do them."""
    host = HostApplication(modules=())
    try:
        times = {OPENING: [_timed(host, lambda: _open_module(host))]}
        widget = slicer.util.getModuleWidget(getattr(slicer.modules, MODULE.lower()))
        _prepare(host, widget, task)
        segment, explain = (
            widget.segmentPanel.ui.applyButton,
            widget.componentsPanel.ui.explainButton,
        )
        for name in (FIRST, AGAIN):
            times[name], times[PAUSE] = _timed_run(host, lambda: _run(host, widget, segment))
        times[CHECKING] = _check_times(host, widget)
        times[CLICKING] = _click_times(host, widget)
        times[EXPLAINING], times[PAUSE_EXPLAINING] = _timed_run(
            host, lambda: _run(host, widget, explain)
        )
        times.update(_overlay_times(host, widget))
        times.update(_browsing_times(host, widget))
        widget.componentsPanel.ui.hideHeatmapButton.click()
        ui = widget.inputsPanel.ui
        ui.boxCheckBox.checked = True
        for name in (BOXED, QUICK):
            ui.quickCheckBox.checked = name == QUICK
            host.process_events(0.2)
            times[name] = [_timed(host, lambda: _run(host, widget, segment))]
    finally:
        host.close()
    return times


def _timed(host: HostApplication, interact: Callable[[], object]) -> float:
    """Seconds of an interaction until all views that it changes, and all widgets, are drawn."""
    host.process_events(0.1)
    start = time.perf_counter()
    interact()
    host.draw_pending()
    return time.perf_counter() - start


def _timed_run(host: HostApplication, run: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Seconds of a run until all is drawn, and of the window's longest pause.

    The views draw themselves when the window comes to it, each in its own turn, which the pauses
    see; how long that takes is measured apart, by drawing all of them once more.
    """
    host.process_events(0.1)
    pauses = Pauses()
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    host.process_events(DRAWING_SECONDS)
    longest = pauses.longest()
    return [seconds + _timed(host, slicer.util.forceRenderAllViews)], [longest]


def _open_module(host: HostApplication) -> None:
    host.window.moduleSelector()._add(scripted_module.load_module(MODULE_FILE))
    slicer.util.selectModule(MODULE)


def _prepare(host: HostApplication, widget, task: dict) -> None:
    """Load the scans and choose the model and the device."""
    for name, path in task["scans"].items():
        slicer.util.loadVolume(path, {"name": name})
    ui = widget.inputsPanel.ui
    ui.modelComboBox.currentIndex = ui.modelComboBox.findText(task["title"])
    widget.logic.getParameterNode().inputs.device = task["device"]
    widget.enter()
    host.process_events(0.2)
    button = widget.segmentPanel.ui.applyButton
    if not button.enabled:
        raise RuntimeError(f"The case cannot be run: {button.toolTip}")


def _run(host: HostApplication, widget, button) -> None:
    button.click()
    panels = widget.segmentPanel, widget.componentsPanel
    if not host.wait_until(lambda: not any(it.controls.running for it in panels), RUN_SECONDS):
        raise RuntimeError("The run did not end in time.")
    for controls in (it.controls for it in panels):
        if controls.failedLast:
            raise RuntimeError(controls.status)


def _check_times(host: HostApplication, widget) -> list[float]:
    """From the exchange of the first two scans, and its undoing, to the marks of all rows."""
    from factorizer_engine.protocol.models import Expectations

    inputs = widget.inputsPanel
    if inputs.model.expects == Expectations():  # its scans are not checked
        return []
    volumes = inputs.channels.volumes()
    first, second = list(volumes)[:2]
    exchanged = volumes | {first: volumes[second], second: volumes[first]}
    return [_timed(host, partial(_choose, host, inputs, chosen)) for chosen in (exchanged, volumes)]


def _choose(host: HostApplication, inputs, volumes: dict) -> None:
    for name, node in volumes.items():
        inputs.channels.selector(name).setCurrentNode(node)
    host.process_events(0.0)
    if not host.wait_until(lambda: inputs.checks.done, RUN_SECONDS):
        raise RuntimeError("The scans were not checked.")


def _click_times(host: HostApplication, widget) -> list[float]:
    """Clicks that take tissue out of the largest lesion, from the second on; each is undone."""
    from FactorizerSegmentationLib.scene.tables import lesionsOf

    panel, parameters = widget.clicksPanel, widget.logic.getParameterNode()
    lesions = lesionsOf(parameters.segment.lesionTable)
    if not lesions:
        return []
    right, anterior, superior = lesions[0].long_axis.middle
    regions = widget.inputsPanel.model.regions
    outermost = min(range(len(regions)), key=lambda index: regions[index].order)
    panel.ui.clickRegionComboBox.currentIndex = outermost
    panel.ui.clickRemoveButton.click()
    node = parameters.segment.removingClicks
    times = []
    for offset in OFFSETS_MM:
        place = [right + offset, anterior, superior]
        times.append(_timed(host, partial(_click, host, widget, node, place)))
        widget.reviewPanel.ui.undoButton.click()
        host.wait_until(lambda: not widget.logic.busy, RUN_SECONDS)
    panel.ui.clickRemoveButton.click()
    return times[1:]


def _click(host: HostApplication, widget, node, place: list[float]) -> None:
    """Place a point, as a click into a view does, and wait until it is answered."""
    said = widget.clicksPanel.ui.clicksStatusLabel
    said.text = ""
    node.AddControlPointWorld(place)
    answers = ("mL changed", "Nothing had to change")
    if not host.wait_until(lambda: any(text in said.text for text in answers), RUN_SECONDS):
        raise RuntimeError(f"The click was not answered: {said.text}")


def _overlay_times(host: HostApplication, widget) -> dict[str, list[float]]:
    """Sliders, then the rows of the table from the second on; nothing without heatmaps."""
    from FactorizerSegmentationLib.panels.tables import selectKey

    ui, heatmaps = widget.componentsPanel.ui, widget.logic.heatmaps()
    times: dict[str, list[float]] = {}
    if not heatmaps:
        return times
    for name, slider in ((OPACITY, ui.opacitySlider), (SHOWN_PART, ui.shownPartSlider)):
        samples = [_timed(host, partial(_set, slider, value)) for value in POSITIONS]
        times[name] = samples[1:]
    others = [step.key for step in heatmaps[1:]]
    switches = [_timed(host, partial(selectKey, ui.componentsTable, key)) for key in others]
    times[SWITCHING] = switches[1:]
    return times


def _browsing_times(host: HostApplication, widget) -> dict[str, list[float]]:
    """Pictures of the list, and what is told under the mouse, from the second time on."""
    components, here = widget.componentsPanel, widget.herePanel
    if not components.steps:
        return {}
    view = slicer.app.layoutManager().sliceWidget("Red")
    interactor = view.sliceView().interactorStyle().GetInteractor()
    width, height = interactor.GetSize()
    times: dict[str, list[float]] = {THUMBNAILS: [], HERE: []}
    for position in POSITIONS:
        host.process_events(0.1)
        components.list.outdate()
        start = time.perf_counter()
        components.list.drawPictures()
        times[THUMBNAILS].append(time.perf_counter() - start)
        place = (round(position / 100 * width), round(position / 100 * height))
        interactor.SetEventInformation(*place, 0, 0, "0", 0, None)
        start = time.perf_counter()
        interactor.InvokeEvent("MouseMoveEvent")
        here.widget.repaint()
        times[HERE].append(time.perf_counter() - start)
    return {name: seconds[1:] for name, seconds in times.items()}


def _set(slider, value: float) -> None:
    slider.value = value


if __name__ == "__main__":
    measured = measure_round(json.loads(sys.argv[1]))
    print(json.dumps(measured), flush=True)

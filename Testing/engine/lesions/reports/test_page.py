"""The page about a result."""

from __future__ import annotations

import base64
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from factorizer_engine.images.scan import Scan
from factorizer_engine.lesions.follow_up.response import time_point
from factorizer_engine.lesions.measuring import find_lesions
from factorizer_engine.lesions.reports.content import Explanation, Report
from factorizer_engine.lesions.reports.explanations import describe_component, explain_component
from factorizer_engine.lesions.reports.key_images import best_channel
from factorizer_engine.lesions.reports.page import render_report, write_report
from factorizer_engine.lesions.reports.pictures import outline_path, peaks_only
from factorizer_engine.protocol.components import Component, Term
from factorizer_engine.protocol.models import Label, Region
from factorizer_engine.protocol.wording import rounded

LABELS = (
    Label(2, "Oedema", (90, 180, 90)),
    Label(4, "Enhancing tumour", (240, 200, 60)),
    Label(5, "Haemorrhage", (10, 20, 30)),
)
REGIONS = (Region("ET", 4, "Enhancing tumour"), Region("TC", 1, "Tumour core"))
SHAPE = (40, 44, 24)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


@pytest.fixture
def report() -> Report:
    """A mass with a core and a speck, over FLAIR and over T1ce on a grid of its own."""
    labelmap = np.zeros(SHAPE, np.uint8)
    labelmap[10:30, 12:26, 8:14] = 2
    labelmap[14:22, 15:21, 9:12] = 4
    labelmap[35, 40, 20] = 2
    mask = Scan.of(labelmap, AFFINE, "labels")
    flair = np.random.default_rng(0).normal(100, 5, SHAPE) + 80 * (labelmap > 0)
    t1ce = np.kron(flair[::2, ::2, ::2], np.ones((2, 2, 1)))[:, :, :12]
    scans = {
        "FLAIR": Scan.of(flair.astype(np.float32), AFFINE, "AX FLAIR"),
        "T1ce": Scan.of(t1ce.astype(np.float32), np.diag([-1.0, -1.0, 4.0, 1.0]), "T1 Gd"),
    }
    return Report(
        title="Case <1>",
        made="glioma 1.0",
        labelmap=mask,
        labels=LABELS,
        lesions=find_lesions(mask, (), LABELS, None),
        scans=scans,
        words="Two lines\nof <my> words",
        warnings=["T1ce has thick slices."],
        edited=("Oedema",),
        facts={"How it was made": {"Model": "glioma 1.0", "Nothing": ""}, "Empty": {"A": ""}},
    )


def explained(report: Report) -> Report:
    values = np.random.default_rng(1).normal(0, 1, SHAPE).astype(np.float32)
    for_it = Component(
        Term(0, "decoder.3.0", 1, 0),
        "Decoder 4, component 2",
        {"ET": 1.0, "TC": -0.5},
        region="ET",
        evidence_window=(-3.0, 3.0),
        level=0.8,
    )
    against = replace(for_it, name="Decoder 4, component 3", region="TC", level=0.1)
    evidence = [report.labelmap.with_array(values)] * 2
    explanation = Explanation([for_it, against], evidence, REGIONS, "A note.")
    return replace(report, explanation=explanation)


def test_the_page_needs_no_other_file_and_tells_everything(report, tmp_path):
    path = tmp_path / "report.html"
    write_report(explained(report), path)
    page = path.read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert not re.search(r"<(?:script|link)\b", page)
    for text in (
        "Case &lt;1&gt;",
        "glioma 1.0",
        "Two lines\nof &lt;my&gt; words",
        "T1ce has thick slices.",
        "Changed since the model drew them: Oedema",
        "not a medical device",
        "Oedema over FLAIR",
        "Enhancing tumour over T1ce",
        "Decoder 4, component 2",
        "A note.",
        "2.7 times lower for enhancing tumour",
        "Axial, S ",
    ):
        assert text in page, text
    assert "Nothing" not in page and "<h2>Empty</h2>" not in page
    assert "Haemorrhage" in page and "not found" in page


def test_the_table_has_the_measures_and_tells_what_it_leaves_out(report):
    page = render_report(report)
    (large, speck) = report.lesions
    assert f"{rounded(large.volume_ml, 2)}</td>" in page
    for item in (large, *large.parts):
        axes = item.long_axis.length_mm, item.short_axis.length_mm
        assert f"{rounded(axes[0], 1)} × {rounded(axes[1], 1)}</td>" in page
    assert f"1 of less than 0.05 mL,\n  {rounded(speck.volume_ml, 2)} mL together" in page
    assert "Probability" not in page  # nobody computed any


def test_all_lesions_are_counted_where_the_volume_is_that_of_all(report):
    """As the tables beside it and the comparison of studies count them."""
    page = render_report(report)
    total = rounded(sum(lesion.volume_ml for lesion in report.lesions), 1)
    assert f'<div class="value">2 <span class="unit">with {total} mL' in page
    assert "1 of them of less than 0.05 mL" in page


def test_products_of_what_enhances_are_summed_up_as_for_follow_up(report):
    voxels = report.labelmap.array.copy()
    voxels[2:16, 30:44, 2:6] = 4  # of 14 mm, where the other is narrower than 10 mm
    labelmap = report.labelmap.with_array(voxels)
    lesions = find_lesions(labelmap, (), LABELS, None)
    page = render_report(replace(report, labelmap=labelmap, lesions=lesions))
    point = time_point("now", lesions, LABELS)
    assert point.measurable == 1
    assert f"sum of products of 1 measurable lesion: {point.enhancing_mm2:.0f} mm²" in page


def test_what_enhances_is_measured_in_its_pictures_whatever_it_is_called(report):
    coded = Label(4, "ET", (240, 200, 60), "~NCIt^C113842^Enhancing Lesion~")
    labels = (LABELS[0], coded, LABELS[2])
    lesions = find_lesions(report.labelmap, (), labels, None)
    page = render_report(replace(report, labels=labels, lesions=lesions))
    assert re.search(r"ET: [\d.]+ × [\d.]+ mm", page)


def test_segments_of_one_name_have_their_own_volumes(report):
    labels = tuple(replace(label, name="Lesion") for label in LABELS)
    lesions = find_lesions(report.labelmap, (), labels, None)
    page = render_report(replace(report, labels=labels, lesions=lesions))
    shown = re.findall(r'class="value">([0-9.]+) <span class="unit">mL', page)
    voxels = [np.count_nonzero(report.labelmap.array == label.value) for label in LABELS]
    assert shown == [rounded(count * 0.002, 1) for count in voxels]


def test_a_class_has_one_colour_everywhere(report):
    page = render_report(report)
    outlines = set(re.findall(r'class="outline" stroke="(#\w+)"', page))
    dots = set(re.findall(r'class="dot" style="background: (#\w+)', page))
    assert outlines == {"#5ab45a", "#f0c83c"}
    assert outlines <= dots
    boxes = re.findall(r'aria-label="Oedema over FLAIR.*?</svg>', page, re.DOTALL)
    assert boxes and all("#f0c83c" not in box for box in boxes)


def test_every_picture_has_letters_a_bar_and_its_place(report):
    page = render_report(explained(report))
    pictures = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    assert len(pictures) == 6 + 2 + 2
    for picture in pictures:
        words = re.findall(r">([^<>]+)</text>", picture)
        assert {"R", "L"} <= set(words) or {"A", "P"} <= set(words)
        assert "20 mm" in words
        assert any(re.fullmatch(r"(Axial|Coronal|Sagittal) [RLAPSI] [\d.]+ mm", w) for w in words)
        data = re.search(r'href="data:image/png;base64,([^"]+)"', picture)[1]
        assert base64.b64decode(data).startswith(b"\x89PNG")


def test_rulers_are_as_long_as_they_say(report):
    page = render_report(report)
    lesion = report.lesions[0]
    picture = next(
        svg
        for svg in re.findall(r"<svg .*?</svg>", page, re.DOTALL)
        if "Oedema over FLAIR" in svg and f">{lesion.long_axis.length_mm:.0f}</text>" in svg
    )
    lines = re.findall(r'x1="(\S+)" y1="(\S+)" x2="(\S+)" y2="(\S+)"', picture)
    lengths = {
        round(float(np.hypot(float(x2) - float(x1), float(y2) - float(y1))), 1)
        for x1, y1, x2, y2 in lines
    }
    for ruler in (lesion.long_axis, lesion.short_axis):
        assert min(abs(ruler.length_mm - length) for length in lengths) < 0.11
    assert 20.0 in lengths  # the scale bar


def test_the_scan_is_drawn_as_it_is(report, tmp_path):
    page = render_report(report)
    data = re.search(r'Oedema over FLAIR, Axial.*?base64,([^"]+)"', page, re.DOTALL)[1]
    path = tmp_path / "slice.png"
    path.write_bytes(base64.b64decode(data))
    pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[..., 0]
    assert pixels.shape == (SHAPE[1], SHAPE[0])
    inside = pixels[13:25, 11:29]  # LPS voxels stand as they are in axial slices
    assert inside.mean() > 1.5 * pixels[:10].mean()


def test_a_result_without_lesions_or_scans_is_a_page_too(report):
    empty = report.labelmap.with_array(np.zeros(SHAPE, np.uint8))
    page = render_report(replace(report, labelmap=empty, lesions=[]))
    assert "No lesion was found." in page
    assert "<svg" not in page
    page = render_report(replace(report, scans={}))
    assert "<svg" not in page and "Enhancing tumour" in page


def test_outlines_are_the_edges_of_pixels():
    mask = np.zeros((4, 5), bool)
    mask[1:3, 2] = True
    steps = re.findall(r"M(\S+) (\S+)([HV])([\d.]+)", outline_path(mask, (2.0, 3.0)))
    edges = {(float(x), float(y), kind, float(to)) for x, y, kind, to in steps}
    assert edges == {
        (4.0, 3.0, "H", 6.0),
        (4.0, 9.0, "H", 6.0),
        (4.0, 3.0, "V", 9.0),
        (6.0, 3.0, "V", 9.0),
    }
    assert outline_path(np.ones((2, 2), bool), (1.0, 1.0)).count("M") == 4
    assert outline_path(np.zeros((2, 2), bool), (1.0, 1.0)) == ""


def test_evidence_against_a_region_is_blue_and_a_level_is_called_one(report):
    page = render_report(explained(report))
    first, second = re.findall(r'<article class="card component">.*?</article>', page, re.DOTALL)
    assert ">3</text>" in first and ">-3</text>" in second
    assert "as a level over the whole head" in first and "as a level" not in second

    def colours(article: str) -> np.ndarray:
        data = re.search(r'base64,([^"]+)"', article)[1]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.png"
            path.write_bytes(base64.b64decode(data))
            return sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(int)

    warm, cold = colours(first), colours(second)
    tinted = [np.ptp(pixels, axis=-1) > 20 for pixels in (warm, cold)]
    assert (warm[tinted[0]][:, 0] > warm[tinted[0]][:, 2]).mean() > 0.8
    assert (cold[tinted[1]][:, 2] > cold[tinted[1]][:, 0]).all()
    assert "; picture: evidence for enhancing tumour</p>" in page


def test_only_the_peaks_inside_the_head_are_coloured():
    heatmap = np.arange(1000.0).reshape(10, 10, 10)
    head = heatmap < 900
    peaks = peaks_only(heatmap, head)
    assert np.count_nonzero(peaks) == pytest.approx(45, abs=1)
    assert peaks[head].max() == 899 and peaks[~head].max() == 0


@pytest.mark.parametrize(
    ("label", "channel"),
    [
        (Label(1, "Oedema", (0, 0, 0)), "t2f"),
        (Label(1, "Any", (0, 0, 0), "~~SCT^79654002^Edema~~~~"), "t2f"),
        (Label(1, "Enhancing tumour", (0, 0, 0)), "T1Gd"),
        (Label(1, "Necrosis", (0, 0, 0)), "T1Gd"),
        (Label(1, "Cavity", (0, 0, 0)), "T1"),
    ],
)
def test_a_class_is_shown_over_the_scan_on_which_it_is_seen(report, label, channel):
    scan = next(iter(report.scans.values()))
    assert best_channel(label, {"T1": scan, "t2f": scan, "T1Gd": scan}) == channel


@pytest.mark.parametrize(
    ("contributions", "sentence"),
    [
        ({"ET": 0.0}, "Without it the result would hardly change."),
        ({"ET": np.log(3), "TC": 0.01}, "would be 3.0 times lower for enhancing tumour."),
        ({"TC": -np.log(1.5)}, "would be 50\u00a0% higher for tumour core."),
    ],
)
def test_a_contribution_is_put_into_plain_words(contributions, sentence):
    regions = (Region("ET", 4, "Enhancing tumour"), Region("TC", 1, "Tumour core"))
    component = Component(Term(0, "decoder.3.0", 0, 0), "A", contributions)

    assert explain_component(component, regions).endswith(sentence)


def test_a_component_is_described_by_what_it_meant_elsewhere():
    term = Term(0, "b", 0, 0)
    assert describe_component(Component(term, "one")) == ""
    known = Component(term, "one", meaning="Bright on T1; speaks for oedema", stability=0.9)
    assert describe_component(known) == "Bright on T1; speaks for oedema."
    shaky = replace(known, stability=0.5)
    assert describe_component(shaky).endswith(
        "oedema. Its maps are not stable: with shifted windows they correlate by 0.50."
    )

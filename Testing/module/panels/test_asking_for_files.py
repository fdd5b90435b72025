"""Where a page goes, and what it may replace."""

from __future__ import annotations

import slicer


def test_a_page_gets_its_ending_and_replaces_nothing_unasked(widget, monkeypatch, tmp_path):
    import qt

    from FactorizerSegmentationLib.panels.report import askForPage

    proposed, asked = [], []

    def choose(parent, title, start, pattern) -> str:
        proposed.append(start)
        return str(tmp_path / "1.5 T")

    def confirm(text, *ignored) -> bool:
        asked.append(text)
        return len(asked) > 1

    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", choose)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", confirm)

    assert askForPage(widget.parent, "", "T1/FLAIR") == tmp_path / "1.5 T.html" and not asked
    assert proposed[0].endswith("T1_FLAIR.html")
    (tmp_path / "1.5 T.html").touch()
    assert askForPage(widget.parent, "", "T1") is None
    assert askForPage(widget.parent, "", "T1") == tmp_path / "1.5 T.html"
    assert asked == 2 * ["Already there: 1.5 T.html. Replace?"]
    (tmp_path / "1.5 T.html").rename(tmp_path / "1.5 T.csv")
    assert askForPage(widget.parent, "", "T1") == tmp_path / "1.5 T.html"
    assert asked[2:] == ["Already there: 1.5 T.csv. Replace?"]

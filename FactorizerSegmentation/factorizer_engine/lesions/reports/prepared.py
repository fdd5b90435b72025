"""How the scans of a report were prepared, as the quality sheet of the preparation shows it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

_PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")


@dataclass
class PreparedStep:
    """A row of the sheet's table.

    Attributes:
        doubtful: Whether it should be looked at.
        texts: The scan, the step, and what came of it.
    """

    doubtful: bool
    texts: list[str] = field(default_factory=list)


@dataclass
class PreparedInputs:
    """What a quality sheet holds.

    Attributes:
        pictures: Title, and the PNG as an address that holds it.
        steps: What was done.
    """

    pictures: list[tuple[str, str]] = field(default_factory=list)
    steps: list[PreparedStep] = field(default_factory=list)


def read_sheet(page: str) -> PreparedInputs:
    """The pictures and steps of a quality sheet.

    A sheet may come from a stranger's scene: nothing but PNG pictures and plain text is taken.
    """
    reader = _SheetReader()
    reader.feed(page)
    reader.close()
    return reader.found


class _SheetReader(HTMLParser):
    """Collects pictures and the first three cells of every row of the table."""

    def __init__(self) -> None:
        super().__init__()
        self.found = PreparedInputs()
        self._in_cell = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self._in_cell = tag == "td" and bool(self.found.steps)
        if tag == "img" and _PICTURE.fullmatch(values.get("src") or ""):
            self.found.pictures.append((values.get("alt") or "", values["src"] or ""))
        elif tag == "tr":
            self.found.steps.append(PreparedStep(values.get("class") == "look"))
        elif self._in_cell:
            self.found.steps[-1].texts.append("")

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.found.steps[-1].texts[-1] += data.strip()

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = False

    def close(self) -> None:
        """Forget the row of headings, and the figures behind each outcome."""
        super().close()
        self.found.steps = [step for step in self.found.steps if step.texts]
        for step in self.found.steps:
            del step.texts[3:]

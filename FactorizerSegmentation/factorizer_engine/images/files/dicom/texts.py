"""Names and descriptions in DICOM headers, in whatever alphabet."""

from __future__ import annotations

import re
import unicodedata

UNREADABLE = "…"
"""Stands where a file does not say how its letters are to be read."""

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")

_NO_LETTERS = re.compile(r"[\x80-\x9f\ufffd¡-¦¨-©¬-¯´¶¸-¹¼-¿×÷]")
"""What Latin-1 makes of bytes of other character sets, and no name of a sequence holds."""


def text_of(value: object) -> str:
    """A value for people to read: no control characters, one line.

    Files that declare no or a wrong character set have bytes that are no letters in it. Many of
    them are UTF-8, which is tried; what is no text in that either is left out.
    """
    text = _BEYOND_ASCII.sub(_readable, _as_utf8(str(value)))
    text = "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text)
    return " ".join(text.split())


def _as_utf8(text: str) -> str:
    """The text whose UTF-8 was taken for Latin-1, or the text itself if it was not."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _readable(letters: re.Match[str]) -> str:
    return UNREADABLE if _NO_LETTERS.search(letters.group()) else letters.group()

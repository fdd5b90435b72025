"""Names and descriptions in DICOM headers, in whatever alphabet."""

from __future__ import annotations

import re
import unicodedata

UNREADABLE = "…"
"""Stands where a file does not say how its letters are to be read."""

_ESCAPE = re.compile(r"\x1b[ -/]+[0-~]")
"""Announces another alphabet; pydicom leaves those of Chinese in the text."""
_MOST_LETTERS = 64
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")

_NO_LETTERS = re.compile(r"[\x80-\x9f\ufffd¡-¦¨-©¬-¯´¶¸-¹¼-¿×÷]")
"""What Latin-1 makes of bytes of other character sets, and no name of a sequence holds."""


def text_of(value: object) -> str:
    """A value for people to read: no control characters, one line.

    Files that declare no or a wrong character set have bytes that are no letters in it. Many of
    them are UTF-8, which is tried; what is no text in that either is left out.
    """
    text = _BEYOND_ASCII.sub(_readable, as_utf8(without_escapes(str(value))))
    text = "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text)
    return " ".join(text.split())


def short_text(text: str) -> str:
    """A text as DICOM's short ones have to be (LO): one line of 64 letters, without backslashes."""
    return " ".join(text.replace("\\", "/").split())[:_MOST_LETTERS].rstrip()


def without_escapes(text: str) -> str:
    """The text without what announces other alphabets in it."""
    return _ESCAPE.sub("", text)


def as_utf8(text: str) -> str:
    """The text whose UTF-8 was taken for Latin-1, or the text itself if it was not."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _readable(letters: re.Match[str]) -> str:
    return UNREADABLE if _NO_LETTERS.search(letters.group()) else letters.group()

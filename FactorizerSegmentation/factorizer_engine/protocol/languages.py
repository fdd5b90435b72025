"""Names of series in other languages, in the words of English protocols. Standard library only.

Scanners are named in the language of the house: "T1加权 增强", "Т2 ВИ", "T1 sans injection".
"""

from __future__ import annotations

import re
import unicodedata

_AGENT = r"(?:contrast|gado|gd\b|inj|iniez|iny|mdc|km\b|kontrast|контраст|к/у|ку\b)"
_WITHOUT = "sans|sin|senza|sem|bez|без|zonder|uten|utan|uden"
_BEFORE = "avant|antes|prima|vor|voor|przed|före|før|до"

_IN_ENGLISH = tuple(
    (re.compile(pattern, re.IGNORECASE), word if word == "t" else f" {word} ")
    for pattern, word in (
        (r"[тТ](?=[12])", "t"),  # Cyrillic, which looks the same
        (r"增[强強]前|造影前|平[扫掃]|単純|조영 ?전", "native"),
        (rf"(?<![^\W_])(?:{_WITHOUT}|{_BEFORE})[\s_]*(?:\w+ )?(?={_AGENT})", "without"),
        (r"增[强強]|造影|조영|контраст\w*|(?<!\w)к/?у(?!\w)", "contrast"),
        (r"\b(?:kontrast|contrast[eo]|inject[eéio]|iniezione|inyecc)\w*|\bmdc\b", "contrast"),
        (r"[压圧壓]水|水抑制|フレア", "flair"),
        (r"表[观観][弥扩拡]散系[数數]", "adc"),
        (r"[弥彌]散|[扩擴拡]散|확산|диффуз\w*|\bdifus\w*", "dwi"),
        (r"定位|位置決め|локалайзер|\blocalizador\b|\brep[eé]rage\b", "localizer"),
        (r"灌注|перфуз\w*", "perfusion"),
        (r"磁敏感", "swi"),
    )
)


def in_english(name: str) -> str:
    """The name of a series with the words that matter in English, and without accents.

    Full-width letters become ordinary ones.
    """
    text = unicodedata.normalize("NFKC", name)
    for pattern, word in _IN_ENGLISH:
        text = pattern.sub(word, text)
    if text.isascii():
        return text
    parts = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in parts if not unicodedata.combining(letter))

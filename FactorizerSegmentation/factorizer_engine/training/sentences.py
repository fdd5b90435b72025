"""Errors of a configuration in words."""

from __future__ import annotations

from pydantic import ValidationError


def sentence_about(name: str, error: ValidationError) -> str:
    """What is wrong with the configuration `name`, about the first error of several."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        reason = f"does not know the key '{key}'"
    elif first["type"] == "missing":
        reason = f"lacks the key '{key}'"
    else:
        text = first["msg"].removeprefix("Value error, ")
        if first["type"] == "string_pattern_mismatch":
            text = f"'{first['input']}' is unknown"
        what = f"a wrong value for '{key}'" if key else "settings that do not go together"
        reason = f"has {what}: {text[0].lower()}{text[1:]}"
    more = error.error_count() - 1
    suffix = f" (and {more} more)" if more else ""
    return f"The configuration {name} {reason}{suffix}."

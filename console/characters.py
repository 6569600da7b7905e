"""Show characters of names and notes that would deceive a reader."""

from __future__ import annotations

# They turn the direction of text: "gpj.exe" would read as "exe.jpg".
_TURNING = {code: f"\\u{code:04x}" for code in (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def visible(text: str) -> str:
    """Write characters that turn the direction of text as escapes, as the page does."""
    return text.translate(_TURNING)

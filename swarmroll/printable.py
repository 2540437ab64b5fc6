"""Keeps characters that fool a terminal out of everything people see."""

from __future__ import annotations

import re

# C0, DEL, C1; zero-width and bidirectional controls; line and paragraph separators; interlinear and
# tag characters; lone surrogates. The joiners U+200C and U+200D stay: scripts and emoji need them.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def printable(text: str) -> str:
    r"""
    Text in one line, without power over a terminal.

    Control and escape sequences, bidirectional overrides and invisible characters come out as
    ``\n``, ``\x1b``, ``\u202e``; every other character stays.
    """
    return _UNPRINTABLE.sub(_escaped, text)

r"""Text from outside, made inert: shown as what it is, and acted on by nothing.

What a person gets to see goes through `plain`, names through `name` before that; the formats
(`report`) then escape what their markup acts on. JSON, which has escapes of its own, takes text
as it is, but for what UTF-8 cannot hold (`encodable`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

_ESCAPE = r"(?:[nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})"
_PIECES = re.compile(rf"\\{_ESCAPE}|[^\W\d_]+|.", re.DOTALL)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
_BLANK = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and signs without ink."""

_SELECTORS = (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), 0x34F)
_JAMO = frozenset(map(chr, range(0x1100, 0x1200)))
_MARKS = 2
"""Marks that a letter may carry; piles of them run into other lines."""

_ALPHABETS = frozenset({"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"})
_LIKE_LATIN = frozenset(
    "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0455\u0456\u0458\u04bb\u0501\u051b\u051d\u04cf"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0423\u0405\u0406\u0408"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
    "\u03b1\u03b9\u03bd\u03bf\u03c1\u03c5\u0585\u057d\u0578\u0561"
)
"""Letters of other alphabets that look as Latin ones do."""


def plain(text: str) -> str:
    r"""Text on one line that no terminal or browser acts on, with all of it to be seen.

    What has no ink (controls, marks of direction, zero-width and odd spaces, halves of
    surrogate pairs, letters not assigned) is spelled out, ``\x1b``, ``\u200b``; and so is what
    looks as something else does: letters of another alphabet within a Latin word, or all of
    whose word looks Latin, accents that are letters of their own, wide and bold ASCII. Bytes
    that are no text, as `os.fsdecode` gives them, are ``\xff``. Plain text stays as it is.
    """
    if text.isascii() and text.isprintable():
        return text
    composed = unicodedata.is_normalized("NFC", text)
    return "".join(_pieces(text, composed=composed))


def name(text: str) -> str:
    r"""`plain` for one name: two different names never give one text.

    A backslash that would read as an escape is doubled: ``a\u200b`` is spelled ``a\\u200b``.
    To be used once, on the name itself.
    """
    if "\\" in text:
        text = _DOUBLED.sub(lambda found: 2 * found[0], text)
    return plain(text)


def encodable(text: str) -> str:
    r"""The text with what UTF-8 cannot hold spelled out, ``\xff`` and ``\ud800``.

    Two different texts never become one: a backslash that would read as such is doubled.
    """
    doubled = _UNENCODABLE.sub(lambda found: 2 * found[0], text)
    return _SURROGATE.sub(lambda found: _spelled(found[0]), doubled)


_UNENCODABLE = re.compile(r"\\+(?=x[89a-f][0-9a-f]|ud[89a-f][0-9a-f]{2}|[\ud800-\udfff])")
_SURROGATE = re.compile("[\ud800-\udfff]")
HIDDEN = re.compile(
    "[\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Characters without ink, or that act on what is beside them."""


def _is_hidden(character: str) -> bool:
    if character == " " or character.isascii():
        return not character.isprintable()
    kind = unicodedata.category(character)
    return kind in _UNSEEN or character in _BLANK or ord(character) in _SELECTORS


def _pieces(text: str, *, composed: bool) -> Iterator[str]:
    marks = _MARKS  # none may stand alone: it would sit on what is beside the text
    for found in _PIECES.finditer(text):
        piece = found[0]
        if piece.isascii() and piece.isprintable():
            marks = 0 if piece.isalpha() else _MARKS
            yield piece
            continue
        foreign = _foreign(piece)
        for character in piece:
            is_mark = unicodedata.category(character).startswith("M")
            if is_mark:
                marks += 1
                hidden = not composed or marks > _MARKS or _is_hidden(character)
            else:
                hidden = character in foreign or _deceives(character, composed=composed)
                marks = 0 if character.isalpha() and not hidden else _MARKS
            yield _spelled(character) if hidden else character


def _deceives(character: str, *, composed: bool) -> bool:
    part = not composed and character in _JAMO
    return part or _is_hidden(character) or _in_disguise(character)


@lru_cache(1024)
def _foreign(word: str) -> frozenset[str]:
    """The letters of a word that look as Latin ones do, where that could deceive."""
    others = {c for c in word if _alphabet(c) in _ALPHABETS}
    if not others:
        return frozenset()
    latin = any(_alphabet(c) == "LATIN" for c in word)
    return frozenset(others if latin or others <= _LIKE_LATIN else ())


@lru_cache(4096)
def _alphabet(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]


@lru_cache(4096)
def _in_disguise(character: str) -> bool:
    """Whether it is another character by its meaning: the Kelvin sign, a wide or bold letter."""
    if character.isascii():
        return False
    if unicodedata.normalize("NFC", character) != character:
        return True
    meant = unicodedata.normalize("NFKC", character)
    return meant != character and meant.isascii() and _is_letter_or_digit(character)


def _is_letter_or_digit(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind.startswith("L") or kind == "Nd"


def _spelled(character: str) -> str:
    r"""``\x1b``, ``\u200b``, ``\U000e0041``; a byte that is no text as ``\xff``."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return _SHORT.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


_DOUBLED = re.compile(rf"\\+(?={_ESCAPE}|[^\x20-\x7e])")

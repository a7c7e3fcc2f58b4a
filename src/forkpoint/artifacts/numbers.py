"""Numbers as files of text spell them: compared as exact decimals, whatever their length.

Text carries no dtype, so numbers are judged by the limits of float32, in which most of them were
computed. A number keeps its spelling: that two numbers have one value does not make them one
text, and whoever compares says which of the two it means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, DecimalException, InvalidOperation

from forkpoint.compare import limits_for
from forkpoint.model import Tolerance

EXACT_INTEGERS = 1 << 53
"""Up to here a float may be written as an integer; larger integers are names, or counts."""

_ARITHMETIC = Context(prec=40, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[InvalidOperation])
_NUMBER = re.compile(
    r"-?(?:0|[1-9][0-9]*)"  # as JSON has it
    r"|[+-]?(?:(?:0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+|(?:0|[1-9][0-9]*)(?=[eE]))(?:[eE][+-]?[0-9]+)?"
)


class Number(str):
    """A number as a file spells it, which may be ``NaN`` or ``Infinity``."""

    __slots__ = ()

    @property
    def whole(self) -> bool:
        """Whether it is written as an integer."""
        return not any(mark in self for mark in ".eENI")


@dataclass(frozen=True, slots=True)
class Weighed:
    """Two numbers: ``equal`` in value, sign and kind; else perhaps ``close``, and how far apart."""

    equal: bool
    close: bool
    difference: Decimal = Decimal(0)


FAR = Weighed(equal=False, close=False)


def as_number(text: str) -> Number | None:
    """The number that a cell of text spells, or None.

    A name is none: ``007``, ``+7``, ``1_000``, digits of other scripts, spaces around it,
    ``nan``.
    """
    return Number(text) if _NUMBER.fullmatch(text) else None


def decimal(text: str) -> Decimal | None:
    """The exact value; None for NaN, an infinity, and exponents beyond all arithmetic."""
    try:
        found = Decimal(text, _ARITHMETIC)
    except (DecimalException, ValueError, MemoryError):
        return None
    return found if found.is_finite() else None


def weigh(one: Number, two: Number, tolerance: Tolerance) -> Weighed:
    """Compare two numbers; where one cannot be computed with, only equal spellings are equal."""
    if one == two:
        return Weighed(equal=True, close=True)
    b, c = decimal(one), decimal(two)
    if b is None or c is None:
        return FAR
    alike = one.whole == two.whole and b.is_signed() == c.is_signed()
    if b == c and alike:
        return Weighed(equal=True, close=True)
    difference = _ARITHMETIC.subtract(b, c).copy_abs()
    close = b == c or not (one.whole and two.whole)
    if close and b != c and one.whole != two.whole:
        close = (b if one.whole else c).copy_abs() <= EXACT_INTEGERS
    limits = limits_for(tolerance, "", "float32")
    if limits is None or not close:
        return Weighed(equal=False, close=False, difference=difference)
    atol, rtol = map(Decimal, limits)
    room = _ARITHMETIC.add(atol, _ARITHMETIC.multiply(rtol, b.copy_abs()))
    return Weighed(equal=False, close=difference <= room, difference=difference)

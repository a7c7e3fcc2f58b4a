"""How single facts are spelled in every format: operators, modules, shapes, numbers, text.

All text of a comparison may come from a foreign script, so `plain` goes over everything
that a person gets to see; escaping for a markup language is the formats' own task.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from forkpoint.inert import name as name  # noqa: PLC0414 - exported, as its sister is
from forkpoint.inert import plain as plain  # noqa: PLC0414
from forkpoint.model import Fork, Metrics, Step, Verdict

VERDICTS = {
    Verdict.IDENTICAL: "identical",
    Verdict.WITHIN_TOLERANCE: "within tolerance",
    Verdict.DIVERGENT: "divergent",
    Verdict.NOT_COMPARABLE: "not comparable",
    Verdict.NOT_REPEATABLE: "not repeatable",
    Verdict.INCOMPLETE: "incomplete",
}

NOT_MEASURED = "not measured"
LONG_NAME = 100
"""Characters of a name within a sentence; tables and JSON have the rest."""

_TIMES, _TO = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"
_OPERATOR = re.compile(r"\w+\.\w+\.\w+", re.ASCII)
_ENTRY_END = re.compile(r",\s+|\s+-\s+|\s*\n\s*")


def shorten(text: str, limit: int) -> str:
    """`plain` text of at most ``limit`` characters; the middle goes, as ends tell names apart."""
    text = plain(text)
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def operator(op: str) -> str:
    """``aten.addmm.default`` as PyTorch spells it, ``aten::addmm``; other overloads are kept."""
    if not _OPERATOR.fullmatch(op):
        return op
    namespace, rest = op.split(".", 1)
    return f"{namespace}::{rest.removesuffix('.default')}"


def module(path: str, root: str) -> str:
    """A module's path below the root; the root itself goes by its class name."""
    return path or root or "the model itself"


def place(fork: Fork, root: str) -> str:
    """``aten::addmm in pooler.dense``, or the module alone where no op is known."""
    where = shorten(name(module(fork.module, root)), LONG_NAME)
    return f"{shorten(name(operator(fork.op)), LONG_NAME)} in {where}" if fork.op else where


def shape(sizes: Sequence[int]) -> str:
    """Sizes with multiplication signs between; a tensor without dimensions is a ``scalar``."""
    return _TIMES.join(str(size) for size in sizes) or "scalar"


def shapes(many: Iterable[Sequence[int]]) -> str:
    """Several shapes, each once, in order: a model's ids, mask and types share one."""
    return ", ".join(dict.fromkeys(shape(sizes) for sizes in many)) or "no tensors"


def step_shapes(step: Step) -> str:
    """The input shapes of a step."""
    return shapes(entry.shape for entry in step.inputs)


def number(value: float | None) -> str:
    """Three significant digits without padding: ``3.58e-7``, ``0.25``, ``0``."""
    if value is None:
        return NOT_MEASURED
    text = f"{value:.3g}"
    mantissa, exponent_mark, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent_mark else text


def count(value: int | None) -> str:
    """An integer with separators: ``1,988``."""
    return NOT_MEASURED if value is None else f"{value:,}"


def ulp(value: int | None) -> str:
    """A ULP distance; across zero it runs into billions, so large ones are rounded."""
    return number(value) if value is not None and value >= 1_000_000 else count(value)


def contrast(one: str | None, other: str | None, limit: int) -> str:
    """``one`` as it is seen beside ``other``: of long lists, the entries that only it has."""
    if one is None:
        return "not there"
    if other is None or max(len(one), len(other)) <= limit:
        return shorten(one, limit)
    theirs = set(_ENTRY_END.split(other))
    own = [entry for entry in _ENTRY_END.split(one) if entry not in theirs]
    return shorten("… " + ", ".join(own) if own else one, limit)


def counted(value: int, noun: str) -> str:
    """``1 step``, ``12 steps``."""
    return f"{value:,} {noun}" + ("" if value == 1 else "s")


def every(total: int, noun: str) -> str:
    """``all 12 steps``; of one thing, ``the only step``."""
    return f"the only {noun}" if total == 1 else f"all {counted(total, noun)}"


def percent(fraction: float) -> str:
    """A share that is 0% or 100% only where it is exactly that."""
    if fraction in (0.0, 1.0):
        return f"{fraction:.0%}"
    return f"{min(max(fraction * 100, 0.01), 99.99):.2f}%"


def ranges(numbers: Iterable[int], *, limit: int = 12) -> str:
    """``0-3, 7, 9-11`` (with en dashes); after ``limit`` ranges the rest is counted."""
    runs: list[list[int]] = []
    for value in sorted(set(numbers)):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    shown = [str(a) if a == b else f"{a}{_TO}{b}" for a, b in runs[:limit]]
    left = sum(b - a + 1 for a, b in runs[limit:])
    return ", ".join(shown) + (f" and {left:,} more" if left else "")


def difference(metrics: Metrics | None) -> str:
    """The size of a difference in one phrase."""
    if metrics is None:
        return NOT_MEASURED
    parts = [f"max abs {number(metrics.max_abs)}"]
    if metrics.max_ulp is not None:
        parts.append(f"max {ulp(metrics.max_ulp)} ULP")
    parts.append(f"{percent(metrics.equal_fraction)} of values equal")
    if metrics.nonfinite_mismatches:
        parts.append(f"{metrics.nonfinite_mismatches:,} NaN or infinity on one side")
    return ", ".join(parts)
